"""How long the inputs of the outside world are spoiled: a little, or with --fuzz for minutes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

EXAMPLES, EXAMPLES_OF_FUZZ = 60, 2_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz",
        nargs="?",
        type=int,
        default=EXAMPLES,
        const=EXAMPLES_OF_FUZZ,
        help=f"examples a reader; {EXAMPLES_OF_FUZZ} where no number follows",
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.register_profile(
        "fuzz",
        deadline=None,
        max_examples=config.getoption("--fuzz"),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
