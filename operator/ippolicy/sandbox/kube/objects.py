"""What every part of the embedded API says about a JSON object."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

# A JSON value: its shape is only known to the schema of its kind, so it stays dynamic here.
Json: TypeAlias = Any
Object: TypeAlias = dict[str, Json]
Clock: TypeAlias = Callable[[], dt.datetime]

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode(value: Json) -> bytes:
    """The value as compact JSON."""
    return _encoder.encode(value)


def decode(data: bytes) -> Json:
    """The JSON value in `data`; raises `msgspec.DecodeError` where it is not JSON."""
    return _decoder.decode(data)


def clone(value: Json) -> Json:
    """A deep copy, so that objects in the store are never changed in place."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def dig(value: Json, *names: str) -> Json:
    """The value below nested maps, or None where one of them is missing."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def without(value: Object, *names: str) -> Object:
    """A shallow copy of a map without some of its keys."""
    return {key: item for key, item in value.items() if key not in names}


def utc_now() -> dt.datetime:
    """The real time, in UTC."""
    return dt.datetime.now(dt.UTC)


def stamp(moment: dt.datetime) -> str:
    """A moment as Kubernetes writes metav1.Time: whole seconds, in UTC."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
