"""Targets by group that new aws-node pods are born with: published, served, taken away again.

the one in office   writes tables, withdraws them, keeps Secret and configuration
all operators       read the tables on the cluster and answer the API server by them
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ippolicy.account.exporter import Exporter
from ippolicy.act.beside import StoredText, TextStore
from ippolicy.act.outcome import Outcome, OutcomeKind, outcome_of
from ippolicy.act.requests import CallFailed
from ippolicy.act.restarts import PodRestarts
from ippolicy.act.tables import table_name
from ippolicy.admission import Verdict, WebhookProcess
from ippolicy.admission.certificates import LOOK_S
from ippolicy.api import IPPolicy, Method
from ippolicy.decide.births import ledger
from ippolicy.decide.births.document import read_table, write_table
from ippolicy.decide.births.progress import GroupProgress, progress, told
from ippolicy.decide.births.roll import Asked, News, Rolled
from ippolicy.decide.births.table import PolicyTable
from ippolicy.decide.decision import Inputs
from ippolicy.decide.types import Decision, Reason
from ippolicy.decide.types import Verdict as Decided
from ippolicy.engine import steps
from ippolicy.engine.giving_back import give_back
from ippolicy.engine.places import LivePlaces
from ippolicy.engine.policies import Standing, ref_of
from ippolicy.engine.webhook import WebhookKeeper
from ippolicy.errors import ActError, IPPolicyError
from ippolicy.facts import DaemonSetRef, Record, Snapshot
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
    restarts: PodRestarts


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
        spread_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is restarted within `spread_s` of a change of what pods are born with."""
        self._webhook = webhook
        self._exporter = exporter
        self._clock = clock
        self._stored: dict[DaemonSetRef, StoredText] = {}
        self._tables: dict[DaemonSetRef, PolicyTable] = {}
        self._steps = steps.Steps(spread_s=spread_s)
        self._looked = _Looked()
        self._problem = ""
        self._acting: frozenset[DaemonSetRef] = frozenset()
        self._told: dict[str, str] = {}
        self._known: set[DaemonSetRef] = set()

    @property
    def down_s(self) -> float:
        """How long pods have been let through because the webhook's process does not start."""
        return self._webhook.server.down_s if self._webhook is not None else 0.0

    @property
    def on(self) -> bool:
        """Whether there is a webhook at all."""
        return self._webhook is not None

    @property
    def unready(self) -> str:
        """Why the API server is not to ask this operator yet, empty for no reason."""
        if (webhook := self._webhook) is None:
            return ""
        if self._in_the_dark:
            return "webhook: the targets by node group were not read yet"
        waits = bool(self._tables) and not webhook.server.running
        return f"webhook: it does not serve yet: {self._problem or 'soon'}" if waits else ""

    @property
    def _in_the_dark(self) -> bool:
        """Whether some table was never read: there may be targets that nobody knows of here."""
        return not self._acting <= self._known

    async def see(self, standings: Iterable[Standing]) -> None:
        """Read the tables of the DaemonSets that policies act on, and answer by them."""
        if (webhook := self._webhook) is None:
            return
        acting = {one.ref: one.policy for one in standings if one.rival is None}
        webhook.places.group_by({ref: policy.spec.groups for ref, policy in acting.items()})
        self._acting = frozenset(acting)
        self._known &= acting.keys()
        for ref in self._stored.keys() - acting.keys():
            self._take(ref, None)
        for ref in acting:
            try:
                self._take(ref, await call_off_loop(partial(webhook.store.read, ref)))
                self._known.add(ref)
            except ActError as error:  # what was read before stays good
                self._failed("read-targets", error)
        webhook.server.answer_by(self._tables)

    async def look(self, *, leading: bool) -> None:
        """Keep server, certificates and configuration as the tables ask, when that is due."""
        if (webhook := self._webhook) is None or not webhook.listed() or self._in_the_dark:
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

    def settle(self, inputs: Inputs, decision: Decision, record: Record | None) -> Decision:
        """The decision with the step that follows from it; a hold where there is nothing to do.

        Blocks for as long as it takes to look at every node.
        """
        policy, ref = inputs.policy, ref_of(inputs.policy)
        self._steps.forget(ref)
        goes, stored = decision.verdict is Decided.CHANGE, self._stored.get(ref)
        if policy.spec.apply.method is not Method.ADMISSION or not (goes or stored):
            return decision
        if self._webhook is None:
            off = replace(decision, reason=Reason.WEBHOOK_UNAVAILABLE, message=TURNED_OFF)
            return replace(off, verdict=Decided.HOLD) if goes else decision
        if inputs.snapshot.daemon_set is None or (goes and record and record.originals):
            return decision  # what another writer set is put back first
        table = self._tables.get(ref) or PolicyTable(policy.name)
        serves = self._webhook.server.running and not self._problem
        step = self._steps.take(ref, inputs, decision, table, listening=serves)
        if step.due or stored is None or stored.text != write_table(step.table):
            reason, message = steps.told(step, decision)
            return replace(decision, verdict=Decided.CHANGE, reason=reason, message=message)
        self._steps.rest(ref)
        return self._waiting(policy, inputs.snapshot, decision, step) if goes else decision

    def _waiting(
        self, policy: IPPolicy, snapshot: Snapshot, decision: Decision, step: Rolled
    ) -> Decision:
        """The decision while all is written that is to be."""
        hold = partial(replace, decision, verdict=Decided.HOLD)
        if self._problem:
            message = f"the webhook cannot serve: {self._problem}"
            return hold(reason=Reason.WEBHOOK_UNAVAILABLE, message=message)
        have, total = told(self.progress(policy, snapshot))
        message = f"{have} of {total} nodes have the targets of their group"
        if have == total and not step.table.trials:
            reason, why = steps.at_rest(step, any_wanted=total > 0)
            return hold(reason=reason, message=f"{message}{why}")
        return hold(reason=Reason.AT_BIRTH, message=f"{message}; {steps.waits(step)}")

    async def publish(self, policy: IPPolicy, snapshot: Snapshot) -> Outcome:
        """Have pods be born with what was decided from now on, and those that are due be made anew.

        The table is written first: it says which pods are to go, should this operator end here.
        """
        webhook, ref = self._webhook, ref_of(policy)
        step = self._steps.current(ref)
        assert webhook is not None and step is not None  # noqa: S101, PT018  (see `settle`)
        text, stored = write_table(step.table), self._stored.get(ref)
        try:
            if stored is None or stored.text != text:
                write = partial(webhook.store.write, ref, text, over=stored)
                self._take(ref, await call_off_loop(write))
                webhook.server.answer_by(self._tables)
                self._steps.published(ref)
            went = await call_off_loop(partial(self._delete, webhook, ref, step, snapshot))
        except ActError as error:
            return outcome_of(error)
        have, total = told(self.progress(policy, snapshot))
        restarted = f"; {went} aws-node pods are made anew" if went else ""
        return Outcome(
            OutcomeKind.WRITTEN,
            f"{have} of {total} nodes have the targets of their group{restarted}; "
            f"{steps.waits(step)}",
        )

    def step(self, ref: DaemonSetRef) -> tuple[Asked, Rolled] | None:
        """The step that followed from the last decision, with what it rests on."""
        return self._steps.taken(ref)

    def news(self, policy: IPPolicy) -> tuple[News, ...]:
        """What the last pass over a policy published that is new."""
        return self._steps.news(ref_of(policy))

    def _delete(self, webhook: Webhook, ref: DaemonSetRef, step: Rolled, snapshot: Snapshot) -> int:
        went = 0
        for node in step.due:
            agent = snapshot.agents.get(node)
            if agent is not None and webhook.restarts.delete(ref.namespace, agent.name, agent.uid):
                went += 1
                self._exporter.restarted(step.table.policy, step.members[node].node.group)
        return went

    async def withdraw(self, ref: DaemonSetRef) -> Outcome | None:
        """Let pods be born with their template's values again; None where they are anyway."""
        if (webhook := self._webhook) is None:
            return None
        try:
            found = await call_off_loop(partial(webhook.store.read, ref))
        except ActError as error:
            forbidden = isinstance(error, CallFailed) and error.status == 403
            # Who may not read a table cannot have written it either.
            return None if forbidden and ref not in self._stored else outcome_of(error)
        if found is None:
            return None
        try:
            await call_off_loop(partial(webhook.store.delete, ref))
        except ActError as error:
            return outcome_of(error)
        self._take(ref, None)
        webhook.server.answer_by(self._tables)
        return Outcome(OutcomeKind.RESTORED, f"DaemonSet {ref}: {WITHDRAWN}")

    async def give_back(
        self, policy: IPPolicy, ref: DaemonSetRef, snapshot: Snapshot, *, begin: bool
    ) -> Outcome | None:
        """Have pods that were born with targets of ours made anew, now that none is any more."""
        if (webhook := self._webhook) is None:
            return None
        return await give_back(webhook.restarts, policy, ref, snapshot, begin=begin)

    def has(self, ref: DaemonSetRef) -> bool:
        """Whether pods of a DaemonSet are born with targets by group."""
        return ref in self._stored

    def knows(self, ref: DaemonSetRef) -> bool:
        """Whether it is known what pods of a DaemonSet are born with, be it nothing."""
        return ref in self._known and (ref in self._tables) is (ref in self._stored)

    def table(self, ref: DaemonSetRef) -> PolicyTable | None:
        """What pods of a DaemonSet are born with; None where nothing is set."""
        return self._tables.get(ref)

    def owner(self, ref: DaemonSetRef) -> str | None:
        """The policy whose targets those are; None where there are none, or nobody can tell."""
        table = self._tables.get(ref)
        return table.policy if table is not None else None

    def progress(
        self, policy: IPPolicy, snapshot: Snapshot, record: Record | None = None
    ) -> tuple[GroupProgress, ...]:
        """How far the nodes of a policy are; empty where neither table nor pod tells of targets."""
        table = self._tables.get(ref_of(policy))
        if table is None and all(one.birth is None for one in snapshot.agents.values()):
            return ()
        in_force_s = ledger.in_force_s(record) if record is not None else {}
        return progress(table, snapshot.nodes, snapshot.agents, in_force_s)

    async def stop(self) -> None:
        """Answer no more; what is on the cluster stays for the next operator."""
        if self._webhook is not None:
            await self._webhook.server.stop()

    def _take(self, ref: DaemonSetRef, stored: StoredText | None) -> None:
        if stored is None:
            self._stored.pop(ref, None)
            self._tables.pop(ref, None)
            self._steps.drop(ref)
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
