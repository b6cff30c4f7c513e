"""What aws-node's environment makes of the pool manager, read exactly as ipamd reads it.

ipamd reads every variable once, when it starts. A value that it cannot use is replaced without a
word, so this module never raises for one: `check_entry_point` does, for the few that the
container's entry point refuses before ipamd runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ippolicy.errors import EntryPointRefused

DEFAULT_WARM_ENI = 1
DEFAULT_COOLDOWN_S = 30
ENV_KEYS = (
    "WARM_ENI_TARGET",
    "WARM_IP_TARGET",
    "MINIMUM_IP_TARGET",
    "WARM_PREFIX_TARGET",
    "ENABLE_PREFIX_DELEGATION",
    "MAX_ENI",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG",
    "ENABLE_SUBNET_DISCOVERY",
    "ENABLE_POD_ENI",
    "AWS_MANAGE_ENIS_NON_SCHEDULABLE",
    "IP_COOLDOWN_PERIOD",
)
"""The variables that the pool manager obeys: all that `PoolSettings.from_env` looks at."""

_GO_INT = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)
_GO_INT_LIMIT = 1 << 63
_GO_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_GO_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def parse_int(text: str) -> int | None:
    """The integer that Go's `strconv.Atoi` reads in `text`; None where it reports an error."""
    if not _GO_INT.match(text):
        return None
    value = int(text)
    return value if -_GO_INT_LIMIT <= value < _GO_INT_LIMIT else None


def parse_bool(text: str) -> bool | None:
    """The truth value that Go's `strconv.ParseBool` reads in `text`; None on an error."""
    if text in _GO_TRUE:
        return True
    return False if text in _GO_FALSE else None


@dataclass(frozen=True, slots=True)
class WarmTargets:
    """The four warm targets as ipamd holds them: 0 means "not set", save for `warm_eni`.

    `warm_eni` counts ENIs, `warm_ip` and `minimum_ip` addresses, `warm_prefix` /28 prefixes.
    """

    warm_eni: int = DEFAULT_WARM_ENI
    warm_ip: int = 0
    minimum_ip: int = 0
    warm_prefix: int = 0

    @property
    def counts_addresses(self) -> bool:
        """Whether WARM_IP_TARGET or MINIMUM_IP_TARGET rule, which puts the other two aside."""
        return self.warm_ip != 0 or self.minimum_ip != 0


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Everything in aws-node's environment that the pool manager obeys.

    `max_eni` 0 means no limit beyond the instance type's own.
    """

    targets: WarmTargets = field(default_factory=WarmTargets)
    prefix_delegation: bool = False
    max_eni: int = 0
    custom_networking: bool = False
    subnet_discovery: bool = True
    pod_eni: bool = False
    manage_non_schedulable: bool = False
    cooldown_s: int = DEFAULT_COOLDOWN_S

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> PoolSettings:
        """The settings that ipamd would hold in `env` (name -> value, absent = unset).

        Unparsable or negative targets fall back to their defaults (WARM_ENI_TARGET 1, the others
        0), MAX_ENI below 1 means off, and a truth value Go cannot parse counts as unset.
        """
        return cls(
            targets=WarmTargets(
                warm_eni=_target(env, "WARM_ENI_TARGET", DEFAULT_WARM_ENI),
                warm_ip=_target(env, "WARM_IP_TARGET", 0),
                minimum_ip=_target(env, "MINIMUM_IP_TARGET", 0),
                warm_prefix=_target(env, "WARM_PREFIX_TARGET", 0),
            ),
            prefix_delegation=_flag(env, "ENABLE_PREFIX_DELEGATION", default=False),
            max_eni=_target(env, "MAX_ENI", 0),
            custom_networking=_flag(env, "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", default=False),
            subnet_discovery=_flag(env, "ENABLE_SUBNET_DISCOVERY", default=True),
            pod_eni=_flag(env, "ENABLE_POD_ENI", default=False),
            manage_non_schedulable=_flag(env, "AWS_MANAGE_ENIS_NON_SCHEDULABLE", default=False),
            cooldown_s=_cooldown_s(env),
        )


def check_entry_point(env: Mapping[str, str]) -> None:
    """Refuse `env` where aws-node's entry point would exit 1, which makes aws-node crash-loop.

    Raises:
        EntryPointRefused: prefix delegation is on while WARM_IP_TARGET, WARM_PREFIX_TARGET and
            MINIMUM_IP_TARGET are all at most "0" (the entry point compares text, so "-1" and ""
            count as unset, and so does "+5"), or IP_COOLDOWN_PERIOD is not a number of at least 0.
    """
    cooldown = env.get("IP_COOLDOWN_PERIOD")
    if cooldown is not None:
        seconds = parse_int(cooldown)
        if seconds is None or seconds < 0:
            msg = f"IP_COOLDOWN_PERIOD={cooldown!r} is not a whole number of seconds from 0 up"
            raise EntryPointRefused(f"{msg}: set one, or leave it out for {DEFAULT_COOLDOWN_S}")
    if not _flag(env, "ENABLE_PREFIX_DELEGATION", default=False):
        return
    names = ("WARM_IP_TARGET", "WARM_PREFIX_TARGET", "MINIMUM_IP_TARGET")
    if all(env.get(name, "0") <= "0" for name in names):
        raise EntryPointRefused(
            "ENABLE_PREFIX_DELEGATION is on with no target above 0 among "
            f"{', '.join(names)}: set one of them, WARM_PREFIX_TARGET=1 by default"
        )


def _target(env: Mapping[str, str], name: str, default: int) -> int:
    value = parse_int(env[name]) if name in env else None
    return default if value is None or value < 0 else value


def _flag(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = parse_bool(env[name]) if name in env else None
    return default if value is None else value


def _cooldown_s(env: Mapping[str, str]) -> int:
    value = parse_int(env["IP_COOLDOWN_PERIOD"]) if "IP_COOLDOWN_PERIOD" in env else None
    return DEFAULT_COOLDOWN_S if value is None else value
