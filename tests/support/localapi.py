"""The embedded Kubernetes API as the tests of rooms that write to a cluster use it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubernetes import client

from ippolicy.kube import api_client, load_configuration
from ippolicy.sandbox.kube import EmbeddedKube

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class LocalAPI:
    """The embedded API, and a namespace in it."""

    kube: EmbeddedKube
    kubeconfig: Path
    namespace: str
    read_timeout_s: float = 15.0

    def client(self) -> client.ApiClient:
        """A client like the operator's own."""
        configuration = load_configuration(str(self.kubeconfig))
        return api_client(configuration, read_timeout_s=self.read_timeout_s)


@contextmanager
def fresh_api(
    embedded: EmbeddedKube, kubeconfig: Path, prefix: str, *, read_timeout_s: float = 15.0
) -> Iterator[LocalAPI]:
    """The embedded API with a fresh namespace, and no faults left behind."""
    name = f"{prefix}-{next(_NUMBERS)}"
    api = LocalAPI(embedded, kubeconfig, name, read_timeout_s)
    namespace = client.V1Namespace(metadata=client.V1ObjectMeta(name=api.namespace))
    client.CoreV1Api(api.client()).create_namespace(namespace)
    yield api
    embedded.faults.clear()
