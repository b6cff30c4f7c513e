"""The API server refuses, by the CRD alone, what makes no sense, and says what to do instead."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client

from bad_policies import BAD_POLICIES, GOOD_SPECS, BadPolicy, resource
from controlplane import ControlPlane


def create(admin: client.ApiClient, policy: dict[str, Any]) -> Any:
    """Create the policy in all but storing it; gives what would be stored, defaults filled in."""
    return client.CustomObjectsApi(admin).create_cluster_custom_object(
        "ippolicy.dev", "v1alpha1", "ippolicies", policy, dry_run="All"
    )


@pytest.mark.parametrize("bad", BAD_POLICIES, ids=lambda bad: bad.name[:40])
def test_nonsense_is_refused_with_the_fix(
    deployed: ControlPlane, admin: client.ApiClient, bad: BadPolicy
) -> None:
    with pytest.raises(client.ApiException) as refused:
        create(admin, bad.resource())
    assert refused.value.status == 422
    message = json.loads(refused.value.body or "")["message"]
    assert [part for part in bad.says if part not in message] == [], message


@pytest.mark.parametrize("name", GOOD_SPECS)
def test_what_is_at_the_edge_of_sense_is_accepted(
    deployed: ControlPlane, admin: client.ApiClient, name: str
) -> None:
    spec = GOOD_SPECS[name]
    stored = create(admin, resource(name, spec))
    assert stored["spec"]["mode"] == (spec or {}).get("mode") or "Recommend"
