"""What befalls a cluster right after a change: all ends well, and people can read why."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from described import happened_s, reads, told
from hurried import PATIENT, hurried, jumping
from ippolicy.sandbox.cluster import Sandbox
from relay import ApiRelay
from served import value
from worlds import SOON, World, changed, condition, targets, wait_until_applied

SPEED_OF_MINUTES, SPEED, SPEED_OF_HOURS = 30.0, 60.0, 120.0
"""Where something must be seen before its time is over, that time is half a minute at least; what
must be read every few minutes, as subnets, has some seconds."""
HOUR_S, COOLDOWN_S = 3_600.0, 1_200.0
WITHIN_S = 900.0
STEADY, PEAK, DOUBLED = 4, 10, 20
"""Pods of a node: at rest, at the peaks before the change, and at those after it."""
CALLS = 10
"""EC2 calls a minute that a policy allows."""
LOADED = "EC2 refuses calls of aws-node for load"
FROZEN = "Warning LadderChanged Frozen: "
OVER = "Normal LadderChanged Normal: all changes are written again"
WAITED = "Normal ChangeStarted set MINIMUM_IP_TARGET=8 WARM_IP_TARGET=1: "
"""The change that had to wait."""
BY_RULE = {"IPPOLICY_CHOICE": "rule"}
"""Where targets are pinned there is nothing to search for."""
ACTING: Mapping[str, Any] = {"stabilization": "0s", "cooldown": "0s", "maxPerDay": 48}


def hasty(speed: float, **settings: str) -> dict[str, Any]:
    """A world and its operator at such a speed. Each watch tells within seconds that it lives."""
    often = {
        "IPPOLICY_SCRAPE_INTERVAL": f"{speed / 2:.0f}s",
        "IPPOLICY_FACTS_MAX_AGE": f"{10 * speed:.0f}s",
        "IPPOLICY_WATCH_TIMEOUT": "2s",
    }
    return {
        "speed": speed,
        "operator_settings": {**PATIENT, **often, **settings},
        "operator_command": hurried(speed),
    }


def pinned(warm: int, minimum: int) -> dict[str, Any]:
    """A policy that comes to these targets whatever demand does."""
    return {
        "mode": "Apply",
        "objective": {"maxEC2CallsPerMinute": CALLS},
        "demand": {"minEvidence": "5m"},
        "bounds": {
            "warmIPTarget": {"min": warm, "max": warm},
            "minimumIPTarget": {"min": minimum, "max": minimum},
        },
        "change": {**ACTING, "rollback": {"within": "0s"}},
    }


@contextmanager
def cuttable(sandbox: Sandbox, kubeconfig: Path) -> Iterator[ApiRelay]:
    """The operator's way to the API server, by which `kubeconfig` leads."""
    relay = ApiRelay(sandbox.operator.kubeconfig)
    sandbox.run(relay.__aenter__())
    relay.kubeconfig(kubeconfig)
    try:
        yield relay
    finally:
        sandbox.operator.stop()
        sandbox.run(relay.__aexit__(None, None, None))


def watched_s(sandbox: Sandbox) -> float:
    """How long demand was watched."""
    found = value(sandbox.operator.url, "ippolicy_evidence_seconds")
    assert found is not None
    return found


def burst(sandbox: Sandbox, pods: int) -> None:
    """So many pods come to every node, and go."""
    sandbox.run(sandbox.workload.burst(sandbox.node_names, pods, lasting_s=60.0))
    sandbox.run(sandbox.clock.sleep(30.0))


