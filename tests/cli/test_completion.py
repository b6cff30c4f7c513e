"""Shells complete commands, flags and instance types; every command helps with examples."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from commands import Commands
from ippolicy.cli import cli


def completed(words: str) -> list[str]:
    """What bash would offer for the last of `words`."""
    asked = subprocess.run(
        [sys.executable, "-c", "from ippolicy.cli import main; main()"],
        env={
            **os.environ,
            "_IPPOLICY_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [line.partition(",")[2] for line in asked.stdout.splitlines()]


@pytest.mark.parametrize(
    ("shell", "told"),
    [("bash", "complete -o nosort"), ("zsh", "#compdef ippolicy"), ("fish", "complete --no-files")],
)
def test_each_shell_gets_its_script(ippolicy: Commands, shell: str, told: str) -> None:
    ended = ippolicy("completion", shell)
    assert (ended.status, told in ended.out) == (0, True)
    assert "_IPPOLICY_COMPLETE" in ended.out


def test_the_script_for_bash_is_bash(ippolicy: Commands) -> None:
    script = ippolicy("completion", "bash").out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_commands_flags_and_types_are_completed() -> None:
    assert completed("ippolicy si") == ["simulate"]
    assert "--instance-type" in completed("ippolicy simulate --inst")
    assert completed("ippolicy plan --instance-type r5.xl") == ["r5.xlarge"]


def test_a_shell_that_is_not_known_is_bad_input(ippolicy: Commands) -> None:
    ended = ippolicy("completion", "tcsh")
    assert (ended.status, "'tcsh' is not one of 'bash', 'zsh', 'fish'" in ended.err) == (2, True)
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_help_has_examples_and_fits_a_terminal(name: str) -> None:
    shown = CliRunner().invoke(cli, [name, "--help"], terminal_width=80).output
    examples = shown.partition("Examples:\n")[2]
    assert f"ippolicy {name}" in examples
    assert max(map(len, shown.splitlines())) <= 80


def test_a_command_without_arguments_shows_its_help_and_a_wrong_one_one_line(
    ippolicy: Commands,
) -> None:
    bare = ippolicy()
    assert bare.status == 2
    assert "Commands:" in bare.out + bare.err
    wrong = ippolicy("simulate", "--what")
    assert wrong.status == 2
    assert wrong.err.count("\n") == 1
    assert wrong.err.endswith("See ippolicy simulate --help.\n")
