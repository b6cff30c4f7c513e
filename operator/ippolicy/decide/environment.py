"""What the present env of aws-node means, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ippolicy.api import EnvKey
from ippolicy.errors import EntryPointRefused
from ippolicy.facts import EnvEntry
from ippolicy.ipamd import PoolSettings, WarmTargets, check_entry_point
from ippolicy.ipamd.settings import parse_int

_MODE_KEYS = ("ENABLE_PREFIX_DELEGATION", "IP_COOLDOWN_PERIOD")


@dataclass(frozen=True, slots=True)
class Environment:
    """The env of aws-node as ipamd would hold it.

    `unreadable` has a sentence for each entry whose value the operator cannot know or ipamd cannot
    use; `traps` one for each way in which the present values leave pods without addresses.
    """

    settings: PoolSettings
    unreadable: tuple[str, ...]
    traps: tuple[str, ...]


def read_environment(env: Mapping[str, EnvEntry]) -> Environment:
    """Read the env entries of the aws-node container."""
    literal = {key: entry.value for key, entry in env.items() if entry.value is not None}
    settings = PoolSettings.from_env(literal)
    unreadable = tuple(_unreadable(env))
    return Environment(settings, unreadable, tuple(_traps(literal, settings)))


def as_env(targets: WarmTargets) -> dict[str, str]:
    """The env entries that a change to `targets` writes.

    Targets without WARM_IP and MINIMUM are only ever chosen where the env has neither.
    """
    if not targets.counts_addresses:
        return {EnvKey.WARM_PREFIX_TARGET.value: str(targets.warm_prefix)}
    return {
        EnvKey.WARM_IP_TARGET.value: str(targets.warm_ip),
        EnvKey.MINIMUM_IP_TARGET.value: str(targets.minimum_ip),
    }


def shown(targets: WarmTargets, *, prefixes: bool) -> str:
    """The targets that rule, as env entries: "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=20"."""
    if targets.counts_addresses or prefixes:
        return " ".join(f"{key}={value}" for key, value in as_env(targets).items())
    return f"{EnvKey.WARM_ENI_TARGET}={targets.warm_eni}"


def rule_alike(one: WarmTargets, other: WarmTargets, *, prefixes: bool) -> bool:
    """Whether ipamd does the same with both: only the targets that rule are compared."""
    if one.counts_addresses or other.counts_addresses:
        return (one.warm_ip, one.minimum_ip) == (other.warm_ip, other.minimum_ip)
    if prefixes:
        return one.warm_prefix == other.warm_prefix
    return one.warm_eni == other.warm_eni


def _unreadable(env: Mapping[str, EnvEntry]) -> list[str]:
    problems = []
    for key in (*EnvKey, *_MODE_KEYS):
        entry = env.get(key)
        if entry is None:
            continue
        if entry.value is None:
            problems.append(
                f"{key} comes from {entry.origin}, so its value is not known: "
                "give it a literal value in the DaemonSet"
            )
        elif key in EnvKey.__members__ and parse_int(entry.value) is None:
            problems.append(
                f"{key}={entry.value[:40]!r} is not a whole number, so ipamd uses its default: "
                "set a whole number or remove the entry"
            )
    return problems


def _traps(literal: Mapping[str, str], settings: PoolSettings) -> list[str]:
    traps = []
    targets = settings.targets
    if targets.minimum_ip > 0 and targets.warm_ip == 0:
        traps.append(
            f"MINIMUM_IP_TARGET={targets.minimum_ip} without WARM_IP_TARGET: a node never grows "
            f"past it, so pod {targets.minimum_ip + 1} gets no address: set WARM_IP_TARGET to 1 "
            "or more"
        )
    try:
        check_entry_point(literal)
    except EntryPointRefused as error:
        traps.append(f"aws-node cannot start: {error}")
    return traps
