"""The webhook's Secret and configuration, written to the embedded API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ippolicy.act.requests import CallFailed
from ippolicy.act.webhook import WebhookObjects
from ippolicy.admission.configuration import Service, configuration, published_bundle
from ippolicy.errors import CertificatesUnreadable, FactsChanged
from ippolicy.sandbox.kube.faults import Fault
from localapi import LocalAPI

SERVICE = Service("cni", "webhook")
SECRETS = ("patch", "secrets")


@pytest.fixture
def objects(kube_api: LocalAPI) -> Iterator[WebhookObjects]:
    with kube_api.client() as client:
        made = WebhookObjects(
            client, namespace=kube_api.namespace, secret="tls", configuration=kube_api.namespace
        )
        yield made
        made.delete_configuration()


def test_there_is_nothing_at_first(objects: WebhookObjects) -> None:
    assert objects.read_secret() is None
    assert objects.read_configuration() is None
    objects.delete_configuration()


def test_a_secret_is_read_as_it_was_written(objects: WebhookObjects) -> None:
    objects.write_secret({"tls.key": b"\x00k"}, over=None)
    stored = objects.read_secret()
    assert stored is not None
    assert stored.data == {"tls.key": b"\x00k"}
    objects.write_secret({"tls.crt": b"c"}, over=stored)
    after = objects.read_secret()
    assert after is not None
    assert after.data == {"tls.crt": b"c"}
    with pytest.raises(FactsChanged):
        objects.write_secret({"tls.crt": b"d"}, over=stored)


def test_a_secret_of_odd_data_names_itself(objects: WebhookObjects, kube_api: LocalAPI) -> None:
    objects.write_secret({"tls.key": b"k"}, over=None)
    broken = b'{"metadata": {"name": "tls"}, "data": {"tls.key": "a"}}'
    kube_api.kube.faults.add(Fault(("get", "secrets"), garbage=broken))
    with pytest.raises(CertificatesUnreadable, match=f"Secret {kube_api.namespace}/tls"):
        objects.read_secret()


def test_a_configuration_is_what_was_applied_last(objects: WebhookObjects) -> None:
    by_us = configuration(objects.configuration, SERVICE, ["cni"], cert_manager="cni/webhook")
    objects.apply_configuration(
        configuration(objects.configuration, SERVICE, ["cni"], ca_bundle=b"PEM")
    )
    assert published_bundle(objects.read_configuration()) == b"PEM"
    objects.apply_configuration(by_us)
    assert published_bundle(objects.read_configuration()) == b"", "it was ours"
    objects.delete_configuration()
    assert objects.read_configuration() is None


def test_an_api_server_that_fails_is_named(objects: WebhookObjects, kube_api: LocalAPI) -> None:
    kube_api.kube.faults.add(Fault(SECRETS, status=403))
    with pytest.raises(CallFailed, match=r"write Secret .*grant the operator's account this right"):
        objects.write_secret({}, over=None)
    kube_api.kube.faults.add(Fault(("get", "mutatingwebhookconfigurations"), status=500))
    with pytest.raises(CallFailed):
        objects.read_configuration()
