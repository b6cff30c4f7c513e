"""From facts to the question that the search is asked, and to an answer: old or new."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from ippolicy.api import EnvKey
from ippolicy.decide.ask import Ask
from ippolicy.decide.ec2 import latency_of
from ippolicy.decide.floor import Floors
from ippolicy.decide.question import Question, Searched, Wish
from ippolicy.decide.search import choose
from ippolicy.decide.units import units_of
from ippolicy.facts import watched_s
from ippolicy.facts.daemonset import FIELD_MANAGER
from ippolicy.ipamd import WarmTargets

LATELY_SHARE: Final = 0.1
"""Where change.stabilization is less than this share of the demand seen, what it saw last cannot
sway the choice, and what demand asked for before is not looked at apart."""


def searched_for(ask: Ask, floors: Floors) -> Searched | None:
    """The answer that still stands, or a new one; None where nothing can be replayed."""
    asked = _question(ask, floors, {})
    if ask.searched is not None and ask.searched.answers(asked, ask.now_s):
        return ask.searched
    observed_s = watched_s(ask.traces)
    stabilization_s = ask.policy.spec.change.stabilization.seconds
    moments = [ask.now_s]
    if stabilization_s > LATELY_SHARE * observed_s:
        moments.append(ask.now_s - stabilization_s)
    units = [
        units_of(ask.snapshot, ask.snapshot.nodes, ask.traces, until_s=moment_s)
        for moment_s in moments
    ]
    peaks: dict[str, int] = defaultdict(int)
    for unit in units[0]:
        peaks[unit.group] = max(peaks[unit.group], unit.peak)
    question = _question(ask, floors, peaks)
    choice = choose(units, question)
    if choice is None:
        return None
    day = ask.searched.day if ask.searched is not None else None
    return Searched(question, choice, ask.now_s, observed_s, day)


def _question(ask: Ask, floors: Floors, peaks: Mapping[str, int]) -> Question:
    spec, nodes = ask.policy.spec, Counter(node.group for node in ask.snapshot.nodes)
    own = any(group.objective or group.bounds for group in spec.groups)
    holders = set(ask.daemon_set.owners.get(EnvKey.WARM_PREFIX_TARGET, ()))
    anchors = {group: WarmTargets(warm_ip=1, minimum_ip=peak) for group, peak in peaks.items()}
    return Question(
        present=ask.settings,
        bounds=ask.bounds(None),
        objective=ask.limits(None),
        nodes=nodes,
        anchor=WarmTargets(warm_ip=1, minimum_ip=max(peaks.values(), default=0)),
        anchors=anchors,
        may_write_prefix=holders <= {FIELD_MANAGER}
        or EnvKey.WARM_PREFIX_TARGET in spec.apply.take_over,
        latency=latency_of(ask.signals.ec2),
        floors=floors,
        runs=ask.running.by_group(ask.snapshot.nodes),
        wishes={group: Wish(ask.bounds(group), ask.limits(group)) for group in nodes if own},
    )
