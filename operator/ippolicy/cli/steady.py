"""What nodes hold at rest under some settings: `ippolicy simulate` without a trace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ippolicy.cli.environment import Setting
from ippolicy.cli.instances import InstanceType
from ippolicy.cli.tables import blocks, csv_text, sentence, table
from ippolicy.decide.max_pods import HOST_NETWORK_PODS, places, pool_addresses
from ippolicy.decide.restart import change_calls
from ippolicy.ipamd import PoolSettings
from ippolicy.ipamd.steady import SteadyState, steady_state


@dataclass(frozen=True, slots=True)
class Row:
    """All nodes at rest with `pods` pods wanted on each; `settles` as `SteadyState` has it."""

    pods: int
    served: int
    unserved: int
    enis: int
    held: int
    idle: int
    prefixes: int
    subnet_addresses: int
    settles: bool


@dataclass(frozen=True, slots=True)
class Rested:
    """A setting with the rows that were asked for; none where aws-node does not start."""

    setting: Setting
    max_pods: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class SteadyReport:
    """The same pods under each setting, on `nodes` nodes of one type.

    `max_pods_given` says that the user named max-pods; else each setting has its own.
    """

    instance: InstanceType
    nodes: int
    max_pods_given: bool
    settings: tuple[Rested, ...]

    @classmethod
    def of(
        cls,
        instance: InstanceType,
        settings: Sequence[Setting],
        pods: Sequence[int],
        *,
        nodes: int,
        max_pods: int | None,
    ) -> SteadyReport:
        """Work out every row."""
        rested = []
        for setting in settings:
            most = instance.max_pods(setting.pool) if max_pods is None else max_pods
            states = [
                steady_state(instance.shape(most), setting.pool, number)
                for number in pods
                if setting.refusal is None
            ]
            rested.append(Rested(setting, most, tuple(_row(state, nodes) for state in states)))
        return cls(instance, nodes, max_pods is not None, tuple(rested))

    # -- as data ------------------------------------------------------------------------------

    def as_json(self) -> str:
        """All of it."""
        instance = {**asdict(self.instance), "prefix_capable": self.instance.prefix_capable}
        settings = [
            {
                "label": rested.setting.label,
                "env": dict(rested.setting.env),
                "starts": rested.setting.refusal is None,
                "traps": rested.setting.traps,
                "notes": rested.setting.notes,
                "max_pods": rested.max_pods,
                "rows": [asdict(row) for row in rested.rows],
            }
            for rested in self.settings
        ]
        return json.dumps(
            {"instance_type": instance, "nodes": self.nodes, "settings": settings}, indent=2
        )

    def as_csv(self) -> str:
        """One line a setting and number of pods."""
        rows: list[dict[str, Any]] = [
            {"setting": rested.setting.label, "env": rested.setting.text, **asdict(row)}
            for rested in self.settings
            for row in rested.rows
        ]
        return csv_text(rows)

    # -- as text ------------------------------------------------------------------------------

    def as_text(self) -> str:
        """Tables of at most 80 columns, with what is wrong said first."""
        lines = [*self._heading(), ""]
        for rested in self.settings:
            lines += self._about(rested)
        shown = [rested for rested in self.settings if rested.rows]
        if len(shown) == 1:
            lines += ["", *_single(shown[0])]
        elif shown:
            lines += blocks(shown, _beside)
        below = [line for rested in shown for line in self._below(rested)]
        below += self._restarts(shown)
        return "\n".join([*lines, *([""] if below else []), *below])

    def _heading(self) -> list[str]:
        kind, slots = self.instance, self.instance.addresses_per_eni - 1
        most = {rested.max_pods for rested in self.settings}
        prefixes = PoolSettings(prefix_delegation=True)
        with_prefixes = kind.max_pods(prefixes)
        more = kind.prefix_capable and with_prefixes not in most
        capable = f" ({with_prefixes} with prefixes)" if more else ""
        heading = (
            f"{kind.name}: {kind.enis} ENIs of {kind.addresses_per_eni} addresses, {slots} of each "
            f"for pods; max-pods {' or '.join(map(str, sorted(most)))}{capable}"
        )
        if self.nodes == 1:
            return sentence("", heading)
        return [
            *sentence("", heading),
            f"{self.nodes} nodes: pods are those of each node, the rest is of all nodes together",
        ]

    def _about(self, rested: Rested) -> list[str]:
        setting = rested.setting
        return [
            *sentence(f"{setting.label}  ", setting.text),
            *(line for trap in setting.traps for line in sentence("   TRAP: ", trap)),
            *(line for note in setting.notes for line in sentence("   note: ", note)),
        ]

    def _below(self, rested: Rested) -> list[str]:
        """What the rows alone do not say."""
        name, lines = rested.setting.label, []
        starving = [row for row in rested.rows if row.unserved]
        if starving:
            lines.append(
                f"{name}: with {starving[0].pods} pods a node, "
                f"{starving[0].unserved // self.nodes} of them never has an address"
            )
        restless = [str(row.pods) for row in rested.rows if not row.settles]
        if restless:
            lines.append(
                f"{name}: with {', '.join(restless)} pods it never rests: it makes and frees the "
                "same spare for ever, at the cost of EC2 calls"
            )
        return [line for text in (*lines, *self._room(rested)) for line in sentence("", text)]

    def _room(self, rested: Rested) -> list[str]:
        """Where max-pods, or prefixes without it, is what binds."""
        name, pool, limits = rested.setting.label, rested.setting.pool, self.instance.limits
        room = max(rested.max_pods - HOST_NETWORK_PODS, 0)
        lines = []
        if any(row.pods > room for row in rested.rows):
            found = places([(rested.max_pods, pool_addresses(limits, pool))] * self.nodes)
            lines.append(
                f"{name}: max-pods {rested.max_pods} leaves room for {room} pods a node that need "
                f"an address, what is above never starts: {found.text()}"
            )
        advised = self.instance.max_pods(pool)
        prefixes = pool.prefix_delegation and self.instance.prefix_capable
        if prefixes and self.max_pods_given and rested.max_pods < advised:
            lines.append(
                f"{name}: max-pods binds, not addresses: with prefixes kubelet may have max-pods "
                f"{advised}; raise it there and start kubelet anew, or use new nodes"
            )
        elif prefixes and not self.max_pods_given:
            without = self.instance.max_pods(PoolSettings())
            lines.append(
                f"{name}: max-pods {advised} must be set for kubelet: nodes made without prefixes "
                f"have {without}"
            )
        return lines

    def _restarts(self, shown: Sequence[Rested]) -> list[str]:
        if self.nodes == 1 or len(shown) < 2:
            return []
        first, now = shown[0].setting.label, shown[0].rows[-1].enis
        lines = []
        for rested in shown[1:]:
            then = rested.rows[-1].enis
            calls = change_calls(nodes=self.nodes, enis=now, enis_then=then)
            lines += sentence(
                "",
                f"From {first} to {rested.setting.label} every aws-node restarts: some {calls:,} "
                f"EC2 calls for {self.nodes:,} nodes whose {now:,} ENIs become {then:,}",
            )
        return lines


def _row(state: SteadyState, nodes: int) -> Row:
    return Row(
        pods=state.pods,
        served=state.served * nodes,
        unserved=state.unserved * nodes,
        enis=state.enis * nodes,
        held=state.addresses * nodes,
        idle=state.idle * nodes,
        prefixes=state.prefixes * nodes,
        subnet_addresses=state.subnet_addresses * nodes,
        settles=state.settles,
    )


def _single(rested: Rested) -> list[str]:
    """One setting, with all that is known of it."""
    columns: list[tuple[str, str]] = [
        ("pods", "pods"),
        ("ENIs", "enis"),
        ("held", "held"),
        ("used", "served"),
        ("idle", "idle"),
        ("subnets", "subnet_addresses"),
        ("no address", "unserved"),
    ]
    if any(row.prefixes for row in rested.rows):
        columns.insert(2, ("prefixes", "prefixes"))
    cells = [[_cell(getattr(row, name)) for _, name in columns] for row in rested.rows]
    return table([[title for title, _ in columns], *cells])


def _beside(settings: Sequence[Rested]) -> list[str]:
    """Settings side by side."""
    titles = [""] + [cell for rested in settings for cell in (rested.setting.label, "", "")]
    names = ["pods"] + ["ENIs", "held", "idle"] * len(settings)
    rows = [
        [
            _cell(same[0].pods),
            *(_cell(value) for row in same for value in (row.enis, row.held, row.idle)),
        ]
        for same in zip(*(rested.rows for rested in settings), strict=True)
    ]
    return table([titles, names, *rows], header_rows=2)


def _cell(value: int) -> str:
    return f"{value:,}"
