"""A word on standard error while something takes long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

QUIET_S: Final = 1.0


@contextmanager
def progress(what: str, *, quiet_s: float = QUIET_S, tell_every_s: float = 1.0) -> Iterator[None]:
    """Say `what` is being done once it takes longer than `quiet_s`; on a terminal, for how long."""
    done = threading.Event()
    teller = threading.Thread(target=_tell, args=(what, done, quiet_s, tell_every_s), daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _tell(what: str, done: threading.Event, quiet_s: float, tell_every_s: float) -> None:
    began_s = time.monotonic()
    if done.wait(quiet_s):
        return
    if not sys.stderr.isatty():
        print(f"ippolicy: {what}...", file=sys.stderr, flush=True)
        return
    while not done.wait(tell_every_s):
        taken_s = time.monotonic() - began_s
        print(f"\rippolicy: {what}... {taken_s:.0f} s", end="", file=sys.stderr, flush=True)
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
