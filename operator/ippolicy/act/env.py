"""The only way to env entries that may be written, and the traps that it refuses.

aws-node reads its environment once, at start, on every node alike: a bad combination takes down
the start of pods on the whole cluster. So the whole resulting environment is judged, not the
change, whoever asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ippolicy.act.live import Live
from ippolicy.api import EnvKey
from ippolicy.errors import ActError
from ippolicy.facts import EnvEntry
from ippolicy.ipamd import PoolSettings, check_entry_point

TARGET_KEYS = frozenset(key.value for key in EnvKey)

_COUNT = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_PREFIX_DELEGATION = "ENABLE_PREFIX_DELEGATION"


def env_patch(live: Live, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
    """Env entries of one server-side apply that puts the wanted values in force.

    `wanted` maps env key -> value. What we named before is named again, since an apply takes back
    all that it no longer names; what others hold with the very value that is wanted is not named.

    Raises:
        ActError: a key is not a warm target, a value is not a count, or the resulting environment
            has MINIMUM_IP_TARGET without WARM_IP_TARGET.
        EntryPointRefused: the container's entry point would exit 1 with the resulting environment.
    """
    _check_values(wanted)
    result = dict(live.facts.env) | {key: EnvEntry(value) for key, value in wanted.items()}
    _check_start(result)
    _check_growth(result)
    entries: dict[str, dict[str, Any]] = {}
    for key in _in_order(live, wanted):
        if key in wanted and not _is_theirs(live, key, wanted[key]):
            entries[key] = {"name": key, "value": wanted[key]}
        elif live.named_by_us(key):
            entries[key] = as_it_is(live, key)
    return list(entries.values())


def restoring_patch(live: Live, originals: Mapping[str, EnvEntry | None]) -> list[dict[str, Any]]:
    """Env entries of one server-side apply that puts these originals back, None for absent.

    Originals are the user's own and are not judged, but for one thing: no environment is written
    with which aws-node could not start.

    Raises:
        EntryPointRefused: the container's entry point would exit 1 with the resulting environment.
    """
    result = dict(live.facts.env)
    entries: list[dict[str, Any]] = []
    for key in _in_order(live, originals):
        if key not in originals:
            if live.named_by_us(key):
                entries.append(as_it_is(live, key))
            continue
        original = originals[key]
        if original is None:
            result.pop(key, None)
        else:
            result[key] = original
            entries.append(_entry(key, original))
    _check_start(result)
    return entries


def as_it_is(live: Live, key: str) -> dict[str, Any]:
    """The entry that keeps our hold on `key` and changes nothing about it."""
    entry = live.entry(key)
    return _entry(key, entry) if entry is not None and live.value_is_ours(key) else {"name": key}


def _entry(key: str, entry: EnvEntry) -> dict[str, Any]:
    if entry.source is not None:
        return {"name": key, "valueFrom": dict(entry.source)}
    return {"name": key, "value": entry.value}


def _is_theirs(live: Live, key: str, value: str) -> bool:
    """Whether others alone already hold the very value that is wanted."""
    in_force = live.entry(key) == EnvEntry(value)
    return in_force and bool(live.value_holders(key)) and not live.value_is_ours(key)


def _in_order(live: Live, keys: Mapping[str, Any]) -> list[str]:
    """All keys in the order of the live env, new ones last: an apply reorders what it names, and a
    template that differs in nothing else would still restart every aws-node."""
    return [*live.facts.env, *sorted(set(keys) - set(live.facts.env))]


def _check_values(wanted: Mapping[str, str]) -> None:
    for key, value in wanted.items():
        if key not in TARGET_KEYS:
            known = ", ".join(sorted(TARGET_KEYS))
            raise ActError(f"{key} is not a warm target: only {known} are written")
        if not _COUNT.fullmatch(value):
            raise ActError(f"{key}={value!r} is not a count: only whole numbers from 0 are written")


def _check_start(result: Mapping[str, EnvEntry]) -> None:
    env = _literals(result)
    check_entry_point(env)
    flag = result.get(_PREFIX_DELEGATION)
    if flag is not None and flag.value is None:  # it may be on: nobody here can tell
        check_entry_point(env | {_PREFIX_DELEGATION: "true"})


def _check_growth(result: Mapping[str, EnvEntry]) -> None:
    targets = PoolSettings.from_env(_literals(result)).targets
    if targets.minimum_ip > 0 and targets.warm_ip == 0:
        raise ActError(
            f"MINIMUM_IP_TARGET={targets.minimum_ip} without WARM_IP_TARGET would leave pods above "
            "it without addresses for ever: set WARM_IP_TARGET to at least 1"
        )


def _literals(env: Mapping[str, EnvEntry]) -> dict[str, str]:
    return {key: entry.value for key, entry in env.items() if entry.value is not None}
