"""The histories of subnets as a few bytes, so that they outlive the process.

JSON in the frame of a checkpoint of demand (`ippolicy.decide.checkpoint`). Where all of it is too
much, what is fine goes first, then what is old: hours of two weeks are the last to go.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ippolicy.decide.checkpoint import framed, unframed
from ippolicy.decide.subnets.history import MOST_BUCKETS, Histories
from ippolicy.errors import CorruptCheckpoint

MAX_BYTES: Final = 256 * 2**10
_TEN_MINUTES_S: Final = 600.0
_HOUR_S: Final = 3_600.0
_TWO_WEEKS: Final = 14 * 24
_TRIED: Final = (
    (0.0, MOST_BUCKETS),
    (_TEN_MINUTES_S, MOST_BUCKETS),
    (_HOUR_S, MOST_BUCKETS),
    (_HOUR_S, _TWO_WEEKS),
)
"""The finest rung, and the buckets of each."""


def pack(histories: Histories, *, max_bytes: int = MAX_BYTES) -> bytes:
    """As much of `histories` as fits into `max_bytes`; nothing (b"") if not even two weeks do."""
    for finest_s, keep in _TRIED:
        packed = framed(msgspec.json.encode(histories.to_data(finest_s=finest_s, keep=keep)))
        if len(packed) <= max_bytes:
            return packed
    return b""


def unpack(data: bytes) -> Histories:
    """What `pack` was given, or as much of it as fitted.

    Raises:
        CorruptCheckpoint: these are not the bytes that were written.
        NewerCheckpoint: they are whole, but of a version that is not known here.
    """
    try:
        return Histories.from_data(msgspec.json.decode(unframed(data)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptCheckpoint(f"its table cannot be read ({error})") from error
