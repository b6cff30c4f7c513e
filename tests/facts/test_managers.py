"""Managers are told by the names that their clients really leave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.facts.managers import ManagerKind, manager_kind


@pytest.mark.parametrize(
    ("manager", "kind"),
    [
        ("ippolicy-operator", ManagerKind.OPERATOR),
        ("eks", ManagerKind.EKS),
        ("helm", ManagerKind.HELM),
        ("Helm", ManagerKind.HELM),
        ("helm3", ManagerKind.HELM),
        ("helm.exe", ManagerKind.HELM),
        ("helm-v3.19.0", ManagerKind.HELM),
        ("argocd", ManagerKind.ARGO_CD),
        ("argocd-controller", ManagerKind.ARGO_CD),
        ("argocd-application-controller", ManagerKind.ARGO_CD),
        ("kustomize-controller", ManagerKind.FLUX),
        ("helm-controller", ManagerKind.FLUX),
        ("flux", ManagerKind.FLUX),
        ("flux-client-side-apply", ManagerKind.FLUX),
        ("Terraform", ManagerKind.TERRAFORM),
        ("HashiCorp", ManagerKind.TERRAFORM),
        ("terraform-provider-helm_v2.13.0_x5", ManagerKind.TERRAFORM),
        ("kubectl", ManagerKind.KUBECTL),
        ("kubectl-client-side-apply", ManagerKind.KUBECTL),
        ("kubectl-edit", ManagerKind.KUBECTL),
        ("kubectl-patch", ManagerKind.KUBECTL),
        ("kubectl-set", ManagerKind.KUBECTL),
        ("before-first-apply", ManagerKind.BEFORE_FIRST_APPLY),
        ("", ManagerKind.UNKNOWN),
        ("eksctl", ManagerKind.UNKNOWN),
        ("kubelet", ManagerKind.UNKNOWN),
        ("helmet", ManagerKind.UNKNOWN),
        ("fluxion", ManagerKind.UNKNOWN),
        ("node-fetch", ManagerKind.UNKNOWN),
        ("pulumi-kubernetes-1234", ManagerKind.UNKNOWN),
    ],
)
def test_a_manager_is_told_by_its_name(manager: str, kind: ManagerKind) -> None:
    assert manager_kind(manager) is kind


def test_our_name_on_an_update_is_not_ours() -> None:
    assert manager_kind("ippolicy-operator", "Apply") is ManagerKind.OPERATOR
    assert manager_kind("ippolicy-operator", "Update") is ManagerKind.UNKNOWN


@given(st.text(max_size=40), st.sampled_from(["", "Apply", "Update"]))
def test_any_name_has_a_kind(manager: str, operation: str) -> None:
    assert manager_kind(manager, operation) in ManagerKind
