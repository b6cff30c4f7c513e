"""Settings of aws-node as people give them: KEY=VALUE, with what is wrong with them said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from string import ascii_uppercase
from typing import Final

from ippolicy.api import EnvKey
from ippolicy.cli.instances import InstanceType
from ippolicy.decide.environment import read_environment
from ippolicy.errors import EntryPointRefused, InvalidInput
from ippolicy.facts import EnvEntry
from ippolicy.ipamd import PoolSettings, check_entry_point
from ippolicy.ipamd.settings import DEFAULT_WARM_ENI, ENV_KEYS, parse_bool, parse_int

MOST_SETTINGS: Final = len(ascii_uppercase)
_NOT_SIMULATED: Final = (
    "ENABLE_MULTI_NIC",
    "ENABLE_IPv6",
    "DISABLE_NETWORK_RESOURCE_PROVISIONING",
    "ENABLE_IMDS_ONLY_MODE",
    "DISABLE_LEAKED_ENI_CLEANUP",
)
_TRUTHS: Final = (
    "ENABLE_PREFIX_DELEGATION",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG",
    "ENABLE_SUBNET_DISCOVERY",
    "ENABLE_POD_ENI",
    "AWS_MANAGE_ENIS_NON_SCHEDULABLE",
)
_PASS_S: Final = 5
_FEW_WARM: Final = 5


@dataclass(frozen=True, slots=True)
class Setting:
    """The environment of aws-node under a `label`: A, B, C...

    `refusal` says why aws-node does not even start with it; `traps` are sentences on how it leaves
    pods without addresses, or means something else than it says; `notes` on what else to know.
    """

    label: str
    env: Mapping[str, str]
    pool: PoolSettings
    refusal: str | None
    traps: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The environment in one line."""
        return env_text(self.env)


def env_text(env: Mapping[str, str]) -> str:
    """An environment in one line."""
    return (
        " ".join(f"{key}={value}" for key, value in env.items())
        or "nothing set, which is WARM_ENI_TARGET=1"
    )


def read_settings(
    first: Iterable[str], others: Iterable[str], instance: InstanceType, *, custom_networking: bool
) -> list[Setting]:
    """The setting of the assignments `first`, and one for each text of `others`.

    Without `first`, the others stand alone; without any, the CNI's own defaults are meant.
    `custom_networking` switches that on in all of them.

    Raises:
        InvalidInput: something is no assignment, or names what ipamd does not read.
    """
    mine = list(first)
    groups = [re.split(r"[\s,]+", text.strip()) for text in others]
    if mine or not groups:
        groups.insert(0, mine)
    if len(groups) > MOST_SETTINGS:
        raise InvalidInput(f"{len(groups)} settings: at most {MOST_SETTINGS} can be compared")
    settings = []
    for label, group in zip(ascii_uppercase, groups, strict=False):
        env = _assignments(group)
        if custom_networking:
            env.setdefault("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "true")
        settings.append(_setting(label, env, instance))
    return settings


def _assignments(group: Iterable[str]) -> dict[str, str]:
    env: dict[str, str] = {}
    for text in group:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"{text!r} sets nothing: write KEY=VALUE, as in WARM_IP_TARGET=5")
        if key in env:
            raise InvalidInput(f"{key} is set twice: leave one out")
        if key not in ENV_KEYS and key not in _NOT_SIMULATED:
            near = get_close_matches(key, ENV_KEYS, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else f"it reads {', '.join(ENV_KEYS)}"
            raise InvalidInput(f"{key} is no variable that ipamd's pool obeys: {hint}")
        env[key] = value
    return env


def _setting(label: str, env: dict[str, str], instance: InstanceType) -> Setting:
    read = read_environment({key: EnvEntry(value) for key, value in env.items()})
    pool, refusal = read.settings, None
    try:
        check_entry_point(env)
    except EntryPointRefused as error:
        refusal = str(error)
    traps = (*read.traps, *read.unreadable, *_replaced(env))
    return Setting(label, env, pool, refusal, traps, tuple(_notes(env, pool, instance)))


def _replaced(env: Mapping[str, str]) -> list[str]:
    """Values that ipamd puts others in place of, without a word."""
    told = []
    for key, value in env.items():
        if key in _TRUTHS and parse_bool(value) is None:
            told.append(
                f"{key}={value!r} is neither true nor false to ipamd, so it counts as unset: write "
                "true or false"
            )
        elif key in EnvKey.__members__ and (parse_int(value) or 0) < 0:
            default = DEFAULT_WARM_ENI if key == EnvKey.WARM_ENI_TARGET else 0
            told.append(f"{key}={value} is negative, so ipamd takes {default}: write what you mean")
        elif key == "MAX_ENI" and (parse_int(value) or 0) < 1:
            told.append(f"MAX_ENI={value} sets no limit: leave it out, or write 1 or more")
    return told


def _notes(env: Mapping[str, str], pool: PoolSettings, instance: InstanceType) -> list[str]:
    notes = [f"{key} is not simulated" for key in env if key in _NOT_SIMULATED]
    targets, prefixes = pool.targets, pool.prefix_delegation and instance.prefix_capable
    if pool.prefix_delegation and not prefixes:
        notes.append(
            f"ENABLE_PREFIX_DELEGATION does nothing: {instance.name} is neither Nitro nor bare "
            "metal, so the node keeps to single addresses"
        )
    idle = _idle_keys(pool, prefixes=prefixes)
    notes += [f"{key} is put aside: {idle[key]}" for key in env if key in idle]
    if 0 < targets.warm_ip < _FEW_WARM and not prefixes:
        notes.append(
            f"WARM_IP_TARGET={targets.warm_ip}: a node gains at most {targets.warm_ip} "
            f"addresses every {_PASS_S} s, and addresses that cool down for {pool.cooldown_s} s "
            "count as spare: replay your demand (--trace) to see which pods wait"
        )
    if instance.network_cards > 1:
        notes.append(
            f"{instance.name} has {instance.network_cards} network cards: only the pool of the "
            "default one is shown"
        )
    return notes


def _idle_keys(pool: PoolSettings, *, prefixes: bool) -> dict[str, str]:
    """Key -> what puts it aside."""
    if pool.targets.counts_addresses:
        both = "WARM_IP_TARGET and MINIMUM_IP_TARGET rule"
        return {"WARM_ENI_TARGET": both, "WARM_PREFIX_TARGET": both}
    if prefixes:
        return {"WARM_ENI_TARGET": "with prefixes WARM_PREFIX_TARGET rules"}
    return {"WARM_PREFIX_TARGET": "ENABLE_PREFIX_DELEGATION is off"}
