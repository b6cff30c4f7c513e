"""One state of the real ipamd, and everything it concluded from it."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from ipamd_goldens.report import Report, Row
from ippolicy.ipamd import Ipamd, NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.choice import allocatable, deletable, has_idle_eni
from ippolicy.ipamd.store import Cidr

NOW = 10_000.0
OLD_S = 600.0


def belongs(row: Row) -> bool:
    """Whether a row is of this format."""
    return "in" in row and "out" in row


def check(rows: Iterable[Row], report: Report) -> None:
    for number, row in enumerate(rows, start=1):
        ours = _conclude(row["in"])
        differences = [
            f"{name} is {value!r}, ours {ours.get(name)!r}"
            for name, value in row["out"].items()
            if ours.get(name) != value
        ]
        report.add(f"decision {number}", differences)


def _conclude(state: Row) -> Row:
    node = _node(state)
    pool, rules, store = node.store.count(), node.pool.rules, node.store
    demand = rules.demand(pool)
    skip_primary = node.settings.custom_networking
    return {
        "total": pool.total,
        "assigned": pool.assigned,
        "cooldown": store.cooling(NOW),
        "available": pool.available,
        "total_prefixes": pool.total_prefixes,
        "free_prefixes": pool.free_prefixes,
        "short": demand.short,
        "over": demand.over,
        "warm_ip_defined": node.settings.targets.counts_addresses,
        "too_low": rules.too_low(pool),
        "too_high": rules.surplus(pool) > 0,
        "new_eni_resources": rules.new_eni_brings(pool),
        "prefixes_needed": rules.prefixes_needed(pool) if state["pd"] else 0,
        "over_prefix_target": rules.prefixes_over_target(pool),
        "has_room_for_eni": node.pool.has_room_for_eni(),
        "remove_extra_enis": rules.may_free_eni(pool, idle_eni=has_idle_eni(store)),
        "deletable": sorted(e.eni_id for e in deletable(store, node.settings.targets, NOW)),
        "allocatable": sorted(
            e.eni_id for e in allocatable(store, rules.slots, skip_primary=skip_primary)
        ),
        "freeable": [
            len(store.enis[f"eni-{index}"].freeable()) for index in range(len(state["enis"]))
        ],
    }


def _node(state: Row) -> Ipamd:
    targets = WarmTargets(
        state["warm_eni"], state["warm_ip"], state["min_ip"], state["warm_prefix"]
    )
    node = Ipamd(
        NodeShape(
            "any",
            state["max_eni"],
            state["slots"] + 1,
            state["max_pods"],
            trunk_capable=state["pod_eni"],
        ),
        PoolSettings(
            targets,
            prefix_delegation=state["pd"],
            custom_networking=state["custom_net"],
            pod_eni=state["pod_eni"],
        ),
        random=Random(0),
        clock=lambda: NOW,
        custom_subnet="subnet-custom",
    )
    node.pool.unmanaged_enis = state["unmanaged"]
    for index, eni in enumerate(state["enis"]):
        _attach(node, index, eni, prefixes=state["pd"])
    return node


def _attach(node: Ipamd, index: int, eni: Row, *, prefixes: bool) -> None:
    added = node.store.add_eni(
        f"eni-{index}",
        device_index=0 if eni["k"] == "P" else index + 1,
        subnet_id="subnet-own",
        trunk=eni["k"] == "T",
        now=NOW if eni.get("y") else NOW - OLD_S,
    )
    added.excluded = bool(eni.get("x"))
    if prefixes:
        assigned = eni.get("a", [])
        use = list(zip(assigned, eni.get("c") or [0] * len(assigned), strict=True))
    else:
        used, cooling = eni.get("u", 0), eni.get("c", 0)
        idle = eni.get("n", 0) - used - cooling
        use = [(1, 0)] * used + [(0, 1)] * cooling + [(0, 0)] * idle
    texts = tuple(_text(index, number, prefix=prefixes) for number in range(len(use)))
    node.store.add_cidrs(added, texts, prefixes=prefixes)
    for text, (used, cooling) in zip(texts, use, strict=True):
        _fill(node, added.cidrs[text], used, cooling)


def _text(eni: int, number: int, *, prefix: bool) -> str:
    return f"10.{eni}.{number}.0/28" if prefix else f"10.{eni}.{number}.1"


def _fill(node: Ipamd, cidr: Cidr, used: int, cooling: int) -> None:
    """Pods come and go in the CIDR until `used` of its addresses are used and `cooling` cool."""
    base = cidr.text.removesuffix("0/28")
    for number in range(used + cooling):
        address = f"{base}{number}" if cidr.is_prefix else cidr.text
        node.store.restore(f"{cidr.text} {number}", address)
    for number in range(used, used + cooling):
        node.store.release(f"{cidr.text} {number}", NOW - 1)
