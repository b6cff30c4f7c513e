"""The loop that carries facts through the rooms: observe, decide, act, account."""

from __future__ import annotations

from ippolicy.engine.operator import Operator

__all__ = ["Operator"]
