"""Server-side apply and the ownership of fields."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from kubeapi import (
    APPLY,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    KubeAPI,
    daemon_set,
    env_of,
    env_patch,
    managers,
)

OURS = "ippolicy-operator"


@pytest.fixture
def aws_node(kube_api: KubeAPI) -> str:
    """The path of an aws-node whose fields belong to `installer`."""
    collection = kube_api.path("daemonsets", group="apps")
    body = daemon_set(WARM_ENI_TARGET="1", WARM_IP_TARGET="5")
    assert kube_api.call("POST", collection, body, fieldManager="installer").code == 201
    return f"{collection}/aws-node"


def env_fields(body: dict[str, Any], manager: str, operation: str) -> dict[str, Any]:
    spec = managers(body)[manager, operation]["f:spec"]["f:template"]["f:spec"]
    found = spec["f:containers"]['k:{"name":"aws-node"}'].get("f:env", {})
    return dict(found)


def test_a_new_entry_is_ours_alone(kube_api: KubeAPI, aws_node: str) -> None:
    body = kube_api.apply(aws_node, env_patch(MINIMUM_IP_TARGET="20"), OURS).body
    assert env_of(body) == {
        "WARM_ENI_TARGET": "1",
        "WARM_IP_TARGET": "5",
        "MINIMUM_IP_TARGET": "20",
    }
    assert managers(body)[OURS, "Apply"] == {
        "f:spec": {
            "f:template": {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"aws-node"}': {
                            ".": {},
                            "f:env": {
                                'k:{"name":"MINIMUM_IP_TARGET"}': {
                                    ".": {},
                                    "f:name": {},
                                    "f:value": {},
                                }
                            },
                            "f:name": {},
                        }
                    }
                }
            }
        }
    }


def test_a_creator_owns_all_it_stated_and_what_was_defaulted(
    kube_api: KubeAPI, aws_node: str
) -> None:
    body = kube_api.call("GET", aws_node).body
    fields = managers(body)["installer", "Update"]
    assert set(fields) == {"f:metadata", "f:spec"}
    assert fields["f:metadata"]["f:annotations"] == {
        ".": {},
        "f:deprecated.daemonset.template.generation": {},
    }
    spec = fields["f:spec"]
    assert set(spec) == {
        "f:revisionHistoryLimit",
        "f:selector",
        "f:template",
        "f:updateStrategy",
    }
    template = spec["f:template"]
    assert template["f:metadata"] == {"f:labels": {".": {}, "f:k8s-app": {}}}
    assert set(template["f:spec"]) == {
        "f:containers",
        "f:dnsPolicy",
        "f:restartPolicy",
        "f:schedulerName",
        "f:securityContext",
        "f:terminationGracePeriodSeconds",
    }
    assert template["f:spec"]["f:containers"] == {
        'k:{"name":"aws-node"}': {
            ".": {},
            "f:env": {
                ".": {},
                'k:{"name":"WARM_ENI_TARGET"}': {".": {}, "f:name": {}, "f:value": {}},
                'k:{"name":"WARM_IP_TARGET"}': {".": {}, "f:name": {}, "f:value": {}},
            },
            "f:image": {},
            "f:imagePullPolicy": {},
            "f:name": {},
            "f:resources": {},
            "f:terminationMessagePath": {},
            "f:terminationMessagePolicy": {},
        }
    }


def test_anothers_value_is_a_conflict_that_names_it(kube_api: KubeAPI, aws_node: str) -> None:
    reply = kube_api.apply(aws_node, env_patch(WARM_IP_TARGET="2"), OURS)
    field = '.spec.template.spec.containers[name="aws-node"].env[name="WARM_IP_TARGET"].value'
    assert (reply.code, reply.body["reason"]) == (409, "Conflict")
    assert reply.message == (
        f'Apply failed with 1 conflict: conflict with "installer" using apps/v1: {field}'
    )
    assert reply.body["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "installer" using apps/v1',
            "field": field,
        }
    ]


def test_several_conflicts_are_listed_by_manager(kube_api: KubeAPI, aws_node: str) -> None:
    kube_api.apply(aws_node, env_patch(MINIMUM_IP_TARGET="9"), "other")
    body = env_patch(WARM_IP_TARGET="2", WARM_ENI_TARGET="0", MINIMUM_IP_TARGET="8")
    reply = kube_api.apply(aws_node, body, OURS)
    prefix = '.spec.template.spec.containers[name="aws-node"].env'
    assert reply.message == (
        'Apply failed with 3 conflicts: conflicts with "installer" using apps/v1:\n'
        f'- {prefix}[name="WARM_ENI_TARGET"].value\n'
        f'- {prefix}[name="WARM_IP_TARGET"].value\n'
        'conflicts with "other":\n'
        f'- {prefix}[name="MINIMUM_IP_TARGET"].value'
    )
    assert len(reply.body["details"]["causes"]) == 3


def test_force_takes_the_value(kube_api: KubeAPI, aws_node: str) -> None:
    reply = kube_api.apply(aws_node, env_patch(WARM_IP_TARGET="2"), OURS, force="true")
    assert env_of(reply.body)["WARM_IP_TARGET"] == "2"
    left = env_fields(reply.body, "installer", "Update")['k:{"name":"WARM_IP_TARGET"}']
    assert left == {".": {}, "f:name": {}}
    mine = env_fields(reply.body, OURS, "Apply")['k:{"name":"WARM_IP_TARGET"}']
    assert mine == {".": {}, "f:name": {}, "f:value": {}}


def test_the_same_value_is_shared_and_survives_our_leaving(
    kube_api: KubeAPI, aws_node: str
) -> None:
    body = kube_api.apply(aws_node, env_patch(WARM_IP_TARGET="5"), OURS).body
    entry = 'k:{"name":"WARM_IP_TARGET"}'
    assert entry in env_fields(body, "installer", "Update")
    assert entry in env_fields(body, OURS, "Apply")
    body = kube_api.apply(aws_node, env_patch(), OURS).body
    assert env_of(body)["WARM_IP_TARGET"] == "5"
    assert entry not in env_fields(body, OURS, "Apply")


def test_what_only_we_stated_goes_when_left_out(kube_api: KubeAPI, aws_node: str) -> None:
    kube_api.apply(aws_node, env_patch(MINIMUM_IP_TARGET="20", WARM_PREFIX_TARGET="1"), OURS)
    body = kube_api.apply(aws_node, env_patch(WARM_PREFIX_TARGET="1"), OURS).body
    assert set(env_of(body)) == {"WARM_ENI_TARGET", "WARM_IP_TARGET", "WARM_PREFIX_TARGET"}


def test_a_forced_value_goes_altogether_when_left_out(kube_api: KubeAPI, aws_node: str) -> None:
    """The former owner keeps the entry, but nobody owns its value any more."""
    kube_api.apply(aws_node, env_patch(WARM_IP_TARGET="2"), OURS, force="true")
    body = kube_api.apply(aws_node, env_patch(), OURS).body
    assert env_of(body) == {"WARM_ENI_TARGET": "1", "WARM_IP_TARGET": None}


def test_an_empty_apply_keeps_the_container(kube_api: KubeAPI, aws_node: str) -> None:
    kube_api.apply(aws_node, env_patch(MINIMUM_IP_TARGET="20"), OURS)
    nothing = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "aws-node"}}
    body = kube_api.apply(aws_node, nothing, OURS).body
    assert set(env_of(body)) == {"WARM_ENI_TARGET", "WARM_IP_TARGET"}
    assert (OURS, "Apply") not in managers(body)


def test_the_same_apply_again_changes_nothing(kube_api: KubeAPI, aws_node: str) -> None:
    patch = env_patch(MINIMUM_IP_TARGET="20")
    first = kube_api.apply(aws_node, patch, OURS).body["metadata"]
    second = kube_api.apply(aws_node, patch, OURS).body["metadata"]
    assert second["managedFields"] == [entry for entry in second["managedFields"] if entry["time"]]
    assert second["generation"] == first["generation"]


def test_an_update_takes_what_it_changes(kube_api: KubeAPI, aws_node: str) -> None:
    kube_api.apply(aws_node, env_patch(MINIMUM_IP_TARGET="20"), OURS)
    entry = {"name": "MINIMUM_IP_TARGET", "value": "30"}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "aws-node", "env": [entry]}]}}}}
    body = kube_api.call(
        "PATCH", aws_node, patch, content_type=STRATEGIC, fieldManager="kubectl-set"
    ).body
    taken = env_fields(body, "kubectl-set", "Update")
    assert taken == {'k:{"name":"MINIMUM_IP_TARGET"}': {"f:value": {}}}
    left = env_fields(body, OURS, "Apply")['k:{"name":"MINIMUM_IP_TARGET"}']
    assert left == {".": {}, "f:name": {}}
    again = kube_api.apply(aws_node, env_patch(MINIMUM_IP_TARGET="20"), OURS)
    assert again.message.startswith(
        'Apply failed with 1 conflict: conflict with "kubectl-set" using apps/v1: .spec'
    )


def test_who_removes_an_entry_ends_its_ownership(kube_api: KubeAPI, aws_node: str) -> None:
    body = kube_api.apply(aws_node, env_patch(MINIMUM_IP_TARGET="20"), OURS).body
    place = [*env_of(body)].index("MINIMUM_IP_TARGET")
    remove = [{"op": "remove", "path": f"/spec/template/spec/containers/0/env/{place}"}]
    body = kube_api.call("PATCH", aws_node, remove, content_type=JSON_PATCH).body
    assert env_fields(body, OURS, "Apply") == {}
    assert ("conformance", "Update") not in managers(body)


def test_the_manager_defaults_to_the_user_agent(kube_api: KubeAPI, aws_node: str) -> None:
    patch = {"metadata": {"labels": {"x": "y"}}}
    body = kube_api.call("PATCH", aws_node, patch, content_type=MERGE).body
    labels = {"f:metadata": {"f:labels": {".": {}, "f:x": {}}}}
    assert managers(body)["conformance", "Update"] == labels


def test_status_is_owned_through_its_subresource(kube_api: KubeAPI, aws_node: str) -> None:
    collection = kube_api.path("pods")
    spec = {
        "containers": [{"name": "m", "image": "example.com/m:1"}],
        "automountServiceAccountToken": False,
        "schedulingGates": [{"name": "example.com/wait"}],
    }
    kube_api.call("POST", collection, {"metadata": {"name": "p"}, "spec": spec})
    condition = {"type": "example.com/Seen", "status": "True"}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "status": {"conditions": [condition]},
    }
    done = kube_api.apply(f"{collection}/p/status", body, OURS)
    assert done.code == 200
    entry = next(
        entry for entry in done.body["metadata"]["managedFields"] if entry["manager"] == OURS
    )
    assert (entry["operation"], entry["subresource"]) == ("Apply", "status")
    key = 'k:{"type":"example.com/Seen"}'
    members = {".": {}, "f:status": {}, "f:type": {}}
    assert entry["fieldsV1"] == {"f:status": {"f:conditions": {key: members}}}
    other = {**condition, "status": "False"}
    reply = kube_api.apply(
        f"{collection}/p/status", {**body, "status": {"conditions": [other]}}, "someone"
    )
    assert reply.message == (
        f'Apply failed with 1 conflict: conflict with "{OURS}" with subresource "status":'
        ' .status.conditions[type="example.com/Seen"].status'
    )


def test_an_apply_can_create(kube_api: KubeAPI) -> None:
    path = kube_api.path("configmaps", "a")
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {"x": "y"}},
        "data": {"k": "v"},
    }
    made = kube_api.apply(path, body, OURS)
    assert made.code == 201
    assert managers(made.body) == {
        (OURS, "Apply"): {
            "f:data": {"f:k": {}},
            "f:metadata": {"f:labels": {"f:x": {}}},
        }
    }
    assert kube_api.apply(path, body, OURS).code == 200


def test_an_apply_to_a_certain_object_does_not_create(kube_api: KubeAPI) -> None:
    head = {"apiVersion": "v1", "kind": "ConfigMap"}
    body = {**head, "metadata": {"name": "a", "uid": "12345"}}
    reply = kube_api.apply(kube_api.path("configmaps", "a"), body, OURS)
    assert (reply.code, reply.body["reason"]) == (409, "Conflict")
    assert "no existing object was found" in reply.message


def test_a_version_in_an_apply_that_creates_is_ignored(kube_api: KubeAPI) -> None:
    head = {"apiVersion": "v1", "kind": "ConfigMap"}
    body = {**head, "metadata": {"name": "a", "resourceVersion": "12345"}}
    assert kube_api.apply(kube_api.path("configmaps", "a"), body, OURS).code == 201


@pytest.mark.parametrize("content_type", [APPLY, MERGE])
def test_a_patch_cannot_change_the_uid(kube_api: KubeAPI, content_type: str) -> None:
    head = {"apiVersion": "v1", "kind": "ConfigMap"}
    kube_api.call("POST", kube_api.path("configmaps"), {"metadata": {"name": "a"}})
    body = {**head, "metadata": {"name": "a", "uid": "12345"}}
    path = kube_api.path("configmaps", "a")
    reply = kube_api.call("PATCH", path, body, content_type=content_type, fieldManager=OURS)
    assert (reply.code, reply.body["reason"]) == (422, "Invalid")
    assert 'metadata.uid: Invalid value: "12345": field is immutable' in reply.message


def test_a_version_in_an_apply_is_a_lock(kube_api: KubeAPI, aws_node: str) -> None:
    version = kube_api.call("GET", aws_node).body["metadata"]["resourceVersion"]
    kube_api.call("PATCH", aws_node, {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
    body = env_patch(MINIMUM_IP_TARGET="20")
    body["metadata"]["resourceVersion"] = version
    reply = kube_api.apply(aws_node, body, OURS)
    assert (reply.code, reply.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in reply.message


def test_an_apply_must_name_its_manager(kube_api: KubeAPI, aws_node: str) -> None:
    reply = kube_api.apply(aws_node, env_patch(A="1"), "")
    assert (reply.code, reply.body["reason"]) == (422, "Invalid")
    assert "fieldManager: Required value" in reply.message


def test_force_is_for_apply_only(kube_api: KubeAPI, aws_node: str) -> None:
    reply = kube_api.call("PATCH", aws_node, {}, content_type=MERGE, force="true")
    assert (reply.code, reply.body["reason"]) == (422, "Invalid")
    assert "may not be specified for non-apply patch" in reply.message


def test_an_apply_states_no_managed_fields(kube_api: KubeAPI, aws_node: str) -> None:
    body = env_patch(A="1")
    body["metadata"]["managedFields"] = [{"manager": "x", "operation": "Apply"}]
    reply = kube_api.apply(aws_node, body, OURS)
    assert (reply.code, reply.message) == (400, "metadata.managedFields must be nil")


def test_a_key_stated_twice_is_refused(kube_api: KubeAPI, aws_node: str) -> None:
    body = env_patch()
    entries = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    body["spec"]["template"]["spec"]["containers"][0]["env"] = entries
    reply = kube_api.apply(aws_node, body, OURS)
    assert reply.code == 500
    assert reply.message.endswith(
        '.spec.template.spec.containers[name="aws-node"].env: duplicate entries for key [name="A"]'
    )


def test_new_entries_stand_in_the_order_applied(kube_api: KubeAPI, aws_node: str) -> None:
    patch = env_patch(B_FIRST="1", WARM_IP_TARGET="5", A_LAST="2")
    body = kube_api.apply(aws_node, patch, OURS).body
    assert list(env_of(body)) == ["WARM_ENI_TARGET", "B_FIRST", "WARM_IP_TARGET", "A_LAST"]


def test_the_client_library_applies(kube_api: KubeAPI, aws_node: str) -> None:
    apps = client.AppsV1Api(kube_api.client())
    done = apps.patch_namespaced_daemon_set(
        "aws-node",
        kube_api.namespace,
        env_patch(MINIMUM_IP_TARGET="20"),
        field_manager=OURS,
        _content_type="application/apply-patch+yaml",
    )
    assert done.metadata.generation == 2
    with pytest.raises(client.ApiException) as caught:
        apps.patch_namespaced_daemon_set(
            "aws-node",
            kube_api.namespace,
            env_patch(WARM_IP_TARGET="9"),
            field_manager=OURS,
            _content_type="application/apply-patch+yaml",
        )
    assert caught.value.status == 409
