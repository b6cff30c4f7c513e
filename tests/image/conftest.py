"""The image, built once for all tests here."""

from __future__ import annotations

import json
import subprocess

import pytest

from images import TOOLS, Image


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of this tree."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([str(TOOLS / "build"), str(folder)], check=True)
    described = json.loads((folder / "config.json").read_text())
    return Image(folder / "rootfs", described["OCIv1"]["config"])
