"""Write the table of EC2's instance types that the command line ships.

    python scripts/instance_types.py

It is made of the types that moto (extra `demo`) brings, which are EC2's own answers to
DescribeInstanceTypes. Run it after an update of moto, and look at the difference.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from ippolicy.cli import instances


def main() -> None:
    """Write the file, types of like limits on one line."""
    alike: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, raw in INSTANCE_TYPES.items():
        alike[_limits(raw)].append(name)
    lines = [
        f"# {instances.FORMAT}",
        f"# EC2 DescribeInstanceTypes as in moto {version('moto')}: {len(INSTANCE_TYPES)} types",
        f"# {' '.join(instances.COLUMNS)} types...",
    ]
    for limits, names in sorted(alike.items()):
        lines.append(" ".join([*map(str, limits), *sorted(names)]))
    path = Path(instances.__file__).parent / instances.FILE
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}: {path.stat().st_size} bytes\n")


def _limits(raw: dict[str, Any]) -> tuple[int, ...]:
    """The columns of a type; ENIs are those of the default network card, whose pool is tuned."""
    network = raw["NetworkInfo"]
    default = network.get("DefaultNetworkCardIndex", 0)
    cards = {card["NetworkCardIndex"]: card for card in network.get("NetworkCards", ())}
    return (
        cards.get(default, network)["MaximumNetworkInterfaces"],
        network["Ipv4AddressesPerInterface"],
        int(raw.get("Hypervisor") == "nitro"),
        int(raw["BareMetal"]),
        network.get("MaximumNetworkCards", 1),
        raw["VCpuInfo"]["DefaultVCpus"],
    )


if __name__ == "__main__":
    main()
