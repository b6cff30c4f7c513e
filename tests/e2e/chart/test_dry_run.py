"""Whatever the schema lets through, a real API server accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from chart_values import Values, chart_values
from controlplane import ControlPlane, ControlPlaneError
from helm import CHART, Helm

EXAMPLES = 40
RESTRICTED = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "restricted",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    },
}


@pytest.fixture(scope="module")
def server(shared_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane, which knows IPPolicy, and a namespace that demands unprivileged pods."""
    crd = str(CHART / "files/crd.yaml")
    shared_plane.kubectl("apply", "--server-side", "-f", crd)
    shared_plane.wait_for_resources()
    shared_plane.kubectl("apply", "-f", "-", stdin=json.dumps(RESTRICTED))
    yield shared_plane
    shared_plane.kubectl("delete", "-f", crd)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(values=chart_values())
def test_all_that_is_rendered_is_accepted(helm: Helm, server: ControlPlane, values: Values) -> None:
    server.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"),
        stdin=helm.template(values),
    )


def test_a_field_that_the_server_does_not_know_would_be_seen(
    helm: Helm, server: ControlPlane
) -> None:
    manifest = helm.template({"podMonitor": {"enabled": True}}).replace("scrapeTimeout:", "wait:")
    with pytest.raises(ControlPlaneError, match="wait"):
        server.kubectl(
            *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"),
            stdin=manifest,
        )


@pytest.mark.parametrize("name", ["Deployment/ippolicy-operator", "Pod/ippolicy-operator-test"])
def test_pods_meet_the_restricted_pod_security_standard(
    helm: Helm, server: ControlPlane, name: str
) -> None:
    found = helm.render()[name]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": "restricted"},
        "spec": found["spec"] if found["kind"] == "Pod" else found["spec"]["template"]["spec"],
    }
    pod["spec"] |= {"serviceAccountName": "default"}
    server.kubectl("-n", "restricted", "get", "serviceaccount", "default")
    server.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    pod["spec"]["securityContext"] = {}
    with pytest.raises(ControlPlaneError, match="violates PodSecurity"):
        server.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
