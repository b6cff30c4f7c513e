"""Targets as text to be pasted where the env of aws-node is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from ippolicy.ipamd import WarmTargets

FORMATS: Final = ("helm", "addon", "terraform", "env")


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


def formatted(env: Mapping[str, str], kind: str) -> str:
    """`env` for the values of the chart aws-vpc-cni, for configurationValues of the EKS add-on, for
    Terraform's aws_eks_addon, or as KEY=VALUE for `kubectl set env`."""
    if kind == "addon":
        return json.dumps({"env": dict(env)})
    if kind == "env":
        return "\n".join(f"{key}={value}" for key, value in env.items())
    if kind == "helm":
        return "\n".join(["env:", *(f'  {key}: "{value}"' for key, value in env.items())])
    width = max(map(len, env))
    entries = [f'    {key.ljust(width)} = "{value}"' for key, value in env.items()]
    return "\n".join(["configuration_values = jsonencode({", "  env = {", *entries, "  }", "})"])
