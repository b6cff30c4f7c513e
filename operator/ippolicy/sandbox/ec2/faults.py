"""What may go wrong with a call, set from a test while the stand-in runs.

Every setting names an API (`AssignPrivateIpAddresses`) or a pattern (`Describe*`, `*`), and may
be narrowed to one caller (`operator`, `aws-node`). The order in which a call meets them:

    lost connection, hang -> throttling -> permission -> server error -> latency -> the call itself
    -> answer cut short
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from threading import Lock

from ippolicy.sandbox.ec2.errors import Ec2CallError, request_limit_exceeded, unauthorized

ROLE_OF = {"operator": "ippolicy-operator", "aws-node": "eks-node"}
READ_VERBS = ("Describe", "Get", "List")


class Loss(Enum):
    """How an answer goes missing."""

    HANG = "hang"  # the connection stays open and nothing comes
    DROP = "drop"  # the connection closes, nothing was done
    TRUNCATE = "truncate"  # it was done, the answer stops half way


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: `burst` calls at once, then `per_s` a second."""

    burst: int
    per_s: float


# EC2's published defaults for an account and Region. The first pattern that fits counts.
REAL_BUCKETS = {
    "AssignPrivateIpAddresses": Bucket(100, 5),
    "UnassignPrivateIpAddresses": Bucket(100, 5),
    "CreateNetworkInterface": Bucket(100, 5),
    "DeleteNetworkInterface": Bucket(100, 5),
    "AttachNetworkInterface": Bucket(100, 5),
    "DetachNetworkInterface": Bucket(100, 5),
    "ModifyNetworkInterfaceAttribute": Bucket(100, 5),
    "Describe*": Bucket(100, 20),
    "Get*": Bucket(100, 20),
    "*": Bucket(50, 5),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What meets one call; `error` means it is refused after `delay_s`, and never done."""

    delay_s: float = 0.0
    error: Ec2CallError | None = None
    loss: Loss | None = None


@dataclass(slots=True)
class _Rule:
    api: str
    caller: str | None
    times_left: float = float("inf")

    def fits(self, api: str, caller: str) -> bool:
        return self.times_left > 0 and self.caller in (None, caller) and fnmatchcase(api, self.api)


@dataclass(slots=True)
class _ErrorRule(_Rule):
    error: Ec2CallError = field(default_factory=request_limit_exceeded)


@dataclass(slots=True)
class _LossRule(_Rule):
    loss: Loss = Loss.DROP


@dataclass(slots=True)
class _DelayRule(_Rule):
    seconds: float = 0.0


class _Level:
    """A bucket's tokens at a time."""

    def __init__(self, bucket: Bucket, now_s: float) -> None:
        self.bucket = bucket
        self.tokens = float(bucket.burst)
        self.at_s = now_s

    def take(self, now_s: float) -> bool:
        gained = max(0.0, now_s - self.at_s) * self.bucket.per_s
        self.tokens = min(float(self.bucket.burst), self.tokens + gained)
        self.at_s = now_s
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Faults:
    """The faults in force. Thread-safe; a change meets every call that arrives after it."""

    def __init__(self, *, clock: Callable[[], float], account_id: str) -> None:
        self._lock = Lock()
        self._clock = clock
        self._account_id = account_id
        self._buckets: dict[str, Bucket] = {}
        self._levels: dict[str, _Level] = {}
        self._denials: list[_Rule] = []
        self._errors: list[_ErrorRule] = []
        self._losses: list[_LossRule] = []
        self._delays: list[_DelayRule] = []

    def throttle(self, api: str, *, burst: int, per_s: float) -> None:
        """Calls of each API that fits share a bucket of its own, whoever calls."""
        with self._lock:
            self._buckets[api] = Bucket(burst, per_s)
            self._levels.clear()

    def throttle_like_aws(self) -> None:
        """The buckets of a real account in one Region (`REAL_BUCKETS`)."""
        with self._lock:
            self._buckets = dict(REAL_BUCKETS)
            self._levels.clear()

    def delay(self, api: str, seconds: float, *, caller: str | None = None) -> None:
        """The answer comes `seconds` later; set again to change, 0 to end."""
        with self._lock:
            self._delays = [
                rule for rule in self._delays if (rule.api, rule.caller) != (api, caller)
            ]
            if seconds > 0:
                self._delays.append(_DelayRule(api, caller, seconds=seconds))

    def deny(self, *actions: str, caller: str | None = None) -> None:
        """Take IAM actions away: `ec2:DescribeSubnets`, `ec2:Describe*`."""
        with self._lock:
            self._denials += [_Rule(action.removeprefix("ec2:"), caller) for action in actions]

    def allow(self, *actions: str, caller: str | None = None) -> None:
        """Give back what `deny` took, spelled the same way."""
        names = {action.removeprefix("ec2:") for action in actions}
        with self._lock:
            self._denials = [
                rule for rule in self._denials if rule.api not in names or rule.caller != caller
            ]

    def fail(
        self,
        api: str,
        *,
        code: str = "InternalError",
        message: str = "An internal error has occurred",
        status: int = 500,
        times: int | None = None,
        caller: str | None = None,
    ) -> None:
        """Refuse with an error of your own; `times` None means until cleared."""
        error = Ec2CallError(code, message, status=status)
        with self._lock:
            self._errors.append(_ErrorRule(api, caller, _times(times), error=error))

    def lose(
        self, api: str, loss: Loss, *, times: int | None = None, caller: str | None = None
    ) -> None:
        """Hang, drop or truncate; `times` None means until cleared."""
        with self._lock:
            self._losses.append(_LossRule(api, caller, _times(times), loss=loss))

    def clear(self) -> None:
        """No faults, no throttling; calls that already hang keep hanging."""
        with self._lock:
            self._buckets.clear()
            self._levels.clear()
            self._denials.clear()
            self._errors.clear()
            self._losses.clear()
            self._delays.clear()

    def judge(self, api: str, caller: str) -> Verdict:
        """What meets this call; takes a token where the API is throttled."""
        with self._lock:
            loss = self._loss_for(api, caller)
            if loss in (Loss.HANG, Loss.DROP):
                return Verdict(loss=loss)
            return Verdict(
                delay_s=sum(rule.seconds for rule in self._delays if rule.fits(api, caller)),
                error=self._error_for(api, caller),
                loss=loss,
            )

    def _loss_for(self, api: str, caller: str) -> Loss | None:
        for rule in self._losses:
            if rule.fits(api, caller):
                rule.times_left -= 1
                return rule.loss
        return None

    def _error_for(self, api: str, caller: str) -> Ec2CallError | None:
        if not self._take_token(api):
            return request_limit_exceeded()
        if any(rule.fits(api, caller) for rule in self._denials):
            role = ROLE_OF.get(caller, "someone")
            principal = f"arn:aws:sts::{self._account_id}:assumed-role/{role}/session"
            encoded = None if api.startswith(READ_VERBS) else "x" * 64
            return unauthorized(api, principal=principal, encoded=encoded)
        for rule in self._errors:
            if rule.fits(api, caller):
                rule.times_left -= 1
                return rule.error
        return None

    def _take_token(self, api: str) -> bool:
        if not self._buckets:
            return True
        now_s = self._clock()
        level = self._levels.get(api)
        if level is None:
            bucket = self._bucket_for(api)
            if bucket is None:
                return True
            level = self._levels[api] = _Level(bucket, now_s)
        return level.take(now_s)

    def _bucket_for(self, api: str) -> Bucket | None:
        """The exact name first, then the first pattern that fits."""
        exact = self._buckets.get(api)
        if exact is not None:
            return exact
        return next(
            (bucket for pattern, bucket in self._buckets.items() if fnmatchcase(api, pattern)),
            None,
        )


def _times(times: int | None) -> float:
    return float("inf") if times is None else float(times)
