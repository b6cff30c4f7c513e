"""Late starts and what EC2 answered as a few bytes, so that they outlive the process.

JSON in the frame of a checkpoint of demand (`ippolicy.decide.checkpoint`). Where all of it is too
much, the oldest late starts go, and with the last of them what nodes ran with then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from ippolicy.decide.checkpoint import framed, unframed
from ippolicy.decide.signals import Noted
from ippolicy.errors import CorruptCheckpoint

MAX_BYTES: Final = 64 * 2**10


def pack(noted: Noted, *, max_bytes: int = MAX_BYTES) -> bytes:
    """As much of `noted` as fits into `max_bytes`; nothing (b"") if not even the calls do."""
    late = noted.late
    while True:
        ran = noted.ran if late else ()
        packed = framed(msgspec.json.encode(replace(noted, late=late, ran=ran)))
        if len(packed) <= max_bytes:
            return packed
        if not late:
            return b""
        late = late[len(late) // 2 + 1 :]


def unpack(data: bytes) -> Noted:
    """What `pack` was given, or as much of it as fitted.

    Raises:
        CorruptCheckpoint: these are not the bytes that were written.
        NewerCheckpoint: they are whole, but of a version that is not known here.
    """
    try:
        return msgspec.json.decode(unframed(data), type=Noted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptCheckpoint(f"its signals cannot be read ({error})") from error
