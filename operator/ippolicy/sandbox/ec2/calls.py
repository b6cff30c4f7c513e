"""Who called what, and what came of it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from threading import Lock

OK = "ok"
OPERATOR = "operator"
AWS_NODE = "aws-node"
OTHER = "other"

# The CNI's and our operator's marks in the User-Agent header.
_MARKS = (("amazon-vpc-cni-k8s", AWS_NODE), ("ippolicy", OPERATOR))


def caller_of(user_agent: str) -> str:
    """`aws-node`, `operator` or `other`, by the marks each leaves in its user agent."""
    for mark, caller in _MARKS:
        if mark in user_agent:
            return caller
    return OTHER


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `result` is `ok` or the AWS error code; `at_s` is the stand-in's clock."""

    api: str
    caller: str
    user_agent: str
    result: str
    at_s: float


class CallLog:
    """All calls counted for good, the latest 100,000 kept whole. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._latest: deque[Call] = deque(maxlen=100_000)

    def record(self, call: Call) -> None:
        with self._lock:
            self._counts[call.api, call.caller, call.result] += 1
            self._latest.append(call)

    def count(
        self, api: str | None = None, *, caller: str | None = None, result: str | None = None
    ) -> int:
        """Calls that fit everything given."""
        with self._lock:
            return sum(
                n
                for (an_api, a_caller, a_result), n in self._counts.items()
                if api in (None, an_api)
                and caller in (None, a_caller)
                and result in (None, a_result)
            )

    def by_api(self, *, caller: str | None = None) -> dict[str, int]:
        """API name -> calls, of one caller or of all."""
        counts: Counter[str] = Counter()
        with self._lock:
            for (api, a_caller, _), n in self._counts.items():
                if caller in (None, a_caller):
                    counts[api] += n
        return dict(counts)

    def latest(self) -> tuple[Call, ...]:
        """Up to 100,000 latest calls, oldest first."""
        with self._lock:
            return tuple(self._latest)

    def clear(self) -> None:
        with self._lock:
            self._counts.clear()
            self._latest.clear()
