"""What people are told, as it arrives at a Kubernetes API."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import pytest
from kubernetes.client import ApiClient, ApiException, CoreV1Api, CustomObjectsApi
from kubernetes.config import ConfigException

from engine_fakes import raw_policy
from fate import Fate, mortal_client
from ippolicy.account.exporter import Exporter
from ippolicy.account.view import View
from ippolicy.account.words import timestamp
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.api import GROUP, PLURAL, VERSION, IPPolicy
from ippolicy.decide.trust import Cause, Ladder, Step, Trouble
from ippolicy.decide.types import Decision, Reason
from ippolicy.engine.publisher import Publisher
from ippolicy.sandbox.kube import EmbeddedKube, Fault
from ippolicy.sandbox.kube.requestlog import Request
from views import NOW_S, a_decision, a_snapshot, a_view

_NUMBERS = itertools.count()
STATUS = ("patch", "ippolicies/status")
EVENT = ("create", "events")


class API(Protocol):
    """What the fixture `kube_api` gives."""

    @property
    def kube(self) -> EmbeddedKube: ...

    def client(self) -> ApiClient: ...


class Told:
    """A policy on an API server, and a publisher of what is found about it."""

    def __init__(self, api: API) -> None:
        self._api = api
        self.kube = api.kube
        client = api.client()
        self._custom, self._core = CustomObjectsApi(client), CoreV1Api(client)
        self.exporter = Exporter()
        self.publisher = Publisher(client, self.exporter, refresh_s=60.0, timeout_s=5.0)
        self.name = f"told-{next(_NUMBERS)}"
        self.create()
        self.kube.requests.clear()

    def lose_the_answer(self, number: int) -> None:
        """The answer to one of its requests does not arrive; the request does."""
        client = mortal_client(self._api.client(), Fate(number, "answer lost"))
        self.publisher = Publisher(client, self.exporter, refresh_s=60.0, timeout_s=5.0)

    def create(self) -> None:
        raw = raw_policy(self.name)
        del raw["metadata"]["finalizers"]  # nobody would let it go again
        del raw["metadata"]["uid"], raw["status"]
        self._custom.create_cluster_custom_object(GROUP, VERSION, PLURAL, raw)

    def recreate(self) -> None:
        self._custom.delete_cluster_custom_object(GROUP, VERSION, PLURAL, self.name)
        self.create()

    def raw(self) -> dict[str, Any]:
        raw: Any = self._custom.get_cluster_custom_object(GROUP, VERSION, PLURAL, self.name)
        return dict(raw)

    def status(self) -> dict[str, Any]:
        return dict(self.raw().get("status") or {})

    def edit_status(self, patch: Mapping[str, Any]) -> None:
        """Change the status as nobody but us should."""
        self._custom.patch_cluster_custom_object_status(
            GROUP,
            VERSION,
            PLURAL,
            self.name,
            {"status": patch},
            _content_type="application/merge-patch+json",
        )
        self.kube.requests.clear()

    def view(self, *, after_s: float = 0.0, held: int = 42, **found: Any) -> View:
        facts = a_snapshot(taken_at_s=NOW_S + after_s)
        pools = {name: replace(pool, held=held) for name, pool in facts.pools.items()}
        policy = IPPolicy.from_raw(self.raw())
        return a_view(policy=policy, snapshot=replace(facts, pools=pools), **found)

    async def publish(self, view: View, shown: Mapping[str, Any] | None = None) -> None:
        await self.publisher.publish(view, self.status() if shown is None else shown)

    def patches(self) -> list[Request]:
        return self.kube.requests.find(verb="patch", name=self.name, subresource="status")

    def events(self) -> list[Any]:
        items = self._core.list_namespaced_event("default").items
        return [event for event in items if event.involved_object.name == self.name]

    def taken(self) -> list[tuple[str, float]]:
        """Reason of each Event, and its first time after the first pass, as they arrived."""
        made = self.kube.requests.find(verb="create", resource="events")
        arrived = [request.body["metadata"]["name"] for request in made if request.code == 201]
        events = {event.metadata.name: event for event in self.events()}
        assert len(events) == len(arrived)
        return [(events[n].reason, events[n].first_timestamp.timestamp() - NOW_S) for n in arrived]

    def reasons(self) -> list[str]:
        return sorted(event.reason for event in self.events())

    def metric(self, name: str, **labels: str) -> float | None:
        said = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        for line in self.exporter.render().decode().splitlines():
            series, _, value = line.rpartition(" ")
            if series == f"ippolicy_{name}{{{said}}}":
                return float(value)
        return None


@pytest.fixture
def told(kube_api: API) -> Told:
    return Told(kube_api)


def frozen(why: str) -> Decision:
    """A decision that finds facts too old to write on."""
    stale = Trouble(Step.FROZEN, Cause.FACTS_STALE, why, NOW_S)
    return replace(a_decision(Reason.FROZEN), ladder=Ladder((stale,), well_once=True))


def fail(told: Told, match: tuple[str, ...], **fault: Any) -> None:
    told.kube.faults.add(Fault(match, times=1, **fault))


# Status


async def test_a_pass_is_told_in_status_events_metrics_and_the_log(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = Outcome(OutcomeKind.WRITTEN, "set WARM_IP_TARGET 2")
    with caplog.at_level(logging.DEBUG, "ippolicy"):
        await told.publish(told.view(outcome=outcome))
    status = told.status()
    assert status["totals"]["held"] == 420
    assert {c["type"] for c in status["conditions"]} >= {"Ready", "Degraded", "Applied"}
    assert told.reasons() == ["RecommendationChanged"]
    assert told.metric("decisions_total", policy=told.name, reason="TargetsInPlace") == 1
    assert told.metric("changes_total", policy=told.name, outcome="Written") == 1
    assert told.metric("events_total", policy=told.name, reason="RecommendationChanged") == 1
    calls = {"kind": "kubernetes", "operation": "patch-status"}
    assert told.metric("api_calls_total", **calls) == 1
    assert told.metric("api_errors_total", **calls, reason="503") is None
    assert f"policy {told.name}: Written: set WARM_IP_TARGET 2" in caplog.text
    assert f"policy {told.name}: RecommendationChanged: " in caplog.text


async def test_the_status_is_one_merge_patch_that_is_for_this_very_object(told: Told) -> None:
    await told.publish(told.view())
    (patch,) = told.patches()
    assert patch.content_type == "application/merge-patch+json"
    assert patch.body["metadata"] == {"uid": told.raw()["metadata"]["uid"]}
    assert set(patch.body) == {"metadata", "status"}


async def test_of_what_was_told_before_only_the_difference_is_sent(told: Told) -> None:
    await told.publish(told.view())
    await told.publish(told.view(after_s=15, held=30))
    _, patch = told.patches()
    assert set(patch.body["status"]) == {"observedTime", "totals", "groups"}
    assert patch.body["status"]["totals"] == {"held": 300, "warm": 100}
    assert told.status()["totals"]["held"] == 300


async def test_noise_is_not_written_before_its_time(told: Told) -> None:
    await told.publish(told.view())
    for after_s, count in ((15, 1), (59, 1), (60, 2), (75, 2), (120, 3)):
        await told.publish(told.view(after_s=after_s))
        assert len(told.patches()) == count
    await told.publish(told.view(after_s=121, held=30))
    assert len(told.patches()) == 4


async def test_what_the_cluster_says_already_is_not_said_again_after_a_restart(
    told: Told, kube_api: API
) -> None:
    await told.publish(told.view())
    shown = told.status()
    again = Publisher(kube_api.client(), Exporter(), refresh_s=60.0, timeout_s=5.0)
    before = told.raw()
    await again.publish(told.view(), shown)
    assert told.raw() == before
    assert told.reasons() == ["RecommendationChanged"]


async def test_its_own_last_word_counts_while_the_watch_lags(told: Told) -> None:
    await told.publish(told.view(), {})
    await told.publish(told.view(after_s=15), {})
    assert len(told.patches()) == 1
    assert told.reasons() == ["RecommendationChanged"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 503}, "503"),
        ({"status": 409}, "409"),
        ({"status": 429}, "429"),
        ({"drop_connection": True}, "ProtocolError"),
    ],
)
async def test_a_status_that_is_not_taken_is_counted_logged_and_sent_again(
    told: Told, caplog: pytest.LogCaptureFixture, fault: dict[str, Any], reason: str
) -> None:
    fail(told, STATUS, **fault)
    with caplog.at_level(logging.WARNING, "ippolicy"):
        await told.publish(told.view())
    assert told.status() == {}
    assert "patch-status was not taken by the API server: " in caplog.text
    said = "injected fault" if "status" in fault else reason
    assert caplog.text.count(said) == 1
    calls = {"kind": "kubernetes", "operation": "patch-status"}
    assert told.metric("api_errors_total", **calls, reason=reason) == 1
    await told.publish(told.view(after_s=1))
    assert told.status()["totals"]["held"] == 420
    assert told.metric("api_calls_total", **calls) == 2


async def test_after_a_failure_the_next_word_starts_from_what_the_cluster_shows(
    told: Told,
) -> None:
    await told.publish(told.view())
    told.edit_status({"totals": {"nodes": 99}, "inForce": None})
    fail(told, STATUS, status=503)
    await told.publish(told.view(after_s=15, held=30))
    await told.publish(told.view(after_s=30, held=30))
    assert told.status()["totals"]["nodes"] == 10
    assert told.status()["inForce"] != []


async def test_a_status_whose_answer_was_lost_leaves_nothing_behind(told: Told) -> None:
    told.lose_the_answer(0)
    await told.publish(told.view(decision=frozen("pods was last read 200 s ago")), {})
    assert told.status()["ladder"]["step"] == "Frozen"
    await told.publish(told.view(after_s=15), {})  # the watch does not show it yet
    assert "ladder" not in told.status()
    assert len(told.patches()) == 2
    await told.publish(told.view(after_s=30), {})
    assert len(told.patches()) == 2


async def test_conditions_changed_when_it_was_found_and_not_when_it_was_taken(told: Told) -> None:
    told.kube.faults.add(Fault(STATUS, status=503, times=2))
    for after_s in (0, 15, 30):
        await told.publish(told.view(after_s=after_s))
    moments = {c["type"]: c["lastTransitionTime"] for c in told.status()["conditions"]}
    assert set(moments.values()) == {timestamp(NOW_S)}


async def test_an_object_made_anew_under_the_name_gets_its_whole_status(told: Told) -> None:
    await told.publish(told.view())
    whole = told.status()
    told.recreate()
    await told.publish(told.view())
    assert told.status() == whole


async def test_a_status_is_not_written_to_another_object_of_the_name(told: Told) -> None:
    view = told.view()
    told.recreate()
    await told.publish(view)
    assert told.status() == {}
    errors = {"kind": "kubernetes", "operation": "patch-status", "reason": "422"}
    assert told.metric("api_errors_total", **errors) == 1


async def test_a_policy_that_is_gone_meanwhile_is_no_fault(told: Told) -> None:
    view = replace(told.view(), policy=replace(told.view().policy, name="gone"))
    await told.publish(view)
    errors = {"kind": "kubernetes", "operation": "patch-status", "reason": "404"}
    assert told.metric("api_errors_total", **errors) == 1


@pytest.mark.parametrize("garbage", [b"", b"{}", b"[]", b"<html>", b"null"])
async def test_an_answer_that_makes_no_sense_breaks_nothing(told: Told, garbage: bytes) -> None:
    fail(told, STATUS, garbage=garbage)
    fail(told, EVENT, garbage=garbage)
    await told.publish(told.view())
    # What was believed to be written was not: the API server refuses the difference, once.
    await told.publish(told.view(after_s=60, held=30))
    await told.publish(told.view(after_s=75, held=30))
    assert told.status()["totals"]["held"] == 300
    assert told.reasons() == []


@pytest.mark.parametrize("body", ["[]", "7", "no json", "{}", '{"message": ""}', None])
async def test_an_error_without_a_message_is_told_by_its_name(
    told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, body: str | None
) -> None:
    error = ApiException(status=500, reason="Internal Server Error")
    error.body = body

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(told.publisher._custom, "patch_cluster_custom_object_status", refuse)
    with caplog.at_level(logging.WARNING, "ippolicy"):
        await told.publish(told.view())
    assert "patch-status was not taken by the API server: Internal Server Error" in caplog.text


async def test_credentials_that_run_out_are_counted_and_not_raised(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConfigException("exec: process returned 1")

    monkeypatch.setattr(told.publisher._custom, "patch_cluster_custom_object_status", refuse)
    await told.publish(told.view())
    errors = {"kind": "kubernetes", "operation": "patch-status", "reason": "ConfigException"}
    assert told.metric("api_errors_total", **errors) == 1


# Events


async def test_an_event_says_who_what_and_when(told: Told) -> None:
    await told.publish(told.view())
    (event,) = told.events()
    assert event.metadata.name.startswith(f"{told.name}.")
    assert (event.type, event.count) == ("Normal", 1)
    assert event.first_timestamp.timestamp() == event.last_timestamp.timestamp() == NOW_S
    about = event.involved_object
    assert (about.kind, about.api_version) == ("IPPolicy", "ippolicy.dev/v1alpha1")
    assert about.uid == told.raw()["metadata"]["uid"]
    assert (event.source.component, event.reporting_component) == ("ippolicy-operator",) * 2


async def test_equal_events_are_posted_once_an_hour_with_their_count(told: Told) -> None:
    for minute in range(61):
        view = told.view(after_s=60.0 * minute, decision=None, rival="older")
        await told.publish(view)
    first, second = sorted(told.events(), key=lambda event: event.last_timestamp)
    assert (first.reason, first.type, first.count) == ("PolicyConflict", "Warning", 1)
    assert (second.reason, second.count) == ("PolicyConflict", 60)
    assert told.metric("events_total", policy=told.name, reason="PolicyConflict") == 2


async def test_an_event_that_is_not_taken_breaks_nothing(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    fail(told, EVENT, status=403, message="events is forbidden")
    with caplog.at_level(logging.WARNING, "ippolicy"):
        await told.publish(told.view())
    assert told.status()["totals"]["held"] == 420
    assert "create-event was not taken by the API server: events is forbidden" in caplog.text
    errors = {"kind": "kubernetes", "operation": "create-event", "reason": "403"}
    assert told.metric("api_errors_total", **errors) == 1


async def test_an_event_that_is_refused_for_good_is_counted_and_not_repeated(told: Told) -> None:
    fail(told, EVENT, status=403, message="events is forbidden")
    await told.publish(told.view())
    await told.publish(told.view(after_s=15))
    assert told.reasons() == []
    assert told.metric("events_lost_total", policy=told.name, cause="Refused") == 1
    assert told.metric("events_total", policy=told.name, reason="RecommendationChanged") is None


@pytest.mark.parametrize(
    "fault", [{"status": 429}, {"status": 500}, {"status": 503}, {"drop_connection": True}]
)
async def test_an_event_that_the_server_was_away_for_comes_late_and_once_with_its_first_time(
    told: Told, fault: dict[str, Any]
) -> None:
    fail(told, EVENT, **fault)
    await told.publish(told.view())
    assert told.reasons() == []
    for after_s in (15, 30):
        await told.publish(told.view(after_s=after_s))
        assert told.taken() == [("RecommendationChanged", 0)]
    assert told.metric("events_total", policy=told.name, reason="RecommendationChanged") == 1


async def test_what_happens_in_an_outage_is_read_after_it_in_order_and_once(told: Told) -> None:
    await told.publish(told.view())
    told.kube.faults.add(*(Fault(match, drop_connection=True) for match in (STATUS, EVENT)))
    shown: dict[str, Any] = {}  # the watch does not move meanwhile
    for after_s in (15, 30, 45):
        decided = frozen(f"pods was last read {after_s + 180} s ago")
        await told.publish(told.view(after_s=after_s, decision=decided), shown)
    await told.publish(told.view(after_s=60), shown)
    told.kube.faults.clear()
    assert told.taken() == [("RecommendationChanged", 0)]
    await told.publish(told.view(after_s=75), shown)
    assert told.taken() == [
        ("RecommendationChanged", 0),
        ("Degraded", 15),
        ("LadderChanged", 15),
        ("Recovered", 60),
        ("LadderChanged", 60),
    ]
    messages = [event.message for event in told.events() if event.reason == "LadderChanged"]
    assert "Frozen: pods was last read 195 s ago" in messages


async def test_an_event_whose_answer_was_lost_is_there_once(told: Told) -> None:
    told.lose_the_answer(1)
    await told.publish(told.view())
    for after_s in (15, 30):
        await told.publish(told.view(after_s=after_s))
        assert told.reasons() == ["RecommendationChanged"]
    assert told.metric("events_total", policy=told.name, reason="RecommendationChanged") == 1
    made = told.kube.requests.find(verb="create", resource="events")
    assert [request.code for request in made] == [201, 409]


async def test_another_conflict_than_that_it_is_there_is_a_refusal(told: Told) -> None:
    fail(told, EVENT, status=409)
    await told.publish(told.view())
    assert told.reasons() == []
    assert told.metric("events_lost_total", policy=told.name, cause="Refused") == 1


async def test_events_of_a_policy_that_is_gone_are_dropped(told: Told) -> None:
    fail(told, EVENT, status=503)
    await told.publish(told.view())
    told.publisher.forget(told.name)
    await told.publish(told.view(after_s=15, decision=None, rival="older"))
    assert told.reasons() == ["PolicyConflict"]


async def test_what_is_kept_of_a_policy_is_forgotten_with_it(told: Told) -> None:
    await told.publish(told.view(decision=None, rival="older"))
    told.publisher.forget(told.name)
    assert told.name not in told.exporter.render().decode()
    assert told.name not in told.publisher._words
    await told.publish(told.view(after_s=1, decision=None, rival="older"))
    assert told.reasons() == ["PolicyConflict", "PolicyConflict"]


# The ends


PROBLEM = "IPPolicy broken: spec.mode: Unsupported value"


async def test_an_invalid_policy_is_told_so_and_keeps_the_rest_of_its_status(told: Told) -> None:
    await told.publish(told.view())
    before = told.status()
    raw = told.raw()
    raw["metadata"]["generation"] = 2
    for after_s in (15, 30):
        await told.publisher.refuse(raw, PROBLEM, told.status(), NOW_S + after_s)
    status = told.status()
    conditions = {c["type"]: c for c in status["conditions"]}
    assert {kind: c["status"] for kind, c in conditions.items()} == {
        "Ready": "False",
        "Degraded": "True",
    }
    assert conditions["Ready"]["reason"] == "InvalidPolicy"
    assert conditions["Ready"]["message"] == PROBLEM
    assert status["observedGeneration"] == 2
    assert (status["daemonSet"], status["totals"]) == (before["daemonSet"], before["totals"])
    assert told.reasons() == ["PolicyInvalid", "RecommendationChanged"]
    assert len(told.patches()) == 2


async def test_refusing_a_policy_undoes_nothing_that_the_watch_does_not_show_yet(
    told: Told,
) -> None:
    await told.publish(told.view())
    await told.publisher.refuse(told.raw(), PROBLEM, {}, NOW_S + 1)
    assert told.status()["daemonSet"] == "kube-system/aws-node"


async def test_an_object_without_a_status_or_generation_can_be_refused(told: Told) -> None:
    raw = {"metadata": {"name": told.name, "uid": told.raw()["metadata"]["uid"]}}
    await told.publisher.refuse(raw, PROBLEM, {}, NOW_S)
    assert told.status()["observedGeneration"] == 0


@pytest.mark.parametrize(
    ("kind", "on_delete", "reason"),
    [
        (OutcomeKind.RESTORED, "Restore", "OriginalsRestored"),
        (OutcomeKind.RESTORED, "Retain", "OriginalsRetained"),
        (OutcomeKind.FAILED, "Restore", "RestoreFailed"),
        (OutcomeKind.CONFLICT, "Retain", "RestoreFailed"),
        (OutcomeKind.NOTHING, "Restore", None),
    ],
)
async def test_what_came_of_the_originals_is_told(
    told: Told, kind: OutcomeKind, on_delete: str, reason: str | None
) -> None:
    policy = IPPolicy.from_raw(raw_policy(told.name, onDelete=on_delete))
    await told.publisher.restored(policy, Outcome(kind, "DaemonSet x: y"), NOW_S)
    found = [(event.reason, event.message) for event in told.events()]
    assert found == ([(reason, "DaemonSet x: y")] if reason else [])
    assert told.metric("restores_total", policy=told.name, outcome=kind.value) == 1


async def test_a_pass_without_a_decision_or_outcome_counts_neither(told: Told) -> None:
    await told.publish(told.view(decision=None))
    nothing = Outcome(OutcomeKind.NOTHING, "nothing to do")
    await told.publish(told.view(after_s=60, decision=a_decision(), outcome=nothing))
    assert told.metric("changes_total", policy=told.name, outcome="Nothing") is None
    assert told.metric("decisions_total", policy=told.name, reason="TargetsInPlace") == 1
