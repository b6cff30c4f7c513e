"""EC2's instance types, from the catalogue that moto carries, and the limits read from it."""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ippolicy.errors import SandboxError
from ippolicy.sandbox.ec2.errors import no_such_instance_types
from ippolicy.sandbox.ec2.model import InstanceLimits


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """Instance type -> its DescribeInstanceTypes entry, by name; read once per process.

    The file is read without importing moto, whose import takes longer than all the rest.
    """
    spec = find_spec("moto")
    if spec is None or not spec.submodule_search_locations:
        raise SandboxError("moto is not installed: pip install 'ippolicy-operator[demo]'")
    path = Path(spec.submodule_search_locations[0], "ec2", "resources", "instance_types.json.gz")
    if not path.is_file():
        raise SandboxError(f"moto has no {path.name}: install moto 5.2 or a later 5.x")
    types: dict[str, dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))
    return dict(sorted(types.items()))


@cache
def limits_of(instance_type: str) -> InstanceLimits:
    """Raises Ec2CallError (InvalidInstanceType) for a type that does not exist."""
    entry = catalogue().get(instance_type)
    if entry is None:
        raise no_such_instance_types([instance_type])
    network = entry["NetworkInfo"]
    cards = network.get("NetworkCards") or [network]
    return InstanceLimits(
        interfaces_per_card=tuple(card["MaximumNetworkInterfaces"] for card in cards),
        ipv4_per_interface=network["Ipv4AddressesPerInterface"],
    )
