"""A verdict is an HTTP status and its reasons; alive means that the loop goes round."""

from __future__ import annotations

from ippolicy.account.health import Health, alive


def test_a_verdict_without_reasons_is_ok() -> None:
    health = Health()
    assert health.ok
    assert (health.http_status, health.text()) == (200, "ok\n")


def test_each_reason_against_it_is_a_line() -> None:
    health = Health(("pods not listed yet", "ec2-subnets was not asked yet"))
    assert not health.ok
    assert health.http_status == 503
    assert health.text() == "pods not listed yet\nec2-subnets was not asked yet\n"


def test_a_loop_that_goes_round_is_alive() -> None:
    assert alive(last_pass_s=100.0, now_s=130.0, max_age_s=30.0).ok


def test_a_loop_that_hangs_is_not_alive() -> None:
    health = alive(last_pass_s=100.0, now_s=131.0, max_age_s=30.0)
    assert health.reasons == ("the loop made no pass for 31s, 30s are allowed",)
