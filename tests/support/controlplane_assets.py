"""Builds and finds the binaries of the real control plane.

`assets_dir()` gives a folder in the layout that users of KUBEBUILDER_ASSETS know: etcd,
kube-apiserver and kubectl beside kube-controller-manager and kube-scheduler. It is that
variable's folder where it is set, else a cache folder named by the hash of everything that
goes into the build: `${CONTROLPLANE_ASSETS_CACHE:-~/.cache/ippolicy-operator/controlplane}/<hash>`.

Run as a program (tests/controlplane/build) it builds what is not there yet. Standard library
only, so that it runs before any environment is made.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

MODULE = Path(__file__).resolve().parent.parent / "controlplane"
BINARIES = ("etcd", "kubectl", "kube-scheduler", "kube-controller-manager", "kube-apiserver")
HEARTBEAT_S = 30.0
GIB_PER_COMPILER = 2
COMPILER_MEMORY_LIMIT = "2GiB"

_BUILDING = "building-"


class AssetsError(Exception):
    """The binaries are not there or cannot be built; one line with the fix."""


def assets_dir() -> Path:
    """The folder with all binaries; raises `AssetsError` when they are not built yet."""
    given = os.environ.get("KUBEBUILDER_ASSETS")
    folder = Path(given) if given else _cache_root() / source_hash()
    missing = [name for name in BINARIES if not os.access(folder / name, os.X_OK)]
    if not missing:
        return folder
    if given:
        raise AssetsError(
            f"KUBEBUILDER_ASSETS={given} lacks {', '.join(missing)}: add them, or unset the "
            "variable and run tests/controlplane/build"
        )
    raise AssetsError(
        f"the control plane is not built ({folder} is missing): run tests/controlplane/build"
    )


def build() -> Path:
    """Build all binaries unless they are there; gives their folder, raises `AssetsError`.

    Only one build runs at a time; the folder appears whole or not at all.
    """
    with contextlib.suppress(AssetsError):
        return assets_dir()
    if os.environ.get("KUBEBUILDER_ASSETS"):
        return assets_dir()  # says what the given folder lacks: it is not ours to write to
    go = _go()
    root = _cache_root()
    root.mkdir(parents=True, exist_ok=True)
    with only_one(root / "lock"):
        with contextlib.suppress(AssetsError):
            return assets_dir()  # the build that we waited for made it
        _remove_leftovers(root)
        with tempfile.TemporaryDirectory(dir=root, prefix=_BUILDING) as scratch:
            folder = Path(scratch) / "bin"
            folder.mkdir()
            _build_all(go, folder)
            folder.rename(root / source_hash())
    return assets_dir()


def source_hash() -> str:
    """Hash over versions, checksums, sources and platform of the build; 16 hex digits."""
    made_with = f"{platform.system()} {platform.machine()} {_ldflags()}\n"
    digest = hashlib.sha256(made_with.encode())
    for path in [MODULE / "go.mod", MODULE / "go.sum", *sorted(MODULE.glob("cmd/*/*.go"))]:
        digest.update(f"{path.relative_to(MODULE)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _remove_leftovers(root: Path) -> None:
    """Remove what a killed build left, and a folder that lost some of its binaries."""
    for leftover in [*root.glob(f"{_BUILDING}*"), root / source_hash()]:
        shutil.rmtree(leftover, ignore_errors=True)


def _cache_root() -> Path:
    given = os.environ.get("CONTROLPLANE_ASSETS_CACHE")
    return Path(given) if given else Path.home() / ".cache/ippolicy-operator/controlplane"


def _required(pattern: str) -> str:
    """The version that go.mod requires, by a pattern with one group."""
    found = re.search(pattern, (MODULE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise AssetsError(f"{MODULE / 'go.mod'} has no line like {pattern}: restore the file")
    return found[1]


def _go() -> str:
    """The go command, checked to be new enough."""
    needed = _required(r"^go (\d+\.\d+)")
    go = shutil.which("go")
    help_line = (
        f"install Go {needed} or later (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a "
        f"folder with {', '.join(BINARIES)}"
    )
    if go is None:
        raise AssetsError(f"the real control plane needs Go and there is none: {help_line}")
    version = subprocess.run(
        [go, "env", "GOVERSION"],
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", version)
    wanted = tuple(int(part) for part in needed.split("."))
    if found is None or (int(found[1]), int(found[2])) < wanted:
        raise AssetsError(f"the Go found is {version or 'not working'} at {go}: {help_line}")
    return go


def _build_all(go: str, folder: Path) -> None:
    started = time.monotonic()
    _say(f"building {', '.join(BINARIES)}: about 10 minutes on 2 cores the first time")
    for name in BINARIES:
        _build_one(go, name, folder)
    _say(f"all built in {time.monotonic() - started:.0f} s")


def _build_one(go: str, name: str, folder: Path) -> None:
    """Run `go build -v`, which names each package as it compiles it; count them as progress."""
    started = spoken = time.monotonic()
    command = [go, "build", "-v", "-p", str(_compilers()), "-ldflags", _ldflags()]
    command += ["-o", str(folder / name), f"./cmd/{name}"]
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOMEMLIMIT": COMPILER_MEMORY_LIMIT,
    }
    compiled, tail = 0, list[str]()
    with subprocess.Popen(
        command, cwd=MODULE, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            compiled += 1
            tail = [*tail[-19:], line.rstrip()]
            if time.monotonic() - spoken >= HEARTBEAT_S:
                spoken = time.monotonic()
                _say(f"  {name}: {compiled} packages, {spoken - started:.0f} s")
    if process.returncode:
        _say("\n".join(tail))
        raise AssetsError(f"go build of {name} failed with {process.returncode}: see above")
    _say(f"  {name}: built in {time.monotonic() - started:.0f} s ({compiled} packages compiled)")


def _compilers() -> int:
    """As many compilers side by side as there are cores, and memory for."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return max(1, min(len(os.sched_getaffinity(0)), int(memory_gib / GIB_PER_COMPILER)))


def _ldflags() -> str:
    """Strip, and stamp the version: clients refuse to parse that of an unstamped build."""
    version = _required(r"k8s\.io/kubernetes (v\S+)")
    major, minor = version.removeprefix("v").split(".")[:2]
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return "-s -w " + " ".join(
        f"-X {package}.{key}={value}" for package in packages for key, value in stamps.items()
    )


@contextlib.contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold a lock that dies with this process, so that a killed build blocks nobody."""
    with lock.open("w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another build is under way: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main() -> int:
    """Build what is missing; print the folder to stdout and progress to stderr."""
    try:
        sys.stdout.write(f"{build()}\n")
    except AssetsError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
