"""A word is said only where something takes long."""

from __future__ import annotations

import sys
import time

import pytest

from ippolicy.cli.progress import progress


def test_what_is_quick_is_done_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("searching"):
        pass
    assert capsys.readouterr() == ("", "")


def test_what_takes_long_is_told_once_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("searching", quiet_s=0.01):
        time.sleep(0.2)
    assert capsys.readouterr() == ("", "ippolicy: searching...\n")


def test_a_terminal_shows_the_seconds_and_is_left_clean(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda _: True)
    with progress("searching", quiet_s=0.01, tell_every_s=0.01):
        time.sleep(0.2)
    told = capsys.readouterr().err
    assert told.startswith("\rippolicy: searching... 0 s")
    assert told.endswith("\r\x1b[K")


def test_it_ends_with_what_it_tells_of(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), progress("searching", quiet_s=0.5):
        raise ValueError("no")
    time.sleep(0.6)
    assert capsys.readouterr() == ("", "")
