"""An operator that lives in sandbox time: its wall clock runs as fast as the sandbox's does.

All ages, windows and paces that it goes by are in the faster time, and so are its naps between two
looks; what it does takes the time that it takes, and timeouts leave it that.
"""

from __future__ import annotations

import time

from ippolicy.sandbox.operator import COMMAND

_HURRY = """
import asyncio, time
def hurry(began_s, since_s, speed, elapsed=time.monotonic, nap=asyncio.sleep):
    time.time = lambda: began_s + (elapsed() - since_s) * speed
    asyncio.sleep = lambda delay, result=None: nap(delay and max(0.02, delay / speed), result)
hurry(%s, %s, %r)
"""
_JUMPS = """
import signal
def jumps(clock=time.time, ahead_s=[0.0]):
    time.time = lambda: clock() + ahead_s[0]
    signal.signal(signal.SIGUSR1, lambda *_: ahead_s.__setitem__(0, %r))
    signal.signal(signal.SIGUSR2, lambda *_: ahead_s.__setitem__(0, 0.0))
jumps()
"""
_RECKON = """
import asyncio, time
def reckon(began_s, since_s, speed, older_s, elapsed=time.monotonic, nap=asyncio.sleep):
    time.time = lambda: began_s + (elapsed() - since_s) * speed
    asyncio.sleep = lambda delay, result=None: nap(delay and max(0.02, delay / speed), result)
    from ippolicy.observe.records import _Meta
    made_s = _Meta.created_at_s.fget
    def then_s(at_s):
        return at_s - older_s if at_s < began_s else began_s + (at_s - began_s) * speed
    _Meta.created_at_s = property(lambda meta: then_s(made_s(meta)))
reckon(%r, %r, %r, %r)
"""
PATIENT = {
    "IPPOLICY_SCRAPE_INTERVAL": "2m",
    "IPPOLICY_SCRAPE_TIMEOUT": "2s",
    "IPPOLICY_EC2_SUBNETS_INTERVAL": "1m",
    "IPPOLICY_EC2_INSTANCES_INTERVAL": "2m",
    "IPPOLICY_FACTS_MAX_AGE": "30m",
    "IPPOLICY_ROLLOUT_STUCK_AFTER": "2h",
}
"""Settings in the faster time, with room for a machine that is slow in real time."""


def hurried(speed: float) -> tuple[str, ...]:
    """The command of such an operator, for `Layout.operator_command`."""
    return _after(_from_now(speed))


def reckoning(speed: float, *, older_s: float = 0.0) -> tuple[str, ...]:
    """One of several that share a clock, whoever starts when.

    The stamps that a real API server puts on what is made are turned into its time; what was made
    before now is `older_s` older.
    """
    return _after(_RECKON % (time.time(), time.monotonic(), speed, older_s))


def jumping(speed: float, by_s: float) -> tuple[str, ...]:
    """One whose own clock goes `by_s` ahead at SIGUSR1, and back at SIGUSR2."""
    return _after(_from_now(speed) + _JUMPS % by_s)


def _from_now(speed: float) -> str:
    return _HURRY % ("time.time()", "time.monotonic()", speed)


def _after(first: str) -> tuple[str, ...]:
    program, option, code, *arguments = COMMAND
    return (program, option, first + code, *arguments)
