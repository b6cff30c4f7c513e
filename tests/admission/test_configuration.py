"""The MutatingWebhookConfiguration asks about the birth of aws-node pods, and of nothing else."""

from __future__ import annotations

import base64

import pytest

from ippolicy.admission.configuration import (
    CERT_MANAGER_ANNOTATION,
    Service,
    configuration,
    published_bundle,
)

SERVICE = Service("cni", "ippolicy-webhook")
FIRST, AGAIN = "aws-node.ippolicy.dev", "aws-node-again.ippolicy.dev"
PATHS = {FIRST: "/mutate", AGAIN: "/mutate/again"}


def test_it_asks_about_new_aws_node_pods_of_the_daemon_sets_namespaces_alone() -> None:
    for webhook in configuration("x", SERVICE, ["kube-system", "cni", "cni"])["webhooks"]:
        (rule,) = webhook["rules"]
        assert (rule["operations"], rule["resources"]) == (["CREATE"], ["pods"])
        assert webhook["objectSelector"] == {"matchLabels": {"k8s-app": "aws-node"}}
        (namespaces,) = webhook["namespaceSelector"]["matchExpressions"]
        assert namespaces == {
            "key": "kubernetes.io/metadata.name",
            "operator": "In",
            "values": ["cni", "kube-system"],
        }


def test_a_missing_webhook_holds_up_no_node() -> None:
    for webhook in configuration("x", SERVICE, ["cni"])["webhooks"]:
        assert webhook["failurePolicy"] == "Ignore"
        assert webhook["timeoutSeconds"] == 2
        assert webhook["sideEffects"] == "None"


def test_it_asks_twice_since_a_question_may_be_lost() -> None:
    webhooks = configuration("x", SERVICE, ["cni"])["webhooks"]
    paths = {each["name"]: each["clientConfig"]["service"]["path"] for each in webhooks}
    assert paths == PATHS


def test_it_names_the_service_and_trusts_the_bundle() -> None:
    made = configuration("x", SERVICE, ["cni"], ca_bundle=b"PEM")
    for webhook in made["webhooks"]:
        service = {"namespace": "cni", "name": "ippolicy-webhook", "port": 443}
        assert webhook["clientConfig"] == {
            "service": {**service, "path": PATHS[webhook["name"]]},
            "caBundle": base64.b64encode(b"PEM").decode(),
        }
    assert published_bundle(made) == b"PEM"
    assert SERVICE.host == "ippolicy-webhook.cni.svc"


def test_with_cert_manager_the_bundle_is_left_to_its_injector() -> None:
    made = configuration("x", SERVICE, ["cni"], cert_manager="cni/ippolicy-webhook")
    assert made["metadata"]["annotations"] == {CERT_MANAGER_ANNOTATION: "cni/ippolicy-webhook"}
    assert not any("caBundle" in each["clientConfig"] for each in made["webhooks"])


def test_without_a_configuration_nothing_is_published() -> None:
    assert published_bundle(None) == b""
    assert published_bundle({"webhooks": [{"name": "other", "clientConfig": {}}]}) == b""
    assert published_bundle(configuration("x", SERVICE, ["cni"])) == b""


@pytest.mark.parametrize("webhooks", [[FIRST], [FIRST, AGAIN, "other"], [AGAIN, FIRST]])
def test_published_is_what_is_trusted_for_each_webhook(webhooks: list[str]) -> None:
    bundles = {FIRST: b"old", AGAIN: b"old and new", "other": b""}
    made = [
        {"name": name, "clientConfig": {"caBundle": base64.b64encode(bundles[name]).decode()}}
        for name in webhooks
    ]
    assert published_bundle({"webhooks": made}) == b"old"
