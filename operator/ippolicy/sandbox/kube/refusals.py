"""Refusals of the embedded API: each is a metav1.Status with the words of the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ippolicy.errors import SandboxError
from ippolicy.sandbox.kube.objects import Json, Object

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Refused(SandboxError):
    """A request the API answers with a Status of kind Failure."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str | None = None,
        details: Mapping[str, Json] | None = None,
        metadata: Mapping[str, Json] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = _REASONS.get(code, "") if reason is None else reason
        self.details = dict(details or {})
        self.metadata = dict(metadata or {})

    def status(self) -> Object:
        """The metav1.Status that goes over the wire."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        return body


def _details(group: str, kind: str, name: str) -> Object:
    pairs = (("name", name), ("group", group), ("kind", kind))
    return {key: value for key, value in pairs if value}


def qualified(plural: str, group: str) -> str:
    """The resource as messages name it: `daemonsets.apps`, or `pods` in the core group."""
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, group: str, name: str) -> Refused:
    """404 for one object."""
    message = f'{qualified(plural, group)} "{name}" not found'
    return Refused(404, message, details=_details(group, plural, name))


def already_exists(plural: str, group: str, name: str) -> Refused:
    """409 of a create."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    details = _details(group, plural, name)
    return Refused(409, message, reason="AlreadyExists", details=details)


def conflict(plural: str, group: str, name: str, cause: str = "") -> Refused:
    """409 of a write that was based on another version, or whose precondition failed."""
    cause = cause or (
        "the object has been modified; please apply your changes to the latest version"
        " and try again"
    )
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {cause}'
    return Refused(409, message, details=_details(group, plural, name))


def invalid(kind: str, group: str, name: str, errors: Sequence[tuple[str, str, str]]) -> Refused:
    """422 with one cause an error; an error is (field, cause reason, message)."""
    parts = [f"{field}: {message}" if field else message for field, _, message in errors]
    joined = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
    causes = [
        {"reason": reason, "message": message, "field": field or "<nil>"}
        for field, reason, message in errors
    ]
    message = f'{qualified(kind, group)} "{name}" is invalid: {joined}'
    return Refused(422, message, details={**_details(group, kind, name), "causes": causes})


def expired(message: str, *, continue_token: str = "") -> Refused:
    """410 for a version that history no longer reaches."""
    metadata = {"continue": continue_token} if continue_token else {}
    return Refused(410, message, metadata=metadata)
