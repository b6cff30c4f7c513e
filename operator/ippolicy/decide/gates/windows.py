"""Whether a window is open in which a change may start, and when the next one opens.

A window opens at each time of its cron schedule, on the clocks of its time zone, and stays open for
its duration in real time: open(now) is "it opened in (now - duration, now]". As Debian's cron does,
a fixed time that the clocks skip opens it right after the gap, one that comes twice at the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

from ippolicy.api import Window
from ippolicy.decide.gates.stop import Stop
from ippolicy.decide.types import Reason


def window_gate(windows: Sequence[Window], now_s: float) -> Stop | None:
    """Whether no window is open, where there are any."""
    if not windows or any(is_open(window, now_s) for window in windows):
        return None
    opens_s, window = min(
        ((next_opening_s(window, now_s), window) for window in windows), key=lambda found: found[0]
    )
    at = datetime.fromtimestamp(opens_s, ZoneInfo(window.time_zone))
    return Stop(
        Reason.OUTSIDE_WINDOW,
        f"no window of change.windows is open: the next opens {at:%Y-%m-%d %H:%M} "
        f"{window.time_zone} ({window})",
    )


def is_open(window: Window, now_s: float) -> bool:
    """Whether it opened no longer than its duration ago."""
    return next_opening_s(window, now_s - window.duration.seconds) <= now_s


def next_opening_s(window: Window, after_s: float) -> float:
    """The first time at which it opens after `after_s`."""
    times = CronSim(window.cron, datetime.fromtimestamp(after_s, ZoneInfo(window.time_zone)))
    # In the hour that comes twice it starts over on the first; what is past is passed over.
    return next(at_s for time in times if (at_s := time.timestamp()) > after_s)
