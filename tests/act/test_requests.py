from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError, ProtocolError, ReadTimeoutError

from ippolicy.act.outcome import OutcomeKind, outcome_of
from ippolicy.act.requests import TIMEOUT_S, CallFailed, send
from ippolicy.errors import ActError, FactsChanged, FieldConflict

POOL = HTTPConnectionPool("127.0.0.1")


def refusal(status: int, body: Any = None, **headers: str) -> ApiException:
    error = ApiException(status=status, reason="Reason")
    error.body = body if isinstance(body, str | None) else json.dumps(body)
    error.headers = headers
    return error


def sent(answer: Any) -> dict[str, Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        assert kwargs["_request_timeout"] == TIMEOUT_S
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(data=answer)

    return send("read it", call, "name", "namespace")


def error_of(answer: Any) -> ActError:
    with pytest.raises(ActError) as caught:
        sent(answer)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("read it: ")
    return caught.value


def test_the_object_that_was_answered_is_given() -> None:
    assert sent(b'{"kind": "DaemonSet"}') == {"kind": "DaemonSet"}


@pytest.mark.parametrize(
    ("answer", "refused", "retryable"),
    [
        (refusal(400), True, False),
        (refusal(401), True, True),
        (refusal(403), True, False),
        (refusal(404), True, False),
        (refusal(408), False, True),
        (refusal(422), True, False),
        (refusal(429), True, True),
        (refusal(500), False, True),
        (refusal(503, "<html>not JSON</html>"), False, True),
        (refusal(302), False, True),
        (refusal(0), False, True),
        (ReadTimeoutError(POOL, "/", "timed out"), False, True),
        (MaxRetryError(POOL, "/"), False, True),
        (ProtocolError("cut off"), False, True),
        (ConnectionResetError("reset"), False, True),
        (b"<html>", False, True),
        (b"[]", False, True),
        (b'{"half":', False, True),
        (ConfigException("exec plugin failed"), True, True),
    ],
)
def test_a_failure_says_whether_anything_can_have_happened(
    answer: Any, refused: bool, retryable: bool
) -> None:
    error = error_of(answer)
    assert isinstance(error, CallFailed)
    assert (error.refused, error.retryable) == (refused, retryable)
    outcome = outcome_of(error)
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FAILED, retryable)
    assert outcome.error == "CallFailed"
    assert not outcome.settled


def test_the_servers_words_and_the_fix_are_told() -> None:
    error = error_of(refusal(403, {"message": 'daemonsets.apps "aws-node" is\nforbidden'}))
    assert str(error) == (
        'read it: HTTP 403: daemonsets.apps "aws-node" is forbidden: grant the operator\'s account '
        "this right (see deploy/)"
    )


def test_the_time_to_wait_is_taken_from_the_server() -> None:
    error = error_of(refusal(429, **{"Retry-After": "7"}))
    assert isinstance(error, CallFailed)
    assert error.retry_after_s == 7.0
    assert outcome_of(error).retry_after_s == 7.0


def test_a_changed_object_is_not_a_field_conflict() -> None:
    error = error_of(refusal(409, {"reason": "Conflict", "details": {"name": "aws-node"}}))
    assert isinstance(error, FactsChanged)
    outcome = outcome_of(error)
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FACTS_CHANGED, True)


def test_field_conflicts_name_each_key_and_manager() -> None:
    path = '.spec.template.spec.containers[name="aws-node"].env[name="{}"].value'
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "eks"',
            "field": path.format("A"),
        },
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "helm" using apps/v1',
            "field": path.format("B"),
        },
        {"reason": "FieldManagerConflict", "message": "odd", "field": ".spec.odd"},
        {"reason": "Other", "message": "x", "field": "y"},
    ]
    error = error_of(refusal(409, {"message": "no", "details": {"causes": causes}}))
    assert isinstance(error, FieldConflict)
    assert error.owners == {"A": "eks", "B": "helm", ".spec.odd": "odd"}
    assert outcome_of(error).owners == error.owners
