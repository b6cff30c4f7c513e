"""A step of targets by node group with all that it rests on, to be made again elsewhere.

For all that is asked, roll(of(asked, rolled).asked(inputs, decision)) gives the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ippolicy.decide.births.cohorts import Cohort
from ippolicy.decide.births.document import read_table, write_table
from ippolicy.decide.births.roll import Asked, Rolled
from ippolicy.decide.births.table import PolicyTable
from ippolicy.decide.decision import Inputs
from ippolicy.decide.types import Decision, Recommendations


@dataclass(frozen=True, slots=True)
class KeptStep:
    """What a step rests on beside the inputs and the decision, and what came of it.

    Tables are as their JSON has them: `table` is the one before the step, `served` the one after
    it; `due` names the nodes whose aws-node was to be made anew.
    """

    table: dict[str, Any]
    cohorts: Mapping[str, Cohort]
    known: Mapping[str, Recommendations]
    spread_s: float
    listening: bool
    served: dict[str, Any]
    due: tuple[str, ...]

    @classmethod
    def of(cls, asked: Asked, rolled: Rolled) -> KeptStep:
        """A step that was taken."""
        return cls(
            _data(asked.table),
            dict(asked.cohorts),
            dict(asked.known),
            asked.spread_s,
            asked.listening,
            _data(rolled.table),
            rolled.due,
        )

    def asked(self, inputs: Inputs, decision: Decision) -> Asked:
        """What the step is to be made from.

        Raises:
            ValueError: the table is none.
        """
        table = read_table(msgspec.json.encode(self.table).decode())
        return Asked(
            inputs,
            decision,
            table,
            self.cohorts,
            self.known,
            spread_s=self.spread_s,
            listening=self.listening,
        )

    def differing(self, again: Rolled) -> list[str]:
        """What a step made `again` came to that differs from what was served."""
        served = {**self.served, "due": list(self.due)}
        made = {**_data(again.table), "due": list(again.due)}
        return [f"births.{name}" for name in sorted(made) if served.get(name) != made[name]]


def _data(table: PolicyTable) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.json.decode(write_table(table))
    return data
