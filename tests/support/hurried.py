"""An operator that lives in sandbox time: its wall clock runs as fast as the sandbox's does.

All ages, windows and paces that it goes by are in the faster time, and so are its naps between two
looks; what it does takes the time that it takes, and timeouts leave it that.
"""

from __future__ import annotations

from ippolicy.sandbox.operator import COMMAND

_HURRY = """
import asyncio, time
def hurry(began_s, since_s, speed, elapsed=time.monotonic, nap=asyncio.sleep):
    time.time = lambda: began_s + (elapsed() - since_s) * speed
    asyncio.sleep = lambda delay, result=None: nap(delay and max(0.02, delay / speed), result)
hurry(time.time(), time.monotonic(), %r)
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
    program, option, code, *arguments = COMMAND
    return (program, option, _HURRY % speed + code, *arguments)
