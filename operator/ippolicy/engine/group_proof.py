"""What the targets of single groups come to, beside what the model makes of the demand there was.

Many groups have changes at once, and of each group some nodes run what is new long before others
do. So a change is held against the nodes that run it, each from when its aws-node had settled on
it, and what is found is told for as many nodes as the group has: what was predicted is for those.

All of it is in memory only, see `engine.proof`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from ippolicy.decide import proof
from ippolicy.decide.births import ledger
from ippolicy.decide.births.table import digest_of
from ippolicy.decide.environment import read_environment
from ippolicy.decide.hindsight import Look, in_hindsight
from ippolicy.decide.measure import Meter, only
from ippolicy.decide.running import running_of
from ippolicy.facts import Change, DaemonSetFacts, Forecast, NodeFacts, Record, Snapshot
from ippolicy.ipamd import WarmTargets

SLOT_S: Final = 300.0
"""Of one group; a group has fewer slots than a fleet, as there are many groups."""
MOST_AT_ONCE: Final = 4
"""Changes that are measured in one pass: each takes a replay, and none of them is in a hurry."""

Update = Callable[[Record], Record]


@dataclass(slots=True)
class GroupProofs:
    """Counts by group and digest of the targets that nodes run, and of all that run any of ours;
    `saved_until_s` is up to when the ledger was counted."""

    saved_until_s: float | None = None
    _meters: dict[tuple[str, str], Meter] = field(default_factory=dict)
    _born: Meter = field(default_factory=Meter)

    def note(self, snapshot: Snapshot) -> None:
        """Take in what is new in `snapshot`, and forget what nobody runs any more."""
        if self.saved_until_s is None:
            self.saved_until_s = snapshot.taken_at_s
        runners = _runners(snapshot)
        for gone in self._meters.keys() - runners.keys():
            del self._meters[gone]
        for key, nodes in runners.items():
            meter = self._meters.setdefault(key, Meter(SLOT_S))
            meter.note(only(snapshot, nodes))
        self._born.note(only(snapshot, [node for nodes in runners.values() for node in nodes]))

    def found(
        self, look: Look, facts: DaemonSetFacts, record: Record
    ) -> tuple[list[Update], Update | None]:
        """What is to be written of the changes of groups, and of what they have saved."""
        due = ledger.due(record, look.now_s)
        measured: list[Update] = []
        for change, after_s in due:
            update = self._measurement(look, facts, change, after_s)
            if update is not None:
                measured.append(update)
            if len(measured) == MOST_AT_ONCE:
                break
        return measured, self._saving(look, facts)

    def _measurement(
        self, look: Look, facts: DaemonSetFacts, change: Change, after_s: int
    ) -> Update | None:
        key = change.group, digest_of(change.after)
        meter, runners = self._meters.get(key), _runners(look.snapshot).get(key)
        if meter is None or runners is None:
            return None
        since_s, until_s = proof.window(change, after_s, look.now_s)
        counts = meter.between(since_s, until_s)
        if not proof.enough(counts, after_s):
            return None
        size = sum(node.group == change.group for node in look.snapshot.nodes)
        expected = _replayed(look, facts, runners, since_s, size)
        found = proof.measurement(
            after_s, look.now_s, counts.on(size), expected[0] if expected else None
        )
        return partial(proof.with_measured, change_id=change.id, found=found)

    def _saving(self, look: Look, facts: DaemonSetFacts) -> Update | None:
        """What was saved since it was last counted, once that is an hour ago."""
        now_s, since_s = look.now_s, self.saved_until_s
        if since_s is None or now_s - since_s < proof.LEDGER_S:
            return None
        counts = self._born.between(since_s, now_s)
        runners = [node for nodes in _runners(look.snapshot).values() for node in nodes]
        size = counts.node_s / counts.watched_s if counts.watched_s else 0.0
        replayed = _replayed(look, facts, runners, since_s, size, proof.DEFAULTS) if size else ()
        if not replayed:
            self.saved_until_s = now_s  # nobody can tell what was saved
            return None
        defaults, expected = replayed
        return partial(
            proof.with_saved, counts=counts, defaults=defaults, expected=expected, now_s=now_s
        )


def _runners(snapshot: Snapshot) -> dict[tuple[str, str], list[NodeFacts]]:
    """(group, digest) -> the nodes whose aws-node was born with those targets, and has settled."""
    found: dict[tuple[str, str], list[NodeFacts]] = defaultdict(list)
    for node in snapshot.nodes:
        agent = snapshot.agents.get(node.name)
        if agent is None or agent.birth is None:
            continue
        if agent.created_at_s + proof.SETTLE_S <= snapshot.taken_at_s:
            found[node.group, agent.birth.digest].append(node)
    return found


def _replayed(
    look: Look,
    facts: DaemonSetFacts,
    runners: Sequence[NodeFacts],
    since_s: float,
    size: float,
    *beside: WarmTargets,
) -> tuple[Forecast, ...]:
    """What the targets `beside` would have come to on `size` nodes such as the `runners`, and last
    what these run."""
    agents, names = look.snapshot.agents, {node.name for node in runners}
    base = read_environment(facts.env).settings
    theirs = replace(
        look,
        snapshot=only(look.snapshot, runners),
        traces=[trace for trace in look.traces if trace.node in names],
        later_s={name: agents[name].created_at_s + proof.SETTLE_S for name in names},
    )
    running = running_of(look.snapshot, base)
    return in_hindsight(theirs, since_s, base, [*beside, running], nodes=size)
