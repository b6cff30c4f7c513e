"""The kernel in machine code: what an image brought along, else compiled and kept for later starts.

Compiling takes half a minute of one core, loading what was kept two seconds. It is kept in a folder
that only this user may write: of the user's cache, of the temporary folder, or of the memory file
system, which a container has even where its root is read-only. An image has a library instead that
`python -m ippolicy.ipamd.fast` left beside this file when it was built, and no numba. The code is
for any processor of the machine's kind, so that it may be built on another.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from types import FunctionType, ModuleType
from typing import Any, Final

from ippolicy.errors import ModelError
from ippolicy.ipamd.fast import library
from ippolicy.ipamd.fast.kernel import replay_lanes

MEMORY_FILES: Final = Path("/dev/shm")  # noqa: S108  (folders in it are checked for their owner)
SOURCES: Final = Path(__file__).parent
PREBUILT: Final = SOURCES / "machine_code"
_PACKAGE: Final = "ippolicy.ipamd.fast"
_MODULES: Final = (
    "state",
    "draws",
    "maps",
    "pool",
    "rules",
    "passes",
    "clock",
    "pods",
    "kernel",
    "compiled",
    "library",
)
_CALLED: Final = frozenset(
    {"insert", "_grow", "_prune", "_copy_walk", "boot", "settle", "_idle_until", "_serve_waiting"}
)
"""Rare functions, that stay functions. Weaving the others in makes lanes three times as fast."""
_ARGUMENTS: Final = (
    "void(i8[::1], f8[::1], i8[:,:,::1], i8[:,::1], i8[:,::1], f8[::1], i8[:,::1], f8[::1], "
    "i4[:,::1], i4[:,:,::1], f8[:,:,::1])"
)
_LOCK: Final = Lock()

Kernel = Callable[..., None]


def compile_kernel() -> Kernel:
    """`replay_lanes` in machine code, without the interpreter's lock: never on an event loop.

    Raises:
        ModelError: numba, which compiles it, cannot be loaded.
    """
    with _LOCK:
        return _kernel()


def can_compile() -> bool:
    """Whether there is anything that `compile_kernel` could make the kernel of."""
    return _prebuilt().is_file() or find_spec("numba") is not None


@cache
def _kernel() -> Kernel:
    if _prebuilt().is_file():
        return library.load(_prebuilt())
    try:
        numba: Any = import_module("numba")
        return build(_folder(f"{_fingerprint()}-{numba.__version__}"))
    except ImportError as error:
        raise ModelError(
            f"the grid cannot be compiled: {error}: install numba, or use replay_lane"
        ) from error


def build(folder: Path | None) -> Kernel:
    """The kernel as loaded from `folder`, or compiled and left there; None keeps nothing.

    Raises:
        ImportError: numba cannot be loaded.
    """
    numba: Any = import_module("numba")
    extending: Any = import_module("numba.extending")
    numba.config.CPU_NAME, numba.config.CPU_FEATURES = "generic", ""
    for module in _modules():
        for function in _functions(module):
            if function is not replay_lanes:
                _register(extending, function)
    if folder is not None:
        numba.config.CACHE_DIR = str(folder)
    compiled: Kernel = numba.njit(
        _ARGUMENTS, nogil=True, error_model="numpy", _nrt=False, cache=folder is not None
    )(replay_lanes)
    return compiled


def _register(extending: Any, function: FunctionType) -> None:
    """Let compiled code call a function; counting references would cost more than its work."""
    inline = function.__name__ not in _CALLED
    extending.register_jitable(_nrt=False, error_model="numpy", forceinline=inline)(function)


def _modules() -> list[ModuleType]:
    return [import_module(f"{_PACKAGE}.{name}") for name in _MODULES[:-2]]


def _functions(module: ModuleType) -> list[FunctionType]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    ]


def _fingerprint() -> str:
    """Numba looks at the file of the outermost function alone, so this name covers the others."""
    digest = hashlib.sha256()
    for name in _MODULES:
        digest.update((SOURCES / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def _folder(name: str) -> Path | None:
    """A folder that nobody else can put machine code into; None where there can be none."""
    for base in _bases():
        folder = base / f"ippolicy-{name}-{os.getuid()}"
        try:
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            seen = folder.lstat()
        except OSError:
            continue
        ours = stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.getuid()
        if ours and not seen.st_mode & 0o022 and os.access(folder, os.W_OK):
            return folder
    return None


def _bases() -> list[Path]:
    bases = [Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ippolicy"]
    with suppress(FileNotFoundError):  # no folder for temporary files at all
        bases.append(Path(tempfile.gettempdir()))
    return [*bases, MEMORY_FILES]


def _prebuilt() -> Path:
    return PREBUILT / library.file_name(_fingerprint())


def prebuild() -> None:
    """Leave the library for these sources beside this file, for the image that is being built."""
    PREBUILT.mkdir(exist_ok=True)
    library.export(build(None), _prebuilt())
