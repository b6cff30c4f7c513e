"""Ready means that the caches are filled and fresh; alive means that the loop goes round."""

from __future__ import annotations

import pytest

from ippolicy.account.health import NEEDED, alive, ready
from ippolicy.facts import SourceName, SourceState

FRESH = {name: SourceState(100.0) for name in SourceName}


def test_fresh_caches_are_ready() -> None:
    health = ready(FRESH, now_s=110.0, max_age_s=30.0)
    assert health.ok
    assert (health.http_status, health.text()) == (200, "ok\n")


@pytest.mark.parametrize("name", NEEDED)
def test_a_source_that_was_never_read_is_named(name: SourceName) -> None:
    for sources in (
        {k: v for k, v in FRESH.items() if k is not name},
        FRESH | {name: SourceState(None)},
    ):
        health = ready(sources, now_s=110.0, max_age_s=30.0)
        assert (health.http_status, health.text()) == (503, f"{name} not read yet\n")


def test_a_source_that_fails_from_the_start_says_why() -> None:
    sources = FRESH | {SourceName.NODES: SourceState(None, error="403 Forbidden\nnodes")}
    health = ready(sources, now_s=110.0, max_age_s=30.0)
    assert health.reasons == ("nodes not read yet: 403 Forbidden nodes",)


def test_a_stale_source_is_named_with_its_age_and_cause() -> None:
    sources = FRESH | {SourceName.PODS: SourceState(10.0, error="timed out")}
    health = ready(sources, now_s=100.0, max_age_s=60.0)
    assert health.reasons == ("pods last read 1m30s ago, 1m are allowed: timed out",)


def test_an_error_on_a_fresh_source_does_not_make_it_unready() -> None:
    sources = FRESH | {SourceName.PODS: SourceState(100.0, error="timed out")}
    assert ready(sources, now_s=110.0, max_age_s=30.0).ok


@pytest.mark.parametrize("name", sorted(set(SourceName) - set(NEEDED)))
def test_ec2_and_metrics_are_not_needed_to_be_ready(name: SourceName) -> None:
    sources = FRESH | {name: SourceState(None, error="no credentials")}
    assert ready(sources, now_s=110.0, max_age_s=30.0).ok


def test_a_loop_that_goes_round_is_alive() -> None:
    assert alive(last_pass_s=100.0, now_s=130.0, max_age_s=30.0).ok


def test_a_loop_that_hangs_is_not_alive() -> None:
    health = alive(last_pass_s=100.0, now_s=131.0, max_age_s=30.0)
    assert health.reasons == ("the loop made no pass for 31s, 30s are allowed",)
