"""A table as the JSON that is kept on the cluster: all operators answer by it, whoever made it, and
revisions go on after a restart.

    {"version": 1, "policy": "default",
     "groups": {"web": {"revision": 3, "warmIP": 2, "minimumIP": 10, ...}},
     "families": {...}, "fleet": {...} or null}
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ippolicy.admission.tables import GroupTargets, PolicyTable
from ippolicy.ipamd import WarmTargets

VERSION = 1


class _Row(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    revision: int
    warm_eni: int = msgspec.field(name="warmENI")
    warm_ip: int = msgspec.field(name="warmIP")
    minimum_ip: int = msgspec.field(name="minimumIP")
    warm_prefix: int


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    policy: str
    groups: dict[str, _Row]
    families: dict[str, _Row]
    fleet: _Row | None


def write_table(table: PolicyTable) -> str:
    """The table as text, the same for the same table."""
    document = _Document(
        VERSION,
        table.policy,
        _rows(table.groups),
        _rows(table.families),
        _row(table.fleet) if table.fleet is not None else None,
    )
    return msgspec.json.encode(document, order="sorted").decode()


def read_table(text: str) -> PolicyTable:
    """The table that `write_table` wrote.

    Raises:
        ValueError: the text is something else, or of a newer operator.
    """
    try:
        document = msgspec.json.decode(text, type=_Document)
    except msgspec.DecodeError as error:
        raise ValueError(f"it is no table of targets: {error}") from error
    if document.version != VERSION:
        raise ValueError(f"it is of version {document.version}, and {VERSION} is known here")
    return PolicyTable(
        document.policy,
        groups=_targets(document.groups),
        families=_targets(document.families),
        fleet=_target(document.fleet) if document.fleet is not None else None,
    )


def _rows(targets: Mapping[str, GroupTargets]) -> dict[str, _Row]:
    return {name: _row(each) for name, each in targets.items()}


def _row(each: GroupTargets) -> _Row:
    targets = each.targets
    return _Row(
        each.revision, targets.warm_eni, targets.warm_ip, targets.minimum_ip, targets.warm_prefix
    )


def _targets(rows: Mapping[str, _Row]) -> dict[str, GroupTargets]:
    return {name: _target(row) for name, row in rows.items()}


def _target(row: _Row) -> GroupTargets:
    targets = WarmTargets(row.warm_eni, row.warm_ip, row.minimum_ip, row.warm_prefix)
    return GroupTargets(targets, row.revision)
