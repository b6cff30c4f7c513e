"""Watches."""

from __future__ import annotations

import itertools
from typing import Any

from kubernetes import client, watch

from kubeapi import MERGE, KubeAPI


def make(api: KubeAPI, name: str, **labels: str) -> dict[str, Any]:
    body = {"metadata": {"name": name, "labels": {"mine": "yes", **labels}}}
    made = api.call("POST", api.path("configmaps"), body)
    assert made.code == 201
    return dict(made.body)


def version(api: KubeAPI) -> str:
    body = api.call("GET", api.path("configmaps")).body
    return str(body["metadata"]["resourceVersion"])


def relabel(api: KubeAPI, name: str, **labels: str | None) -> dict[str, Any]:
    path = api.path("configmaps", name)
    reply = api.call("PATCH", path, {"metadata": {"labels": labels}}, content_type=MERGE)
    return dict(reply.body)


def test_a_watch_gives_every_change_after_its_version(kube_api: KubeAPI) -> None:
    make(kube_api, "before")
    since = version(kube_api)
    make(kube_api, "a")
    changed = relabel(kube_api, "a", x="y")
    kube_api.call("DELETE", kube_api.path("configmaps", "a"))
    path = kube_api.path("configmaps")
    events = kube_api.watch(path, labelSelector="mine", resourceVersion=since)
    first, second, third = itertools.islice(events, 3)
    assert [event["type"] for event in (first, second, third)] == ["ADDED", "MODIFIED", "DELETED"]
    assert first["object"]["kind"] == "ConfigMap"
    assert second["object"] == changed
    assert int(third["object"]["metadata"]["resourceVersion"]) > int(
        changed["metadata"]["resourceVersion"]
    )


def test_a_watch_from_no_version_opens_with_what_there_is(kube_api: KubeAPI) -> None:
    make(kube_api, "a")
    make(kube_api, "b")
    for query in ({}, {"resourceVersion": "0"}):
        events = kube_api.watch(kube_api.path("configmaps"), labelSelector="mine", **query)
        found = sorted(
            (event["type"], event["object"]["metadata"]["name"])
            for event in itertools.islice(events, 2)
        )
        assert found == [("ADDED", "a"), ("ADDED", "b")]


def test_objects_enter_and_leave_the_selection(kube_api: KubeAPI) -> None:
    since = version(kube_api)
    make(kube_api, "a", team="red")
    relabel(kube_api, "a", team="blue")
    relabel(kube_api, "a", team="blue", more="x")
    left = relabel(kube_api, "a", team=None)
    kube_api.call("DELETE", kube_api.path("configmaps", "a"))
    make(kube_api, "end", team="blue")
    events = list(
        itertools.islice(
            kube_api.watch(
                kube_api.path("configmaps"), labelSelector="team=blue", resourceVersion=since
            ),
            4,
        )
    )
    found = [(event["type"], event["object"]["metadata"]["name"]) for event in events]
    assert found == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "end")]
    gone = events[2]["object"]["metadata"]
    assert gone["labels"]["team"] == "blue"
    assert gone["resourceVersion"] == left["metadata"]["resourceVersion"]


def test_a_watch_of_one_object(kube_api: KubeAPI) -> None:
    since = version(kube_api)
    make(kube_api, "a")
    make(kube_api, "b")
    make(kube_api, "a2")
    events = kube_api.watch(
        kube_api.path("configmaps"),
        fieldSelector="metadata.name=b",
        resourceVersion=since,
        timeoutSeconds=1,
    )
    assert [event["object"]["metadata"]["name"] for event in events] == ["b"]


def test_a_watch_ends_after_its_timeout(kube_api: KubeAPI) -> None:
    path = kube_api.path("configmaps")
    query = {"resourceVersion": version(kube_api), "timeoutSeconds": 1}
    assert list(kube_api.watch(path, labelSelector="mine", **query)) == []


def test_a_bookmark_tells_the_version_reached(kube_api: KubeAPI) -> None:
    since = version(kube_api)
    made = make(kube_api, "a")
    events = kube_api.watch(
        kube_api.path("configmaps"),
        resourceVersion=since,
        allowWatchBookmarks="true",
        timeoutSeconds=4,
    )
    bookmark = next(event for event in events if event["type"] == "BOOKMARK")
    assert bookmark["object"]["kind"] == "ConfigMap"
    reached = int(bookmark["object"]["metadata"]["resourceVersion"])
    assert reached >= int(made["metadata"]["resourceVersion"])


def test_a_watch_from_a_forgotten_version_is_told_so(kube_api: KubeAPI) -> None:
    make(kube_api, "a")
    events = list(kube_api.watch(kube_api.path("configmaps"), resourceVersion="1"))
    assert [event["type"] for event in events] == ["ERROR"]
    status = events[0]["object"]
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


def test_an_initial_list_by_watch_ends_with_a_marked_bookmark(kube_api: KubeAPI) -> None:
    make(kube_api, "a")
    events = kube_api.watch(
        kube_api.path("configmaps"),
        labelSelector="mine",
        sendInitialEvents="true",
        allowWatchBookmarks="true",
        resourceVersionMatch="NotOlderThan",
    )
    first, second = itertools.islice(events, 2)
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert second["type"] == "BOOKMARK"
    annotations = second["object"]["metadata"]["annotations"]
    assert annotations == {"k8s.io/initial-events-end": "true"}


def test_the_client_library_watches(kube_api: KubeAPI) -> None:
    core = client.CoreV1Api(kube_api.client())
    since = version(kube_api)
    make(kube_api, "a")
    watcher = watch.Watch()
    for event in watcher.stream(
        core.list_namespaced_config_map,
        kube_api.namespace,
        label_selector="mine",  # controllers put ConfigMaps into a new namespace, too
        resource_version=since,
    ):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "a")
        watcher.stop()
