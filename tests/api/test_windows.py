"""What a window may say, beyond what the schema of the API server holds."""

from __future__ import annotations

from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from builders import policy
from ippolicy.api import Window
from ippolicy.errors import InvalidPolicy

FIELD = st.text("0123456789*,/-#LWSUNMOJA", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cron": "60 2 * * *"}, "'60 2 * * *' is no cron schedule: Bad minute"),
        ({"cron": "0 24 * * *"}, "Bad hour"),
        ({"cron": "0 2 0 * *"}, "Bad day-of-month"),
        ({"cron": "0 2 * 13 *"}, "Bad month"),
        ({"cron": "0 2 * * FOO"}, "Bad day-of-week"),
        ({"cron": "0 2 * * */0"}, "Bad day-of-week"),
        ({"cron": "0 2 30 2 *"}, "Bad day-of-month"),
        ({"timeZone": "Europe/Bonn"}, "'Europe/Bonn' is no time zone that is known here"),
        ({"timeZone": "Europe"}, "'Europe' is no time zone"),
    ],
)
def test_a_window_that_means_nothing_is_refused_with_its_fix(
    fields: dict[str, str], said: str
) -> None:
    window = {"cron": "0 2 * * *", "duration": "4h", **fields}
    with pytest.raises(InvalidPolicy) as caught:
        policy({"change": {"windows": [window]}})
    (name,) = fields
    assert f"spec.change.windows[0].{name}" in str(caught.value)
    assert said in str(caught.value)


@given(st.lists(FIELD, min_size=5, max_size=5))
def test_any_text_is_a_schedule_or_refused(fields: list[str]) -> None:
    cron = " ".join(fields)
    try:
        read = Window.model_validate({"cron": cron, "duration": "1h"}).cron
    except ValidationError as error:
        read = "" if error.error_count() == 1 else "told twice"
    assert read in {cron, ""}


@given(st.sampled_from(sorted(available_timezones())))
def test_every_time_zone_may_be_named(name: str) -> None:
    fields = {"cron": "0 2 * * *", "duration": "1h", "timeZone": name}
    assert Window.model_validate(fields).time_zone == name
