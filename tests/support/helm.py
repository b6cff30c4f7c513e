"""Helm's own program, on this project's chart."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools import tool

CHART = Path(__file__).parents[2] / "charts/ippolicy-operator"
NAMESPACE = "kube-system"
RELEASE = "ippolicy"
KUBE_VERSION = "1.35.4"
TIMEOUT_S = 100

Object = dict[str, Any]


class HelmError(Exception):
    """Helm refused, or failed; what it said."""


class Helm:
    """Runs Helm with files of its own in `folder`, against a cluster if there is a kubeconfig."""

    def __init__(self, folder: Path, kubeconfig: Path | None = None) -> None:
        self._program = tool("helm")
        self._environment = {
            **os.environ,
            "HOME": str(folder),  # discovery is cached there
            "HELM_CACHE_HOME": str(folder / "cache"),
            "HELM_CONFIG_HOME": str(folder / "config"),
            "HELM_DATA_HOME": str(folder / "data"),
            "KUBECONFIG": str(kubeconfig or folder / "none"),
        }

    def __call__(self, *arguments: str | Path, values: Mapping[str, Any] | None = None) -> str:
        """Output of `helm ARGUMENTS -n kube-system`, with `values` as a file; raises HelmError."""
        given = ["-f", "-"] if values is not None else []
        done = subprocess.run(
            [self._program, *arguments, "-n", NAMESPACE, *given],
            env=self._environment,
            input=json.dumps(values),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        if done.returncode:
            raise HelmError(done.stderr.strip())
        return done.stdout

    def template(
        self, values: Mapping[str, Any] | None = None, *arguments: str, chart: Path = CHART
    ) -> str:
        """The rendered chart as text, without a cluster."""
        version = ["--kube-version", KUBE_VERSION]
        return self("template", RELEASE, chart, *version, *arguments, values=values or {})

    def render(
        self, values: Mapping[str, Any] | None = None, *arguments: str, chart: Path = CHART
    ) -> dict[str, Object]:
        """The rendered objects by `Kind/name`, without a cluster."""
        text = self.template(values, *arguments, chart=chart)
        objects = yaml.load_all(text, yaml.CSafeLoader)  # the resource makes the other one crawl
        return {f"{one['kind']}/{one['metadata']['name']}": one for one in objects if one}
