"""How large anything in a bundle may be: whatever is loaded is decided on, so it must not be able
to take memory or time without end.

Every number, text and collection has the limits of its kind. Those that memory and time grow with
have narrower ones of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

import numpy as np

from ippolicy.errors import InvalidBundle
from ippolicy.facts import InstanceLimits, NodeFacts, NodeTrace
from ippolicy.ipamd import PoolSettings

MAX_BYTES: Final = 256 * 1024 * 1024
MAX_NUMBERS: Final = 40_000_000  # in arrays: an event has two
_MAX_NUMBER: Final = 1e19  # ipamd reads integers of 64 bits
_MAX_TEXT: Final = 2_048
_MAX_BITS_BYTES: Final = 2**16  # of the largest subnet, a /16, bits take 2**13
_MAX_ITEMS: Final = 100_000
_MAX_NODE_DAYS: Final = 500_000
_MAX_SPAN_S: Final = 100 * 86_400.0
_DAY_S: Final = 86_400.0
_MAX_LEVEL: Final = 100_000

_RANGES: Final[Mapping[tuple[type, str], tuple[int, int]]] = {
    (InstanceLimits, "enis"): (0, 1_000),
    (InstanceLimits, "addresses_per_eni"): (0, 1_000),
    (NodeFacts, "max_pods"): (0, _MAX_LEVEL),
    (NodeTrace, "level"): (0, _MAX_LEVEL),
    (NodeTrace, "weight"): (1, 10**9),
    (PoolSettings, "cooldown_s"): (0, 10**9),
}


def check_limits(bundle: Any) -> None:
    """Look at every field of a bundle.

    Raises:
        InvalidBundle: the first that is beyond its limits, by its path.
    """
    _check(bundle, "$")
    node_days = sum(1 + trace.span_s / _DAY_S for trace in bundle.inputs.traces)
    if node_days > _MAX_NODE_DAYS:
        raise InvalidBundle(
            f"bundle: {node_days:.0f} node days are beyond the limit of {_MAX_NODE_DAYS}: shorten "
            "spec.demand.window"
        )


def _check(value: Any, path: str) -> None:
    problem = _problem(value)
    if problem is not None:
        raise InvalidBundle(f"bundle: {path} {problem}")
    if is_dataclass(value):
        for field in fields(value):
            inner, where = getattr(value, field.name), f"{path}.{field.name}"
            low, high = _RANGES.get((type(value), field.name), (-_MAX_NUMBER, _MAX_NUMBER))
            if isinstance(inner, int | float) and not low <= inner <= high:
                raise InvalidBundle(f"bundle: {where} {inner} is not from {low} to {high}")
            _check(inner, where)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _check(key, path)
            _check(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple | frozenset):
        for number, inner in enumerate(value):
            _check(inner, f"{path}[{number}]")


def _problem(value: Any) -> str | None:
    """What is wrong with a value by its kind."""
    for kinds, problem in _PROBLEMS:
        if isinstance(value, kinds):
            return problem(value)
    return None


def _of_number(value: float) -> str | None:
    if math.isfinite(value) and abs(value) <= _MAX_NUMBER:
        return None
    return f"{value} is not a number up to {_MAX_NUMBER:g}"


def _of_text(value: str) -> str | None:
    return f"has more than {_MAX_TEXT} characters" if len(value) > _MAX_TEXT else None


def _of_bytes(value: bytes) -> str | None:
    return f"has more than {_MAX_BITS_BYTES} bytes" if len(value) > _MAX_BITS_BYTES else None


def _of_items(value: Any) -> str | None:
    return f"has more than {_MAX_ITEMS} items" if len(value) > _MAX_ITEMS else None


def _of_trace(trace: NodeTrace) -> str | None:
    times, changes = trace.times_s, trace.changes
    for holds, problem in (
        (0 <= trace.span_s <= _MAX_SPAN_S, f"spans more than {_MAX_SPAN_S:.0f} s"),
        (trace.since_s <= trace.until_s, "ends before it begins"),
        (times.ndim == changes.ndim == 1 and len(times) == len(changes), "lacks a time or change"),
        (bool(np.isfinite(times).all()), "has times that are no numbers"),
        (bool((np.diff(times) >= 0).all()), "has times that go back"),
        (bool((np.abs(changes) == 1).all()), "has changes other than +1 and -1"),
    ):
        if not holds:
            return f"({trace.node}) {problem}"
    peak = trace.level + int(np.cumsum(changes, dtype=np.int64).max(initial=0))
    return f"({trace.node}) has {peak} pods" if peak > _MAX_LEVEL else None


_PROBLEMS: Final[tuple[tuple[Any, Callable[[Any], str | None]], ...]] = (
    (str, _of_text),
    (bytes, _of_bytes),
    ((int, float), _of_number),
    (NodeTrace, _of_trace),
    ((Mapping, list, tuple, frozenset), _of_items),
)
