"""The image is small, has nothing in it that it does not need, and does the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from images import Image
from ippolicy import __version__
from realworlds import real_sandbox
from worlds import HELD_AFTER, HELD_BEFORE, SOON, small, wait_until_applied

MOST_MB = 200
# Only whoever builds, tests or draws needs these.
UNWANTED = ("numba", "llvmlite", "moto", "matplotlib", "pytest", "pip", "uv", "rich")
COMPILERS = ("gcc", "cc", "ld", "as", "clang")

pytestmark = pytest.mark.timeout(1800)


def test_it_is_smaller_than_200_mb(image: Image) -> None:
    files = (path for path in image.rootfs.rglob("*") if path.is_file() and not path.is_symlink())
    assert sum(path.stat().st_size for path in files) < MOST_MB * 1_000_000


def test_there_is_no_compiler_and_no_package_that_only_builds_tests_or_draws(image: Image) -> None:
    packages = {path.name for path in (image.rootfs / "opt/ippolicy").iterdir()}
    assert not packages & set(UNWANTED)
    assert "ippolicy" in packages
    programs = {path.name for path in (image.rootfs / "usr/bin").iterdir()}
    assert not programs & set(COMPILERS)


def test_it_says_what_it_is_and_runs_as_nobody(image: Image) -> None:
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert len(labels["org.opencontainers.image.revision"]) == 40
    assert image.config["User"] == "65532:65532"
    assert (image.config["Entrypoint"], image.config["Cmd"]) == (
        ["python3", "-m", "ippolicy"],
        ["run"],
    )


def test_nothing_in_it_belongs_to_its_user_or_can_be_written_by_it(image: Image) -> None:
    def open_to_it(path: Path) -> bool:
        seen = path.lstat()
        return not path.is_symlink() and (seen.st_uid == 65532 or bool(seen.st_mode & 0o002))

    assert [p for p in image.rootfs.rglob("*") if open_to_it(p)] == [image.rootfs / "tmp"]


def test_its_command_answers(image: Image) -> None:
    said = image.run("python3", "-m", "ippolicy", "--version")
    assert (said.returncode, said.stdout) == (0, f"ippolicy, version {__version__}\n")


def test_the_replay_is_there_at_once_without_numba(image: Image) -> None:
    code = (
        "import time, sys; began = time.monotonic(); "
        "from ippolicy.ipamd.fast import compile_kernel; compile_kernel(); "
        "assert 'numba' not in sys.modules; print(time.monotonic() - began)"
    )
    said = image.run("python3", "-c", code)
    assert said.returncode == 0, said.stderr
    assert float(said.stdout) < 5.0


def test_the_operator_of_the_image_does_its_job_on_a_real_control_plane(
    image: Image, tmp_path: Path
) -> None:
    command = image.command("python3", "-m", "ippolicy", "run")
    layout = small(operator_command=command)
    with real_sandbox(layout, tmp_path / "controlplane") as (sandbox, _):
        assert sandbox.report().held == HELD_BEFORE
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        sandbox.settle()
        assert sandbox.report().held == HELD_AFTER
        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert sandbox.operator.stop() == 0
