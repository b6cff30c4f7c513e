"""The tests of another folder, run with the fixtures of this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


class BorrowedTests(pytest.File):
    """The test modules of `folder`, as children of the folder that holds this file."""

    folder: Path

    def collect(self) -> Iterator[pytest.Module]:
        """Each module once."""
        for path in sorted(self.folder.glob("test_*.py")):
            nodeid = f"{self.nodeid}::{path.name}"
            yield pytest.Module.from_parent(self, path=path, nodeid=nodeid)


def borrow(parent: pytest.Collector, module_path: Path, folder: Path) -> BorrowedTests:
    """What pytest_pycollect_makemodule gives for `module_path` to stand for `folder`."""
    borrowed: BorrowedTests = BorrowedTests.from_parent(parent, path=module_path)
    borrowed.folder = folder
    return borrowed
