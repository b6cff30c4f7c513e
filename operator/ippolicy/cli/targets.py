"""Targets as env entries, and these in one line."""

from __future__ import annotations

from ippolicy.ipamd import WarmTargets


def env_of(targets: WarmTargets, *, prefixes: bool) -> dict[str, str]:
    """The env entries that make ipamd keep `targets`: those that rule, and no others."""
    if targets.counts_addresses:
        return {
            "MINIMUM_IP_TARGET": str(targets.minimum_ip),
            "WARM_IP_TARGET": str(targets.warm_ip),
        }
    if prefixes:
        return {"WARM_PREFIX_TARGET": str(targets.warm_prefix)}
    return {"WARM_ENI_TARGET": str(targets.warm_eni)}


def words(targets: WarmTargets, *, prefixes: bool) -> str:
    """The entries of `env_of` in one line."""
    return " ".join(f"{key}={value}" for key, value in env_of(targets, prefixes=prefixes).items())


def short(targets: WarmTargets, *, prefixes: bool) -> str:
    """The same for the narrow columns of tables: MINIMUM_IP=20 WARM_IP=2."""
    return words(targets, prefixes=prefixes).replace("_TARGET", "")
