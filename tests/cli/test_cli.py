"""The command line helps, and errors are one line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from ippolicy import __version__, log
from ippolicy.api import IPPolicy
from ippolicy.cli import COMMANDS, cli
from ippolicy.cli.deferred import Deferred
from ippolicy.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]


def ippolicy(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`ippolicy` in a process of its own, with no cluster to be found."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith((PREFIX, "KUBE"))}
    return subprocess.run(
        [sys.executable, "-c", "from ippolicy.cli import main; main()", *arguments],
        env={**clean, "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_fits_a_terminal_and_names_every_setting() -> None:
    shown = CliRunner().invoke(cli, ["run", "--help"], terminal_width=80).output
    assert max(map(len, shown.splitlines())) <= 80
    flat = "".join(shown.split())
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in flat
        assert f"{PREFIX}{name.upper()}" in flat


def test_commands_are_listed_with_what_they_do() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    assert "Run the operator until SIGTERM or Ctrl-C." in shown
    assert "Put back the env that aws-node had before the first change." in shown
    assert "Watch the operator cut the addresses that ten nodes hold." in shown


def test_the_version_is_told() -> None:
    assert __version__ in CliRunner().invoke(cli, ["--version"]).output


def test_a_bad_setting_ends_as_one_line() -> None:
    ended = ippolicy("run", "--interval", "often")
    assert ended.returncode == 1
    assert ended.stderr.startswith("ippolicy: unusable settings: IPPOLICY_INTERVAL='often'")
    assert len(ended.stderr.splitlines()) == 1


def test_an_unknown_command_ends_as_usage() -> None:
    ended = ippolicy("walk")
    assert ended.returncode == 2
    assert "No such command 'walk'" in ended.stderr


def test_without_a_cluster_the_operator_says_how_to_name_one() -> None:
    ended = ippolicy("run", "--http-host", "127.0.0.1", "--http-port", "0")
    assert ended.returncode != 0
    assert "set KUBECONFIG" in ended.stderr


def test_the_operator_starts_without_loading_what_only_the_sandbox_needs() -> None:
    loaded = (
        "import sys, ippolicy.handlers; "
        "print([m for m in ('moto', 'rich', 'ippolicy.sandbox', 'boto3') if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, timeout=60, check=True
    )
    assert shown.stdout.strip() == "[]"


def test_the_policy_in_the_readme_is_a_policy() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [part for part in text.split("```") if part.startswith("yaml\n")]
    policy = IPPolicy.from_raw(yaml.safe_load(block.removeprefix("yaml\n")))
    assert policy.name == "default"


def test_every_target_that_the_readme_names_is_in_the_makefile() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = subprocess.run(
        ["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    ).stdout
    named = {
        word for line in text.splitlines() if line.startswith("make ") for word in line.split()[1:2]
    }
    assert named
    assert all(f"make {target}" in targets for target in named)


@pytest.mark.parametrize(("style", "expected"), [("json", '"message": "hello'), ("text", "hello")])
def test_a_log_line_is_one_line(
    style: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import logging

    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        log.configure(level="info", style=style)
        logging.getLogger("ippolicy").info("hello %s", "there")
        root.handlers[0].flush()
        shown = capsys.readouterr().err
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert expected in shown
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("on_a_terminal", [True, False])
def test_log_lines_are_text_on_a_terminal_and_json_elsewhere(
    on_a_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return on_a_terminal

    shown = Stream()
    monkeypatch.setattr("sys.stderr", shown)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    log.configure(level="info", style="auto")
    root.handlers[0].emit(logging.makeLogRecord({"msg": "hello", "levelname": "INFO"}))
    assert shown.getvalue().startswith("{") is not on_a_terminal


def test_each_command_is_listed_with_its_own_words() -> None:
    listed = {name: one.get_short_help_str(80) for name, one in cli.commands.items()}
    for name, deferred in cli.commands.items():
        assert isinstance(deferred, Deferred)
        assert deferred.load().get_short_help_str(80) == listed[name]
    assert set(listed) == set(COMMANDS)


@pytest.mark.parametrize("asked", [["--version"], ["--help"], ["completion", "bash"]])
def test_what_needs_no_library_loads_none(asked: list[str]) -> None:
    heavy = ("numpy", "kubernetes", "pydantic", "aiohttp", "numba", "kopf", "yaml")
    program = (
        f"import sys\nfrom ippolicy.cli import main\nsys.argv[1:] = {asked}\n"
        f"try:\n    main()\nfinally:\n    print([m for m in {heavy} if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert shown.stdout.splitlines()[-1] == "[]"
