"""A DaemonSet as just read: its facts, and who holds which part of each env entry.

`DaemonSetFacts.owners` says who is to be named to a person. To write safely more must be known,
since server-side apply removes an entry that we once named and leave out next time, together with
a value that somebody else put there by an ordinary update: such a writer holds the value alone, and
the entry is still ours. So each claim says whether it covers the value or only the name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ippolicy.facts import DaemonSetFacts, EnvEntry, read_daemon_set
from ippolicy.facts.daemonset import FIELD_MANAGER, holds_value, owned_env
from ippolicy.facts.managers import BEFORE_FIRST_APPLY

_MAX_UNAVAILABLE = ("f:spec", "f:updateStrategy", "f:rollingUpdate", "f:maxUnavailable")

Wanted = Mapping[str, str | None]
"""Env key -> the value that is wanted there, None for no entry."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One manager's hold on an env entry: on its value (or valueFrom), or on no more than its name.

    `ours` is true for what this operator applied.
    """

    manager: str
    ours: bool
    value: bool


@dataclass(frozen=True, slots=True)
class Live:
    """A DaemonSet as just read; `claims` maps env key -> claims on that entry of aws-node."""

    facts: DaemonSetFacts
    claims: Mapping[str, tuple[Claim, ...]]
    managed_fields: tuple[Mapping[str, Any], ...]

    def entry(self, key: str) -> EnvEntry | None:
        """The env entry as it is, None when absent."""
        return self.facts.env.get(key)

    def value_is_ours(self, key: str) -> bool:
        """Whether the value in force is the one that we applied last."""
        return any(claim.ours and claim.value for claim in self.claims.get(key, ()))

    def named_by_us(self, key: str) -> bool:
        """Whether we hold any part of the entry, so that leaving it out would touch it."""
        return any(claim.ours for claim in self.claims.get(key, ()))

    def value_holders(self, key: str) -> tuple[str, ...]:
        """The managers other than us that hold the value."""
        return tuple(c.manager for c in self.claims.get(key, ()) if c.value and not c.ours)

    def has(self, wanted: Wanted) -> bool:
        """Whether each of the wanted values is in force as a literal, or absent for None."""
        return all(self.entry(key) == literal(value) for key, value in wanted.items())

    @property
    def holds_max_unavailable(self) -> bool:
        """Whether updateStrategy.rollingUpdate.maxUnavailable is what we set."""
        at: Any = next((e.get("fieldsV1") or {} for e in self.managed_fields if _is_ours(e)), {})
        for step in _MAX_UNAVAILABLE:
            at = at.get(step)
            if at is None:
                return False
        return True

    @property
    def holds_anything(self) -> bool:
        """Whether managedFields name us at all."""
        return any(_is_ours(entry) for entry in self.managed_fields)

    def managed_fields_without_ours(self) -> list[Mapping[str, Any]]:
        """The managedFields that are left when we let go of everything.

        An empty list would be taken for a client that does not know the field, and be ignored; a
        list of one empty entry is how the API server is told to forget.
        """
        return [entry for entry in self.managed_fields if not _is_ours(entry)] or [{}]

    def managed_fields_without_strategy(self) -> list[Mapping[str, Any]]:
        """The managedFields that are left when we let go of all but the template."""
        return [_without_strategy(e) if _is_ours(e) else e for e in self.managed_fields]


def _without_strategy(entry: Mapping[str, Any]) -> dict[str, Any]:
    fields = entry["fieldsV1"]
    spec = {key: inner for key, inner in fields["f:spec"].items() if key != _MAX_UNAVAILABLE[1]}
    return {**entry, "fieldsV1": {**fields, "f:spec": spec}}


def literal(value: str | None) -> EnvEntry | None:
    """The env entry with this literal, None for absent."""
    return None if value is None else EnvEntry(value)


def read_live(raw: Mapping[str, Any], *, read_at_s: float) -> Live:
    """A raw apps/v1 DaemonSet object, with the claims in its managedFields."""
    facts = read_daemon_set(raw, read_at_s=read_at_s)
    managed_fields = tuple(raw["metadata"].get("managedFields") or ())
    claims = _claims(managed_fields) if managed_fields else _claims_before_first_apply(facts)
    return Live(facts=facts, claims=claims, managed_fields=managed_fields)


def _is_ours(entry: Mapping[str, Any]) -> bool:
    return (
        entry.get("manager") == FIELD_MANAGER
        and entry.get("operation") == "Apply"
        and not entry.get("subresource")
    )


def _claims(managed_fields: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Claim, ...]]:
    claims: dict[str, tuple[Claim, ...]] = {}
    for entry in managed_fields:
        if entry.get("subresource"):
            continue
        for key, fields in owned_env(entry.get("fieldsV1") or {}):
            claim = Claim(
                manager=entry.get("manager", ""), ours=_is_ours(entry), value=holds_value(fields)
            )
            claims[key] = (*claims.get(key, ()), claim)
    return claims


def _claims_before_first_apply(facts: DaemonSetFacts) -> dict[str, tuple[Claim, ...]]:
    claim = Claim(manager=BEFORE_FIRST_APPLY, ours=False, value=True)
    return dict.fromkeys(facts.env, (claim,))
