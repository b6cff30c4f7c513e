"""Whatever comes from outside is read, or refused in our own words, in bounded time and memory.

`corpus/READER/` keeps inputs that once did harm, or would in a careless reader; each is tried as it
is and spoiled further. What a run of `make fuzz` finds is put there, with the fix.
"""

from __future__ import annotations

import contextlib
import resource
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import READERS, Reader, spoiled

CORPUS = Path(__file__).parent / "corpus"
LONGEST_S = 10.0
LARGEST_KIB = 256 * 1024
KEPT = sorted(CORPUS.glob("*/*"))


def judge(reader: Reader, data: bytes) -> None:
    """Read it; anything but a result or an error of ours is raised."""
    started_s = time.process_time()
    with contextlib.suppress(*reader.raises):
        reader.read(data)
    assert time.process_time() - started_s < LONGEST_S


@pytest.mark.parametrize("name", READERS)
def test_what_is_sound_is_read(name: str) -> None:
    for data in READERS[name].sound():
        assert READERS[name].read(data) is not None


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_is_kept_does_no_harm(path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    judge(READERS[path.parent.name], path.read_bytes())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < LARGEST_KIB


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", READERS)
def test_what_is_spoiled_is_read_or_refused(name: str) -> None:
    kept = [path.read_bytes() for path in KEPT if path.parent.name == name]
    inputs = [*READERS[name].sound(), *(data for data in kept if len(data) < 100_000)]

    @settings(settings.get_profile("fuzz"))
    @given(st.one_of(spoiled(inputs), st.binary(max_size=200)))
    def try_it(data: bytes) -> None:
        judge(READERS[name], data)

    try_it()


def test_every_reader_has_kept_inputs() -> None:
    assert {path.parent.name for path in KEPT} == set(READERS)
