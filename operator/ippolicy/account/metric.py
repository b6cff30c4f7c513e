"""A metric as it is declared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Types of metrics."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family; `unit` says what is counted, `policy` is a label of most."""

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()


def gauge(name: str, unit: str, about: str, *labels: str) -> Metric:
    """A gauge; `name` is without the prefix of ours."""
    return Metric(f"ippolicy_{name}", Kind.GAUGE, unit, about, labels)


def counter(name: str, unit: str, about: str, *labels: str) -> Metric:
    """A counter; `name` is without the prefix of ours and `_total`."""
    return Metric(f"ippolicy_{name}", Kind.COUNTER, unit, about, labels)
