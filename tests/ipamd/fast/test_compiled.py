"""Where machine code is kept, and where not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from ippolicy.ipamd.fast import compiled

NAME = "fingerprint"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    bases = [tmp_path / "first", tmp_path / "second"]
    monkeypatch.setattr(compiled, "_bases", lambda: bases)
    return bases


def test_machine_code_is_kept_in_the_first_place_that_can_be_written(places: list[Path]) -> None:
    places[0].write_text("a file where a folder is wanted")
    folder = compiled._folder(NAME)
    assert folder is not None
    assert folder.parent == places[1]
    assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_others_may_write_is_not_trusted(places: list[Path]) -> None:
    trusted = compiled._folder(NAME)
    assert trusted is not None
    trusted.chmod(0o777)
    other = compiled._folder(NAME)
    assert other is not None
    assert other.parent == places[1]


def test_a_link_to_elsewhere_is_not_trusted(places: list[Path], tmp_path: Path) -> None:
    trusted = compiled._folder(NAME)
    assert trusted is not None
    trusted.rename(tmp_path / "elsewhere")
    trusted.symlink_to(tmp_path / "elsewhere")
    other = compiled._folder(NAME)
    assert other is not None
    assert other.parent == places[1]


def test_without_a_place_nothing_is_kept(places: list[Path]) -> None:
    for base in places:
        base.write_text("a file where a folder is wanted")
    assert compiled._folder(NAME) is None


def test_a_container_with_a_read_only_root_has_the_memory_file_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_found() -> str:
        raise FileNotFoundError

    monkeypatch.setenv("XDG_CACHE_HOME", "/nonexistent")
    monkeypatch.setattr(tempfile, "gettempdir", none_found)
    assert compiled._bases() == [Path("/nonexistent/ippolicy"), compiled.MEMORY_FILES]


def test_code_of_other_sources_is_kept_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = compiled._fingerprint()
    for name in compiled._MODULES:
        source = compiled.SOURCES / f"{name}.py"
        (tmp_path / f"{name}.py").write_bytes(source.read_bytes() + os.linesep.encode())
    monkeypatch.setattr(compiled, "SOURCES", tmp_path)
    assert compiled._fingerprint() != before
