"""The kernel as a shared library, for images that have no compiler and no numba in them.

`export` makes it where there are both, `load` calls it with nothing but ctypes: 140 KB instead of
the 190 MB that can make it, and ready at once. It needs the C library and its mathematics, and is
for any processor of the kind it was made on.
"""

from __future__ import annotations

import ctypes
import platform
import subprocess
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

SYMBOL: Final = "replay_lanes"
LINKER: Final = "ld"  # of binutils


def file_name(fingerprint: str) -> str:
    """What the library made of these sources is called on a machine of this kind."""
    return f"replay-{fingerprint}-{platform.machine()}.so"


def export(compiled: Any, path: Path) -> None:
    """Write what numba has `compiled` to `path`, as one function without any of Python.

    Raises:
        FileNotFoundError: there is no linker.
        subprocess.CalledProcessError: it failed; what it said went to stderr.
    """
    binding: Any = import_module("llvmlite.binding")
    (result,) = compiled.overloads.values()
    module = binding.parse_assembly(result.library.get_llvm_str())
    module.get_function(result.fndesc.llvm_func_name).name = SYMBOL
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != SYMBOL:
            value.linkage = "internal"
    machine = binding.Target.from_triple(module.triple).create_target_machine(
        cpu="generic", features="", opt=3, reloc="pic", codemodel="default"
    )
    passes = binding.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()  # the ways in from Python
    passes.run(module, binding.create_pass_builder(machine, binding.PipelineTuningOptions()))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "replay.o"
        made.write_bytes(machine.emit_object(module))
        subprocess.run(  # noqa: S603  (fixed words and paths of ours)
            [LINKER, "-shared", "-o", str(path), str(made)], check=True
        )


def load(path: Path) -> Callable[..., None]:
    """The kernel of a library that `export` made. It runs without the interpreter's lock.

    Raises:
        OSError: it is not a library for this machine.
    """
    function = ctypes.CDLL(str(path))[SYMBOL]
    function.restype = ctypes.c_int

    def kernel(*arrays: NDArray[Any]) -> None:
        unused = ctypes.c_void_p()  # where a result and an exception would go: it has neither
        function(
            ctypes.byref(unused),
            ctypes.byref(unused),
            *(word for array in arrays for word in _words(array)),
        )

    return kernel


def _words(array: NDArray[Any]) -> list[ctypes.c_int64]:
    """An array as numba's functions take it: no owner, then its items and how they lie."""
    if not array.flags.carray:
        raise TypeError("the kernel takes arrays that are contiguous, aligned and writeable")
    numbers = (0, 0, array.size, array.itemsize, array.ctypes.data, *array.shape, *array.strides)
    return [ctypes.c_int64(number) for number in numbers]
