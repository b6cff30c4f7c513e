"""How tests come by outside tools, and how loudly they say when they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

import tools
from tools import TOOLS, Debian, Go, ToolMissing, tool


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without tools, whose only PATH is this folder; its cache is beside it."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr(tools, "CACHE", tmp_path / "cache")
    return path


def program(folder: Path, name: str, script: str = "exit 0") -> Path:
    """A shell script to be found as `name`."""
    made = folder / name
    made.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    made.chmod(0o755)
    return made


def cached(machine: Path) -> list[str]:
    """What is in the cache, but for locks."""
    return sorted(path.name for path in machine.with_name("cache").glob("*[!k]"))


@pytest.mark.parametrize("name", TOOLS)
def test_what_is_on_the_path_is_taken(machine: Path, name: str) -> None:
    made = program(machine, TOOLS[name].name)
    assert tool(name) == made


def test_a_package_is_fetched_once_and_unpacked(machine: Path) -> None:
    log = machine / "log"
    program(machine, "apt-get", f'echo "$@" >> {log}; touch "$2_1.0.deb"')
    unpacked = 'mkdir -p "$3/usr/bin" && touch "$3/usr/bin/promtool"'
    program(machine, "dpkg", unpacked)
    found = tool("promtool")
    assert found.is_file()
    assert found == tool("promtool")
    assert log.read_text() == "download prometheus\n"
    assert cached(machine) == ["debian-prometheus"]


def test_a_go_program_is_built_at_its_version(machine: Path) -> None:
    log = machine / "log"
    program(machine, "go", f'echo "$@" > {log}; touch "$GOBIN/kubeconform"')
    found = tool("kubeconform")
    assert found.is_file()
    assert found.parent.name == "kubeconform-v0.8.0"
    assert log.read_text() == "install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0\n"


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_that_cannot_be_had_is_named_with_the_fix(machine: Path, name: str) -> None:
    with pytest.raises(ToolMissing, match=f"^{name} cannot be fetched: there is no (apt-get|go)"):
        tool(name)
    assert cached(machine) == []


def test_a_fetch_that_fails_says_why_and_leaves_nothing(machine: Path) -> None:
    program(machine, "apt-get", "echo first >&2; echo Unable to locate package >&2; exit 100")
    with pytest.raises(ToolMissing) as caught:
        tool("amtool")
    assert "ended with 100 (Unable to locate package)" in str(caught.value)
    assert "`apt-get update`" in str(caught.value)
    assert cached(machine) == []


def test_the_program_prints_paths_and_fails_for_what_it_cannot_get(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    helm = program(machine, "helm")
    assert tools.main(["helm"]) == 0
    assert capsys.readouterr().out == f"{helm}\n"
    assert tools.main(["helm", "podman"]) == 1
    assert "podman is not in the table" in capsys.readouterr().err


def test_each_origin_has_a_place_of_its_own() -> None:
    assert Debian("one", "a").folder == Debian("one", "b").folder
    assert Go("x/y", "v1").folder != Go("x/y", "v2").folder
