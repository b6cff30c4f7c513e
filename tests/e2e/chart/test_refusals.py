"""Values that make no sense are refused, in words that name them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from helm import CHART, RELEASE, Helm, HelmError

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"replicas": 2}, "additional properties 'replicas' not allowed"),
    ({"replicaCount": "two"}, "at '/replicaCount': got string, want integer"),
    ({"replicaCount": -1}, "at '/replicaCount': minimum: got -1, want 0"),
    ({"replicaCount": None}, "missing property 'replicaCount'"),
    (
        {"image": {"pullPolicy": "Sometimes"}},
        "value must be one of 'Always', 'IfNotPresent', 'Never'",
    ),
    (
        {"image": {"digest": "sha256:abc"}},
        "at '/image/digest': 'sha256:abc' does not match pattern",
    ),
    ({"image": {"tag": "no spaces"}}, "at '/image/tag': 'no spaces' does not match pattern"),
    ({"imagePullSecrets": ["registry"]}, "at '/imagePullSecrets/0': got string, want object"),
    ({"imagePullSecrets": [{"name": "a"}, {"name": "a"}]}, "items at 0 and 1 are equal"),
    ({"hostNetwork": "yes"}, "at '/hostNetwork': got string, want boolean"),
    ({"settings": {"interval": "soon"}}, "at '/settings/interval': 'soon' does not match pattern"),
    ({"settings": {"interval": 15}}, "at '/settings/interval': got number, want string"),
    (
        {"settings": {"scrapeVia": "pigeon"}},
        "at '/settings/scrapeVia': value must be one of 'direct', 'proxy'",
    ),
    ({"settings": {"httpPort": 0}}, "at '/settings/httpPort': minimum: got 0, want 1"),
    (
        {"settings": {"minCoverage": "120%"}},
        "at '/settings/minCoverage': '120%' does not match pattern",
    ),
    (
        {"settings": {"scrape_via": "proxy"}},
        "at '/settings': additional properties 'scrape_via' not allowed",
    ),
    (
        {"policy": {"spec": {"mode": "Sometimes"}}},
        "value must be one of 'Off', 'Recommend', 'Apply'",
    ),
    (
        {"policy": {"spec": {"bounds": {"warmIPTarget": {"most": 3}}}}},
        "additional properties 'most' not allowed",
    ),
    ({"policy": {"name": "My Policy"}}, "at '/policy/name': 'My Policy' does not match pattern"),
    ({"podDisruptionBudget": {"maxUnavailable": "half"}}, "'half' does not match pattern"),
    ({"extraEnv": [{"value": "a"}]}, "at '/extraEnv/0': missing property 'name'"),
    (
        {"livenessProbe": {"path": "/"}},
        "at '/livenessProbe': additional properties 'path' not allowed",
    ),
    (
        {"prometheusRule": {"groups": {"nonsense": False}}},
        "additional properties 'nonsense' not allowed",
    ),
    ({"networkPolicy": {"nodeCIDRs": ["10.0.0.1"]}}, "'10.0.0.1' does not match pattern"),
    ({"networkPolicy": {"awsCIDRs": []}}, "at '/networkPolicy/awsCIDRs': minItems: got 0, want 1"),
    (
        {"serviceMonitor": {"enabled": True}, "service": {"enabled": False}},
        "serviceMonitor.enabled needs the Service: set service.enabled=true, or use podMonitor",
    ),
    (
        {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
        "would have everything scraped twice: set one of them to false",
    ),
    (
        {"networkPolicy": {"enabled": True}, "hostNetwork": True},
        "networkPolicy.enabled has no effect on pods of the node's network",
    ),
]


@pytest.mark.parametrize(("values", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_bad_values_are_refused_by_name(helm: Helm, values: dict[str, Any], says: str) -> None:
    with pytest.raises(HelmError, match=re.escape(says)):
        helm.render(values)


def test_a_cluster_that_is_too_old_is_refused(helm: Helm) -> None:
    with pytest.raises(
        HelmError, match=r"requires kubeVersion: >=1\.29\.0-0 which is incompatible"
    ):
        helm("template", RELEASE, CHART, "--kube-version", "1.28.9")
