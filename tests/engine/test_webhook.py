"""Two replicas look after one webhook on the embedded API, which asks it about real pods."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from kubernetes import client

from ippolicy.act.webhook import WebhookObjects
from ippolicy.admission import Verdict, WebhookProcess
from ippolicy.admission.certificates import read_keyring, renewed
from ippolicy.admission.configuration import Service, published_bundle
from ippolicy.decide.births.table import PolicyTable
from ippolicy.engine.webhook import WebhookKeeper
from ippolicy.errors import ActError
from ippolicy.facts import DaemonSetRef
from ippolicy.sandbox.kube import EmbeddedKube
from ippolicy.sandbox.kube.faults import Fault
from localapi import LocalAPI, fresh_api
from reviews import LEAN, PLACES, aws_node_pod, env_of

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedKube, Path]]:
    kube = EmbeddedKube(controllers=False)
    with kube.start_in_thread():
        yield kube, kube.kubeconfig(tmp_path_factory.mktemp("kube") / "config")


@pytest.fixture
def kube_api(embedded: tuple[EmbeddedKube, Path]) -> Iterator[LocalAPI]:
    with fresh_api(*embedded, "webhook") as api:
        yield api


@dataclass
class Replica:
    """One operator's part in it, by a clock of the test's."""

    api: LocalAPI
    client: client.ApiClient
    server: WebhookProcess
    keeper: WebhookKeeper
    objects: WebhookObjects

    async def look(self, *, leading: bool = False) -> None:
        await self.keeper.look([self.api.namespace], leading=leading)

    @property
    def bundle(self) -> bytes:
        return published_bundle(self.objects.read_configuration())

    def shows(self) -> bytes:
        """The certificate that it shows now."""
        pem = ssl.get_server_certificate(("127.0.0.1", self.server.port))
        return pem.encode()

    def comes_to_show(self, certificate: bytes) -> bool:
        """Whether it shows this one, now or a moment from now."""
        until_s = time.monotonic() + 10
        while self.shows() != certificate and time.monotonic() < until_s:
            time.sleep(0.02)
        return self.shows() == certificate

    def secret(self) -> Any:
        stored = self.objects.read_secret()
        assert stored is not None
        return read_keyring(stored.data)


class Now:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at_s = time.time()

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
async def replicas(kube_api: LocalAPI, now: Now) -> AsyncIterator[list[Replica]]:
    service = Service(kube_api.namespace, "webhook")
    ref = DaemonSetRef(kube_api.namespace, "aws-node")
    made = []
    for _ in range(2):
        api_client = kube_api.client()
        server = WebhookProcess(host="127.0.0.1", port=0)
        server.answer_by({ref: PolicyTable("default", groups={"batch": LEAN})})
        server.place(ref, PLACES)
        objects = WebhookObjects(
            api_client,
            namespace=kube_api.namespace,
            secret="webhook",
            configuration=kube_api.namespace,
        )
        keeper = WebhookKeeper(server, objects, service, clock=now)
        made.append(Replica(kube_api, api_client, server, keeper, objects))
    yield made
    for replica in made:
        await replica.keeper.look([], leading=True)
        replica.client.close()


def route(replica: Replica) -> None:
    """Have the Service lead to this replica; its port in the configuration is the replica's."""
    core = client.CoreV1Api(replica.client)
    spec = client.V1ServiceSpec(type="ExternalName", external_name="127.0.0.1")
    metadata = client.V1ObjectMeta(name="webhook")
    core.create_namespaced_service(
        replica.api.namespace, client.V1Service(metadata=metadata, spec=spec)
    )


def port_in_configuration(replica: Replica, *, of: tuple[int, ...] = (0, 1)) -> None:
    """Have these of its webhooks be asked at the replica's port, and the others where nobody is."""
    operations = [
        {
            "op": "replace",
            "path": f"/webhooks/{number}/clientConfig/service/port",
            "value": replica.server.port if number in of else 1,
        }
        for number in (0, 1)
    ]
    client.AdmissionregistrationV1Api(replica.client).patch_mutating_webhook_configuration(
        replica.objects.configuration, operations, _content_type="application/json-patch+json"
    )


def born(replica: Replica) -> dict[str, Any]:
    """A pod of aws-node as it was made, after the webhook had its say."""
    pod = aws_node_pod(env=[])
    del pod["metadata"]["namespace"]
    core = client.CoreV1Api(replica.client)
    made: Any = core.create_namespaced_pod(replica.api.namespace, pod)
    return dict(replica.client.sanitize_for_serialization(made))


async def test_the_leader_makes_everything_once_and_both_serve(replicas: list[Replica]) -> None:
    leader, follower = replicas
    await follower.look()
    assert not follower.server.running, "there is no certificate yet"
    await leader.look(leading=True)
    await follower.look()
    wanted = leader.secret().serving.certificate
    assert leader.comes_to_show(wanted)
    assert follower.comes_to_show(wanted)
    assert leader.bundle == leader.secret().bundle
    kept = leader.secret().to_data()
    await leader.look(leading=True)
    assert leader.secret().to_data() == kept


