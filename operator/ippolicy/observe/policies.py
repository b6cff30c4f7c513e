"""The IPPolicy objects of the cluster, as they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from ippolicy.api import GROUP, PLURAL, VERSION
from ippolicy.observe.reflector import Kind, Reflector
from ippolicy.observe.settings import ObserveSettings
from ippolicy.observe.transport import Transport

PATH = f"/apis/{GROUP}/{VERSION}/{PLURAL}"


class _Metadata(msgspec.Struct):
    name: str
    uid: str
    resourceVersion: str  # noqa: N815  (the API's own name)


class _Object(msgspec.Struct):
    metadata: _Metadata


@dataclass(frozen=True, slots=True)
class RawPolicy:
    """An IPPolicy as the API server gave it; `raw` is not checked but for its metadata."""

    key: str
    uid: str
    resource_version: str
    raw: Mapping[str, Any]


def decode_policy(body: bytes) -> RawPolicy:
    """An object of the watch. Raises one of UNREADABLE on what is none."""
    found = _DECODER.decode(body).metadata
    return RawPolicy(found.name, found.uid, found.resourceVersion, msgspec.json.decode(body))


def policy_reflector(
    api: Transport,
    settings: ObserveSettings,
    *,
    take: Callable[[Mapping[str, Any]], None],
    forget: Callable[[str], None],
) -> Reflector[RawPolicy]:
    """Tells `take` of each policy that is there or changes, and `forget` of each that goes."""

    def changed(old: RawPolicy | None, new: RawPolicy | None, _at_s: float) -> None:
        if new is not None:
            take(new.raw)
        elif old is not None:
            forget(old.key)

    jitter = Random()  # noqa: S311  (no secret hangs on it)
    return Reflector(api, Kind(PATH, decode_policy), settings, changed, random=jitter)


_DECODER = msgspec.json.Decoder(_Object)
