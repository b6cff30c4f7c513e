"""Settings come from one place, and all that is wrong with them is said at once."""

from __future__ import annotations

import pytest

from ippolicy.errors import InvalidSetting
from ippolicy.settings import PREFIX, Settings, load


def test_every_setting_has_a_default() -> None:
    assert load({}) == Settings()


def test_a_flag_wins_over_the_environment() -> None:
    settings = load({"IPPOLICY_INTERVAL": "5s", "OTHER": "x"}, {"interval": "7s"})
    assert settings.interval.seconds == 7


def test_numbers_and_shares_are_read_from_text() -> None:
    settings = load({"IPPOLICY_HTTP_PORT": "9090", "IPPOLICY_MIN_COVERAGE": "95%"})
    assert (settings.http_port, settings.min_coverage.fraction) == (9090, 0.95)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(InvalidSetting) as refused:
        load({"IPPOLICY_INTERVAL": "often", "IPPOLICY_HTTP_PORT": "99999", "IPPOLICY_SPEED": "1"})
    message = str(refused.value)
    assert "IPPOLICY_INTERVAL='often'" in message
    assert "IPPOLICY_HTTP_PORT='99999'" in message
    assert "IPPOLICY_SPEED is not a setting" in message
    assert "\n" not in message


def test_a_lease_of_less_than_a_second_is_refused() -> None:
    assert load({"IPPOLICY_LEASE_DURATION": "1s"}).lease_duration.seconds == 1
    with pytest.raises(InvalidSetting, match=r"IPPOLICY_LEASE_DURATION='900ms': .*1s or more"):
        load({"IPPOLICY_LEASE_DURATION": "900ms"})


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    assert field.description.endswith(".")
    assert (PREFIX + name.upper()).isidentifier()
