"""When a status is worth writing, and what of it.

Counters move at every pass; a status that followed them would make every watcher of the policy
busy and etcd large. So:

    what changed since it was last written                         it is written
    --------------------------------------------------------------  -------------------
    a condition's status or reason, the words of a message          at once
    targets, settings in force or their owners, changes, traps      at once
    which groups or subnets there are, kinds of nodes left out      at once
    a count, by more than a tenth and more than 5                   at once
    anything else: smaller moves, figures in messages, times        after `refresh_s`

A count is compared with the one last written, so that no value sits on an edge and flaps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NOISE_SHARE = 0.1
NOISE_COUNT = 5

_TIMES = frozenset({"observedTime", "lastTransitionTime", "readTime", "early", "likely", "late"})
_WORDS = frozenset(
    {"message", "places", "evidence", "observed", "subnetLeft", "fragmentation", "cni"}
)
_EXACT = frozenset({"targets", "lower", "upper", "uncapped", "observedGeneration"})
_IDENTITY = ("type", "name", "id", "key", "time")
_FIGURE = re.compile(r"\d+(?:\.\d+)?[a-z%]*(?:\d+[a-z]+)*")


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a person would care for the difference between two status documents."""
    return _differs("", old, new, exact=False)


def worth_writing(
    old: Mapping[str, Any], new: Mapping[str, Any], *, age_s: float, refresh_s: float
) -> bool:
    """Whether `new` is to be written over `old`, which was written `age_s` ago."""
    return changed(old, new) or (age_s >= refresh_s and old != new)


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch that makes `old` into `new`; {} when they are the same."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


def either(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Every field that either of two documents has; what is an object in one of them is one."""
    union = {**one, **other}
    for key in one.keys() & other.keys():
        inner = [each for each in (one[key], other[key]) if isinstance(each, Mapping)]
        if inner:
            union[key] = either(inner[0], inner[-1])
    return union


def patch_over_any(maybe: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch that makes `new` of any document with no other fields than `maybe`,
    whichever of them it has, and whatever is in them."""
    patch: dict[str, Any] = {key: None for key in maybe if key not in new}
    for key, value in new.items():
        before = maybe.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            patch[key] = patch_over_any(before, value)
        else:
            patch[key] = value
    return patch


def _differs(key: str, old: Any, new: Any, *, exact: bool) -> bool:
    exact = exact or key in _EXACT
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = (old.keys() | new.keys()) - _TIMES
        return any(_differs(k, old.get(k), new.get(k), exact=exact) for k in keys)
    if isinstance(old, list) and isinstance(new, list):
        return _differs(key, _by_identity(old), _by_identity(new), exact=exact)
    if exact:
        return bool(old != new)
    if isinstance(old, int) and isinstance(new, int):
        return abs(new - old) > max(NOISE_COUNT, NOISE_SHARE * abs(old))
    if key in _WORDS and isinstance(old, str) and isinstance(new, str):
        return _FIGURE.sub("#", old) != _FIGURE.sub("#", new)
    return bool(old != new)


def _by_identity(items: list[Any]) -> dict[Any, Any]:
    """A list as a mapping, so that the order of groups and subnets, which follows counts, is none
    of the difference."""
    return {_identity(index, item): item for index, item in enumerate(items)}


def _identity(index: int, item: Any) -> Any:
    if isinstance(item, Mapping):
        return next((item[key] for key in _IDENTITY if key in item), index)
    return index
