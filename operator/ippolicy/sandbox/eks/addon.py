"""The add-on vpc-cni as EKS keeps it: one update at a time, each with its time and its end."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import yaml

ADDON: Final = "vpc-cni"
ENV_KEYS: Final = (
    "AWS_VPC_K8S_CNI_LOGLEVEL",
    "ENABLE_PREFIX_DELEGATION",
    "MINIMUM_IP_TARGET",
    "WARM_ENI_TARGET",
    "WARM_IP_TARGET",
    "WARM_PREFIX_TARGET",
)
SCHEMA: Final[Mapping[str, Any]] = {
    "$schema": "http://json-schema.org/draft-06/schema#",
    "$ref": "#/definitions/VpcCni",
    "definitions": {
        "VpcCni": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "env": {"$ref": "#/definitions/Env"},
                "enableNetworkPolicy": {"type": "string", "format": "boolean"},
                "init": {"type": "object"},
                "nodeAgent": {"type": "object"},
                "resources": {"type": "object"},
                "tolerations": {"type": "array"},
            },
        },
        "Env": {
            "type": "object",
            "additionalProperties": False,
            "properties": {key: {"type": "string"} for key in ENV_KEYS},
        },
    },
}
"""Made like the one of the real add-on: env entries are strings, and unknown ones are refused."""


class EksCallError(Exception):
    """A refusal: `code` as EKS names it, and the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Failure:
    """How an update ends that fails; `applied` says that its env was set all the same."""

    code: str
    message: str
    applied: bool = False


class Env(Protocol):
    """Where the add-on sets env."""

    def apply(self, env: Mapping[str, str], resolve: str) -> list[str]:
        """Set env; the fields that others hold, where `resolve` is NONE, and nothing was set."""
        ...


@dataclass
class _Update:
    id: str
    request: Mapping[str, Any]
    started_at_s: float
    takes_s: float
    failure: Failure | None
    former: str
    status: str = "InProgress"
    applied: bool = False
    errors: list[dict[str, str]] = field(default_factory=list)


