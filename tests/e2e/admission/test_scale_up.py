"""A hundred nodes come while the API server does not reach the webhook: they come up all the same,
are counted, and have their targets later, within the budget of restarts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from birthplace import Place, birthplace, steps
from ippolicy.decide.births.table import TEMPLATE
from worlds import condition

pytestmark = pytest.mark.timeout(900)

OLD, NEW, PODS = 8, 100, 1
AT_ONCE = 10
SPEED = 30.0
SETTINGS = {
    "IPPOLICY_INTERVAL": "1s",
    "IPPOLICY_API_TIMEOUT": "60s",
    "IPPOLICY_SCRAPE_INTERVAL": "2m",
    "IPPOLICY_FACTS_MAX_AGE": "2h",  # a quiet watch is heard of once in a real minute
}


def spec() -> dict[str, Any]:
    """Restarts of a tenth at once, whatever EC2 calls they take."""
    policy = steps(6)
    change = policy["change"] | {"restarts": {"atOnce": "10%", "most": AT_ONCE}}
    return policy | {"change": change, "objective": {"maxEC2CallsPerMinute": 10_000}}


def test_a_hundred_nodes_without_the_webhook_are_counted_and_repaired_later(
    tmp_path: Path,
) -> None:
    groups = {"web": ("m5.large", OLD, 2)}
    with birthplace(tmp_path / "controlplane", groups, speed=SPEED, settings=SETTINGS) as place:
        sandbox, registry = place.sandbox, place.registry
        untouched = place.by_others()
        sandbox.apply_policy(spec())
        sandbox.wait(lambda: proven(place) == OLD, "the targets on the old nodes", timeout_s=120)

        place.cut()
        began_s = time.monotonic()
        names = place.add("m5.large", "web", nodes=NEW, pods=PODS)
        tell(f"{NEW} nodes came up in {time.monotonic() - began_s:.0f} s")
        sandbox.wait(lambda: all(map(registry.births_on, names)), "word of all births")
        assert {registry.births_on(name)[0].digest for name in names} == {TEMPLATE}
        says = f"{OLD} of {OLD + NEW} nodes have the targets of their group"
        sandbox.wait(condition(sandbox, "Progressing", "True", says), "the count", timeout_s=120)
        registry.most_down = 0
        says = "does not reach the webhook"
        sandbox.wait(condition(sandbox, "Ready", "True", says), "the cause", timeout_s=240)
        in_vain = len(place.restarts()) - OLD
        assert in_vain <= AT_ONCE + 2

        place.mend()
        began_s = time.monotonic()
        sandbox.wait(lambda: proven(place) == OLD + NEW, "the repair", timeout_s=400)
        tell(
            f"{in_vain} restarts in vain, repaired in {time.monotonic() - began_s:.0f} s, "
            f"{registry.most_down} at once at most"
        )
        assert registry.most_down <= AT_ONCE
        for (node, _), uids in place.restarts().items():
            assert len(uids) - sum(place.in_vain(node, uid) for uid in uids) == 1
        assert place.by_others() == untouched


def proven(place: Place) -> int:
    """How many nodes run the proven targets."""
    table = place.registry.table
    own = table.groups.get("web") if table is not None else None
    return place.registry.running()[own.digest] if own is not None else 0


def tell(text: str) -> None:
    """Figures."""
    print(text, flush=True)  # noqa: T201
