"""The MutatingWebhookConfiguration asks about the birth of aws-node pods, and of nothing else."""

from __future__ import annotations

import base64

from ippolicy.admission.configuration import (
    CERT_MANAGER_ANNOTATION,
    Service,
    configuration,
    published_bundle,
)

SERVICE = Service("cni", "ippolicy-webhook")


def test_it_asks_about_new_aws_node_pods_of_the_daemon_sets_namespaces_alone() -> None:
    (webhook,) = configuration("x", SERVICE, ["kube-system", "cni", "cni"])["webhooks"]
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
    (webhook,) = configuration("x", SERVICE, ["cni"])["webhooks"]
    assert webhook["failurePolicy"] == "Ignore"
    assert webhook["timeoutSeconds"] == 2
    assert webhook["sideEffects"] == "None"


def test_it_names_the_service_and_trusts_the_bundle() -> None:
    made = configuration("x", SERVICE, ["cni"], ca_bundle=b"PEM")
    (webhook,) = made["webhooks"]
    assert webhook["clientConfig"] == {
        "service": {"namespace": "cni", "name": "ippolicy-webhook", "port": 443, "path": "/mutate"},
        "caBundle": base64.b64encode(b"PEM").decode(),
    }
    assert published_bundle(made) == b"PEM"
    assert SERVICE.host == "ippolicy-webhook.cni.svc"


def test_with_cert_manager_the_bundle_is_left_to_its_injector() -> None:
    made = configuration("x", SERVICE, ["cni"], cert_manager="cni/ippolicy-webhook")
    assert made["metadata"]["annotations"] == {CERT_MANAGER_ANNOTATION: "cni/ippolicy-webhook"}
    assert "caBundle" not in made["webhooks"][0]["clientConfig"]


def test_without_a_configuration_nothing_is_published() -> None:
    assert published_bundle(None) == b""
    assert published_bundle({"webhooks": [{"name": "other", "clientConfig": {}}]}) == b""
    assert published_bundle(configuration("x", SERVICE, ["cni"])) == b""
