"""One request to the API server: bounded in time, sent once, its errors in our own words.

What matters after a write that failed is whether it may have been carried out all the same. So
`CallFailed.refused` is true only where the API server itself said no. Nothing is retried here: the
next look at the facts decides what is still to be done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ippolicy.errors import ActError, FactsChanged, FieldConflict
from ippolicy.kube import retry_after_s

if TYPE_CHECKING:
    from kubernetes.client import ApiException

TIMEOUT_S = (5.0, 10.0)  # to connect, and between two pieces of an answer

_ENV_FIELD = re.compile(r'\.env\[name="(?P<key>[^"]+)"\]')
_MANAGER = re.compile(r'conflict with "(?P<manager>[^"]+)"')
_RETRYABLE_REFUSALS = frozenset({401, 429})  # a token is renewed, a queue empties


class CallFailed(ActError):
    """The API server did not do what it was asked, or nobody knows whether it did.

    `status` is its HTTP status, None without an answer. `refused` says that it certainly did
    nothing; `retryable` that the same may succeed later with nobody changing anything, after
    `retry_after_s` if the server said so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        refused: bool = False,
        retryable: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.refused = refused
        self.retryable = retryable
        self.retry_after_s = retry_after_s


def send(what: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Send one request by a method of the `kubernetes` client; the object that was answered.

    `what` names the request in errors, as in "read DaemonSet kube-system/aws-node".

    Raises:
        FieldConflict: a server-side apply named entries of other managers.
        FactsChanged: any other 409: the object is not the one that was read.
        CallFailed: everything else.
    """
    from kubernetes.client import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    try:
        response = call(*args, **kwargs, _preload_content=False, _request_timeout=TIMEOUT_S)
        body = json.loads(response.data)
    except ApiException as error:
        raise _explain(what, error) from error
    except ConfigException as error:
        raise CallFailed(
            f"{what}: no credentials: {_one_line(error)}: check the kubeconfig or service account",
            refused=True,
        ) from error
    except (HTTPError, OSError) as error:
        raise CallFailed(
            f"{what}: no answer from the API server ({type(error).__name__}): it will be looked at "
            "again"
        ) from error
    except (ValueError, RecursionError) as error:
        raise CallFailed(
            f"{what}: the answer is not JSON: check that the configured server is a Kubernetes API"
        ) from error
    if not isinstance(body, dict):
        raise CallFailed(f"{what}: the answer is not an object: check what answers there")
    return body


def find(what: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any] | None:
    """The same as `send` for what may not be there: None on 404."""
    try:
        return send(what, call, *args, **kwargs)
    except CallFailed as error:
        if error.status == 404:
            return None
        raise


def may_pass_later(status: int | None) -> bool:
    """Whether a request that was answered with this HTTP status, or with none, may be taken later
    with nobody changing anything."""
    return not _refused(status) or status in _RETRYABLE_REFUSALS


def _refused(status: int | None) -> bool:
    return status is not None and 400 <= status < 500 and status != 408


def _explain(what: str, error: ApiException) -> ActError:
    status = error.status or None
    answer = status_object(error.body)
    said = _one_line(answer.get("message") or error.reason or "no reason given")
    if status == 409:
        owners = _conflicting_managers(answer)
        if owners:
            return FieldConflict(f"{what}: {said}", owners=owners)
        return FactsChanged(f"{what}: {said}: what is there now decides what is done next")
    return CallFailed(
        f"{what}: HTTP {status}: {said}{_fix(status)}" if status else f"{what}: {said}",
        status=status,
        refused=_refused(status),
        retryable=may_pass_later(status),
        retry_after_s=retry_after_s((error.headers or {}).get("Retry-After")),
    )


def _conflicting_managers(answer: Mapping[str, Any]) -> dict[str, str]:
    """Env key (or the whole field path) -> manager, for each conflict that a Status names."""
    owners: dict[str, str] = {}
    details = answer.get("details") or {}
    for cause in details.get("causes") or ():
        if cause.get("reason") != "FieldManagerConflict":
            continue
        field, message = str(cause.get("field", "")), str(cause.get("message", ""))
        key, manager = _ENV_FIELD.search(field), _MANAGER.search(message)
        owners[key["key"] if key else field] = manager["manager"] if manager else message
    return owners


def status_object(body: Any) -> dict[str, Any]:
    """The Status in the body of an error; {} where there is none."""
    try:
        answer = json.loads(body or "{}")
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _fix(status: int | None) -> str:
    if status == 401:
        return ": check the credentials of the operator"
    if status == 403:
        return ": grant the operator's account this right (see deploy/)"
    return ""


def _one_line(text: object) -> str:
    return " ".join(str(text).split()).rstrip(".:")
