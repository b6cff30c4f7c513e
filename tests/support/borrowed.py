"""The tests of another folder, run with the fixtures of this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


class BorrowedTests(pytest.File):
    """The test modules of `folder` but those of `left_out`, as children of this file's folder."""

    folder: Path
    left_out: frozenset[str]

    def collect(self) -> Iterator[pytest.Module]:
        """Each module once."""
        for path in sorted(self.folder.glob("test_*.py")):
            if path.name in self.left_out:
                continue
            nodeid = f"{self.nodeid}::{path.name}"
            yield pytest.Module.from_parent(self, path=path, nodeid=nodeid)


def borrow(
    parent: pytest.Collector,
    module_path: Path,
    folder: Path,
    left_out: frozenset[str] = frozenset(),
) -> BorrowedTests:
    """What pytest_pycollect_makemodule gives for `module_path` to stand for `folder`."""
    borrowed: BorrowedTests = BorrowedTests.from_parent(parent, path=module_path)
    borrowed.folder, borrowed.left_out = folder, left_out
    return borrowed
