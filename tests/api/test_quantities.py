"""Durations and shares are read exactly as they are written, and nothing else is read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.api import Duration, Share
from ippolicy.api.quantities import DURATION_PATTERN, SHARE_PATTERN
from ippolicy.errors import InvalidPolicy


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("15m", 900.0),
        ("1h30m", 5_400.0),
        ("24h", 86_400.0),
        ("0s", 0.0),
        ("250ms", 0.25),
        ("1.5h", 5_400.0),
        ("1h1m1s1ms", 3_661.001),
        ("5m30s", 330.0),
    ],
)
def test_a_duration_gives_its_seconds(text: str, seconds: float) -> None:
    assert Duration(text).seconds == pytest.approx(seconds)
    assert Duration(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "s",
        "1d",
        "1 h",
        "-1h",
        "1h ",
        " 1h",
        "1h\n",
        ".5h",
        "1.h",
        "1H",
        "1e3s",
        "٣s",
        "1234567s",
        "1.1234s",
        "1h1m1s1h1m1s1h1m1s",
    ],
)
def test_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy, match="must be a duration such as 30s"):
        Duration(text)


@pytest.mark.parametrize(
    ("text", "fraction"),
    [("0.5%", 0.005), ("0%", 0.0), ("100%", 1.0), ("100.00%", 1.0), ("99.9999%", 0.999999)],
)
def test_a_share_gives_its_fraction(text: str, fraction: float) -> None:
    assert Share(text).fraction == pytest.approx(fraction)
    assert Share(text) == text


@pytest.mark.parametrize(
    "text", ["", "%", "0.5", "101%", "100.1%", "-1%", "1 %", "1%\n", "5.%", ".5%", "1.12345%"]
)
def test_text_that_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy, match="must be a share from 0% to 100%"):
        Share(text)


@settings(deadline=None)
@given(st.from_regex(DURATION_PATTERN, fullmatch=True).filter(lambda text: len(text) <= 16))
def test_whatever_the_duration_pattern_lets_through_is_read(text: str) -> None:
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", text)
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0}
    assert Duration(text).seconds == pytest.approx(sum(float(n) * units[u] for n, u in parts))


@settings(deadline=None)
@given(st.from_regex(DURATION_PATTERN, fullmatch=True).filter(lambda text: len(text) <= 16))
def test_no_duration_overflows_the_nanoseconds_of_go(text: str) -> None:
    assert Duration(text).seconds * 1e9 < 2**63


@settings(deadline=None)
@given(st.from_regex(SHARE_PATTERN, fullmatch=True))
def test_whatever_the_share_pattern_lets_through_is_a_fraction(text: str) -> None:
    assert 0.0 <= Share(text).fraction <= 1.0
