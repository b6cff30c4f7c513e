"""The add-on vpc-cni as EKS tells of it and changes it: one request each, errors in our own words.

Rights needed: eks:DescribeAddon, eks:DescribeAddonConfiguration, eks:DescribeUpdate and
eks:UpdateAddon; iam:PassRole for an add-on with an IAM role of its own, which each update names
again, as EKS takes it away otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from ippolicy import __version__
from ippolicy.act.eks.cluster import cluster_name
from ippolicy.act.requests import CallFailed

ADDON: Final = "vpc-cni"
TIMEOUT_S: Final = 10.0

_BUSY: Final = frozenset({"CREATING", "UPDATING", "DELETING"})
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_PASSING: Final = frozenset(
    {"ThrottlingException", "ResourceInUseException", "RequestLimitExceeded"}
)
_ARN: Final = re.compile(r"arn:[\w:/.*+=@-]+")
_ACCOUNT: Final = re.compile(r"\b\d{12}\b")


class Resolve(StrEnum):
    """What EKS does about fields that others set: keep theirs, or take them all."""

    PRESERVE = "PRESERVE"
    OVERWRITE = "OVERWRITE"


@dataclass(frozen=True, slots=True)
class Addon:
    """The add-on as EKS describes it: `values` is configurationValues, "" for none.

    `issues` is what EKS says is wrong with it, in one line.
    """

    status: str
    version: str
    values: str = ""
    role_arn: str = ""
    issues: str = ""

    @property
    def busy(self) -> bool:
        """Whether EKS is at work on it, so that it takes no update."""
        return self.status in _BUSY

    @property
    def failed(self) -> bool:
        """Whether its last update failed."""
        return self.status == "UPDATE_FAILED"


@dataclass(frozen=True, slots=True)
class Update:
    """An update of the add-on: `status` as EKS has it, and its errors in one line."""

    status: str
    errors: str = ""

    @property
    def failed(self) -> bool:
        """Whether it ended without having been carried out."""
        return self.status in ("Failed", "Cancelled")


class AddonApi(Protocol):
    """What is asked of EKS. Every method blocks and may raise CallFailed."""

    def describe(self) -> Addon:
        """The add-on now; CallFailed with status 404 where the cluster has none."""
        ...

    def schema(self, version: str) -> str:
        """The JSON schema of the configuration values of that version."""
        ...

    def update(self, addon: Addon, values: str, *, resolve: Resolve, token: str = "") -> str:
        """Have `values` put in the place of those of `addon`; the id of the update.

        Version, IAM role and pod identity stay. The same `token` twice is one update.
        """
        ...

    def update_state(self, update_id: str) -> Update:
        """How far an update is."""
        ...


class EksClient:
    """`AddonApi` through boto3, imported and connected at the first question."""

    def __init__(self, core_api: Any, cluster: str = "") -> None:
        """`cluster` names the EKS cluster; empty to have its nodes tell it, through `core_api`."""
        self._core = core_api
        self._cluster = cluster
        self._client: Any = None

    def describe(self) -> Addon:
        """The add-on now; CallFailed with status 404 where the cluster has none."""
        raw = self._ask("DescribeAddon", "describe_addon", "addon", **self._named())
        return Addon(
            status=raw.get("status", ""),
            version=raw.get("addonVersion", ""),
            values=raw.get("configurationValues") or "",
            role_arn=raw.get("serviceAccountRoleArn") or "",
            issues=_told((raw.get("health") or {}).get("issues"), "code", "message"),
        )

    def schema(self, version: str) -> str:
        """The JSON schema of the configuration values of that version."""
        answer = self._ask(
            "DescribeAddonConfiguration",
            "describe_addon_configuration",
            "configurationSchema",
            addonName=ADDON,
            addonVersion=version,
        )
        return str(answer)

    def update(self, addon: Addon, values: str, *, resolve: Resolve, token: str = "") -> str:
        """Have `values` put in the place of those of `addon`; the id of the update."""
        role = {"serviceAccountRoleArn": addon.role_arn} if addon.role_arn else {}
        raw = self._ask(
            "UpdateAddon",
            "update_addon",
            "update",
            **self._named(),
            configurationValues=values,
            resolveConflicts=resolve.value,
            **({"clientRequestToken": token} if token else {}),
            **role,
        )
        return str(raw["id"])

    def update_state(self, update_id: str) -> Update:
        """How far an update is."""
        names = {"name": self._name(), "addonName": ADDON, "updateId": update_id}
        raw = self._ask("DescribeUpdate", "describe_update", "update", **names)
        told = _told(raw.get("errors"), "errorCode", "errorMessage")
        return Update(status=raw.get("status", ""), errors=told)

    def _named(self) -> dict[str, str]:
        return {"clusterName": self._name(), "addonName": ADDON}

    def _name(self) -> str:
        if not self._cluster:
            self._cluster = cluster_name(self._core, self._tags)
        return self._cluster

    def _tags(self, instance_ids: list[str]) -> list[Mapping[str, str]]:
        """The tags of some instances; EC2 says nothing of those that are gone."""
        if not instance_ids:
            return []
        # As a filter, since one id that is gone would refuse the whole question otherwise.
        ids = [{"Name": "instance-id", "Values": instance_ids}]
        ec2 = _session().client("ec2", config=_config())
        found = _ask("ec2:DescribeInstances", lambda: ec2.describe_instances(Filters=ids))
        return [
            {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
            for reservation in found["Reservations"]
            for instance in reservation["Instances"]
        ]

    def _ask(self, action: str, method: str, member: str, **params: Any) -> Any:
        if self._client is None:
            self._client = _session().client("eks", config=_config())
        ask = getattr(self._client, method)
        try:
            answer = _ask(f"eks:{action}", lambda: ask(**params))
        except CallFailed as error:
            if error.status is None:
                self._client = None  # credentials given later are only seen by a new client
            raise
        if member not in answer:
            raise CallFailed(
                f"EKS does not answer {action} as EKS does: check AWS_ENDPOINT_URL_EKS"
            )
        return answer[member]


def _session() -> Any:
    import boto3

    # boto3 itself reads AWS_DEFAULT_REGION only; EKS and other SDKs say AWS_REGION.
    return boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)


def _config() -> Any:
    from botocore.config import Config

    return Config(
        connect_timeout=TIMEOUT_S / 2,
        read_timeout=TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": 2},
        user_agent_extra=f"ippolicy-operator/{__version__}",
    )


def _ask(action: str, call: Callable[[], Any]) -> Any:
    """The answer to `call`; `action` names it as IAM does, as in eks:DescribeAddon."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        return call()
    except ClientError as error:
        raise _refusal(action, error.response) from error
    except (BotoCoreError, ResponseParserError, ValueError) as error:
        raise CallFailed(
            f"{action} was not answered ({type(error).__name__}): check the route to AWS, its VPC "
            "endpoint, AWS_REGION and the credentials of the operator"
        ) from error


def _refusal(action: str, response: Mapping[str, Any]) -> CallFailed:
    error = response.get("Error") or {}
    code = str(error.get("Code") or "Unknown")
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    if code in _DENIED:
        message = f"AWS refused {action}: allow it in the operator's IAM role"
    else:
        message = f"AWS answered {action} with {code}: {without_names(error.get('Message') or '')}"
    refused = status is not None and 400 <= status < 500
    retryable = not refused or code in _PASSING
    return CallFailed(message, status=status, refused=refused, retryable=retryable)


def without_names(text: str) -> str:
    """What AWS said, in one bounded line without ARNs and account ids."""
    plain = _ACCOUNT.sub("(account)", _ARN.sub("(ARN)", " ".join(str(text).split())))
    return plain[:300]


def _told(errors: Any, code: str, message: str) -> str:
    return "; ".join(
        f"{one.get(code, 'Unknown')}: {without_names(one.get(message) or 'no message')}"
        for one in list(errors or ())[:3]
    )
