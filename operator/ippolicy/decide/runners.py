"""The next best settings, each with why it was not chosen.

holds less than the choice   a limit, the sureness or a floor is in the way: the two nearest to
                             being allowed
holds as much or more        the least of them
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ippolicy.decide.objective import (
    CALLS_LIMIT,
    DELAYED_LIMIT,
    SURE_SHARE,
    TIE_SHARE,
    Case,
    Mask,
    Objective,
    Pick,
    Scores,
)

MOST: Final = 5
_LEANER: Final = 2
_ALIKE_SHARE: Final = 0.01  # settings that hold the same but for this say nothing new

LATE: Final = f"over {DELAYED_LIMIT}"
LATE_GROUP: Final = f"over {DELAYED_LIMIT} in a group"
DEAR: Final = f"over {CALLS_LIMIT}"
UNSURE: Final = "within the limits in too few resamples"
TOO_LEAN: Final = "no more generous than what starts were late under"
HOLDS_MORE: Final = "holds more"
MORE_CALLS: Final = "holds as much with more calls"
ALIKE: Final = "as good; what is in force, or nearer to the most pods seen, goes first"
FARTHER: Final = "farther from the limits"


@dataclass(frozen=True, slots=True, eq=False)
class Rivals:
    """The settings beside the one `picked`: `writable` within the bounds, of these those `allowed`
    that no floor shuts out."""

    case: Case
    picked: Pick
    scores: tuple[Scores, ...]
    objective: Objective
    writable: Mask
    allowed: Mask

    def numbers(self) -> list[int]:
        """The next best, at most `MOST`, no two of which hold nearly the same."""
        case, best = self.case, self.picked.best
        leaner = self.writable & (case.held < case.held[best] * (1 - TIE_SHARE))
        others = self.writable & ~leaner
        others[best] = False
        excess = np.where(case.within[0], 0.0, case.excess)
        by_excess = np.lexsort((-case.sure, excess, ~self.allowed))
        by_held = np.lexsort((case.held, excess if self.picked.met else case.excess))
        found = self._unlike((n for n in by_excess if leaner[n]), [best], 1 + _LEANER)
        return self._unlike((n for n in by_held if others[n]), found, 1 + MOST)[1:]

    def why(self, number: int) -> str:
        """Why a setting was not chosen."""
        case, best, picked = self.case, self.picked.best, self.picked
        late = any(not s.starts_in_time(self.objective)[0, number] for s in self.scores)
        reasons = (
            (not self.allowed[number], TOO_LEAN),
            (late, LATE),
            (case.calls[number] > self.objective.calls_per_minute, DEAR),
            (not case.within[0, number], LATE_GROUP),
            (not picked.met, FARTHER),
            (case.sure[number] < min(SURE_SHARE, picked.sure), UNSURE),
            (case.held[number] > case.held[best] * (1 + TIE_SHARE), HOLDS_MORE),
            (case.calls[number] > case.calls[best] + case.few_calls, MORE_CALLS),
        )
        return next((why for holds, why in reasons if holds), ALIKE)

    def _unlike(self, numbers: Iterable[int], found: list[int], most: int) -> list[int]:
        held = self.case.held
        found = list(found)
        for number in map(int, numbers):
            if len(found) == most:
                break
            if all(abs(held[number] - held[n]) > _ALIKE_SHARE * held[n] for n in found):
                found.append(number)
        return found
