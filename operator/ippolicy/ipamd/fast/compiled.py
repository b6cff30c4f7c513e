"""Compiles the kernel on first use and keeps the machine code for later starts.

Compiling takes some seconds of one core. The result is kept in a folder of the user's cache that
only this user may write, or of the temporary folder; where neither can be written (a read-only
root file system), every process compiles anew.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from types import FunctionType, ModuleType
from typing import Any, Final

from ippolicy.ipamd.fast.kernel import replay_lanes

_PACKAGE: Final = "ippolicy.ipamd.fast"
_MODULES: Final = ("state", "draws", "maps", "pool", "rules", "passes", "clock", "pods", "kernel")
_LOCK: Final = Lock()
_CALLED: Final = frozenset(
    {"insert", "_grow", "_prune", "_copy_walk", "boot", "settle", "_idle_until", "_serve_waiting"}
)
"""Functions that stay functions: rare ones. All others are woven in, which makes lanes three times as fast."""

Kernel = Callable[..., None]


def kernel() -> Kernel:
    """`replay_lanes` in machine code: call it from any thread but that of an event loop.

    Raises:
        ModelError: numba, which compiles it, cannot be loaded.
    """
    with _LOCK:
        return _compile()


@cache
def _compile() -> Kernel:
    numba: Any = import_module("numba")
    extending: Any = import_module("numba.extending")
    modules = [import_module(f"{_PACKAGE}.{name}") for name in _MODULES]
    for module in modules:
        for function in _functions(module):
            if function is not replay_lanes:
                _register(extending, function)
    folder = _cache_folder(_fingerprint(modules, numba.__version__))
    if folder is None:
        return numba.njit(nogil=True, error_model="numpy")(replay_lanes)  # type: ignore[no-any-return]
    numba.config.CACHE_DIR = str(folder)
    return numba.njit(nogil=True, error_model="numpy", cache=True)(replay_lanes)  # type: ignore[no-any-return]


def _register(extending: Any, function: FunctionType) -> None:
    """Let compiled code call a function; counting references would cost more than its work."""
    inline = function.__name__ not in _CALLED
    extending.register_jitable(_nrt=False, error_model="numpy", forceinline=inline)(function)


def _functions(module: ModuleType) -> list[FunctionType]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    ]


def _fingerprint(modules: list[ModuleType], version: str) -> str:
    """Numba looks at the file of the outermost function alone, so the folder's name covers all."""
    digest = hashlib.sha256(version.encode())
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder(name: str) -> Path | None:
    """A folder that nobody else can put machine code into; None where there can be none."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    user = os.getuid()
    for base in (Path(home), Path(tempfile.gettempdir()) / f"ippolicy-{user}"):
        folder = base / "ippolicy-operator" / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            seen = folder.stat()
        except OSError:
            continue
        if seen.st_uid == user and not seen.st_mode & 0o022 and os.access(folder, os.W_OK):
            return folder
    return None