def burst_until(
    sandbox: Sandbox,
    pods: int,
    there: Callable[[], bool],
    what: str,
    *,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """One burst after another, but for as long as they are `enough`, until something is there."""

    def look() -> bool:
        if not there() and not enough():
            burst(sandbox, pods)
        return there()

    sandbox.wait(look, what)


def changes(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The changes in the policy's status, newest first."""
    found: list[dict[str, Any]] = ((sandbox.policy() or {}).get("status") or {})["changes"]
    return found


def moment_s(text: str) -> float:
    """A time of the status, in seconds."""
    return datetime.fromisoformat(text).timestamp()


def test_demand_that_doubles_after_a_change_has_it_undone_in_time(world: World) -> None:
    with world(subnets=("10.0.0.0/20",), **hasty(SPEED_OF_MINUTES)) as sandbox:
        before = targets(sandbox)
        sandbox.operator.start()
        spec = {
            "mode": "Apply",
            "objective": {"goal": "FastStart"},
            "demand": {"minEvidence": "5m"},
            "change": {
                **ACTING,
                "cooldown": "6h",
                "urgent": "Never",
                "rollback": {"within": f"{WITHIN_S:.0f}s"},
            },
        }
        sandbox.apply_policy(spec)
        burst_until(sandbox, PEAK - STEADY, lambda: changed(sandbox), "the targets")
        sandbox.wait(condition(sandbox, "Progressing", "False"), "the end of the rollout")
        generation = sandbox.daemonset_generation()
        undone = condition(sandbox, "RolledBack", "True")
        burst_until(sandbox, DOUBLED - STEADY, undone, "the rollback")
        sandbox.wait(lambda: targets(sandbox) == before, "the former values")
        assert sandbox.daemonset_generation() == generation + 1
        why = reads(
            sandbox,
            "RolledBack True DelayedStarts ",
            " starts waited for EC2 (",
            "Warning RolledBack back to ",
        )
        sandbox.wait(why, "the reason to be told")
        sandbox.wait(lambda: "undone" in changes(sandbox)[-1], "the change to be called undone")
        undo, harmful = changes(sandbox)
        assert (undo["kind"], harmful["kind"]) == ("Rollback", "Tune")
        assert moment_s(undo["time"]) - moment_s(harmful["time"]) <= WITHIN_S


def test_half_the_calls_allowed_stop_what_shrinks_until_ec2_serves_again(world: World) -> None:
    with world(**hasty(SPEED_OF_HOURS)) as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(pinned(2, 12))
        wait_until_applied(sandbox)
        generation = sandbox.daemonset_generation()
        sandbox.ec2.faults.throttle("AssignPrivateIpAddresses", burst=1, per_s=CALLS / 2 / 60.0)
        loaded = reads(sandbox, LOADED)
        burst_until(sandbox, 12, loaded, "the refusals to be told")
        sandbox.apply_policy(pinned(1, 8))
        held_up = reads(
            sandbox,
            "Ready False GrowOnly ",
            f"Degraded True GrowOnly only growth is written until it is over for a while: {LOADED}",
            f"Warning LadderChanged GrowOnly: {LOADED}",
            f"objective.maxEC2CallsPerMinute is {CALLS}, of which ",
        )
        burst_until(sandbox, 12, held_up, "the step down, and its cause", enough=loaded)
        assert sandbox.daemonset_generation() == generation
        sandbox.ec2.faults.clear()
        sandbox.wait(reads(sandbox, OVER), "the step back")
        sandbox.wait(lambda: targets(sandbox)["WARM_IP_TARGET"] == "1", "the change that waited")
        assert sandbox.daemonset_generation() == generation + 1


def test_an_api_server_that_is_away_for_minutes_leads_to_no_blind_write(
    world: World, tmp_path: Path
) -> None:
    way = tmp_path / "kubeconfig"
    with (
        world(**hasty(SPEED, KUBECONFIG=str(way), **BY_RULE)) as sandbox,
        cuttable(sandbox, way) as relay,
    ):
        generation = sandbox.daemonset_generation()
        sandbox.operator.start()
        sandbox.apply_policy(pinned(2, 12))
        sandbox.wait(lambda: changed(sandbox), "the targets")
        sandbox.run(relay.cut())  # in the middle of the rollout
        sandbox.apply_policy(pinned(1, 8))
        step = partial(value, sandbox.operator.url, "ippolicy_ladder_step")
        sandbox.wait(lambda: step() == 2.0, "the metric")
        sandbox.run(sandbox.clock.sleep(300.0))
        sandbox.run(relay.mend())
        frozen = f"{FROZEN}the API server does not answer: "
        late = reads(sandbox, frozen, "Warning Degraded ", OVER, WAITED)
        sandbox.wait(late, "the step down, its cause, the step back and the change that waited")
        down, back, change = (happened_s(told(sandbox, text)) for text in (frozen, OVER, WAITED))
        assert down + 300.0 <= back <= change
        wait_until_applied(sandbox)
        assert targets(sandbox)["WARM_IP_TARGET"] == "1"
        assert sandbox.daemonset_generation() == generation + 2


def test_an_api_server_that_hangs_holds_up_no_stop(world: World, tmp_path: Path) -> None:
    way = tmp_path / "kubeconfig"
    settings = {"KUBECONFIG": str(way), "IPPOLICY_LEASE_NAMESPACE": "kube-system", **BY_RULE}
    with world(operator_settings=settings) as sandbox, cuttable(sandbox, way) as relay:
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)  # so there is a checkpoint to be kept, and a Lease to give up
        sandbox.run(relay.hold())
        assert sandbox.operator.stop() == 0  # not killed, that is: it was over in time


def test_a_clock_that_goes_an_hour_ahead_and_back_writes_nothing_and_holds_nothing_up(
    world: World,
) -> None:
    operator = {"operator_command": jumping(SPEED_OF_MINUTES, by_s=HOUR_S)}
    settings = {**BY_RULE, "IPPOLICY_FACTS_MAX_AGE": "15m"}
    with world(**hasty(SPEED_OF_MINUTES, **settings) | operator) as sandbox:
        sandbox.operator.start()
        cooling = {**pinned(2, 12)["change"], "cooldown": f"{COOLDOWN_S:.0f}s"}
        sandbox.apply_policy(pinned(2, 12) | {"change": cooling})
        wait_until_applied(sandbox)
        generation, before_s = sandbox.daemonset_generation(), watched_s(sandbox)
        sandbox.apply_policy(pinned(1, 8) | {"change": cooling})
        sandbox.wait(condition(sandbox, "Applied", "False", "Cooldown"), "the cooldown")
        sandbox.operator.send(signal.SIGUSR1)
        sandbox.wait(reads(sandbox, "Ready False F", FROZEN), "the step down, and its cause")
        frozen = told(sandbox, FROZEN)
        ages_s = re.findall(r"was last read (\d+) s ago", frozen["message"])
        assert min(map(float, ages_s)) >= HOUR_S
        burst(sandbox, 4)
        assert sandbox.daemonset_generation() == generation
        sandbox.operator.send(signal.SIGUSR2)
        sandbox.wait(reads(sandbox, OVER), "the step back")
        sandbox.wait(lambda: targets(sandbox)["WARM_IP_TARGET"] == "1", "the change that waited")
        wait_until_applied(sandbox)
        assert sandbox.daemonset_generation() == generation + 1
        later, first = changes(sandbox)
        waited_s = moment_s(later["time"]) - moment_s(first["time"])
        assert waited_s >= COOLDOWN_S
        assert moment_s(later["time"]) < happened_s(frozen), "nothing waits for the hour to come"
        assert watched_s(sandbox) > before_s
