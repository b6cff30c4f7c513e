"""What EC2's instance types allow, known without asking EC2: for what-if questions.

The operator itself asks EC2. The table is made by `scripts/instance_types.py`; a type that it does
not have can be given by its limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Final

from ippolicy.decide.max_pods import most_pods, recommended_max_pods
from ippolicy.errors import InvalidInput
from ippolicy.facts import InstanceLimits
from ippolicy.ipamd import NodeShape, PoolSettings

FILE: Final = "instance_types.txt"
FORMAT: Final = "instance types, version 1"
COLUMNS: Final = ("enis", "addresses_per_eni", "nitro", "bare_metal", "network_cards", "vcpus")


@dataclass(frozen=True, slots=True)
class InstanceType:
    """An instance type: `enis` are those of its default network card, `addresses_per_eni` counts
    each ENI's own primary address, `vcpus` is None where it is not known."""

    name: str
    enis: int
    addresses_per_eni: int
    nitro: bool = True
    bare_metal: bool = False
    network_cards: int = 1
    vcpus: int | None = None

    @property
    def prefix_capable(self) -> bool:
        """Whether its ENIs can carry /28 prefixes: Nitro or bare metal."""
        return self.nitro or self.bare_metal

    @property
    def trunk_capable(self) -> bool:
        """Whether it can have a trunk ENI, as far as the family tells: none of `t` can."""
        return self.nitro and re.match(r"t\d", self.name) is None

    @property
    def limits(self) -> InstanceLimits:
        """The same as the operator learns it from EC2."""
        return InstanceLimits(
            self.name, self.enis, self.addresses_per_eni, self.prefix_capable, self.vcpus
        )

    def max_pods(self, settings: PoolSettings) -> int:
        """The max-pods that kubelet has under `settings`, unless it is told otherwise.

        Without prefixes a place for each address, as eni-max-pods.txt of the EKS AMI has it; with
        prefixes what Amazon's max-pods calculator recommends.
        """
        if settings.prefix_delegation and self.prefix_capable:
            return recommended_max_pods(self.limits, settings)
        return most_pods(self.limits, settings)

    def shape(self, max_pods: int) -> NodeShape:
        """A node of this type whose kubelet has `max_pods`."""
        return NodeShape(
            self.name,
            self.enis,
            self.addresses_per_eni,
            max_pods,
            prefix_capable=self.prefix_capable,
            trunk_capable=self.trunk_capable,
        )


def instance_type(name: str) -> InstanceType:
    """The type called `name`.

    Raises:
        InvalidInput: there is none in the table; the message names the nearest.
    """
    types = instance_types()
    if name in types:
        return types[name]
    near = get_close_matches(name, types, n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise InvalidInput(
        f"instance type {name!r} is not known: {hint}Give another type, or its limits by --enis "
        "and --addresses-per-eni"
    )


@cache
def instance_types() -> Mapping[str, InstanceType]:
    """All types of the table, by name."""
    found = {}
    text = (Path(__file__).parent / FILE).read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        cells = line.split()
        enis, addresses, nitro, metal, cards, vcpus = map(int, cells[: len(COLUMNS)])
        for name in cells[len(COLUMNS) :]:
            found[name] = InstanceType(
                name, enis, addresses, bool(nitro), bool(metal), cards, vcpus
            )
    return dict(sorted(found.items()))
