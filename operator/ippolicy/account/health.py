"""What a probe is answered: a verdict with its reasons, and when the loop counts as alive."""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.account.words import span


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
