"""The command line as tests call it."""

from __future__ import annotations

import pytest

from commands import Commands


@pytest.fixture
def ippolicy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """Runs `ippolicy` in this process."""
    return Commands(monkeypatch, capsys)
