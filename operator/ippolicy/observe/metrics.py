"""What one aws-node says on its metrics port, and its counters made continuous.

Only the families that matter are read; all others are skipped at the cost of finding their name.
A page is believed whole or not at all: a body that was cut off, a value that is no count, or a
family that this release of the CNI must have refuses it, so that half a page never becomes a fact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ippolicy.errors import ScrapeFailed
from ippolicy.facts import PoolCounters

MAX_LINE_CHARS = 16 * 1024
_LARGEST_COUNT = 2.0**53  # above it a float no longer tells neighbours apart

_ENI_MAX = "awscni_eni_max"
_HELD_MAX = "awscni_ip_max"
_ENIS = "awscni_eni_allocated"
_HELD = "awscni_total_ip_addresses"
_ASSIGNED = "awscni_assigned_ip_addresses"
_PREFIXES = "awscni_total_ipv4_prefixes"
_NO_ADDRESS = "awscni_no_available_ip_addresses"
_ADDS = "awscni_add_ip_req_count"
_DELS = "awscni_del_ip_req_count"
_EC2_CALLS = "awscni_ec2api_req_count"
_EC2_ERRORS = "awscni_ec2api_error_count"
_AWS_ERRORS = "awscni_aws_api_error_count"
_ANSWERS = "awscni_aws_api_latency_ms_count"
_ANSWERS_MS = "awscni_aws_api_latency_ms_sum"
_BUILD = "awscni_build_info"
_STARTED = "process_start_time_seconds"
_REQUIRED = (_ENI_MAX, _ENIS, _HELD, _ASSIGNED)
_SINCE_1_16 = (_PREFIXES, _NO_ADDRESS)
_COUNTERS = (_ADDS, _DELS, _EC2_CALLS, _EC2_ERRORS, _AWS_ERRORS, _ANSWERS, _ANSWERS_MS)
_WANTED = frozenset((*_REQUIRED, *_SINCE_1_16, _HELD_MAX, *_COUNTERS, _BUILD, _STARTED))
_NO_BLOCKS = "InsufficientCidrBlocks"
_FRACTIONS = (_STARTED, _ANSWERS_MS)
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SAMPLE = re.compile(r"(?:\{(.*)\})?[ \t]*([0-9.eE+-]+)(?:[ \t]+-?[0-9]+)?[ \t]*")
_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"[ \t]*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")
_VERSION = re.compile(r"v?(\d+)\.(\d+)")

_OVERLOADED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "InternalError",
        "InternalFailure",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "Unavailable",
    }
)
"""Error codes by which EC2 says that it is asked too much, or cannot keep up: those on which the
AWS SDKs slow down, and those of its own faults."""

Labels = tuple[tuple[str, str], ...]
Series = dict[Labels, float]


@dataclass(frozen=True, slots=True)
class Reading:
    """One page of metrics. Counters are as the process counts them, from its start.

    `held` counts secondary addresses (16 a prefix), `held_max` those of all possible ENIs. What a
    page does not tell is 0 in `held_max`, None in `started_at_s` and empty in `cni_version`.
    `no_free_blocks`, `ec2_overloads`, `answers` and `answers_ms` are those of `PoolCounters`.
    """

    held: int
    assigned: int
    enis: int
    enis_max: int
    prefixes: int
    held_max: int
    add_requests: int
    del_requests: int
    no_available_addresses: int
    ec2_calls: Mapping[str, int]
    ec2_errors: Mapping[str, int]
    cni_version: str
    started_at_s: float | None
    no_free_blocks: int = 0
    ec2_overloads: Mapping[str, int] = field(default_factory=dict)
    answers: Mapping[str, int] = field(default_factory=dict)
    answers_ms: Mapping[str, int] = field(default_factory=dict)


def parse(body: bytes) -> Reading:
    """The reading in a page of the Prometheus text format.

    Raises ScrapeFailed with reason `garbage` for a page that cannot be believed.
    """
    families = _families(body)
    missing = [name for name in _REQUIRED if name not in families]
    version = _build_version(families)
    if _at_least_1_16(version):
        missing += [name for name in _SINCE_1_16 if name not in families]
    if missing:
        raise _garbage(f"{', '.join(missing)} missing")
    started = families.get(_STARTED)
    return Reading(
        held=_gauge(families, _HELD),
        assigned=_gauge(families, _ASSIGNED),
        enis=_gauge(families, _ENIS),
        enis_max=_gauge(families, _ENI_MAX),
        prefixes=_gauge(families, _PREFIXES),
        held_max=_gauge(families, _HELD_MAX),
        add_requests=_total(families, _ADDS),
        del_requests=_total(families, _DELS),
        no_available_addresses=_total(families, _NO_ADDRESS),
        ec2_calls=_by(families, _EC2_CALLS, "fn"),
        ec2_errors=_by(families, _EC2_ERRORS, "fn"),
        cni_version=version,
        started_at_s=next(iter(started.values())) if started else None,
        no_free_blocks=sum(
            _by(
                families, _AWS_ERRORS, "api", lambda labels: labels.get("error") == _NO_BLOCKS
            ).values()
        ),
        ec2_overloads=_by(
            families, _AWS_ERRORS, "api", lambda labels: labels.get("error") in _OVERLOADED
        ),
        answers=_by(families, _ANSWERS, "api", _succeeded),
        answers_ms=_by(families, _ANSWERS_MS, "api", _succeeded),
    )


def _families(body: bytes) -> dict[str, Series]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _garbage("it is not UTF-8") from error
    if not text.endswith("\n"):
        raise _garbage("it does not end with a line's end, so it was cut off")
    families: dict[str, Series] = {}
    for line in text.split("\n"):
        if len(line) > MAX_LINE_CHARS:
            raise _garbage(f"a line is longer than {MAX_LINE_CHARS} characters")
        if not line or line[0] == "#" or line.isspace():
            continue
        name = _NAME.match(line)
        if name is None:
            raise _garbage(f"{line[:40]!r} is not a metric")
        if name[0] in _WANTED:
            _add(families.setdefault(name[0], {}), name[0], line[name.end() :])
    return families


def _add(series: Series, name: str, rest: str) -> None:
    sample = _SAMPLE.fullmatch(rest)
    if sample is None:
        raise _garbage(f"{name} has the value {rest[-40:].strip()!r}")
    labels = _labels(name, sample[1] or "")
    if labels in series:
        raise _garbage(f"{name} is there twice with the same labels")
    series[labels] = _value(name, sample[2])


def _value(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise _garbage(f"{name} has the value {text[:40]!r}") from error
    if not math.isfinite(value) or value < 0 or value > _LARGEST_COUNT:
        raise _garbage(f"{name} has the value {text[:40]!r}")
    if name not in _FRACTIONS and value != int(value):
        raise _garbage(f"{name} has the value {text[:40]!r}, which is no count")
    return value


def _labels(name: str, text: str) -> Labels:
    labels: dict[str, str] = {}
    at = 0
    while at < len(text):
        pair = _LABEL.match(text, at)
        if pair is None or pair[1] in labels:
            raise _garbage(f"{name} has the labels {text[:80]!r}")
        labels[pair[1]] = _ESCAPE.sub(_unescape, pair[2])
        at = pair.end()
    return tuple(sorted(labels.items()))


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _gauge(families: Mapping[str, Series], name: str) -> int:
    series = families.get(name, {})
    if len(series) > 1:
        raise _garbage(f"{name} is there {len(series)} times")
    return int(sum(series.values()))


def _total(families: Mapping[str, Series], name: str) -> int:
    return int(sum(families.get(name, {}).values()))


def _by(
    families: Mapping[str, Series],
    name: str,
    label: str,
    among: Callable[[Mapping[str, str]], bool] = lambda _: True,
) -> dict[str, int]:
    """What a family counts for each value of a label, of the series that are `among` it."""
    counts: dict[str, float] = {}
    for pairs, value in families.get(name, {}).items():
        labels = dict(pairs)
        if among(labels):
            key = labels.get(label, "")
            counts[key] = counts.get(key, 0.0) + value
    return {key: round(count) for key, count in counts.items()}


def _succeeded(labels: Mapping[str, str]) -> bool:
    return labels.get("error") == "false"


def _build_version(families: Mapping[str, Series]) -> str:
    return next((dict(labels).get("version", "") for labels in families.get(_BUILD, {})), "")


def _at_least_1_16(version: str) -> bool:
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2])) >= (1, 16)


def _garbage(what: str) -> ScrapeFailed:
    return ScrapeFailed(
        f"metrics cannot be believed: {what}: check that aws-node answers on this port",
        reason="garbage",
    )


@dataclass(slots=True)
class _Sums:
    """Running totals of one node's counters, keyed like a reading's flat counters."""

    totals: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, key: tuple[str, str], amount: int) -> None:
        self.totals[key] = self.totals.get(key, 0) + amount

    def of(self, family: str) -> dict[str, int]:
        return {label: count for (name, label), count in self.totals.items() if name == family}


class CounterState:
    """Makes one node's counters continuous across restarts of its aws-node.

    Counting starts at the first reading. A restart is another `instance` (the pod's uid), another
    process start time, or any counter below its last value; what the new process has counted
    since its start is then added in full.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._last: dict[tuple[str, str], int] | None = None
        self._instance = ""
        self._started_at_s: float | None = None
        self._sums = _Sums()

    def update(self, reading: Reading, instance: str = "") -> PoolCounters:
        """Totals since the first reading, with `reading` of the pod `instance` taken in."""
        now = _flat(reading)
        if self._last is not None:
            before = self._last
            if self._restarted(reading, instance, now):
                self.restarts += 1
                before = {}
            for key, value in now.items():
                self._sums.add(key, value - before.get(key, 0))
        self._last = now
        self._instance = instance
        self._started_at_s = reading.started_at_s
        return PoolCounters(
            add_requests=self._sums.totals.get((_ADDS, ""), 0),
            del_requests=self._sums.totals.get((_DELS, ""), 0),
            no_available_addresses=self._sums.totals.get((_NO_ADDRESS, ""), 0),
            ec2_calls=self._sums.of(_EC2_CALLS),
            ec2_errors=self._sums.of(_EC2_ERRORS),
            no_free_blocks=self._sums.totals.get((_NO_BLOCKS, ""), 0),
            ec2_overloads=self._sums.of(_AWS_ERRORS),
            answers=self._sums.of(_ANSWERS),
            answers_ms=self._sums.of(_ANSWERS_MS),
        )

    def _restarted(
        self, reading: Reading, instance: str, now: Mapping[tuple[str, str], int]
    ) -> bool:
        return (
            instance != self._instance
            or reading.started_at_s != self._started_at_s
            or any(now.get(key, 0) < value for key, value in (self._last or {}).items())
        )


def _flat(reading: Reading) -> dict[tuple[str, str], int]:
    flat = {
        (_ADDS, ""): reading.add_requests,
        (_DELS, ""): reading.del_requests,
        (_NO_ADDRESS, ""): reading.no_available_addresses,
        (_NO_BLOCKS, ""): reading.no_free_blocks,
    }
    for family, counts in (
        (_EC2_CALLS, reading.ec2_calls),
        (_EC2_ERRORS, reading.ec2_errors),
        (_AWS_ERRORS, reading.ec2_overloads),
        (_ANSWERS, reading.answers),
        (_ANSWERS_MS, reading.answers_ms),
    ):
        flat |= {(family, name): count for name, count in counts.items()}
    return flat
