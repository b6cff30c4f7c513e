"""A decision made again from its bundle, as people read it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ippolicy import __version__
from ippolicy.cli.births import births_data, births_lines
from ippolicy.cli.environment import env_text
from ippolicy.cli.gates import gates_of
from ippolicy.cli.planned import by_day, reasons
from ippolicy.cli.tables import number, percent, sentence, table
from ippolicy.cli.targets import short, words
from ippolicy.decide.births.kept import KeptStep
from ippolicy.decide.births.roll import Rolled, roll
from ippolicy.decide.bundle import Bundle, as_data, differing
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.environment import Environment, read_environment
from ippolicy.decide.question import Advice, Option
from ippolicy.decide.types import Decision, Prediction, Recommendation
from ippolicy.errors import InvalidBundle
from ippolicy.facts import Snapshot
from ippolicy.ipamd.settings import ENV_KEYS


@dataclass(frozen=True, slots=True)
class Explained:
    """A bundle, the decision made again on it, and in which fields that differs from the one
    served; None where the bundle has none. `births` is the step of targets by node group that
    follows from it."""

    bundle: Bundle
    decision: Decision
    differences: tuple[str, ...] | None
    births: Rolled | None = None

    @classmethod
    def of(cls, bundle: Bundle) -> Explained:
        """Decide again."""
        decision, step = decide(bundle.inputs), None
        served = bundle.served
        found = None if served is None else differing(served, decision)
        if bundle.births is not None:
            step = _rolled(bundle.births, bundle.inputs, decision)
            found = None if found is None else [*found, *bundle.births.differing(step)]
        return cls(bundle, decision, None if found is None else tuple(found), step)

    @property
    def agrees(self) -> bool:
        """Whether nothing is known to differ."""
        return not self.differences

    @property
    def environment(self) -> Environment:
        """What is in force."""
        daemon_set = self.bundle.inputs.snapshot.daemon_set
        return read_environment(daemon_set.env if daemon_set else {})

    @property
    def prefixes(self) -> bool:
        """Whether prefix delegation is in force."""
        return self.environment.settings.prefix_delegation

    @property
    def advice(self) -> Advice | None:
        """What the search found for all nodes; None where the rule decided."""
        searched = self.decision.searched
        return None if searched is None or self.decision.fleet is None else searched.choice.fleet


def _rolled(kept: KeptStep, inputs: Inputs, decision: Decision) -> Rolled:
    if inputs.snapshot.daemon_set is None:
        raise InvalidBundle("bundle: $.births stands beside no DaemonSet")
    try:
        return roll(kept.asked(inputs, decision))
    except ValueError as error:
        raise InvalidBundle(f"bundle: $.births.table: {error}") from error


# -- text -----------------------------------------------------------------------------------------


def as_text(explained: Explained) -> str:
    """What was known, what was decided and why, in lines of at most 80 columns."""
    parts = [
        _inputs(explained),
        _verdict(explained.decision),
        _choice(explained),
        _groups(explained.decision, prefixes=explained.prefixes),
        births_lines(explained.births),
        _gates(explained),
        _agreement(explained),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _inputs(explained: Explained) -> list[str]:
    inputs = explained.bundle.inputs
    policy, snapshot, spec = inputs.policy, inputs.snapshot, inputs.policy.spec
    moment = datetime.fromtimestamp(inputs.now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    held = sum(pool.held for pool in snapshot.pools.values())
    enis = sum(pool.enis for pool in snapshot.pools.values())
    pods, cover = sum(snapshot.pods_per_node.values()), snapshot.coverage
    texts = [
        f"policy {policy.name}, decided at {moment}",
        f"  asked      mode {spec.mode}, goal {spec.objective.goal}: at most "
        f"{percent(spec.objective.delayed_starts_limit)} delayed starts and "
        f"{spec.objective.ec2_calls_per_minute_limit} changing EC2 calls a minute",
        f"  in force   {_in_force(snapshot)}",
        f"  nodes      {len(snapshot.nodes):,} with {pods:,} pods: {_kinds(snapshot)}",
        f"  addresses  {held:,} held on {enis:,} ENIs; {cover.read} of {cover.listed} aws-node "
        "read",
        f"  demand     {_demand(explained)}",
    ]
    braking = explained.decision.braking
    if braking is not None and inputs.rooms:
        texts.append(f"  subnets    {braking.text()}")
    lines = [line for text in texts for line in _indented(text)]
    for trap in explained.environment.traps:
        lines += sentence("  TRAP       ", trap)
    return lines


def _indented(text: str) -> list[str]:
    mark = text[:13] if text.startswith("  ") else ""
    return sentence(mark, text[len(mark) :])


def _in_force(snapshot: Snapshot) -> str:
    daemon_set = snapshot.daemon_set
    if daemon_set is None:
        return "the DaemonSet was not found"
    literal = daemon_set.literal_env()
    env = {key: literal[key] for key in ENV_KEYS if key in literal}
    return f"{daemon_set.ref}: {env_text(env)}"


def _kinds(snapshot: Snapshot) -> str:
    kinds = Counter((node.group, node.instance_type) for node in snapshot.nodes)
    told = [f"{count:,} x {kind} in {group}" for (group, kind), count in kinds.most_common(5)]
    more = f", and {len(kinds) - 5} more kinds" if len(kinds) > 5 else ""
    return ", ".join(told) + more


def _demand(explained: Explained) -> str:
    fleet, traces = explained.decision.fleet, explained.bundle.inputs.traces
    if fleet is None:
        return f"{len(traces)} traces"
    searched = explained.decision.searched
    carried = ""
    if searched is not None and searched.at_s != explained.bundle.inputs.now_s:
        age_s = explained.bundle.inputs.now_s - searched.at_s
        carried = f"; searched {age_s:.0f} s before, which still stood"
    return f"{fleet.evidence.arrivals:,} pod starts; {fleet.evidence.message}{carried}"


def _verdict(decision: Decision) -> list[str]:
    return sentence(f"{decision.verdict}, {decision.reason}: ", decision.message)


def _choice(explained: Explained) -> list[str]:
    fleet = explained.decision.fleet
    if fleet is None:
        return []
    now = explained.environment.settings
    prefixes = now.prefix_delegation
    rows = [
        _row(short(now.targets, prefixes=prefixes), fleet.present, "in force"),
        _row(short(fleet.targets, prefixes=prefixes), fleet.predicted, "choice"),
    ]
    rows += [
        _option_row(short(option.targets, prefixes=prefixes), option, f"next {rank}")
        for rank, option in enumerate(fleet.runners_up, 1)
    ]
    titles = ["setting", "held", "delayed", "calls/min", ""]
    lines = table([titles, *rows], left=(0, 4))
    lines += reasons(fleet.runners_up)
    lines += sentence("binding: ", _binding(fleet))
    lines += sentence("raised: ", fleet.raised) if fleet.raised else []
    lines += by_day(fleet.plan.schedule, prefixes=prefixes) if fleet.plan is not None else []
    for mark, targets in (
        ("a lean reading of demand asks for ", fleet.lower),
        ("a generous reading asks for ", fleet.upper),
        ("without bounds it were ", fleet.uncapped),
    ):
        if targets != fleet.targets:
            lines += sentence(mark, words(targets, prefixes=prefixes))
    return lines


def _row(text: str, predicted: Prediction, role: str) -> list[str]:
    late, calls = predicted.delayed_share, predicted.ec2_calls_per_minute
    return [
        text,
        number(predicted.usually_held),
        "?" if late is None else percent(late),
        "?" if calls is None else number(calls, 2),
        role,
    ]


def _option_row(text: str, option: Option, role: str) -> list[str]:
    held, late = number(option.held), percent(option.delayed_share)
    return [text, held, late, number(option.calls_per_minute, 2), role]


def _binding(fleet: Recommendation) -> str:
    if not fleet.meets:
        return f"{fleet.binding}; no setting keeps both limits, this is the nearest"
    if fleet.binding == "demand":
        return "demand; neither a limit nor a bound keeps less from being held"
    return f"{fleet.binding}, without which less would be held"


def _groups(decision: Decision, *, prefixes: bool) -> list[str]:
    if len(decision.groups) < 2:
        return []
    rows = [
        [
            group.group if len(group.group) <= 20 else f"{group.group[:19]}…",
            f"{group.nodes:,}",
            f"{group.pods:,}",
            short(group.recommendation.targets, prefixes=prefixes),
            number(group.recommendation.predicted.usually_held),
        ]
        for group in decision.groups
    ]
    titles = ["group alone", "nodes", "pods", "its own best", "held"]
    return table([titles, *rows], left=(0, 3))


def _gates(explained: Explained) -> list[str]:
    lines = ["before a change"]
    for passed in gates_of(explained.bundle.inputs, explained.decision):
        lines += sentence(f"  {passed.name:<24}", passed.stop or "open")
    return lines


def _agreement(explained: Explained) -> list[str]:
    if explained.differences is None:
        return ["The bundle has no served decision to compare with."]
    if not explained.differences:
        return ["Decided again from the bundle: the same decision."]
    served, made_by = explained.bundle.served, explained.bundle.made_by
    assert served is not None  # noqa: S101  (there is something to differ from)
    versions = f" (served by version {made_by}, this is {__version__})"
    return sentence(
        "",
        f"Decided again from the bundle: it DIFFERS in {', '.join(explained.differences)}"
        f"{versions if made_by != __version__ else ''}. Served was {served.verdict}, "
        f"{served.reason}: {served.message}",
    )


# -- data -----------------------------------------------------------------------------------------


def as_json(explained: Explained) -> str:
    """All of it."""
    inputs, advice = explained.bundle.inputs, explained.advice
    document: Mapping[str, Any] = {
        "policy": inputs.policy.name,
        "takenAt": inputs.now_s,
        "madeBy": explained.bundle.made_by,
        "nodes": len(inputs.snapshot.nodes),
        "agrees": None if explained.differences is None else explained.agrees,
        "differences": explained.differences,
        "decision": as_data(replace(explained.decision, searched=None, braked=())),
        "search": None if advice is None else as_data(advice),
        "births": None if explained.births is None else births_data(explained.births),
        "gates": [asdict(passed) for passed in gates_of(inputs, explained.decision)],
    }
    return json.dumps(document, indent=2)
