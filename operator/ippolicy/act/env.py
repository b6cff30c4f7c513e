"""The only way to env entries that may be written, and the traps that it refuses.

aws-node reads its environment once, at start, on every node alike: a bad combination takes down
the start of pods on the whole cluster. So the whole resulting environment is judged, not the
change, whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ippolicy.act.live import Live, Wanted
from ippolicy.decide.safe_env import check_growth, check_start, check_values
from ippolicy.facts import EnvEntry


def env_patch(live: Live, wanted: Wanted) -> list[dict[str, Any]]:
    """Env entries of one server-side apply that puts the wanted values in force.

    `wanted` maps env key -> value, None for removed. What we named before is named again, since an
    apply takes back all that it no longer names: so an entry of ours goes. What others hold with
    the very value that is wanted is not named.

    Raises:
        ActError: a key is not a warm target, a value is not a count, or the resulting environment
            has MINIMUM_IP_TARGET without WARM_IP_TARGET.
        EntryPointRefused: the container's entry point would exit 1 with the resulting environment.
    """
    check_result(live, wanted)
    entries: dict[str, dict[str, Any]] = {}
    for key in _in_order(live, wanted):
        value = wanted.get(key)
        if value is not None and not _is_theirs(live, key, value):
            entries[key] = {"name": key, "value": value}
        elif live.named_by_us(key) and (value is not None or key not in wanted):
            entries[key] = as_it_is(live, key)
    return list(entries.values())


def check_result(live: Live, wanted: Wanted) -> None:
    """Refuse values with which aws-node would not start, or leave pods without addresses.

    Raises:
        ActError, EntryPointRefused: as `env_patch`.
    """
    check_values(wanted)
    result = dict(live.facts.env)
    for key, value in wanted.items():
        result.pop(key, None)
        if value is not None:
            result[key] = EnvEntry(value)
    check_start(result)
    check_growth(result)


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
    check_start(result)
    return entries


def kept_entries(live: Live) -> list[dict[str, Any]]:
    """Env entries of one server-side apply that changes none of them."""
    return [as_it_is(live, key) for key in live.facts.env if live.named_by_us(key)]


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
