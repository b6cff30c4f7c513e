"""One stream of draws that the step-by-step model and the grid can both take their choices from.

Draw number n is a hash of (seed, n), SplitMix64 of Steele, Lea and Flood (2014). So a stream is one
64-bit number, and skipping k draws is one addition: the grid passes over thousands of vain
retries of waiting pods at no cost and still agrees with the model that walks through each.
"""

from __future__ import annotations

from random import Random
from typing import Final

import numpy as np

from ippolicy.ipamd.fast.state import I64, STREAM

STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_S11: Final = np.uint64(11)
_S27: Final = np.uint64(27)
_S30: Final = np.uint64(30)
_S31: Final = np.uint64(31)
_S32: Final = np.uint64(32)
_UNIT: Final = 2.0**-53
_WORD: Final = (1 << 64) - 1


def next_word(node: I64) -> np.uint64:
    """The next draw: 64 even bits."""
    word = np.uint64(node[STREAM]) + STEP
    node[STREAM] = np.int64(word)
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return word ^ (word >> _S31)


def draw_below(node: I64, limit: int) -> int:
    """One draw as an integer from 0 to `limit` - 1."""
    return int(np.float64(next_word(node) >> _S11) * _UNIT * limit)


def draw_hash(node: I64) -> int:
    """One draw as 32 bits, the hash of a new entry of a map."""
    return int(np.int64(next_word(node) >> _S32))


def skip_draws(node: I64, count: int) -> None:
    """Pass over `count` draws."""
    node[STREAM] = np.int64(np.uint64(node[STREAM]) + STEP * np.uint64(count))


def lane_seed(seed: int, node: int) -> int:
    """The seed of every lane of node number `node`: all settings share it, to compare fairly."""
    return LaneRandom((seed << 32) ^ node).getrandbits(64)


class LaneRandom(Random):
    """The same stream for the step-by-step model, which asks a `random.Random`."""

    def __new__(cls, seed: int = 0) -> LaneRandom:
        del seed  # the base class would seed its own generator, which is never asked
        return super().__new__(cls)

    def __init__(self, seed: int = 0) -> None:
        self._state = seed & _WORD
        super().__init__(0)

    def seed(self, *_: object) -> None:
        """Nothing: a stream is seeded once, when it is made."""

    def random(self) -> float:
        """A number from 0 up to, not including, 1."""
        return (self._next() >> 11) * _UNIT

    def getrandbits(self, k: int) -> int:
        """The upper `k` bits of one draw, at most 64."""
        return self._next() >> (64 - k)

    def _next(self) -> int:
        self._state = word = (self._state + int(STEP)) & _WORD
        word = ((word ^ (word >> 30)) * int(_MIX_1)) & _WORD
        word = ((word ^ (word >> 27)) * int(_MIX_2)) & _WORD
        return word ^ (word >> 31)
