"""Faults that tests order."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import urllib3

from ippolicy.sandbox.kube import Fault
from kubeapi import MERGE, Served, until

PATH = "/api/v1/namespaces/default/configmaps"


def test_a_status_is_given_as_often_as_ordered(served: Served) -> None:
    fault = Fault(match=("create", "configmaps"), status=429, retry_after_s=3, times=2)
    served.kube.faults.add(fault)
    bodies = [{"metadata": {"name": f"a{number}"}} for number in range(3)]
    replies = [served.api.call("POST", PATH, body) for body in bodies]
    assert [reply.code for reply in replies] == [429, 429, 201]
    assert replies[0].headers["Retry-After"] == "3"
    assert replies[0].body["reason"] == "TooManyRequests"
    assert replies[0].body["details"] == {"retryAfterSeconds": 3}


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ((), True),
        (("patch",), True),
        (("get",), False),
        (("patch", "configmaps", "default/a"), True),
        (("patch", "configmaps", "default/b*"), False),
        (("*", "config*", "*/a"), True),
        (("patch", "configmaps/status"), False),
    ],
)
def test_a_fault_hits_what_it_matches(served: Served, match: tuple[str, ...], hit: bool) -> None:
    served.api.call("POST", PATH, {"metadata": {"name": "a"}})
    served.kube.faults.add(Fault(match=match, status=503))
    reply = served.api.call("PATCH", f"{PATH}/a", {}, content_type=MERGE)
    assert reply.code == (503 if hit else 200)


def test_faults_can_be_taken_back(served: Served) -> None:
    fault = Fault(status=500)
    served.kube.faults.add(fault)
    assert served.api.call("GET", PATH).code == 500
    served.kube.faults.remove(fault)
    assert served.api.call("GET", PATH).code == 200
    served.kube.faults.add(fault, Fault(status=403))
    served.kube.faults.clear()
    assert served.api.call("GET", PATH).code == 200


def test_a_connection_can_be_dropped(served: Served) -> None:
    served.kube.faults.add(Fault(match=("list",), drop_connection=True, times=1))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        served.api.call("GET", PATH)
    assert served.api.call("GET", PATH).code == 200


def test_an_answer_can_be_garbage(served: Served) -> None:
    served.kube.faults.add(Fault(match=("list",), garbage=b'{"items": [{"metad', times=1))
    assert served.api.call("GET", PATH).body == '{"items": [{"metad'


def test_an_answer_can_be_late_or_never_come(served: Served) -> None:
    served.kube.faults.add(Fault(match=("list",), delay_s=0.2, times=1))
    begun = time.monotonic()
    assert served.api.call("GET", PATH).code == 200
    assert time.monotonic() - begun >= 0.2
    served.kube.faults.add(Fault(match=("list",), hang=True, times=1))
    with pytest.raises(urllib3.exceptions.TimeoutError):
        urllib3.PoolManager().request("GET", f"{served.kube.url}{PATH}", timeout=0.2, retries=False)


def follow(served: Served, events: list[dict[str, Any]], **query: Any) -> threading.Thread:
    """Watch in a thread until the connection ends."""
    answer = served.api.open("GET", PATH, watch="true", timeoutSeconds=5, **query)

    def run() -> None:
        try:
            for chunk in answer.stream(amt=None):
                events.extend(json.loads(line) for line in chunk.splitlines())
        except urllib3.exceptions.HTTPError as error:
            events.append({"type": type(error).__name__})

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_all_watches_can_be_dropped(served: Served) -> None:
    events: list[dict[str, Any]] = []
    thread = follow(served, events)
    until(lambda: served.kube.drop_watches("configmaps"))
    thread.join(5)
    assert events[-1]["type"] == "ProtocolError"
    assert served.kube.drop_watches("pods") == 0


def test_after_a_compaction_watches_and_pages_of_before_are_gone(served: Served) -> None:
    for name in "abc":
        served.api.call("POST", PATH, {"metadata": {"name": name}})
    page = served.api.call("GET", PATH, limit=1).body["metadata"]
    served.kube.store.compact()
    (error,) = served.api.watch(PATH, resourceVersion=page["resourceVersion"])
    assert (error["type"], error["object"]["code"], error["object"]["reason"]) == (
        "ERROR",
        410,
        "Expired",
    )
    rest = served.api.call("GET", PATH, limit=1, **{"continue": page["continue"]})
    assert (rest.code, rest.body["reason"]) == (410, "Expired")
    token = rest.body["metadata"]["continue"]
    onward = served.api.call("GET", PATH, **{"continue": token}).body["items"]
    assert [item["metadata"]["name"] for item in onward] == ["b", "c"]
    fresh = served.api.call("GET", PATH).body["metadata"]["resourceVersion"]
    assert list(served.api.watch(PATH, resourceVersion=fresh, timeoutSeconds=1)) == []


def test_a_running_watch_outlives_a_compaction(served: Served) -> None:
    events: list[dict[str, Any]] = []
    thread = follow(served, events)
    until(lambda: served.kube.requests.find(verb="create") == [])
    served.kube.store.compact()
    served.api.call("POST", PATH, {"metadata": {"name": "a"}})
    until(lambda: events)
    assert events[0]["object"]["metadata"]["name"] == "a"
    served.kube.drop_watches()
    thread.join(5)


def test_bookmarks_can_be_held(served: Served) -> None:
    served.kube.faults.hold_bookmarks = True
    query = {"allowWatchBookmarks": "true", "timeoutSeconds": 1}
    assert list(served.api.watch(PATH, **query)) == []
    served.kube.faults.clear()
    assert {event["type"] for event in served.api.watch(PATH, **query)} == {"BOOKMARK"}
