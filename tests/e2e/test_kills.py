"""kill -9 while a change is made, rolls, is rolled back or put back: each is done just once."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.ec2 import AWS_NODE
from ippolicy.sandbox.fleet import FleetOptions, Timings
from kills import Kills, held_by_us
from realworlds import RealWorld
from worlds import RECORD, SOON, condition, small, targets

KILLS = int(os.environ.get("KILLS", "12"))  # 200 take half an hour
MOST_A_LIFE = 6
BEFORE = 2  # lives without a kill, which show how long each part takes
HARM = ("the harmful change", "the rollback", "what is said of it")
START_S = 3.0  # about; each kill makes its part that much longer

# No guard watches over the first change: one that sees a slow machine would rightly undo it.
GENEROUS = {
    **SOON,
    "demand": {"minEvidence": "1s"},
    "bounds": {"minimumIPTarget": {"min": 12}},
    "change": {**SOON["change"], "rollback": {"within": "0s"}},
}
LEAN = {**SOON, "demand": {"minEvidence": "1s"}}
FIRST = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "12"}
LAYOUT = small(
    speed=20.0,
    fleet=FleetOptions(timings=Timings(crash_backoff_s=1.0)),
    operator_settings={"IPPOLICY_CHOICE": "rule", "IPPOLICY_ROLLOUT_STUCK_AFTER": "1s"},
)


def make_harmful(sandbox: Sandbox) -> None:
    """No aws-node that starts from now on comes up, so that a rollout gets stuck.

    This guard needs nothing of the time before the change, so no kill makes it blind.
    """
    sandbox.ec2.faults.fail("DescribeNetworkInterfaces", caller=AWS_NODE)


def kinds(sandbox: Sandbox) -> list[str]:
    """Of the changes in the policy's status, newest first."""
    status: dict[str, Any] = (sandbox.policy() or {}).get("status") or {}
    return [change["kind"] for change in status.get("changes", ())]


def live_through(sandbox: Sandbox, kills: Kills, *, harmful: bool) -> int:
    """A policy comes, its change rolls out, a second one is undone if it is harmful, and the policy
    goes; gives how many changes that were."""
    originals, before = targets(sandbox), sandbox.daemonset_generation()
    sandbox.apply_policy(GENEROUS)
    kills.wait(lambda: targets(sandbox) == originals | FIRST, "the change")
    kills.wait(condition(sandbox, "Applied", "True"), "the rollout")
    kills.wait(condition(sandbox, "Progressing", "False"), "its end in status")
    assert sandbox.daemonset_generation() == before + 1
    done = 2
    if harmful:
        be_undone(sandbox, kills)
        assert targets(sandbox) == originals | FIRST
        assert sandbox.daemonset_generation() == before + 3
        done = 4
    sandbox.delete_policy()
    kills.wait(lambda: sandbox.policy() is None, "the restore")
    assert targets(sandbox) == originals
    assert sandbox.daemonset_generation() == before + done
    assert sandbox.run(sandbox.client.find(RECORD)) is None
    assert not held_by_us(sandbox)
    kills.wait(sandbox.rolled_out, "the rollout of the originals")
    return done


def be_undone(sandbox: Sandbox, kills: Kills) -> None:
    """A second change is written, does harm, and is rolled back, once."""
    first, (written, undone, said) = targets(sandbox), HARM
    before = sandbox.daemonset_generation()
    make_harmful(sandbox)
    sandbox.apply_policy(LEAN)
    kills.wait(lambda: sandbox.daemonset_generation() > before, written)
    kills.wait(lambda: targets(sandbox) == first, undone)
    sandbox.ec2.faults.clear()
    kills.wait(condition(sandbox, "RolledBack", "True", "RolloutStuck"), said)
    assert kinds(sandbox) == ["Rollback", "Tune", "Tune"]


def moments(random: Random, took_s: Mapping[str, float], count: int) -> dict[str, list[float]]:
    """When to kill: what is short is hit as often as what takes long."""
    drawn = Counter(random.choices(list(took_s), k=count))
    return {
        what: [random.uniform(0.0, took_s[what] + (kills - 1) * START_S) for _ in range(kills)]
        for what, kills in drawn.items()
    }


def tell(text: str) -> None:
    """Figures, and what led to a failure."""
    print(text)  # noqa: T201


@pytest.mark.timeout(300 + 40 * KILLS)
def test_no_kill_makes_a_second_rollout_or_loses_an_original(real_world: RealWorld) -> None:
    random, lives, began_s = Random(200), 0, time.monotonic()
    with real_world(LAYOUT) as (sandbox, _):
        kills, generation = Kills(sandbox), sandbox.daemonset_generation()
        sandbox.operator.start()
        while kills.done.total() < KILLS:
            harmful = lives % 2 == 1
            if lives >= BEFORE:
                count = random.randint(1, min(KILLS - kills.done.total(), MOST_A_LIFE))
                parts = [part for part in kills.took_s if harmful or part not in HARM]
                kills.plan(moments(random, {part: kills.took_s[part] for part in parts}, count))
            tell(f"life {lives}: {kills}")
            generation += live_through(sandbox, kills, harmful=harmful)
            lives += 1
        assert sandbox.daemonset_generation() == generation, "written after its policy was gone"
    tell(f"{lives} lives in {time.monotonic() - began_s:.0f} s: {kills}")
