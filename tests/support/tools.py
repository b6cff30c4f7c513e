"""Finds the outside tools that tests run, and fetches those that are missing without root.

A tool is taken from PATH, else from the cache `~/.cache/ippolicy-operator/tools`, else it is
fetched into that cache: out of a Debian package (`apt-get download`, unpacked, never installed),
or built by `go install` at a pinned version. A new tool is one more row of `TOOLS`.

Run as a program with names of tools it fetches them and prints where they are, so that a pipeline
can do so before its tests. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controlplane_assets import only_one

CACHE = Path.home() / ".cache/ippolicy-operator/tools"


class ToolMissing(Exception):
    """A tool is not there and cannot be had; one line with the cause and the fix."""


@dataclass(frozen=True, slots=True)
class Debian:
    """A program, by its `name` in /usr/bin, out of a package of Debian or Ubuntu."""

    package: str
    name: str

    @property
    def folder(self) -> str:
        """Its place in the cache."""
        return f"debian-{self.package}"

    @property
    def binary(self) -> str:
        """The program's path in its folder."""
        return f"usr/bin/{self.name}"

    @property
    def offer(self) -> str:
        """What to do by hand where it cannot be fetched."""
        return (
            f"run `apt-get update` as root if {self.package} is not found, or install {self.name} "
            "so that it is on PATH"
        )

    def fetch(self, into: Path) -> None:
        """Fill the empty folder `into`; raises ToolMissing."""
        with tempfile.TemporaryDirectory() as downloads:
            _run("apt-get", "download", self.package, at=Path(downloads))
            (package,) = Path(downloads).glob("*.deb")
            _run("dpkg", "-x", str(package), str(into), at=into)


@dataclass(frozen=True, slots=True)
class Go:
    """A program that `go install` builds; `name` is the last part of its import path."""

    path: str
    version: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """Its place in the cache."""
        return f"{self.name}-{self.version}"

    @property
    def binary(self) -> str:
        """The program's path in its folder."""
        return self.name

    @property
    def offer(self) -> str:
        """What to do by hand where it cannot be fetched."""
        return f"install Go (https://go.dev/dl), or {self.name} so that it is on PATH"

    def fetch(self, into: Path) -> None:
        """Fill the empty folder `into`; raises ToolMissing."""
        _run("go", "install", f"{self.path}@{self.version}", at=into, GOBIN=str(into))


Origin = Debian | Go

TOOLS: Mapping[str, Origin] = {
    "prometheus": Debian("prometheus", "prometheus"),
    "promtool": Debian("prometheus", "promtool"),
    "alertmanager": Debian("prometheus-alertmanager", "prometheus-alertmanager"),
    "amtool": Debian("prometheus-alertmanager", "amtool"),
    "helm": Go("helm.sh/helm/v3/cmd/helm", "v3.22.0"),
    "hcl2json": Go("github.com/tmccombs/hcl2json", "v0.6.8"),
    "kubeconform": Go("github.com/yannh/kubeconform/cmd/kubeconform", "v0.8.0"),
}


def tool(name: str) -> Path:
    """The program of a tool, fetched if need be; raises ToolMissing."""
    origin = TOOLS.get(name)
    if origin is None:
        raise ToolMissing(f"{name} is not in the table of {__file__}: add a row for it")
    for known in {name, origin.name}:
        if found := shutil.which(known):
            return Path(found)
    binary = CACHE / origin.folder / origin.binary
    if not binary.exists():
        _fetch(name, origin)
    return binary


def _fetch(name: str, origin: Origin) -> None:
    """Fetch into a scratch folder, so that the cache has a tool whole or not at all."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with only_one(CACHE / f"{origin.folder}.lock"):
        if (CACHE / origin.folder / origin.binary).exists():
            return
        sys.stderr.write(f"fetching {name} into {CACHE / origin.folder}\n")
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="fetching-") as scratch:
            content = Path(scratch) / "content"
            content.mkdir()
            try:
                origin.fetch(content)
            except ToolMissing as error:
                raise ToolMissing(f"{name} cannot be fetched: {error}: {origin.offer}") from error
            shutil.rmtree(CACHE / origin.folder, ignore_errors=True)
            content.rename(CACHE / origin.folder)


def _run(program: str, *arguments: str, at: Path, **environment: str) -> None:
    if shutil.which(program) is None:
        raise ToolMissing(f"there is no {program} on this machine")
    done = subprocess.run(
        [program, *arguments],
        cwd=at,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
        raise ToolMissing(f"{program} {arguments[0]} ended with {done.returncode} ({last})")


def main(names: Sequence[str]) -> int:
    """Print the path of each tool named; 1 when one cannot be had."""
    try:
        for name in names:
            sys.stdout.write(f"{tool(name)}\n")
    except ToolMissing as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
