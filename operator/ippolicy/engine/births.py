"""Targets by group that new aws-node pods are born with: published, served, taken away again.

the one in office   writes tables, withdraws them, keeps Secret and configuration
all operators       read the tables on the cluster and answer the API server by them
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ippolicy.account.exporter import Exporter
from ippolicy.act.beside import StoredText, TextStore
from ippolicy.act.outcome import Outcome, OutcomeKind, outcome_of
from ippolicy.act.requests import CallFailed
from ippolicy.act.tables import table_name
from ippolicy.admission import PolicyTable, Verdict, WebhookProcess
from ippolicy.admission.certificates import LOOK_S
from ippolicy.admission.document import read_table, write_table
from ippolicy.admission.progress import GroupProgress, progress, told
from ippolicy.admission.tables import family_of, table_of
from ippolicy.api import IPPolicy, Method
from ippolicy.decide.types import Decision, Reason
from ippolicy.decide.types import Verdict as Decided
from ippolicy.engine.places import LivePlaces
from ippolicy.engine.policies import Standing, ref_of
from ippolicy.engine.webhook import WebhookKeeper
from ippolicy.errors import ActError, IPPolicyError
from ippolicy.facts import DaemonSetRef, NodeFacts, Record, Snapshot
from ippolicy.offloop import call_off_loop

_log = logging.getLogger("ippolicy")
AGAIN_S = 10.0
"""Time after which what failed of the webhook is tried again."""
TURNED_OFF = (
    "spec.apply.method is Admission, and the operator has no webhook: install the chart with "
    "webhook.enabled=true, or choose another method"
)
WITHDRAWN = (
    "the targets by node group were withdrawn: aws-node pods return to the values of the "
    "DaemonSet's template as they are made anew"
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """The parts of a webhook that is turned on; `listed` says whether all policies are known."""

    store: TextStore
    server: WebhookProcess
    keeper: WebhookKeeper
    places: LivePlaces
    listed: Callable[[], bool]


@dataclass(slots=True)
class _Looked:
    """The last look after the webhook: when the next is due, and what it was about."""

    due_s: float = float("-inf")
    about: tuple[frozenset[str], bool] | None = None
    counts: Counter[Verdict] = field(default_factory=Counter)


class Births:
    """The tables of all policies, and the webhook that answers by them; None for one turned off."""

    def __init__(
        self,
        webhook: Webhook | None,
        exporter: Exporter,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._webhook = webhook
        self._exporter = exporter
        self._clock = clock
        self._stored: dict[DaemonSetRef, StoredText] = {}
        self._tables: dict[DaemonSetRef, PolicyTable] = {}
        self._looked = _Looked()
        self._problem = ""
        self._told: dict[str, str] = {}

    @property
    def down_s(self) -> float:
        """How long pods have been let through because the webhook's process does not start."""
        return self._webhook.server.down_s if self._webhook is not None else 0.0

    @property
    def on(self) -> bool:
        """Whether there is a webhook at all."""
        return self._webhook is not None

    async def see(self, standings: Iterable[Standing]) -> None:
        """Read the tables of the DaemonSets that policies act on, and answer by them."""
        if (webhook := self._webhook) is None:
            return
        acting = {one.ref: one.policy for one in standings if one.rival is None}
        webhook.places.group_by({ref: policy.spec.groups for ref, policy in acting.items()})
        for ref in self._stored.keys() - acting.keys():
            self._take(ref, None)
        for ref in acting:
            try:
                self._take(ref, await call_off_loop(partial(webhook.store.read, ref)))
            except ActError as error:  # what was read before stays good
                self._failed("read-targets", error)
        webhook.server.answer_by(self._tables)

    async def look(self, *, leading: bool) -> None:
        """Keep server, certificates and configuration as the tables ask, when that is due."""
        if (webhook := self._webhook) is None or not webhook.listed():
            return
        self._count(webhook.server.counts)
        namespaces = frozenset(ref.namespace for ref in self._tables)
        looked, about = self._looked, (namespaces, leading)
        waits = webhook.server.running == bool(namespaces) and self._clock() < looked.due_s
        if about == looked.about and waits:
            return
        looked.about = about
        try:
            await webhook.keeper.look(namespaces, leading=leading)
        except IPPolicyError as error:
            self._failed("webhook", error)
            self._problem = str(error)
            looked.due_s = self._clock() + AGAIN_S
        else:
            self._problem = ""
            looked.due_s = self._clock() + LOOK_S if namespaces else float("inf")

    def settle(
        self, policy: IPPolicy, decision: Decision, snapshot: Snapshot, record: Record | None
    ) -> Decision:
        """The decision, with what is published already held against it."""
        if policy.spec.apply.method is not Method.ADMISSION or decision.verdict is Decided.HOLD:
            return decision
        hold = partial(replace, decision, verdict=Decided.HOLD)
        if self._webhook is None:
            return hold(reason=Reason.WEBHOOK_UNAVAILABLE, message=TURNED_OFF)
        ref = ref_of(policy)
        stored = self._stored.get(ref)
        originals = record is not None and bool(record.originals)
        wanted = write_table(self._wanted(policy, ref, decision, snapshot))
        if stored is None or originals or stored.text != wanted:
            return decision
        if self._problem:
            message = f"the webhook cannot serve: {self._problem}"
            return hold(reason=Reason.WEBHOOK_UNAVAILABLE, message=message)
        have, total = told(self.progress(policy, snapshot))
        message = f"{have} of {total} nodes have the targets of their group"
        if have == total:
            return hold(reason=Reason.TARGETS_IN_PLACE, message=message)
        message = f"{message}; the others get them as their aws-node is made anew"
        return hold(reason=Reason.AT_BIRTH, message=message)

    async def publish(self, policy: IPPolicy, decision: Decision, snapshot: Snapshot) -> Outcome:
        """Have pods be born with what was decided from now on."""
        webhook, ref = self._webhook, ref_of(policy)
        assert webhook is not None  # noqa: S101  (`settle` holds such a decision)
        table = self._wanted(policy, ref, decision, snapshot)
        write = partial(webhook.store.write, ref, write_table(table), over=self._stored.get(ref))
        try:
            self._take(ref, await call_off_loop(write))
        except ActError as error:
            return outcome_of(error)
        webhook.server.answer_by(self._tables)
        have, total = told(self.progress(policy, snapshot))
        return Outcome(
            OutcomeKind.WRITTEN,
            f"ConfigMap {ref.namespace}/{table_name(ref)} has the targets of {len(table.groups)} "
            f"groups: {have} of {total} nodes have those of theirs; the others get them as their "
            "aws-node is made anew",
        )

    async def withdraw(self, ref: DaemonSetRef) -> Outcome | None:
        """Let pods be born with their template's values again; None where they are anyway."""
        if (webhook := self._webhook) is None:
            return None
        try:
            if await call_off_loop(partial(webhook.store.read, ref)) is None:
                return None
            await call_off_loop(partial(webhook.store.delete, ref))
        except ActError as error:
            forbidden = isinstance(error, CallFailed) and error.status == 403
            # Who may not read a table cannot have written it either.
            return None if forbidden and ref not in self._stored else outcome_of(error)
        self._take(ref, None)
        webhook.server.answer_by(self._tables)
        return Outcome(OutcomeKind.RESTORED, f"DaemonSet {ref}: {WITHDRAWN}")

    def has(self, ref: DaemonSetRef) -> bool:
        """Whether pods of a DaemonSet are born with targets by group."""
        return ref in self._stored

    def owner(self, ref: DaemonSetRef) -> str | None:
        """The policy whose targets those are; None where there are none, or nobody can tell."""
        table = self._tables.get(ref)
        return table.policy if table is not None else None

    def progress(self, policy: IPPolicy, snapshot: Snapshot) -> tuple[GroupProgress, ...]:
        """How far the nodes of a policy are; empty where neither table nor pod tells of targets."""
        table = self._tables.get(ref_of(policy))
        if table is None and not snapshot.births:
            return ()
        return progress(table, snapshot.nodes, snapshot.births)

    async def stop(self) -> None:
        """Answer no more; what is on the cluster stays for the next operator."""
        if self._webhook is not None:
            await self._webhook.server.stop()

    def _wanted(
        self, policy: IPPolicy, ref: DaemonSetRef, decision: Decision, snapshot: Snapshot
    ) -> PolicyTable:
        fleet = decision.fleet
        return table_of(
            policy.name,
            decision.groups,
            types=_types(snapshot.nodes),
            fleet=fleet.targets if fleet is not None else None,
            former=self._tables.get(ref),
        )

    def _take(self, ref: DaemonSetRef, stored: StoredText | None) -> None:
        if stored is None:
            self._stored.pop(ref, None)
            self._tables.pop(ref, None)
            return
        if self._stored.get(ref) == stored:
            return
        self._stored[ref] = stored
        try:
            self._tables[ref] = read_table(stored.text)
        except ValueError as error:  # the next one that is published stands in its place
            self._tables.pop(ref, None)
            _log.error("ConfigMap %s/%s: %s", ref.namespace, table_name(ref), error)

    def _failed(self, operation: str, error: IPPolicyError) -> None:
        if self._told.get(operation) != str(error):
            _log.warning("%s: %s", operation, error)
            self._told[operation] = str(error)
        self._exporter.failed("kubernetes", operation, type(error).__name__)

    def _count(self, counts: Mapping[Verdict, int]) -> None:
        for verdict, count in counts.items():
            if more := count - self._looked.counts[verdict]:
                self._exporter.answered(verdict.value, times=more)
        self._looked.counts = Counter(counts)


def _types(nodes: Iterable[NodeFacts]) -> dict[str, str]:
    """Group -> an instance type of its nodes, for the groups that are of one family."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in nodes:
        found[node.group].add(node.instance_type)
    return {
        group: min(types)
        for group, types in found.items()
        if len({family_of(kind) for kind in types}) == 1
    }
