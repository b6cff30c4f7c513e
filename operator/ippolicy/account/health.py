"""Whether the operator is alive, and whether it is ready: verdicts with their reasons.

Alive: the loop has made a pass lately. Ready: what it needs from the Kubernetes API is there and
fresh. EC2 and the metrics of aws-node are no part of it: without them the operator still serves,
and the condition Degraded tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ippolicy.account.words import one_line, span
from ippolicy.facts import SourceName, SourceState

NEEDED = (SourceName.NODES, SourceName.PODS, SourceName.AWS_NODE, SourceName.DAEMON_SET)


@dataclass(frozen=True, slots=True)
class Health:
    """A verdict; `reasons` has a line for each thing that is wrong, and is empty when `ok`."""

    reasons: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reasons

    @property
    def http_status(self) -> int:
        """200 or 503."""
        return 200 if self.ok else 503

    def text(self) -> str:
        """The verdict as the body of an answer."""
        return "ok\n" if self.ok else "".join(f"{reason}\n" for reason in self.reasons)


def alive(*, last_pass_s: float, now_s: float, max_age_s: float) -> Health:
    """/healthz: whether the loop made a pass (or was started) within `max_age_s`."""
    age_s = now_s - last_pass_s
    if age_s <= max_age_s:
        return Health()
    return Health((f"the loop made no pass for {span(age_s)}, {span(max_age_s)} are allowed",))


def ready(
    sources: Mapping[SourceName, SourceState],
    *,
    now_s: float,
    max_age_s: float,
    needed: tuple[SourceName, ...] = NEEDED,
) -> Health:
    """/readyz: whether each needed source was read, and within `max_age_s`."""
    return Health(
        tuple(
            problem
            for name in needed
            if (problem := _problem(name, sources.get(name), now_s, max_age_s)) is not None
        )
    )


def _problem(
    name: SourceName, state: SourceState | None, now_s: float, max_age_s: float
) -> str | None:
    if state is None or state.succeeded_at_s is None:
        why = f": {one_line(state.error, 200)}" if state is not None and state.error else ""
        return f"{name} not read yet{why}"
    age_s = state.age_s(now_s)
    if age_s > max_age_s:
        why = f": {one_line(state.error, 200)}" if state.error else ""
        return f"{name} last read {span(age_s)} ago, {span(max_age_s)} are allowed{why}"
    return None
