"""Env entries as text to be pasted where the env of aws-node is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

FORMATS: Final = ("helm", "addon", "terraform", "env")


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
