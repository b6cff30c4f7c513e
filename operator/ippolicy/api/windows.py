"""The times at which a change may start: a cron schedule, a length, and a time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError

from ippolicy.api.quantities import Duration
from ippolicy.api.rules import Part, matches, span

MAX_WINDOWS = 20
_FIELD = "[0-9A-Za-z*,/#-]+"
_ANY_DAY = datetime(2024, 1, 1, tzinfo=UTC)

_CRON_SHAPE = matches(
    f"{_FIELD}( {_FIELD}){{4}}",
    "must have five cron fields (minute hour day-of-month month day-of-week), such as 0 2 * * 1-5",
)
_ZONE_SHAPE = matches(
    "[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*",
    "must be the name of a time zone, such as UTC or Europe/Berlin",
)


def _real_cron(text: str) -> str:
    """`text`, if it names times that ever come: the API server knows the shape of it only."""
    try:
        came = next(CronSim(text, _ANY_DAY), None)
    except CronSimError as error:
        raise _refused(f"{text!r} is no cron schedule: {error}: correct that field") from error
    if came is None:
        raise _refused(f"{text!r} names a time that never comes: correct its day or month")
    return text


def _real_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise _refused(
            f"{name!r} is no time zone that is known here: use an IANA name such as Europe/Berlin"
        ) from error
    return name


def _refused(problem: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "{problem}", {"problem": problem})


class Window(Part):
    """A time in which a change may start; one that has started goes on past its end."""

    cron: Annotated[str, StringConstraints(max_length=100), _CRON_SHAPE, AfterValidator(_real_cron)]
    """When it opens: minute, hour, day of month, month and day of week, as cron takes them, with
    single spaces between."""
    duration: Annotated[Duration, span("1m", "168h")]
    """How long it stays open, from 1m to 168h, whatever clocks do meanwhile."""
    time_zone: Annotated[
        str, StringConstraints(max_length=64), _ZONE_SHAPE, AfterValidator(_real_zone)
    ] = "UTC"
    """The time zone of the schedule, by its IANA name. A time that the clocks skip counts as the
    moment after; one that comes twice, as its first."""

    def __str__(self) -> str:
        return f"{self.cron} {self.time_zone} for {self.duration}"
