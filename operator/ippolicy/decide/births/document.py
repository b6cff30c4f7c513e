"""A table as the JSON that is kept on the cluster: all operators answer by it, whoever made it, and
trials, restarts and revisions go on after a restart.

    {"version": 2, "policy": "default",
     "groups": {"web": {"revision": 3, "warmIP": 2, "minimumIP": 10, ...}},
     "families": {...}, "fleet": {...} or null,
     "trials": {"batch": {"targets": {...}, "stage": "Canary", "sinceS": 1.0, "nodes": [...], ...}},
     "refused": {"batch": [{"targets": {...}, "untilS": 1.0, "times": 1, ...}]},
     "restarts": {"node-1": {"uid": "...", "digest": "...", "atS": 1.0, "times": 1}}}

Version 1, which knew no trials, is read as proven targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import TypeVar

import msgspec
import msgspec.structs

from ippolicy.decide.births.table import (
    Grounds,
    GroupTargets,
    PolicyTable,
    Refused,
    Restart,
    Stage,
    Trial,
)
from ippolicy.decide.types import Proof
from ippolicy.facts import Forecast
from ippolicy.ipamd import WarmTargets

VERSION = 2
_READABLE = (1, 2)

_A = TypeVar("_A")
_B = TypeVar("_B")


class _Part(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Part of a document."""


class _Row(_Part, frozen=True):
    revision: int
    warm_eni: int = msgspec.field(name="warmENI")
    warm_ip: int = msgspec.field(name="warmIP")
    minimum_ip: int = msgspec.field(name="minimumIP")
    warm_prefix: int


class _Forecast(_Part, frozen=True):
    held: float
    held_low: float
    held_high: float
    delayed_share: float | None = None
    ec2_calls_per_minute: float | None = None


class _Grounds(_Part, frozen=True):
    begun_s: float = 0.0
    reason: str = ""
    before: dict[str, str | None] = msgspec.field(default_factory=dict)
    basis: str = ""
    binding: str = ""
    rejected: tuple[str, ...] = ()
    present: _Forecast | None = None
    predicted: _Forecast | None = None


class _Trial(_Part, frozen=True):
    targets: _Row
    stage: Stage
    since_s: float
    nodes: tuple[str, ...] = ()
    grounds: _Grounds = _Grounds()
    urgent: bool = False


class _Refused(_Part, frozen=True):
    targets: _Row
    until_s: float
    times: int
    basis: str
    cause: str


class _Restart(_Part, frozen=True):
    uid: str
    digest: str
    at_s: float
    times: int


class _Document(_Part, frozen=True):
    version: int
    policy: str
    groups: dict[str, _Row]
    families: dict[str, _Row]
    fleet: _Row | None
    trials: dict[str, _Trial] = msgspec.field(default_factory=dict)
    refused: dict[str, tuple[_Refused, ...]] = msgspec.field(default_factory=dict)
    restarts: dict[str, _Restart] = msgspec.field(default_factory=dict)
    since_s: float = 0.0
    loans: dict[str, _Row] = msgspec.field(default_factory=dict)


def write_table(table: PolicyTable) -> str:
    """The table as text, the same for the same table."""
    document = _Document(
        version=VERSION,
        policy=table.policy,
        groups=_each(_row, table.groups),
        families=_each(_row, table.families),
        fleet=_row(table.fleet) if table.fleet is not None else None,
        trials=_each(_trial_row, table.trials),
        refused={name: tuple(map(_refused_row, kept)) for name, kept in table.refused.items()},
        restarts=_each(_restart_row, table.restarts),
        since_s=table.since_s,
        loans=_each(_row, table.loans),
    )
    # Seconds and addresses that are whole numbers are to read as what they are read back as.
    whole = msgspec.json.decode(msgspec.json.encode(document), type=_Document)
    return msgspec.json.encode(whole, order="sorted").decode()


def read_table(text: str) -> PolicyTable:
    """The table that `write_table` wrote.

    Raises:
        ValueError: the text is something else, or of a newer operator.
    """
    try:
        document = msgspec.json.decode(text, type=_Document)
    except msgspec.DecodeError as error:
        raise ValueError(f"it is no table of targets: {error}") from error
    if document.version not in _READABLE:
        raise ValueError(f"it is of version {document.version}, and {VERSION} is known here")
    return PolicyTable(
        document.policy,
        groups=_each(_targets, document.groups),
        families=_each(_targets, document.families),
        fleet=_targets(document.fleet) if document.fleet is not None else None,
        trials=_each(_trial, document.trials),
        refused={name: tuple(map(_refused, kept)) for name, kept in document.refused.items()},
        restarts=_each(_restart, document.restarts),
        since_s=document.since_s,
        loans=_each(_targets, document.loans),
    )


def _each(made_of: Callable[[_A], _B], known: Mapping[str, _A]) -> dict[str, _B]:
    return {name: made_of(one) for name, one in known.items()}


def _row(each: GroupTargets) -> _Row:
    targets = each.targets
    return _Row(
        each.revision, targets.warm_eni, targets.warm_ip, targets.minimum_ip, targets.warm_prefix
    )


def _targets(row: _Row) -> GroupTargets:
    targets = WarmTargets(row.warm_eni, row.warm_ip, row.minimum_ip, row.warm_prefix)
    return GroupTargets(targets, row.revision)


def _trial_row(one: Trial) -> _Trial:
    grounds = _grounds_row(one.grounds)
    return _Trial(_row(one.targets), one.stage, one.since_s, one.nodes, grounds, one.urgent)


def _trial(row: _Trial) -> Trial:
    targets, grounds = _targets(row.targets), _grounds(row.grounds)
    return Trial(targets, row.stage, row.since_s, row.nodes, grounds, row.urgent)


def _grounds_row(one: Grounds) -> _Grounds:
    proof = one.proof
    return _Grounds(
        one.begun_s,
        one.reason,
        dict(sorted(one.before.items())),
        proof.basis,
        proof.binding,
        proof.rejected,
        _forecast_row(proof.present),
        _forecast_row(proof.predicted),
    )


def _grounds(row: _Grounds) -> Grounds:
    proof = Proof(
        row.basis,
        row.binding,
        row.rejected,
        _forecast(row.present),
        _forecast(row.predicted),
    )
    return Grounds(row.begun_s, row.reason, row.before, proof)


def _forecast_row(one: Forecast | None) -> _Forecast | None:
    return _Forecast(*astuple(one)) if one is not None else None


def _forecast(row: _Forecast | None) -> Forecast | None:
    return Forecast(*msgspec.structs.astuple(row)) if row is not None else None


def _refused_row(one: Refused) -> _Refused:
    return _Refused(_row(one.targets), one.until_s, one.times, one.basis, one.cause)


def _refused(row: _Refused) -> Refused:
    return Refused(_targets(row.targets), row.until_s, row.times, row.basis, row.cause)


def _restart_row(one: Restart) -> _Restart:
    return _Restart(one.uid, one.digest, one.at_s, one.times)


def _restart(row: _Restart) -> Restart:
    return Restart(row.uid, row.digest, row.at_s, row.times)
