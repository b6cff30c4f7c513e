"""Lists: selectors, pages, versions."""

from __future__ import annotations

import pytest

from kubeapi import KubeAPI


def make(api: KubeAPI, name: str, **labels: str) -> None:
    body = {"metadata": {"name": name, "labels": {"mine": "yes", **labels}}}
    assert api.call("POST", api.path("configmaps"), body).code == 201


def names(api: KubeAPI, **query: str) -> list[str]:
    reply = api.call("GET", api.path("configmaps"), **{"labelSelector": "mine", **query})
    assert reply.code == 200, reply.body
    return [item["metadata"]["name"] for item in reply.body["items"]]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=a", ["one", "two"]),
        ("app==a", ["one", "two"]),
        ("mine,app!=a", ["four", "three"]),
        ("app in (a, b)", ["one", "three", "two"]),
        ("mine,app notin (a,b)", ["four"]),
        ("mine,!app", ["four"]),
        ("app,tier", ["two"]),
        ("app=a,tier=front", ["two"]),
        ("tier=", []),
        ("rank>5", ["two"]),
        ("rank<5", ["one"]),
    ],
)
def test_label_selectors(kube_api: KubeAPI, selector: str, expected: list[str]) -> None:
    make(kube_api, "one", app="a", rank="3")
    make(kube_api, "two", app="a", tier="front", rank="10")
    make(kube_api, "three", app="b")
    make(kube_api, "four")
    assert names(kube_api, labelSelector=selector) == expected


@pytest.mark.parametrize("selector", ["a b", "app in", "app in (a", "=x", "app=a=b", "a/b/c=x"])
def test_an_unreadable_label_selector_is_refused(kube_api: KubeAPI, selector: str) -> None:
    reply = kube_api.call("GET", kube_api.path("configmaps"), labelSelector=selector)
    assert (reply.code, reply.body["reason"]) == (400, "BadRequest")


def test_field_selectors_of_pods(kube_api: KubeAPI) -> None:
    for name, node, host in (("a", "n1", True), ("b", "n1", False), ("c", "n2", False)):
        spec = {
            "containers": [{"name": "m", "image": "example.com/m:1"}],
            "nodeName": node,
            "automountServiceAccountToken": False,
            "hostNetwork": host,
        }
        body = {"metadata": {"name": name}, "spec": spec}
        assert kube_api.call("POST", kube_api.path("pods"), body).code == 201

    def chosen(selector: str) -> list[str]:
        reply = kube_api.call("GET", kube_api.path("pods"), fieldSelector=selector)
        return [item["metadata"]["name"] for item in reply.body["items"]]

    assert chosen("spec.nodeName=n1") == ["a", "b"]
    assert chosen("spec.nodeName!=n1") == ["c"]
    assert chosen("spec.hostNetwork=false") == ["b", "c"]
    assert chosen("spec.hostNetwork=true,status.phase!=Succeeded") == ["a"]
    assert chosen("metadata.name==b") == ["b"]
    assert chosen(f"metadata.namespace={kube_api.namespace},status.phase=Pending") == list("abc")


def test_an_unknown_field_selector_is_refused(kube_api: KubeAPI) -> None:
    reply = kube_api.call("GET", kube_api.path("pods"), fieldSelector="spec.nonsense=1")
    assert (reply.code, reply.body["reason"]) == (400, "BadRequest")
    assert reply.message.endswith("field label not supported: spec.nonsense")


def test_pages_are_of_one_version(kube_api: KubeAPI) -> None:
    for name in ("a", "b", "c", "d", "e"):
        make(kube_api, name)
    path = kube_api.path("configmaps")
    seen, token, versions = [], "", set()
    while True:
        query = {"limit": 2, **({"continue": token} if token else {})}
        page = kube_api.call("GET", path, labelSelector="mine", **query).body
        seen += [item["metadata"]["name"] for item in page["items"]]
        versions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue", "")
        if not token:
            break
        kube_api.call("DELETE", f"{path}/e")
        make(kube_api, f"f{len(seen)}")
    assert seen == ["a", "b", "c", "d", "e"]
    assert len(versions) == 1


def test_what_remains_is_counted(kube_api: KubeAPI) -> None:
    for number in range(5):
        body = {"metadata": {"name": f"s{number}"}}
        kube_api.call("POST", kube_api.path("secrets"), body)
    page = kube_api.call("GET", kube_api.path("secrets"), limit=2).body
    assert page["metadata"]["remainingItemCount"] == 3
    last = kube_api.call("GET", kube_api.path("secrets"), limit=5).body
    assert "continue" not in last["metadata"]
    assert "remainingItemCount" not in last["metadata"]


def test_a_broken_continue_token_is_refused(kube_api: KubeAPI) -> None:
    reply = kube_api.call("GET", kube_api.path("pods"), limit=2, **{"continue": "nonsense"})
    assert (reply.code, reply.body["reason"]) == (400, "BadRequest")


def test_a_list_in_the_future_is_refused(kube_api: KubeAPI) -> None:
    reply = kube_api.call("GET", kube_api.path("pods"), resourceVersion="99999999999")
    assert (reply.code, reply.body["reason"]) == (504, "Timeout")
    assert reply.message.startswith("Timeout: Too large resource version: 99999999999, current: ")


def test_a_list_of_an_exact_past_version(kube_api: KubeAPI) -> None:
    make(kube_api, "a")
    past = kube_api.call("GET", kube_api.path("configmaps")).body["metadata"]["resourceVersion"]
    make(kube_api, "b")
    exact = {"resourceVersion": past, "resourceVersionMatch": "Exact"}
    assert names(kube_api, **exact) == ["a"]
    assert names(kube_api, resourceVersion="0") == ["a", "b"]


def test_items_of_built_in_lists_leave_out_their_kind(kube_api: KubeAPI) -> None:
    make(kube_api, "a")
    body = kube_api.call("GET", kube_api.path("configmaps"), labelSelector="mine").body
    assert (body["kind"], body["apiVersion"]) == ("ConfigMapList", "v1")
    assert set(body["items"][0]) == {"metadata"}


def test_lists_of_all_namespaces(kube_api: KubeAPI) -> None:
    make(kube_api, "a", only=kube_api.namespace)
    selector = f"only={kube_api.namespace}"
    body = kube_api.call("GET", "/api/v1/configmaps", labelSelector=selector).body
    assert [item["metadata"]["namespace"] for item in body["items"]] == [kube_api.namespace]


def test_a_table_is_given_where_asked_for(kube_api: KubeAPI) -> None:
    make(kube_api, "a")
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    body = kube_api.call(
        "GET", kube_api.path("configmaps"), headers=accept, labelSelector="mine"
    ).body
    assert body["kind"] == "Table"
    assert body["columnDefinitions"][0]["name"] == "Name"
    assert body["rows"][0]["cells"][0] == "a"
    assert body["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