class AddonState:
    """The add-on of one cluster. Thread-safe; time goes by whenever it is asked.

    An update is applied at half of its time. With `eager`, new configuration values are shown at
    once and stay after a failure; else the former ones are shown until it succeeds.

    Attributes:
        values, version, role_arn, pod_identities: as DescribeAddon has them.
        update_s: how long updates take from now on.
        failures: how the next updates end, one each; those after them succeed.
        updates_taken: requests of UpdateAddon that were accepted, oldest first.
    """

    def __init__(
        self,
        env: Env,
        clock: Callable[[], float],
        *,
        values: str = "",
        defaults: Mapping[str, str] | None = None,
        eager: bool = True,
        update_s: float = 2.0,
    ) -> None:
        self.values = values
        self.version = "v1.19.2-eksbuild.1"
        self.role_arn = "arn:aws:iam::111122223333:role/aws-node"
        self.pod_identities = ["arn:aws:eks:us-west-2:111122223333:podidentityassociation/c/a-1"]
        self.update_s = update_s
        self.failures: list[Failure] = []
        self.updates_taken: list[Mapping[str, Any]] = []
        self._env = env
        self._clock = clock
        self._defaults = dict(defaults or {})
        self._eager = eager
        self._status = "ACTIVE"
        self._issues: list[dict[str, str]] = []
        self._updates: dict[str, _Update] = {}
        self._tokens: dict[str, str] = {}
        self._lock = threading.RLock()

    def create(self) -> None:
        """Set the add-on's env for the first time, over whatever is there."""
        self._env.apply(self._wanted(), "OVERWRITE")

    def busy_with(self, status: str, seconds: float) -> None:
        """Be at something of its own for that long, such as CREATING."""
        with self._lock:
            one = _Update("own", {}, self._clock(), seconds, None, self.values, applied=True)
            self._updates["own"] = one
            self._status = status

    def describe(self) -> dict[str, Any]:
        """The add-on as DescribeAddon answers."""
        with self._lock:
            self._progress()
            return {
                "addonName": ADDON,
                "status": self._status,
                "addonVersion": self.version,
                "health": {"issues": self._issues},
                "serviceAccountRoleArn": self.role_arn,
                "podIdentityAssociations": self.pod_identities,
                "configurationValues": self.values,
            }

    def describe_update(self, update_id: str) -> dict[str, Any]:
        """An update as DescribeUpdate answers."""
        with self._lock:
            self._progress()
            if update_id not in self._updates:
                raise EksCallError("ResourceNotFoundException", f"No update {update_id}", 404)
            update = self._updates[update_id]
            return {
                "id": update.id,
                "status": update.status,
                "type": "AddonUpdate",
                "params": [],
                "errors": update.errors,
            }

    def update(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Take an update, or give the one that was taken with the same token."""
        with self._lock:
            self._progress()
            token = request.get("clientRequestToken", "")
            if token in self._tokens:
                return self.describe_update(self._tokens[token])
            if self._running() is not None:
                raise EksCallError("ResourceInUseException", f"Addon {ADDON} is busy", 409)
            check(request.get("configurationValues", ""))
            failure = self.failures.pop(0) if self.failures else None
            one = _Update(
                str(uuid.uuid4()), request, self._clock(), self.update_s, failure, self.values
            )
            self._updates[one.id] = one
            self._tokens[token] = one.id
            self._status, self._issues = "UPDATING", []
            self.updates_taken.append(request)
            # EKS falls back to the role of the nodes where none is named.
            self.role_arn = request.get("serviceAccountRoleArn", "")
            self.version = request.get("addonVersion", self.version)
            self.pod_identities = request.get("podIdentityAssociations", self.pod_identities)
            if self._eager:
                self.values = request.get("configurationValues", self.values)
            return self.describe_update(one.id)

    def _running(self) -> _Update | None:
        return next((one for one in self._updates.values() if one.status == "InProgress"), None)

    def _progress(self) -> None:
        update = self._running()
        if update is None:
            return
        age_s = self._clock() - update.started_at_s
        sets = update.failure is None or update.failure.applied
        if age_s >= update.takes_s / 2 and not update.applied and sets:
            update.applied = True
            self._apply(update)
        if age_s >= update.takes_s and update.status == "InProgress":
            if update.failure is not None:
                self._fail(update, update.failure.code, update.failure.message)
            else:
                update.status, self._status = "Successful", "ACTIVE"
                self.values = update.request.get("configurationValues", self.values)

    def _apply(self, update: _Update) -> None:
        wanted = self._wanted(update.request.get("configurationValues", ""))
        conflicts = self._env.apply(wanted, update.request.get("resolveConflicts", "NONE"))
        if conflicts:
            named = ", ".join(conflicts)
            self._fail(
                update,
                "ConfigurationConflict",
                "Conflicts found when trying to apply. Will not continue due to resolve conflicts "
                f"mode. Conflicts: DaemonSet.apps aws-node - {named}",
            )

    def _fail(self, update: _Update, code: str, message: str) -> None:
        update.status, self._status = "Failed", "UPDATE_FAILED"
        update.errors = [{"errorCode": code, "errorMessage": message}]
        self._issues = [{"code": code, "message": message}]
        if not self._eager:
            self.values = update.former

    def _wanted(self, values: str | None = None) -> dict[str, str]:
        content = content_of(self.values if values is None else values)
        env = {key: str(value) for key, value in (content.get("env") or {}).items()}
        return self._defaults | env


def content_of(values: str) -> dict[str, Any]:
    """Configuration values as EKS reads them: JSON, or else YAML."""
    return dict(yaml.safe_load(values) or {})


def check(values: str) -> None:
    """Refuse values that break the schema, with EKS's own code. Raises EksCallError."""
    from jsonschema import Draft6Validator

    try:
        content = json.loads(values) if values.lstrip().startswith("{") else content_of(values)
    except (ValueError, yaml.YAMLError) as error:
        raise EksCallError("InvalidParameterException", f"ConfigurationValue: {error}") from error
    problem = next(iter(Draft6Validator(SCHEMA).iter_errors(content)), None)
    if problem is not None:
        raise EksCallError(
            "InvalidParameterException",
            "ConfigurationValue provided in request is not supported: Json schema validation "
            f"failed with error: [{problem.json_path}: {problem.message}]",
        )
