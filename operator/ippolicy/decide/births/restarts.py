"""Whose aws-node is made anew now, so that it is born with other targets: in order, within budgets.

    why                                                  order    when it pays   at once
    ---------------------------------------------------  -------  -------------  ------------------
    it runs targets that did harm                        first    always         within the budgets
    it is to try targets (Canary, Share)                 second   always         within the budgets
    its group is in need of the targets                  third    always         within the budgets
    it runs others than it would be born with, of its    by gain  gain above 0   within the budgets
    group's own or the template's

What a group borrows is for nodes that are born: nobody has held it against others there.

Not now: a node that is cordoned, drained or not Ready; one whose pods wait for an address or whose
aws-node is not ready, unless its targets did harm; one that was made anew for the same targets and
got others all the same (a webhook that was away), before a wait that doubles. Where that befell
`MOST_MISSED` nodes, and none was born right since, only these are tried again.

Each restart is written down before it is asked for, with the uid of the pod that is to go, and is
over once its successor is ready and was read. So whoever goes on after a crash deletes what was not
deleted yet, and never a successor. It is called off where the pod is still there, is not ending,
and its node is to have other targets by now or may not go any more; but not before `SEEN_S`, since
what was told to go may not be seen ending yet. A node that is without an aws-node for a while is
not told of any more, and may be gone: its restart is remembered for `AWAY_S`, and for longer while
the DaemonSet lacks an aws-node somewhere. Of those, as many as it lacks count against every budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Final

from ippolicy.api.spec import Restarts
from ippolicy.decide.births.members import Member
from ippolicy.decide.births.table import PolicyTable, Restart, Stage

AGAIN_S: Final = 900.0
"""Time before a node whose aws-node was born with other targets than it should is tried again."""
LONGEST_S: Final = 86_400.0
MOST_MISSED: Final = 3
SEEN_S: Final = 60.0
AWAY_S: Final = 600.0
UNDO, TRY, NEED, BY_GAIN = range(4)
"""The order of the table above."""
JUST_MADE_S: Final = 60.0
"""What was made so lately counts against the EC2 calls of a minute."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be restarted: at once, `limits` of nodes; and in a minute, as many EC2 calls.

    So many are `away`: made anew, and not told of since. Nodes of groups `in_need` go first,
    whatever that repays. `only_undo` leaves out all but those whose targets did harm, and so does
    `only`, if it names any, but for those named.
    """

    limits: Restarts
    calls_per_minute: float
    away: int = 0
    in_need: Collection[str] = ()
    only_undo: bool = False
    only: Collection[str] = ()


def standing(
    table: PolicyTable, members: Mapping[str, Member], now_s: float, *, lacking: int = 0
) -> dict[str, Restart]:
    """The restarts of `table` that are still of interest; those that are over are left out. On
    `lacking` nodes that are not told of the DaemonSet lacks an aws-node."""
    away_s = 2 * LONGEST_S if lacking else AWAY_S
    return {
        name: one
        for name, one in table.restarts.items()
        if (
            _stands(one, member, table, now_s)
            if (member := members.get(name)) is not None
            else now_s < one.at_s + away_s
        )
    }


def under_way(one: Restart, member: Member) -> bool:
    """Whether the pod is to go yet, or its successor is on its way."""
    return member.uid in ("", one.uid) or not member.settled


def missed(one: Restart, member: Member, now_s: float) -> bool:
    """Whether the successor was born with other targets than it should, so that it waits."""
    if not _in_vain(one, member):
        return False
    return abs(now_s - one.at_s) < min(AGAIN_S * 2.0 ** (one.times - 1), LONGEST_S)


def due(table: PolicyTable, members: Mapping[str, Member]) -> dict[str, Restart]:
    """The restarts of `table` whose pod is still there, and may go now."""
    return {
        name: one
        for name, one in table.restarts.items()
        if (member := members.get(name)) is not None
        and member.uid == one.uid
        and member.wanted_digest == one.digest
        and _may_go(table, member)
    }


def unanswered(table: PolicyTable, members: Mapping[str, Member]) -> list[str]:
    """The nodes that show that nobody answers the API server, empty where that is not so: they were
    made anew in vain, and none was born right since."""
    vain = {
        name: one
        for name, one in table.restarts.items()
        if (member := members.get(name)) is not None and (one.times > 1 or _in_vain(one, member))
    }
    if len(vain) < MOST_MISSED:
        return []
    last_s = max(one.at_s for one in vain.values())
    right = any(one.digest and one.made_at_s > last_s for one in members.values())
    return [] if right else sorted(vain)


def begun(
    table: PolicyTable,
    members: Mapping[str, Member],
    budget: Budget,
    now_s: float,
) -> dict[str, Restart]:
    """Node -> restart, for those that begin now. `table` has no restarts that are over."""
    busy = [
        member
        for name, one in table.restarts.items()
        if (member := members.get(name)) is not None and under_way(one, member)
    ]
    room = _Room(members.values(), busy, budget, now_s)
    began: dict[str, Restart] = {}
    for member in _in_order(table, members.values(), budget):
        before = table.restarts.get(member.name)
        if before is not None and _waits(before, member, now_s):
            continue
        if room.takes(member):
            alike = before is not None and before.digest == member.wanted_digest
            times = before.times + 1 if before is not None and alike else 1
            began[member.name] = Restart(member.uid, member.wanted_digest, now_s, times)
    return began


def wants_one(table: PolicyTable, member: Member, in_need: Collection[str] = ()) -> int | None:
    """Why a node's aws-node is to be made anew, as the place of the reason in the table above; None
    where it is let be."""
    if not member.behind:
        return None
    group = member.node.group
    refused = {one.targets.digest for one in table.refused.get(group, ())}
    trial = table.trials.get(group)
    if member.digest in refused:
        return UNDO
    if trial is not None and trial.stage is not Stage.PROMOTED and trial.takes(member.name):
        return TRY
    if group in in_need:
        return NEED
    borrowed = member.wanted is not None and member.wanted.borrowed
    return BY_GAIN if member.gain_address_s > 0 and not borrowed else None


def _in_order(table: PolicyTable, members: Iterable[Member], budget: Budget) -> list[Member]:
    last = UNDO if budget.only_undo else BY_GAIN
    ranked = [
        (place, -one.gain_address_s, one.name, one)
        for one in members
        if (place := wants_one(table, one, budget.in_need)) is not None
        and place <= last
        and (place == UNDO or not budget.only or one.name in budget.only)
        and one.fit(to_undo=place == UNDO)
    ]
    return [one for *_, one in sorted(ranked, key=lambda row: row[:3])]


def _stands(one: Restart, member: Member, table: PolicyTable, now_s: float) -> bool:
    if under_way(one, member):
        goes = member.uid != one.uid or member.ending or now_s < one.at_s + SEEN_S
        return goes or (member.wanted_digest == one.digest and _may_go(table, member))
    trial = table.trials.get(member.node.group)
    tried = trial.targets.digest if trial is not None else member.wanted_digest
    if member.digest == one.digest or one.digest not in (member.wanted_digest, tried):
        return False
    return now_s < one.at_s + 2 * LONGEST_S


def _in_vain(one: Restart, member: Member) -> bool:
    return not under_way(one, member) and member.digest != one.digest


def _may_go(table: PolicyTable, member: Member) -> bool:
    return member.fit(to_undo=wants_one(table, member) == UNDO)


def _waits(before: Restart, member: Member, now_s: float) -> bool:
    if member.uid in ("", before.uid):
        return True
    alike = before.digest == member.wanted_digest
    return alike and (not member.settled or missed(before, member, now_s))


class _Room:
    """What the budgets leave, as restarts are taken out of it."""

    def __init__(
        self, members: Collection[Member], busy: Iterable[Member], budget: Budget, now_s: float
    ) -> None:
        self._limits = budget.limits
        self._away = budget.away
        self._size: Counter[tuple[str, str]] = Counter()
        self._busy: Counter[tuple[str, str]] = Counter()
        self._calls = budget.calls_per_minute
        self._first = not self._away
        self._down = {one.name for one in members if not one.settled}
        names = {one.name for one in busy}
        for one in members:
            self._size.update(_places(one))
            lately = now_s - one.made_at_s < JUST_MADE_S
            if one.name in names or one.name in self._down:
                self._busy.update(_places(one))
            if one.name in names or lately:
                self._calls -= one.calls
                self._first = False

    def takes(self, member: Member) -> bool:
        """Whether there is room for one more, which it then takes."""
        if member.name in self._down:
            return True  # no more are down than are anyway
        if any(self._busy[place] + self._away >= self._most(place) for place in _places(member)):
            return False
        # A budget below the calls of one restart lets one through at a time.
        if member.calls > self._calls and not self._first:
            return False
        self._busy.update(_places(member))
        self._calls -= member.calls
        self._first = False
        return True

    def _most(self, place: tuple[str, str]) -> int:
        share = floor(self._limits.at_once.fraction * self._size[place])
        return max(1, min(share, self._limits.most))


def _places(member: Member) -> tuple[tuple[str, str], ...]:
    return (("group", member.node.group), ("zone", member.node.zone))
