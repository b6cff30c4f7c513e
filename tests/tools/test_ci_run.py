"""What must pass before a change lands is all run, and nothing of it is left out in silence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / ".ci/run"
PARTS = ("setup", "lint", "audit", "test", "tools", "e2e", "image")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose parts all pass at once, and a machine whose user is root."""
    for folder in (".ci", ".venv/bin", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(RUN, tmp_path / ".ci/run")
    for name, script in ((".ci/prepare", "exit 0"), (".venv/bin/python", "exit 0")):
        program(tmp_path / name, script)
    program(tmp_path / "bin/make", f'echo "made $1" >>{tmp_path}/made')
    program(tmp_path / "bin/id", "echo 0")
    return tmp_path


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run(project: Path, **environment: str) -> tuple[int, str, dict[str, str]]:
    """Exit status, what was said before the table, and the result of each part by the table."""
    there = {name: value for name, value in os.environ.items() if name != "CI"}
    there["PATH"] = f"{project / 'bin'}:{there['PATH']}"
    done = subprocess.run(
        [project / ".ci/run"],
        env=there | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    said, _, table = done.stdout.rpartition("\n\n")
    assert re.search(r"^total +\d+ s$", table, re.MULTILINE)
    return done.returncode, said, dict(re.findall(r"^(\w+) +\d+ s  (.+)$", table, re.MULTILINE))


def made(project: Path) -> list[str]:
    return re.findall(r"^made (\S+)$", (project / "made").read_text(), re.MULTILINE)


def test_every_part_is_in_the_table_with_its_time(project: Path) -> None:
    status, _, results = run(project)
    assert status == 0
    assert results == dict.fromkeys(PARTS, "passed")
    assert made(project) == [".venv/.dev", "lint", "test", "e2e", "image"]


@pytest.mark.parametrize("name", ["lint", "test", "e2e", "image"])
def test_a_part_that_fails_fails_the_run_after_all_others(project: Path, name: str) -> None:
    program(project / "bin/make", f'test "$1" != {name}')
    status, _, results = run(project)
    assert status == 1
    assert results == {**dict.fromkeys(PARTS, "passed"), name: "FAILED"}


def test_a_build_that_fails_beside_the_tests_fails_the_run_with_its_log(project: Path) -> None:
    program(project / ".ci/prepare", "echo no compiler >&2; exit 3")
    status, said, results = run(project)
    assert status == 1
    assert "no compiler\nNOT PREPARED" in said
    assert results["test"] == "passed"
    assert results["tools"] == "FAILED"
    assert not {"e2e", "image"} & set(made(project))


def test_what_is_built_beside_the_tests_ends_with_the_run(project: Path) -> None:
    program(project / ".ci/prepare", "echo $$ >prepare.pid; sleep 300")
    waits = "while ! test -s prepare.pid; do sleep 0.05; done; kill $PPID"
    program(project / "bin/make", f'test "$1" != lint || {{ {waits}; }}')
    status, _, _ = run(project)
    assert status != 0
    pid = int((project / "prepare.pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_who_is_not_root_is_told_that_there_is_no_image(project: Path) -> None:
    program(project / "bin/id", "echo 1000")
    status, said, results = run(project)
    assert status == 0
    assert "NO IMAGE WAS BUILT" in said
    assert results["image"] == "passed (NO IMAGE WAS BUILT: it takes root)"
    assert "image" not in made(project)


def test_in_a_pipeline_there_is_an_image_or_a_failure(project: Path) -> None:
    program(project / "bin/id", "echo 1000")
    status, _, results = run(project, CI="true")
    assert status == 1
    assert results["image"].startswith("FAILED")


@pytest.mark.parametrize(
    ("exit_status", "result"), [(1, "FAILED"), (2, "passed (NOT AUDITED)"), (3, "FAILED")]
)
def test_only_an_audit_without_an_answer_lets_the_run_pass(
    project: Path, exit_status: int, result: str
) -> None:
    program(project / ".venv/bin/python", f"exit {exit_status}")
    status, _, results = run(project)
    assert results["audit"] == result
    assert status == (result == "FAILED")
