"""The pages of the guide show what their commands answer.

After a change of answers, `WRITE_PAGES=1 pytest tests/cli/test_pages.py` writes pages and pictures
anew: look at the difference, and at the pictures.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import struct
from pathlib import Path

import pytest

from commands import Commands
from decided import cluster, story
from pages import answered, commands_of, shell

# Compiling takes a minute of a busy machine, once for all tests and later runs.
pytestmark = pytest.mark.timeout(600)

DOCS = Path(__file__).parents[2] / "docs"
WRITING = bool(os.environ.get("WRITE_PAGES"))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a checkout to the commands, and takes what they write."""
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:])
    return width, height


def hold(page: Path, now: str, made_in: Path) -> None:
    """Compare a page and its pictures with what was made now; or put that in their place."""
    pictures = [DOCS / "images" / name for name in re.findall(r"images/([\w-]+\.png)", now)]
    if WRITING:
        page.write_text(now, encoding="utf-8")
        for picture in pictures:
            shutil.copyfile(made_in / picture.name, picture)
    assert now == page.read_text(encoding="utf-8")
    for picture in pictures:
        assert size_of(made_in / picture.name) == size_of(picture)


@pytest.mark.parametrize("name", ["simulate", "plan"])
def test_a_page_shows_what_its_commands_answer(
    ippolicy: Commands, checkout: Path, name: str
) -> None:
    page = DOCS / "user" / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    assert len(list(commands_of(text))) >= 4
    hold(page, answered(text, shell(ippolicy, checkout)), checkout)


async def test_the_page_on_explaining_shows_what_its_commands_answer(
    ippolicy: Commands, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = DOCS / "user" / "explain.md"
    text = page.read_text(encoding="utf-8")
    async with cluster(checkout, story({"mode": "Recommend"})) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        now = await asyncio.to_thread(lambda: answered(text, shell(ippolicy, checkout)))
    hold(page, now, checkout)


def test_the_lines_of_a_page_fit_a_terminal_but_for_commands_and_pictures() -> None:
    for name in ("simulate", "plan", "explain"):
        for line in (DOCS / "user" / f"{name}.md").read_text(encoding="utf-8").splitlines():
            assert len(line) <= 104 or line.startswith(("$ ", "![")), line
