"""What is ahead of subnets is shown in the status, the conditions and the metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ippolicy.account.ahead_metrics import ahead_rows
from ippolicy.account.conditions import conditions
from ippolicy.account.difference import changed
from ippolicy.account.status import status_document
from ippolicy.account.view import View
from ippolicy.api.status import Condition
from ippolicy.decide.subnets.brake import Braking, Pressure, Shortage
from ippolicy.decide.subnets.outlook import Outlook
from ippolicy.decide.types import Reason
from views import NOW_S, a_decision, a_dire_ahead, a_view, an_ahead

FIRST = "subnet-00000000000000000"
SHORT = Braking(2, (Pressure(FIRST, Shortage.SHARE, 251, 20.0, 40.0, relieved=True),))


def document(view: View) -> dict[str, Any]:
    return status_document(view, {}, NOW_S)


def pressure(view: View) -> Condition:
    return next(c for c in conditions(view, (), NOW_S) if c.type == "SubnetPressure")


def test_a_subnet_that_runs_out_shows_when_and_how_many_nodes_fit() -> None:
    subnet, other, _ = document(a_view(ahead=a_dire_ahead()))["subnets"]
    assert subnet["exhaustedAt"] == {
        "early": "2026-11-18T12:06:40Z",
        "likely": "2026-11-18T13:06:40Z",
        "late": "2026-11-18T15:06:40Z",
    }
    assert subnet["headroom"] == [{"name": "group-0", "inForce": 2, "recommended": 4}]
    assert "exhaustedAt" not in other


def test_the_loss_of_a_zone_and_the_ways_out_are_shown() -> None:
    status = document(a_view(ahead=a_dire_ahead()))
    (zone,) = status["zones"]
    assert zone["exhaustedAt"]["likely"] == "2026-11-18T13:06:40Z"
    assert zone["lost"] == {"needed": 450, "free": 0, "short": 450}
    assert zone["lostRecommended"]["short"] == 240
    (end,) = status["deadEnds"]
    assert end["id"] == FIRST
    assert end["message"].startswith(f"{FIRST} in eu-west-1a runs out in 2h")
    assert [(way["name"], way["open"]) for way in end["ways"]] == [
        ("PrefixMode", False),
        ("SecondaryCIDR", True),
    ]


def test_what_prefix_mode_means_is_shown() -> None:
    shown = document(a_view(ahead=a_dire_ahead()))["prefixMode"]
    assert (shown["active"], shown["go"]) == (False, False)
    assert shown["message"] == "prefix mode is a no-go: no room"
    assert shown["places"].endswith("558 pods; with prefixes and max-pods raised: 1078")
    assert shown["checks"] == [{"name": "PrefixRoom", "state": "NoGo", "message": "no room"}]


def test_a_forecast_that_moves_a_little_is_no_news() -> None:
    dire = a_dire_ahead()
    before = document(a_view(ahead=dire))
    later = document(
        replace(a_view(ahead=dire), snapshot=replace(a_view().snapshot, taken_at_s=NOW_S + 60))
    )
    assert not changed(before, later)
    assert changed(document(a_view(ahead=an_ahead())), before)


def test_a_subnet_that_is_short_is_named() -> None:
    found = pressure(a_view(decision=a_decision(Reason.BRAKED, braking=SHORT)))
    assert (found.status, found.reason) == ("True", "SubnetsShort")
    assert found.message == (
        f"{FIRST}: 20 of 251 addresses are left after 40 idle ones: brake step 2 of 3"
    )


def test_a_subnet_that_no_targets_save_is_said_plainly_with_the_ways_out() -> None:
    found = pressure(a_view(ahead=a_dire_ahead()))
    assert (found.status, found.reason) == ("True", "NoTargetsSaveSubnet")
    assert "even with the leanest targets within spec.bounds" in found.message
    assert found.message.endswith(": add a secondary CIDR")


def test_without_readings_of_subnets_nothing_is_claimed() -> None:
    for view in (
        a_view(ahead=None),
        a_view(decision=None),
        a_view(ahead=replace(an_ahead(), outlook=Outlook((), {}))),
    ):
        assert (pressure(view).status, pressure(view).reason) == ("Unknown", "NotWatched")


def test_what_is_ahead_is_served_as_metrics() -> None:
    view = a_view(ahead=a_dire_ahead(), decision=a_decision(braking=SHORT))
    rows = {(metric.name, labels): value for metric, labels, value in ahead_rows(view)}
    subnet = ("default", FIRST, "eu-west-1a")
    exhausted = "ippolicy_subnet_exhausted_timestamp_seconds"
    assert rows[exhausted, (*subnet, "likely")] == NOW_S + 7_200
    assert rows["ippolicy_subnet_headroom_nodes", (*subnet, "group-0", "recommended")] == 4.0
    assert (
        rows["ippolicy_zone_loss_missing_addresses", ("default", "eu-west-1a", "in_force")] == 450
    )
    assert rows["ippolicy_brake_step", ("default",)] == 2.0
    calm = {metric.name for metric, _, _ in ahead_rows(a_view())}
    assert calm == {"ippolicy_brake_step"}
