"""Which policies there are, and which of them acts on which DaemonSet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ippolicy.api import FINALIZER, IPPolicy, Method
from ippolicy.errors import InvalidPolicy
from ippolicy.facts import DaemonSetRef, SubnetSelection


@dataclass(frozen=True, slots=True)
class Standing:
    """A policy, its DaemonSet, and the older policy that acts on it instead, if there is one."""

    policy: IPPolicy
    ref: DaemonSetRef
    rival: str | None


def ref_of(policy: IPPolicy) -> DaemonSetRef:
    """The DaemonSet that a policy names."""
    return DaemonSetRef(policy.spec.daemon_set_ref.namespace, policy.spec.daemon_set_ref.name)


def former_ref(status: Mapping[str, Any]) -> DaemonSetRef | None:
    """The DaemonSet that a policy was about when its status was written."""
    namespace, _, name = str(status.get("daemonSet") or "").partition("/")
    return DaemonSetRef(namespace, name) if name else None


def selection_of(policy: IPPolicy) -> SubnetSelection:
    """The subnets that a policy picks; all of the nodes' own when it picks none."""
    selector = policy.spec.subnets.selector
    return SubnetSelection(tuple(selector.ids), tuple(sorted(selector.tags.items())))


class Policies:
    """The IPPolicy objects of the cluster as last seen; `put` and `remove` follow the watch."""

    def __init__(self) -> None:
        self._policies: dict[str, IPPolicy] = {}
        self._raw: dict[str, Mapping[str, Any]] = {}
        self.invalid: dict[str, str] = {}

    def put(self, raw: Mapping[str, Any]) -> bool:
        """Take up an object; True when something that matters to decisions is new.

        One that breaks the CRD's rules is kept out and named in `invalid`.
        """
        name = raw["metadata"]["name"]
        before = self._policies.get(name), self.invalid.get(name)
        self._raw[name] = raw
        try:
            self._policies[name] = IPPolicy.from_raw(raw)
        except InvalidPolicy as error:
            self._policies.pop(name, None)
            self.invalid[name] = str(error)
        else:
            self.invalid.pop(name, None)
        return before != (self._policies.get(name), self.invalid.get(name))

    def remove(self, name: str) -> None:
        """Forget an object that is gone."""
        self._policies.pop(name, None)
        self._raw.pop(name, None)
        self.invalid.pop(name, None)

    def raw(self, name: str) -> Mapping[str, Any]:
        """The object as the watch last showed it."""
        return self._raw[name]

    def status(self, name: str) -> Mapping[str, Any]:
        """The status that the API server last showed for a policy."""
        return self._raw.get(name, {}).get("status") or {}

    def standings(self) -> list[Standing]:
        """Every policy that is not being deleted; of two for one DaemonSet the oldest acts."""
        rivals: dict[DaemonSetRef, list[IPPolicy]] = defaultdict(list)
        for policy in self._policies.values():
            if not policy.deleting:
                rivals[ref_of(policy)].append(policy)
        standings = []
        for ref, policies in sorted(rivals.items()):
            oldest, *younger = sorted(policies, key=lambda p: (p.created_at_s, p.name))
            standings.append(Standing(oldest, ref, None))
            standings += [Standing(policy, ref, oldest.name) for policy in younger]
        return standings

    def leaving(self) -> set[DaemonSetRef]:
        """The DaemonSets whose pods return to their template before a policy goes."""
        return {
            ref_of(policy)
            for policy in self._policies.values()
            if policy.deleting and policy.spec.apply.method is Method.ADMISSION
        }

    def owners(self) -> dict[DaemonSetRef, list[IPPolicy]]:
        """The policies about each DaemonSet, the one that acts first."""
        owners: dict[DaemonSetRef, list[IPPolicy]] = defaultdict(list)
        for standing in self.standings():
            owners[standing.ref].append(standing.policy)
        return owners

    def former(self) -> set[DaemonSetRef]:
        """The DaemonSets that policies were about when their status was written."""
        refs = (former_ref(self.status(name)) for name in self._policies)
        return {ref for ref in refs if ref is not None}

    def held(self, name: str) -> bool:
        """Whether a policy would stay until its originals are back."""
        return FINALIZER in (self._raw[name]["metadata"].get("finalizers") or ())

    def standing(self, name: str) -> Standing | None:
        """How a policy stands now; None when it is gone, being deleted or invalid."""
        return next((s for s in self.standings() if s.policy.name == name), None)

    def refs(self, policy: IPPolicy) -> tuple[DaemonSetRef, ...]:
        """The DaemonSets that a policy may have changed: the one that it names, and the one that
        it named when its status was written."""
        ref, former = ref_of(policy), former_ref(self.status(policy.name))
        return (ref,) if former in {None, ref} else (ref, former)

    def has_other(self, uid: str, ref: DaemonSetRef, *, than: IPPolicy) -> bool:
        """Whether `uid` is that of another policy than `than`, which sees to `ref` itself."""
        return uid != than.uid and any(
            policy.uid == uid and ref in self.refs(policy) for policy in self._policies.values()
        )

    def successor(self, policy: IPPolicy, ref: DaemonSetRef) -> IPPolicy | None:
        """The policy that acts on `ref` once `policy` no longer does, if there is one."""
        for standing in self.standings():
            if standing.ref == ref and standing.policy.uid != policy.uid:
                return standing.policy
        return None
