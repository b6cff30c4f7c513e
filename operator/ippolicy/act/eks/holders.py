"""Who besides EKS holds what an update of the add-on would set, and what EKS is to do about it.

EKS applies the add-on by server-side apply, as manager `eks`. Of fields that others hold with other
values it either keeps theirs (PRESERVE), or takes every one of them (OVERWRITE), not single keys:

    wanted entry        other values of others   done
    -----------------   ----------------------   ------------------------------------------------
    EKS's, nobody's,    any                      PRESERVE: what others set stays
    or as wanted
    another's           any, no takeOver         refused and named: PRESERVE would set nothing
    another's           none, and takeOver       OVERWRITE
    another's           some, and takeOver       refused and named: OVERWRITE would take those, too
    from a valueFrom    any                      refused and named
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ippolicy.act.eks.client import Resolve
from ippolicy.act.live import Live, Wanted, literal
from ippolicy.act.ownership import conflict_error
from ippolicy.errors import FieldConflict
from ippolicy.facts.daemonset import CONTAINER
from ippolicy.facts.managers import ManagerKind, manager_kind

_Path = tuple[str, ...]
_ENV: _Path = (
    "f:template",
    "f:spec",
    "f:containers",
    f'k:{{"name":"{CONTAINER}"}}',
    "f:env",
)
# Notes of a controller or of `kubectl rollout restart`, which EKS has no say in.
_IGNORED = ("f:name", "f:annotations", ".")


def resolution(live: Live, wanted: Wanted, take_over: Collection[str]) -> Resolve:
    """What EKS is to do about fields of others so that the wanted values take effect.

    Raises:
        FieldConflict: names who holds what stands in the way.
    """
    foreign = {
        key: others(live, key) for key, value in wanted.items() if _differs(live, key, value)
    }
    foreign = {key: holders for key, holders in foreign.items() if holders}
    elsewhere = [key for key in wanted if (entry := live.entry(key)) and entry.source is not None]
    refused = {key: ", ".join(foreign[key]) for key in foreign if key not in take_over}
    refused |= {key: ", ".join(live.value_holders(key)) or "valueFrom" for key in elsewhere}
    if refused:
        raise conflict_error(live.facts.ref, refused, elsewhere=elsewhere)
    if not foreign:
        return Resolve.PRESERVE
    besides = _besides(live, foreign)
    if besides:
        first = sorted(besides.items(), key=lambda one: (".env." not in one[0], one))[:3]
        named = ", ".join(f"{path} of {manager}" for path, manager in first)
        raise FieldConflict(
            f"DaemonSet {live.facts.ref}: to take {', '.join(sorted(foreign))} EKS would overwrite "
            f"all that others set, {len(besides)} fields, among them {named}: move these into the "
            "add-on's configurationValues, or set spec.apply.method to DaemonSet",
            owners={key: ", ".join(holders) for key, holders in foreign.items()},
        )
    return Resolve.OVERWRITE


def others(live: Live, key: str) -> tuple[str, ...]:
    """The managers besides EKS and us that hold the value of an entry."""
    return tuple(
        manager
        for manager in live.value_holders(key)
        if manager_kind(manager) is not ManagerKind.EKS
    )


def _differs(live: Live, key: str, wanted: str | None) -> bool:
    return live.entry(key) != literal(wanted)


def _besides(live: Live, taken: Collection[str]) -> dict[str, str]:
    """Field -> manager for fields of the spec that neither EKS, nor we, nor `taken` have part in.

    What EKS holds as well has its value already.
    """
    eks: set[_Path] = set()
    theirs: dict[_Path, str] = {}
    for entry in live.managed_fields:
        leaves = set(_leaves((entry.get("fieldsV1") or {}).get("f:spec") or {}))
        kind = manager_kind(entry.get("manager", ""), entry.get("operation", ""))
        if kind is ManagerKind.EKS:
            eks |= leaves
        elif kind is not ManagerKind.OPERATOR and not entry.get("subresource"):
            theirs |= dict.fromkeys(leaves, entry.get("manager", ""))
    env = {(*_ENV, f'k:{{"name":"{key}"}}') for key in taken}
    return {
        _shown(path): manager
        for path, manager in theirs.items()
        if path not in eks and path[: len(_ENV) + 1] not in env
    }


def _leaves(fields: Mapping[str, Any], path: _Path = ()) -> Iterator[_Path]:
    for name, inner in fields.items():
        if name in _IGNORED:
            continue
        below = list(_leaves(inner, (*path, name)))
        yield from below or [(*path, name)]


def _shown(path: _Path) -> str:
    return ".".join(("spec", *(step.removeprefix("f:").removeprefix("k:") for step in path)))
