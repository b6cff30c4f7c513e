"""Demand from a file: CSV or JSONL, of pods or of events.

    node,start_s,end_s        a pod on a node, from its start to its end (empty: still there)
    node,time_s,change        pods that come (+n) or go (-n)

Times are seconds from any moment on, or RFC 3339. `group` is an optional column, others are left
aside. A file is taken whole or refused with the line at fault. Pods at the first moment of the file
are taken to be there before it, and so are those that go without having come.
"""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from ippolicy.errors import InvalidInput
from ippolicy.facts import NodeTrace

GROUP: Final = "trace"
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_EVENTS: Final = 2_000_000
MAX_NODES: Final = 5_000
MAX_PODS: Final = 10_000
MAX_SPAN_S: Final = 60 * 86_400.0
_MAX_TIME_S: Final = 1e11
_MAX_NAME: Final = 253


def read_trace(path: Path) -> list[NodeTrace]:
    """The demand of each node in `path`, all of them over the same span.

    Raises:
        InvalidInput: the file cannot be read, or is not what it should be: with line and cause.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise InvalidInput(
                f"{path} has {size} bytes, at most {MAX_BYTES} are read: give fewer nodes or days"
            )
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is no text in UTF-8: give CSV or JSONL") from error
    return parse_trace(text, str(path))


def parse_trace(text: str, name: str = "trace") -> list[NodeTrace]:
    """As `read_trace`, from the text of a file called `name`."""
    demand = _Demand(name)
    for line, row in _rows(text, name):
        demand.take(line, row)
    return demand.traces()


def _rows(text: str, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line numbers and rows."""
    if text.lstrip()[:1] == "{":
        yield from _json_rows(text, name)
        return
    reader = csv.DictReader(text.splitlines(), restkey="", skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if "" in row:
                raise _at(name, reader.line_num, "it has more cells than the header")
            yield reader.line_num, row
    except csv.Error as error:
        raise _at(name, reader.line_num, f"it is no CSV ({error})") from error


def _json_rows(text: str, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _at(name, number, f"it is no JSON ({error})") from error
        if not isinstance(row, dict):
            raise _at(name, number, "it is no JSON object")
        yield number, row


def _at(name: str, line: int, problem: str) -> InvalidInput:
    return InvalidInput(f"{name} line {line}: {problem}: correct it; nothing of the file is used")


@dataclass(slots=True)
class _Demand:
    """The rows read so far."""

    name: str
    groups: dict[str, str] = field(default_factory=dict)
    events: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0
    line: int = 0

    def take(self, line: int, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self.line = line
        if "change" in row:
            time_s, change = self._time(row, "time"), self._change(row["change"])
            self._add(row, [(time_s, change // abs(change))] * abs(change))
            return
        start_s = self._time(row, "start")
        events = [(start_s, 1)]
        if (end := _cell(row, "end")) not in {None, ""}:
            end_s = self._time(row, "end")
            if end_s <= start_s:
                raise self._fault(f"end {end!r} is not after start {_cell(row, 'start')!r}")
            events.append((end_s, -1))
        elif "end" not in row and "end_s" not in row:
            raise self._fault("it has neither end_s nor change")
        self._add(row, events)

    def _add(self, row: Mapping[str, Any], events: list[tuple[float, int]]) -> None:
        node = self._text(row.get("node"), "node")
        group = self._text(row.get("group") or GROUP, "group")
        if self.groups.setdefault(node, group) != group:
            raise self._fault(f"node {node} is in group {group} and in {self.groups[node]}")
        self.events[node] += events
        self.count += len(events)
        if self.count > MAX_EVENTS:
            raise self._fault(f"more than {MAX_EVENTS} pods come and go")
        if len(self.groups) > MAX_NODES:
            raise self._fault(f"more than {MAX_NODES} nodes")

    def _text(self, value: Any, column: str) -> str:
        if isinstance(value, str) and 0 < len(value) <= _MAX_NAME:
            return value
        raise self._fault(f"{column} {value!r} is no name")

    def _change(self, value: Any) -> int:
        try:
            change = int(value)
        except (TypeError, ValueError):
            change = 0
        if isinstance(value, bool | float) or not 0 < abs(change) <= MAX_PODS:
            raise self._fault(f"change {value!r} is no number of pods, such as 3 or -1")
        return change

    def _time(self, row: Mapping[str, Any], column: str) -> float:
        value = _cell(row, column)
        time_s = _seconds(value)
        if time_s is None or abs(time_s) > _MAX_TIME_S:
            raise self._fault(
                f"{column} {value!r} is no time: write seconds, or 2026-03-01T09:30:00Z"
            )
        return time_s

    def _fault(self, problem: str) -> InvalidInput:
        return _at(self.name, self.line, problem)

    # -- all of them ----------------------------------------------------------------------------

    def traces(self) -> list[NodeTrace]:
        """A trace a node, in the order of the file."""
        times = [time_s for events in self.events.values() for time_s, _ in events]
        since_s, until_s = min(times, default=0.0), max(times, default=0.0)
        if until_s - since_s < 1:
            raise InvalidInput(
                f"{self.name} spans no time: give rows of node,start_s,end_s or node,time_s,change"
            )
        if until_s - since_s > MAX_SPAN_S:
            raise InvalidInput(
                f"{self.name} spans {(until_s - since_s) / 86_400:.0f} days, at most "
                f"{MAX_SPAN_S / 86_400:.0f} are read: are all its times of one kind?"
            )
        return [self._trace(node, since_s, until_s) for node in self.events]

    def _trace(self, node: str, since_s: float, until_s: float) -> NodeTrace:
        # At one moment pods go before others come, as an address must be free to be given again.
        events = sorted(self.events[node])
        changes = np.array([change for _, change in events], dtype=np.int8)
        times_s = np.array([time_s for time_s, _ in events], dtype=np.float64)
        levels = np.cumsum(changes, dtype=np.int64)
        before = max(0, -int(levels.min()))
        if before + int(levels.max()) > MAX_PODS:
            raise InvalidInput(
                f"{self.name}: node {node} has more than {MAX_PODS} pods at a time: is its end "
                "missing from each of them?"
            )
        there = int(np.searchsorted(times_s, since_s, side="right"))
        return NodeTrace(
            node=node,
            group=self.groups[node],
            since_s=since_s,
            until_s=until_s,
            level=before + int(changes[:there].sum(dtype=np.int64)),
            times_s=times_s[there:],
            changes=changes[there:],
        )


def _cell(row: Mapping[str, Any], column: str) -> Any:
    return row.get(f"{column}_s", row.get(column))


def _seconds(value: Any) -> float | None:
    """Seconds that a number, its text, or a moment in RFC 3339 stands for; None for none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return _moment_s(str(value))
    return seconds if math.isfinite(seconds) else None


def _moment_s(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()
