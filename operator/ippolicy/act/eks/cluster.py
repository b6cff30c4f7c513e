"""The name of the EKS cluster, as its nodes tell it: EKS is asked by that name only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ippolicy.act.requests import CallFailed, send

LABEL: Final = "alpha.eksctl.io/cluster-name"
NAME_TAGS: Final = ("eks:cluster-name", "aws:eks:cluster-name")
OWNED_TAG: Final = "kubernetes.io/cluster/"
NODES_ASKED: Final = 20

_INSTANCE: Final = re.compile(r"aws:///[^/]*/(i-[0-9a-f]+)")


def cluster_name(core_api: Any, tags_of: Callable[[list[str]], Iterable[Mapping[str, str]]]) -> str:
    """The one name that some nodes' labels, or else the tags of their instances, agree on.

    `core_api` is a `kubernetes.client.CoreV1Api`; `tags_of` gives the tags of EC2 instances by id.

    Raises:
        CallFailed: nothing gives a name, or several do: says what to set.
    """
    nodes = send("list nodes", core_api.list_node, limit=NODES_ASKED).get("items") or ()
    labels = (node.get("metadata", {}).get("labels") or {} for node in nodes)
    names = {str(label[LABEL]) for label in labels if label.get(LABEL)}
    if not names:
        ids = (_INSTANCE.match(str(node.get("spec", {}).get("providerID"))) for node in nodes)
        names |= {name for tags in tags_of([one[1] for one in ids if one]) for name in _named(tags)}
    if len(names) == 1:
        return names.pop()
    found = f"nodes name several ({', '.join(sorted(names))})" if names else "no node names it"
    raise CallFailed(
        f"the name of the EKS cluster is not known, {found}: set IPPOLICY_CLUSTER_NAME",
        refused=True,
        retryable=False,
    )


def _named(tags: Mapping[str, str]) -> set[str]:
    named = {tags[key] for key in NAME_TAGS if tags.get(key)}
    return named or {key.removeprefix(OWNED_TAG) for key in tags if key.startswith(OWNED_TAG)}
