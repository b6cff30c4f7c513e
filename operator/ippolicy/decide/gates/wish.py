"""What the user has said of writing at all."""

from __future__ import annotations

from ippolicy.api import IPPolicy, Method, Mode
from ippolicy.decide.gates.stop import Stop
from ippolicy.decide.types import Reason


def off_gate(policy: IPPolicy) -> Stop | None:
    """Whether the user wants nothing but watching, so that nothing that is missing is a fault."""
    if policy.spec.mode is Mode.OFF:
        return Stop(Reason.MODE_OFF, "spec.mode is Off: only watching")
    return None


def wish_gate(policy: IPPolicy) -> Stop | None:
    """What the user has said; this holds every write, that of former values included."""
    if stop := off_gate(policy):
        return stop
    if policy.spec.mode is Mode.RECOMMEND:
        return Stop(
            Reason.MODE_RECOMMEND, "spec.mode is Recommend: set it to Apply to have it written"
        )
    if policy.paused:
        return Stop(Reason.PAUSED, "annotation ippolicy.dev/paused is true: remove it to go on")
    if policy.spec.apply.method is Method.NONE:
        return Stop(
            Reason.WRITER_NONE,
            "spec.apply.method is None: put the targets in place yourself, status.writer.snippets"
            " has them, as does ippolicy plan --format helm|addon|terraform|env",
        )
    return None
