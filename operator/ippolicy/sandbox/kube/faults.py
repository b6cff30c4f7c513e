"""Faults to order: what the API does wrong, to whom, and how often."""

from __future__ import annotations

import fnmatch
import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One ordered failure.

    `match` is (verb, resource, address), each a shell pattern, missing ones matching all:
    `("patch", "daemonsets", "kube-system/aws-node")`, `("update", "pods/status")`, `("watch",)`.
    A matching request waits `delay_s`, then is answered with `status` (and Retry-After), with
    `garbage` bytes under 200, with a closed connection, or never (`hang`); with none of these it
    is carried out. `times` is how many requests are hit, None for all until removed.
    """

    match: tuple[str, ...] = ()
    status: int | None = None
    message: str = "injected fault"
    retry_after_s: int | None = None
    delay_s: float = 0.0
    garbage: bytes | None = None
    drop_connection: bool = False
    hang: bool = False
    times: int | None = None

    def hits(self, verb: str, resource: str, address: str) -> bool:
        """Whether a request is meant."""
        actual = (verb, resource, address)
        return all(fnmatch.fnmatchcase(a, p) for a, p in zip(actual, self.match, strict=False))


class Faults:
    """The faults in force; all methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, int | None]] = []
        self.hold_bookmarks = False

    def add(self, *faults: Fault) -> None:
        """Put faults in force; the first that matches a request is the one it meets."""
        with self._lock:
            self._faults += [(fault, fault.times) for fault in faults]

    def remove(self, fault: Fault) -> None:
        """Take a fault back; one that was used up is no error."""
        with self._lock:
            self._faults = [pair for pair in self._faults if pair[0] is not fault]

    def clear(self) -> None:
        """Take all faults back."""
        with self._lock:
            self._faults.clear()
            self.hold_bookmarks = False

    def take(self, verb: str, resource: str, address: str) -> Fault | None:
        """The fault that a request meets, counted as used."""
        with self._lock:
            for index, (fault, left) in enumerate(self._faults):
                if not fault.hits(verb, resource, address):
                    continue
                if left is not None and left <= 1:
                    del self._faults[index]
                elif left is not None:
                    self._faults[index] = (fault, left - 1)
                return fault
            return None
