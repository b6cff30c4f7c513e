"""What every writer can do, and what it finds, plans and answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from ippolicy.act.eks.client import Addon
from ippolicy.act.live import Live, Wanted
from ippolicy.decide.types import Decision
from ippolicy.facts import DaemonSetFacts, DaemonSetRef, EnvEntry, Record
from ippolicy.facts import Writer as WriterKind


@dataclass(frozen=True, slots=True)
class Found:
    """What is there to be written to: the DaemonSet, None when it is gone, and the add-on."""

    live: Live | None
    addon: Addon | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known right after a write: the DaemonSet then, or the update that goes on by itself.

    Exactly one of `live` and `update_id` is given.
    """

    live: Live | None = None
    update_id: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A write that was checked and not sent yet; `send` sends it, once, and may raise any ActError.

    `before` are the values where it writes, None for absent, and `originals` what is to be recorded
    before it is sent. Where they are not given, they are those of the DaemonSet. `max_unavailable`
    is what it was, where it is lowered meanwhile.
    """

    send: Callable[[], Sent]
    before: Mapping[str, str | None] | None = None
    originals: Mapping[str, EnvEntry | None] | None = None
    max_unavailable: str | None = None


@dataclass(frozen=True, slots=True)
class Undone:
    """What putting the originals back came to; `done` is false while it is under way."""

    done: bool
    message: str


class Writer(Protocol):
    """One way by which values reach aws-node. Every method may raise ActError."""

    kind: WriterKind

    def find(self, live: Live) -> Found:
        """What is there to be written to, beside the DaemonSet as just read."""
        ...

    def find_changed(self, ref: DaemonSetRef, daemon_set_uid: str) -> Found | None:
        """What was changed when the DaemonSet was the one with this uid; None when it is gone."""
        ...

    def in_force(self, found: Found, wanted: Wanted) -> bool:
        """Whether the wanted values are there already, where this writer puts them."""
        ...

    def plan(
        self, found: Found, decision: Decision, record: Record | None, take_over: Collection[str]
    ) -> Plan:
        """The write that puts the decided env in force, with all that can be checked checked."""
        ...

    def follow(
        self,
        ref: DaemonSetRef,
        record: Record,
        facts: DaemonSetFacts,
        *,
        now_s: float,
        may_write: bool,
    ) -> Record:
        """The record with its open change brought to where it has come.

        Nothing is written for it but by a policy that `may_write`.
        """
        ...

    def restore(self, found: Found, record: Record, *, now_s: float) -> Undone:
        """Put the originals back; to be called again until it is done."""
        ...

    def retain(self, found: Found, record: Record, *, now_s: float) -> str:
        """What stays in force when nothing is put back, in one line."""
        ...
