"""The conformance tests of the embedded Kubernetes API, on the real one.

They are the modules of tests/conformance, collected anew in this folder, where the fixture
`kubeconfig` is that of the real control plane (see conftest.py): what the real one does is right.
"""