async def test_looks_at_once_start_one_process_and_stop_it(replicas: list[Replica]) -> None:
    leader, _ = replicas
    async with asyncio.timeout(60):
        await asyncio.gather(*(leader.look(leading=True) for _ in range(3)))
        assert leader.comes_to_show(leader.secret().serving.certificate)
        await asyncio.gather(leader.look(leading=True), leader.keeper.look([], leading=True))
        assert not leader.server.running
        assert leader.server.pid is None


async def test_pods_get_their_targets_through_the_service(replicas: list[Replica]) -> None:
    leader, _ = replicas
    await leader.look(leading=True)
    route(leader)
    port_in_configuration(leader)
    pod = born(leader)
    assert env_of(pod) == {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "10"}
    assert pod["metadata"]["labels"]["ippolicy.dev/group"] == "batch"
    await leader.server.stop()
    assert leader.server.counts[Verdict.MUTATED] == 1
    assert env_of(born(leader)) == {}, "a missing webhook costs the targets, not the pod"


@pytest.mark.parametrize(("alive", "verdict"), [(0, Verdict.MUTATED), (1, Verdict.MUTATED_AGAIN)])
async def test_whoever_answers_one_of_two_askings_a_pod_gets_its_targets(
    replicas: list[Replica], alive: int, verdict: Verdict
) -> None:
    leader, _ = replicas
    await leader.look(leading=True)
    route(leader)
    port_in_configuration(leader, of=(alive,))
    pod = born(leader)
    assert env_of(pod) == {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "10"}
    await leader.server.stop()
    assert {v: n for v, n in leader.server.counts.items() if n} == {verdict: 1}


async def test_a_rotation_passes_through_both_cas(replicas: list[Replica], now: Now) -> None:
    leader, follower = replicas
    await leader.look(leading=True)
    await follower.look()
    first = leader.secret()
    now.at_s += 210 * DAY_S
    await leader.look(leading=True)
    await follower.look()
    both = leader.secret()
    assert leader.bundle == both.bundle
    assert both.authorities[0].pem == first.authorities[0].pem
    now.at_s += 60
    await leader.look(leading=True)
    last = leader.secret()
    assert last.serving != both.serving
    assert leader.comes_to_show(last.serving.certificate)
    assert follower.comes_to_show(both.serving.certificate)
    assert both.authorities[0].pem in leader.bundle, "the follower is still trusted"
    await follower.look()
    assert follower.comes_to_show(last.serving.certificate)


async def test_nothing_new_is_served_while_the_bundle_cannot_be_published(
    replicas: list[Replica], now: Now
) -> None:
    leader, _ = replicas
    await leader.look(leading=True)
    first = leader.secret().authorities[0]
    kube = leader.api.kube
    kube.faults.add(Fault(("patch", "mutatingwebhookconfigurations"), status=500))
    now.at_s += 210 * DAY_S
    for _ in range(3):
        now.at_s += 60
        with pytest.raises(ActError):
            await leader.look(leading=True)
    assert leader.bundle == first.pem
    assert len(leader.secret().authorities) == 2
    certificate = x509.load_pem_x509_certificate(leader.shows())
    assert first.signed(certificate)


async def test_a_secret_that_was_deleted_is_made_anew(replicas: list[Replica]) -> None:
    leader, _ = replicas
    await leader.look(leading=True)
    first = leader.secret()
    core = client.CoreV1Api(leader.client)
    core.delete_namespaced_secret("webhook", leader.api.namespace)
    await leader.look(leading=True)
    assert leader.secret().authorities != first.authorities
    assert leader.bundle == leader.secret().bundle, "who had the old key is trusted no more"
    assert leader.comes_to_show(leader.secret().serving.certificate)


async def test_the_last_policy_takes_the_configuration_along(replicas: list[Replica]) -> None:
    leader, follower = replicas
    await leader.look(leading=True)
    await follower.look()
    await follower.keeper.look([], leading=False)
    assert not follower.server.running
    assert leader.objects.read_configuration() is not None
    await leader.keeper.look([], leading=True)
    assert leader.objects.read_configuration() is None
    assert not leader.server.running
    await leader.look(leading=True)
    assert leader.server.running


async def test_with_cert_manager_nothing_is_made_here(
    kube_api: LocalAPI, replicas: list[Replica], now: Now
) -> None:
    replica = replicas[0]
    service = Service(kube_api.namespace, "webhook")
    keeper = WebhookKeeper(replica.server, replica.objects, service, cert_manager=True, clock=now)
    await keeper.look([kube_api.namespace], leading=True)
    assert replica.objects.read_secret() is None
    ring = renewed(None, now_s=now.at_s, hosts=(service.host,), published=b"")
    given = {k: v for k, v in ring.to_data().items() if k.startswith("tls.")}
    replica.objects.write_secret(given, over=None)
    await keeper.look([kube_api.namespace], leading=True)
    assert replica.comes_to_show(ring.serving.certificate)
    found = replica.objects.read_configuration()
    assert found is not None
    wanted = f"{kube_api.namespace}/webhook"
    assert found["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == wanted
    assert published_bundle(found) == b""
