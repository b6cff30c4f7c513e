"""Who a field manager is, by the name that it leaves in managedFields.

    kind                names, in any case                            from
    -----------------   -------------------------------------------   ---------------------------
    Operator            ippolicy-operator, operation Apply only       ours: we send nothing else
    EKS                 eks                                           the EKS add-on service
    Helm                helm, helm3, helm.exe, helm-v3.19, ...        its engine: the binary's name
    ArgoCD              argocd-controller, argocd-..., argocd         server-side sync; user agents
    Flux                kustomize-controller, helm-controller, flux,  its controllers, and its own
                        flux-...                                      command line
    Terraform           Terraform, HashiCorp, terraform-provider-...  manifest resources; the user
                                                                      agent; the Helm provider
    Kubectl             kubectl, kubectl-client-side-apply,           apply --server-side; apply;
                        kubectl-edit, -patch, -set, -replace, ...     one a command
    BeforeFirstApply    before-first-apply                            the API server, for what had
                                                                      no managers yet
    Unknown             any other

A name is what its client says of itself: whoever runs `kubectl apply --field-manager=eks` counts as
EKS, as it does for EKS itself.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from ippolicy.facts.daemonset import FIELD_MANAGER

# The API server makes this manager up, as holder of everything, at the first apply to an object
# without any managedFields.
BEFORE_FIRST_APPLY: Final = "before-first-apply"


class ManagerKind(StrEnum):
    """Who sets a field."""

    OPERATOR = "Operator"
    EKS = "EKS"
    HELM = "Helm"
    ARGO_CD = "ArgoCD"
    FLUX = "Flux"
    TERRAFORM = "Terraform"
    KUBECTL = "Kubectl"
    BEFORE_FIRST_APPLY = "BeforeFirstApply"
    UNKNOWN = "Unknown"


_NAMES: Final = {
    ManagerKind.EKS: r"eks",
    ManagerKind.FLUX: r"kustomize-controller|helm-controller|flux(-.*)?",
    ManagerKind.HELM: r"helm[-_]?(v?\d[\w.-]*)?(\.exe)?",
    ManagerKind.ARGO_CD: r"argocd(-.*)?",
    ManagerKind.TERRAFORM: r"terraform([-_].*)?|hashicorp|opentofu",
    ManagerKind.KUBECTL: r"kubectl([-.].*)?",
    ManagerKind.BEFORE_FIRST_APPLY: BEFORE_FIRST_APPLY,
}
_KINDS: Final = tuple(
    (kind, re.compile(names, re.ASCII | re.IGNORECASE | re.DOTALL))
    for kind, names in _NAMES.items()
)


_DECLARED: Final = frozenset({"kubectl-client-side-apply"})


def manager_kind(manager: str, operation: str = "") -> ManagerKind:
    """Who the manager of an entry of managedFields is; `operation` is Apply or Update, if known."""
    if manager == FIELD_MANAGER:
        return ManagerKind.UNKNOWN if operation == "Update" else ManagerKind.OPERATOR
    return next((kind for kind, name in _KINDS if name.fullmatch(manager)), ManagerKind.UNKNOWN)


def by_hand(manager: str, operation: str) -> bool:
    """Whether a value was set once, by a person or a script, rather than declared to stay.

    Who applies (server-side, or a manifest by `kubectl apply`) wants the value at each apply again,
    as do Helm, GitOps tools and EKS. `kubectl edit`, `set`, `patch` and clients that are not known
    write it once.
    """
    kind = manager_kind(manager, operation)
    once = kind in (ManagerKind.KUBECTL, ManagerKind.UNKNOWN) and manager not in _DECLARED
    return once and operation != "Apply"
