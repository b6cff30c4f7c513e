"""The policies of a cluster, as commands find them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ippolicy.act.requests import send
from ippolicy.api import GROUP, PLURAL, VERSION, IPPolicy
from ippolicy.errors import InvalidInput

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


def policy_named(client: ApiClient, name: str) -> IPPolicy:
    """The policy `name`.

    Raises:
        InvalidInput: there is none.
        ActError: the API server did not answer.
    """
    return IPPolicy.from_raw(raw_policy(client, name))


def raw_policy(client: ApiClient, name: str | None) -> Mapping[str, Any]:
    """The object of the policy `name`, or of the only one.

    Raises:
        InvalidInput: there is none, or there are several and none was named.
        ActError: the API server did not answer.
    """
    from kubernetes.client import CustomObjectsApi

    listed = send(
        "list IPPolicies",
        CustomObjectsApi(client).list_cluster_custom_object,
        GROUP,
        VERSION,
        PLURAL,
    )
    found: dict[str, Mapping[str, Any]] = {
        item["metadata"]["name"]: item for item in listed.get("items") or ()
    }
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name is not None and name in found:
        return found[name]
    told = ", ".join(sorted(found)) or "none"
    wanted = "which policy?" if name is None else f"there is no IPPolicy {name}."
    raise InvalidInput(f"{wanted} The cluster has: {told}")
