"""What can be seen of a node's ipamd from outside: its metrics, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ENIView:
    """One ENI: `cidrs` maps each /32 or /28 (as text) to the addresses of it that pods use."""

    eni_id: str
    primary: bool
    trunk: bool
    excluded: bool
    cidrs: Mapping[str, int]

    @property
    def assigned(self) -> int:
        """Addresses of this ENI that pods use."""
        return sum(self.cidrs.values())


@dataclass(frozen=True, slots=True)
class Counters:
    """awscni counters since this process started.

    `ec2_calls` and `ec2_errors` map an EC2 API name to calls and failed calls, `error_codes` maps
    (API, code) to failed calls.
    """

    add_requests: int
    del_requests: int
    no_available_addresses: int
    ec2_calls: Mapping[str, int]
    ec2_errors: Mapping[str, int]
    error_codes: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A node's pool at one moment.

    `total_addresses` counts both kinds, cooling and excluded ones included, but never an ENI's own
    primary address. `pool_addresses` and `cooling` count what ipamd's decisions count: the active
    kind, excluded ENIs left out. `eni_max` is the limit less unmanaged ENIs, `address_max` what
    they could hold.
    """

    eni_max: int
    address_max: int
    total_addresses: int
    assigned_addresses: int
    pool_addresses: int
    pool_assigned: int
    cooling: int
    prefixes: int
    free_prefixes: int
    enis: tuple[ENIView, ...]
    counters: Counters

    @property
    def subnet_addresses(self) -> int:
        """Addresses this node takes from its subnets: the held ones and one for each ENI."""
        return self.total_addresses + len(self.enis)
