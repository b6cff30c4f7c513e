"""What Helm says after an install: what to do next, and only what is left to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controlplane import ControlPlane
from helm import CHART, RELEASE, Helm

ROLE = "arn:aws:iam::111122223333:role/ippolicy-operator"
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "helm -n kube-system test ippolicy", "It reads EC2 as"),
    ({}, "names no IAM role", "See what the policy"),
    ({}, "kubectl apply -f - <<EOF", "See what the policy"),
    ({}, "kubectl delete ippolicies.ippolicy.dev --all", "<no value>"),
    ({"service": {"enabled": False}}, "rollout status deployment/ippolicy-operator", "helm -n"),
    (
        {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": ROLE}}},
        f"as {ROLE}",
        "no IAM role",
    ),
    ({"policy": {"create": True, "name": "mine"}}, "See what the policy mine finds", "<<EOF"),
]


@pytest.mark.parametrize(("values", "says", "leaves_out"), CASES, ids=[case[1] for case in CASES])
def test_the_notes_say_what_is_left_to_do(
    shared_plane: ControlPlane, tmp_path: Path, values: dict[str, Any], says: str, leaves_out: str
) -> None:
    helm = Helm(tmp_path, shared_plane.admin_kubeconfig)
    said = helm("install", RELEASE, CHART, "--dry-run", values=values)
    notes = said.partition("\nNOTES:\n")[2]
    assert says in notes
    assert leaves_out not in notes
