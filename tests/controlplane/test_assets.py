"""Finding and building the binaries: what a person is told, and what is never half there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from controlplane_assets import BINARIES, AssetsError, assets_dir, source_hash

BUILD = Path(__file__).parent / "build"


def build(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the build in this environment alone."""
    return subprocess.run(
        [BUILD],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def program(path: Path, text: str = "#!/bin/sh\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def only_python(tmp_path: Path) -> str:
    """A PATH with Python, which is all that the build needs besides Go."""
    program(tmp_path / "path/python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    return str(tmp_path / "path")


def test_without_go_one_line_says_what_is_missing_and_how_to_get_it(
    only_python: str, tmp_path: Path
) -> None:
    done = build({"PATH": only_python, "CONTROLPLANE_ASSETS_CACHE": str(tmp_path / "cache")})
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "install Go 1.25 or later" in done.stderr
    assert "KUBEBUILDER_ASSETS" in done.stderr


def test_a_go_that_is_too_old_is_named(only_python: str, tmp_path: Path) -> None:
    program(Path(only_python) / "go", "#!/bin/sh\necho go1.19.8\n")
    done = build({"PATH": only_python, "CONTROLPLANE_ASSETS_CACHE": str(tmp_path / "cache")})
    assert done.returncode == 1
    assert "the Go found is go1.19.8" in done.stderr


def test_a_failed_build_leaves_no_folder_and_shows_what_go_said(
    only_python: str, tmp_path: Path
) -> None:
    script = """#!/bin/sh
        [ "$1" = env ] && echo go1.26.0 && exit
        echo boom >&2
        exit 1
    """
    program(Path(only_python) / "go", script)
    cache = tmp_path / "cache"
    done = build({"PATH": only_python, "CONTROLPLANE_ASSETS_CACHE": str(cache)})
    assert done.returncode == 1
    assert "boom" in done.stderr
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_a_build_puts_all_binaries_into_the_folder_of_the_hash_and_is_not_repeated(
    only_python: str, tmp_path: Path
) -> None:
    script = """#!/bin/sh
        [ "$1" = env ] && echo go1.26.0 && exit
        echo "$*" >> "$LOG"
        while [ "$1" != -o ]; do shift; done
        echo > "$2" && /bin/chmod 755 "$2"
    """
    program(Path(only_python) / "go", script)
    cache, log = tmp_path / "cache", tmp_path / "log"
    environment = {"CONTROLPLANE_ASSETS_CACHE": str(cache), "LOG": str(log)}
    for _ in range(2):
        done = build({"PATH": only_python} | environment)
        assert (done.returncode, done.stdout) == (0, f"{cache / source_hash()}\n"), done.stderr
    assert {path.name for path in (cache / source_hash()).iterdir()} == set(BINARIES)
    calls = log.read_text().splitlines()
    assert len(calls) == len(BINARIES)
    assert all("version.gitVersion=v1.35.4" in call and "-s -w" in call for call in calls)


def test_a_given_folder_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BINARIES:
        program(tmp_path / name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert assets_dir() == tmp_path


def test_what_a_given_folder_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        program(tmp_path / name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(AssetsError, match="lacks kube-scheduler, kube-controller-manager"):
        assets_dir()


def test_binaries_that_were_never_built_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("CONTROLPLANE_ASSETS_CACHE", str(tmp_path))
    with pytest.raises(AssetsError, match="run tests/controlplane/build"):
        assets_dir()
