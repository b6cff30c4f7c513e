"""Create, read, update, delete."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from kubeapi import JSON_PATCH, MERGE, STRATEGIC, KubeAPI, daemon_set, env_of, until


def config_map(name: str = "a", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "example.com/main:1"}]
    return {
        "metadata": {"name": name},
        "spec": {
            "containers": containers,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 7,
            **spec,
        },
    }


def test_a_created_object_gets_uid_version_and_time(kube_api: KubeAPI) -> None:
    made = kube_api.call("POST", kube_api.path("configmaps"), config_map(x="1"))
    assert made.code == 201
    metadata = made.body["metadata"]
    assert metadata["uid"]
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["creationTimestamp"].endswith("Z")
    assert metadata["namespace"] == kube_api.namespace
    assert (made.body["apiVersion"], made.body["kind"]) == ("v1", "ConfigMap")
    assert kube_api.call("GET", kube_api.path("configmaps", "a")).body == made.body


def test_a_name_can_be_generated(kube_api: KubeAPI) -> None:
    body = {"metadata": {"generateName": "x-"}}
    names = {
        kube_api.call("POST", kube_api.path("configmaps"), body).body["metadata"]["name"]
        for _ in range(3)
    }
    assert len(names) == 3
    assert all(name.startswith("x-") and len(name) == 7 for name in names)


def test_a_second_create_is_refused(kube_api: KubeAPI) -> None:
    kube_api.call("POST", kube_api.path("configmaps"), config_map())
    again = kube_api.call("POST", kube_api.path("configmaps"), config_map())
    assert (again.code, again.body["reason"]) == (409, "AlreadyExists")
    assert again.message == 'configmaps "a" already exists'
    assert again.body["details"] == {"name": "a", "kind": "configmaps"}


def test_a_missing_object_is_named(kube_api: KubeAPI) -> None:
    path = kube_api.path("daemonsets", "aws-node", group="apps")
    gone = kube_api.call("GET", path)
    assert (gone.code, gone.body["reason"]) == (404, "NotFound")
    assert gone.message == 'daemonsets.apps "aws-node" not found'
    assert gone.body["details"] == {"name": "aws-node", "group": "apps", "kind": "daemonsets"}


def test_a_missing_namespace_is_named(kube_api: KubeAPI) -> None:
    reply = kube_api.call("POST", "/api/v1/namespaces/nowhere/configmaps", config_map())
    assert (reply.code, reply.message) == (404, 'namespaces "nowhere" not found')


def test_an_unknown_path_is_a_bare_404(kube_api: KubeAPI) -> None:
    reply = kube_api.call("GET", "/apis/nowhere.example.com/v1/things")
    assert (reply.code, reply.body) == (404, "404 page not found\n")


@pytest.mark.parametrize("name", ["", "Upper", "a_b", "-a"])
def test_a_bad_name_is_invalid(kube_api: KubeAPI, name: str) -> None:
    reply = kube_api.call("POST", kube_api.path("configmaps"), config_map(name))
    assert (reply.code, reply.body["reason"]) == (422, "Invalid")
    assert reply.body["details"]["causes"][0]["field"] == "metadata.name"


def test_an_update_from_an_old_version_is_a_conflict(kube_api: KubeAPI) -> None:
    path = kube_api.path("configmaps", "a")
    first = kube_api.call("POST", kube_api.path("configmaps"), config_map(x="1")).body
    second = kube_api.call("PUT", path, {**first, "data": {"x": "2"}})
    assert second.code == 200
    third = kube_api.call("PUT", path, {**first, "data": {"x": "3"}})
    assert (third.code, third.body["reason"]) == (409, "Conflict")
    assert third.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )


def test_an_update_that_changes_nothing_makes_no_version(kube_api: KubeAPI) -> None:
    path = kube_api.path("configmaps", "a")
    first = kube_api.call("POST", kube_api.path("configmaps"), config_map(x="1")).body
    assert kube_api.call("PUT", path, first).body == first
    patched = kube_api.call("PATCH", path, {"data": {"x": "1"}}, content_type=MERGE).body
    assert patched == first


def test_a_merge_patch_sets_and_removes(kube_api: KubeAPI) -> None:
    path = kube_api.path("configmaps", "a")
    kube_api.call("POST", kube_api.path("configmaps"), config_map(x="1", y="2"))
    reply = kube_api.call("PATCH", path, {"data": {"x": None, "z": "3"}}, content_type=MERGE)
    assert reply.body["data"] == {"y": "2", "z": "3"}


def test_a_patch_with_an_old_version_is_a_conflict(kube_api: KubeAPI) -> None:
    path = kube_api.path("configmaps", "a")
    kube_api.call("POST", kube_api.path("configmaps"), config_map(x="1"))
    body = {"metadata": {"resourceVersion": "1"}, "data": {"x": "2"}}
    assert kube_api.call("PATCH", path, body, content_type=MERGE).code == 409


def test_a_json_patch_tests_before_it_writes(kube_api: KubeAPI) -> None:
    path = kube_api.path("configmaps", "a")
    kube_api.call("POST", kube_api.path("configmaps"), config_map(x="1"))
    good = [
        {"op": "test", "path": "/data/x", "value": "1"},
        {"op": "add", "path": "/data/y", "value": "2"},
        {"op": "remove", "path": "/data/x"},
    ]
    assert kube_api.call("PATCH", path, good, content_type=JSON_PATCH).body["data"] == {"y": "2"}
    bad = kube_api.call("PATCH", path, good, content_type=JSON_PATCH)
    assert (bad.code, bad.body["reason"]) == (422, "Invalid")


def test_a_strategic_patch_merges_env_by_name(kube_api: KubeAPI) -> None:
    collection = kube_api.path("daemonsets", group="apps")
    kube_api.call("POST", collection, daemon_set(A="1", B="2"))
    entries = [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]
    removed = {"name": "A", "$patch": "delete"}
    container = {"name": "aws-node", "env": [*entries, removed]}
    body = {"spec": {"template": {"spec": {"containers": [container]}}}}
    reply = kube_api.call("PATCH", f"{collection}/aws-node", body, content_type=STRATEGIC)
    assert env_of(reply.body) == {"B": "3", "C": "4"}


def test_generation_counts_changes_of_the_spec_only(kube_api: KubeAPI) -> None:
    collection = kube_api.path("daemonsets", group="apps")
    path = f"{collection}/aws-node"
    assert kube_api.call("POST", collection, daemon_set()).body["metadata"]["generation"] == 1
    label = {"metadata": {"labels": {"a": "b"}}}
    reply = kube_api.call("PATCH", path, label, content_type=MERGE)
    assert reply.body["metadata"]["generation"] == 1
    reply = kube_api.call("PATCH", path, {"spec": {"minReadySeconds": 1}}, content_type=MERGE)
    assert reply.body["metadata"]["generation"] == 2
    status = {"status": {"numberReady": 0, "observedGeneration": 1}}
    reply = kube_api.call("PATCH", f"{path}/status", status, content_type=MERGE)
    assert reply.body["metadata"]["generation"] == 2


def test_status_and_spec_are_written_apart(kube_api: KubeAPI) -> None:
    collection = kube_api.path("pods")
    made = kube_api.call("POST", collection, {**pod(), "status": {"phase": "Running"}}).body
    assert made["status"]["phase"] == "Pending"
    path = f"{collection}/p"
    both = {"metadata": {"labels": {"x": "y"}}, "status": {"phase": "Running"}}
    main = kube_api.call("PATCH", path, both, content_type=MERGE).body
    assert main["status"]["phase"] == "Pending"
    assert main["metadata"]["labels"] == {"x": "y"}
    body = {"spec": {"activeDeadlineSeconds": 9}, "status": {"phase": "Running"}}
    status = kube_api.call("PATCH", f"{path}/status", body, content_type=MERGE).body
    assert status["status"]["phase"] == "Running"
    assert "activeDeadlineSeconds" not in status["spec"]


def test_pods_are_defaulted(kube_api: KubeAPI) -> None:
    spec = kube_api.call("POST", kube_api.path("pods"), pod()).body["spec"]
    assert spec["restartPolicy"] == "Always"
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert spec["schedulerName"] == "default-scheduler"
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def test_a_finalizer_holds_a_deleted_object(kube_api: KubeAPI) -> None:
    path = kube_api.path("configmaps", "a")
    body = {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}}
    made = kube_api.call("POST", kube_api.path("configmaps"), body).body
    marked = kube_api.call("DELETE", path)
    assert marked.code == 200
    assert marked.body["metadata"]["deletionTimestamp"]
    assert kube_api.call("GET", path).body["metadata"]["uid"] == made["metadata"]["uid"]
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    assert kube_api.call("PATCH", path, more, content_type=MERGE).code == 422
    gone = kube_api.call("PATCH", path, {"metadata": {"finalizers": None}}, content_type=MERGE)
    assert gone.code == 200
    assert kube_api.call("GET", path).code == 404


def test_a_delete_answers_with_what_went(kube_api: KubeAPI) -> None:
    made = kube_api.call("POST", kube_api.path("configmaps"), config_map()).body
    reply = kube_api.call("DELETE", kube_api.path("configmaps", "a"))
    assert (reply.body["kind"], reply.body["status"]) == ("Status", "Success")
    uid = made["metadata"]["uid"]
    assert reply.body["details"] == {"name": "a", "kind": "configmaps", "uid": uid}


def test_preconditions_of_a_delete(kube_api: KubeAPI) -> None:
    path = kube_api.path("configmaps", "a")
    made = kube_api.call("POST", kube_api.path("configmaps"), config_map()).body["metadata"]
    for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
        reply = kube_api.call("DELETE", path, {"preconditions": wrong})
        assert (reply.code, reply.body["reason"]) == (409, "Conflict")
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert kube_api.call("DELETE", path, {"preconditions": right}).code == 200


def test_a_pod_on_a_node_ends_after_its_grace_period(kube_api: KubeAPI) -> None:
    path = kube_api.path("pods", "p")
    kube_api.call("POST", kube_api.path("pods"), pod(nodeName="no-such-node"))
    marked = kube_api.call("DELETE", path).body
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
    assert kube_api.call("GET", path).code == 200
    kube_api.call("DELETE", path, {"gracePeriodSeconds": 0})
    assert kube_api.call("GET", path).code == 404


def test_a_pod_without_a_node_ends_at_once(kube_api: KubeAPI) -> None:
    gated = pod(schedulingGates=[{"name": "example.com/wait"}])
    kube_api.call("POST", kube_api.path("pods"), gated)
    assert kube_api.call("DELETE", kube_api.path("pods", "p")).body["kind"] == "Pod"
    assert kube_api.call("GET", kube_api.path("pods", "p")).code == 404


def test_a_collection_is_deleted_by_selector(kube_api: KubeAPI) -> None:
    collection = kube_api.path("configmaps")
    for name, app in (("a", "x"), ("b", "y"), ("c", "x")):
        body = {"metadata": {"name": name, "labels": {"app": app}}}
        kube_api.call("POST", collection, body)
    assert kube_api.call("DELETE", collection, labelSelector="app=x").code == 200
    left = kube_api.call("GET", collection, labelSelector="app").body["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


def test_a_dry_run_writes_nothing(kube_api: KubeAPI) -> None:
    collection, path = kube_api.path("configmaps"), kube_api.path("configmaps", "a")
    assert kube_api.call("POST", collection, config_map(), dryRun="All").code == 201
    assert kube_api.call("GET", path).code == 404
    first = kube_api.call("POST", collection, config_map(x="1")).body
    change = {"data": {"x": "2"}}
    tried = kube_api.call("PATCH", path, change, content_type=MERGE, dryRun="All")
    assert tried.body["data"] == {"x": "2"}
    assert kube_api.call("DELETE", path, dryRun="All").code == 200
    assert kube_api.call("GET", path).body == first


def test_dependents_go_with_their_owner(kube_api: KubeAPI) -> None:
    owner = kube_api.call("POST", kube_api.path("configmaps"), config_map("owner")).body
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }
    body = {"metadata": {"name": "child", "ownerReferences": [reference]}}
    kube_api.call("POST", kube_api.path("configmaps"), body)
    kube_api.call("DELETE", kube_api.path("configmaps", "owner"))
    until(lambda: kube_api.call("GET", kube_api.path("configmaps", "child")).code == 404)


def test_events_are_the_same_in_both_groups(kube_api: KubeAPI) -> None:
    core = client.CoreV1Api(kube_api.client())
    event = client.CoreV1Event(
        metadata=client.V1ObjectMeta(name="e"),
        involved_object=client.V1ObjectReference(
            kind="ConfigMap", name="a", namespace=kube_api.namespace
        ),
        reason="Applied",
        message="two values",
        type="Normal",
    )
    core.create_namespaced_event(kube_api.namespace, event)
    listed = core.list_namespaced_event(
        kube_api.namespace, field_selector="involvedObject.name=a,reason=Applied"
    )
    assert [item.message for item in listed.items] == ["two values"]
    other = kube_api.call("GET", kube_api.path("events", "e", group="events.k8s.io")).body
    assert (other["note"], other["regarding"]["name"]) == ("two values", "a")


def test_a_lease_is_taken_by_version(kube_api: KubeAPI) -> None:
    api = client.CoordinationV1Api(kube_api.client())
    spec = client.V1LeaseSpec(holder_identity="one", lease_duration_seconds=15)
    lease = client.V1Lease(metadata=client.V1ObjectMeta(name="leader"), spec=spec)
    held = api.create_namespaced_lease(kube_api.namespace, lease)
    held.spec.holder_identity = "two"
    api.replace_namespaced_lease("leader", kube_api.namespace, held)
    with pytest.raises(client.ApiException, match="object has been modified"):
        api.replace_namespaced_lease("leader", kube_api.namespace, held)


def test_an_env_value_must_be_text(kube_api: KubeAPI) -> None:
    body = daemon_set()
    body["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": 5}]
    reply = kube_api.call("POST", kube_api.path("daemonsets", group="apps"), body)
    assert (reply.code, reply.body["reason"]) == (400, "BadRequest")
    assert "cannot unmarshal number into Go struct field EnvVar" in reply.message


def test_the_selector_of_a_daemon_set_must_fit_and_stay(kube_api: KubeAPI) -> None:
    collection = kube_api.path("daemonsets", group="apps")
    misfit = daemon_set()
    misfit["spec"]["selector"] = {"matchLabels": {"k8s-app": "other"}}
    reply = kube_api.call("POST", collection, misfit)
    assert reply.code == 422
    assert "`selector` does not match template `labels`" in reply.message
    kube_api.call("POST", collection, daemon_set())
    change = {"spec": {"selector": {"matchLabels": {"x": "y"}}}}
    reply = kube_api.call("PATCH", f"{collection}/aws-node", change, content_type=MERGE)
    assert reply.code == 422
    assert "field is immutable" in reply.message
