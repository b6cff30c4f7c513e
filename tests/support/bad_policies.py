"""IPPolicy specs that must be refused, and what must be said; and specs at the edge that must not.

One table for everybody who refuses: the types of `ippolicy.api`, the embedded API server, and a
real API server that holds the CRD's schema and CEL rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BadPolicy:
    """A spec that must be refused, with what each refusal must contain."""

    name: str
    spec: Any
    says: tuple[str, ...]

    def resource(self) -> dict[str, Any]:
        """The whole object, ready to be sent."""
        return resource(self.name, self.spec)


def _window(**fields: Any) -> dict[str, Any]:
    return {"change": {"windows": [{"cron": "0 2 * * *", "duration": "4h", **fields}]}}


def _prometheus(**fields: Any) -> dict[str, Any]:
    return {"demand": {"prometheus": {"url": "https://prometheus:9090", **fields}}}


def _group(**fields: Any) -> dict[str, Any]:
    return {"groups": [{"name": "batch", "nodeSelector": {"pool": "batch"}, **fields}]}


def resource(name: str, spec: Any) -> dict[str, Any]:
    """An IPPolicy object with this spec."""
    return {
        "apiVersion": "ippolicy.dev/v1alpha1",
        "kind": "IPPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


_DURATION = "such as 30s, 15m, 1h30m or 24h"
_SHARE = "must be a share from 0% to 100%, such as 0.5%"
_ORDER = "min must be at most max: lower min or raise max"
_URL = "must be http:// or https://, a host, and a path at most"
_PROMETHEUS = "spec.demand.prometheus"
_SUBNET = "must be a subnet id such as subnet-0123456789abcdef0"

BAD_POLICIES: tuple[BadPolicy, ...] = (
    BadPolicy("mode-unknown", {"mode": "Auto"}, ("spec.mode", '"Off", "Recommend", "Apply"')),
    BadPolicy("mode-lower-case", {"mode": "apply"}, ("spec.mode", "Unsupported value")),
    BadPolicy("mode-number", {"mode": 1}, ("spec.mode", "must be of type string")),
    BadPolicy("spec-list", [], ("spec", "must be of type object")),
    BadPolicy(
        "goal-unknown",
        {"objective": {"goal": "Cheap"}},
        ("spec.objective.goal", '"SaveAddresses", "Balanced", "FastStart"'),
    ),
    BadPolicy(
        "share-without-percent",
        {"objective": {"maxDelayedStarts": "0.5"}},
        ("spec.objective.maxDelayedStarts", _SHARE),
    ),
    BadPolicy(
        "share-above-hundred",
        {"objective": {"maxDelayedStarts": "100.1%"}},
        ("spec.objective.maxDelayedStarts", _SHARE),
    ),
    BadPolicy("share-negative", {"change": {"minSaving": "-5%"}}, (_SHARE,)),
    BadPolicy("share-number", {"change": {"minSaving": 5}}, ("must be of type string",)),
    BadPolicy("share-long", {"change": {"minSaving": "5.000000000%"}}, ("Too long",)),
    BadPolicy(
        "calls-zero",
        {"objective": {"maxEC2CallsPerMinute": 0}},
        ("spec.objective.maxEC2CallsPerMinute", "greater than or equal to 1"),
    ),
    BadPolicy(
        "calls-text",
        {"objective": {"maxEC2CallsPerMinute": "60"}},
        ("spec.objective.maxEC2CallsPerMinute", "must be of type integer"),
    ),
    BadPolicy(
        "warm-ip-crossed",
        {"bounds": {"warmIPTarget": {"min": 5, "max": 2}}},
        ("spec.bounds.warmIPTarget", _ORDER),
    ),
    BadPolicy(
        "warm-ip-crosses-default",
        {"bounds": {"warmIPTarget": {"min": 33}}},
        ("spec.bounds.warmIPTarget", _ORDER),
    ),
    BadPolicy(
        "minimum-ip-crossed",
        {"bounds": {"minimumIPTarget": {"min": 9, "max": 8}}},
        ("spec.bounds.minimumIPTarget", _ORDER),
    ),
    BadPolicy(
        "warm-prefix-crossed",
        {"bounds": {"warmPrefixTarget": {"min": 5}}},
        ("spec.bounds.warmPrefixTarget", _ORDER),
    ),
    BadPolicy(
        "warm-ip-zero",
        {"bounds": {"warmIPTarget": {"min": 0}}},
        ("spec.bounds.warmIPTarget.min", "must be at least 1: with WARM_IP_TARGET=0"),
    ),
    BadPolicy(
        "warm-prefix-zero",
        {"bounds": {"warmPrefixTarget": {"min": 0}}},
        ("spec.bounds.warmPrefixTarget.min", "must be at least 1: with WARM_PREFIX_TARGET=0"),
    ),
    BadPolicy(
        "minimum-ip-negative",
        {"bounds": {"minimumIPTarget": {"min": -1}}},
        ("spec.bounds.minimumIPTarget.min", "greater than or equal to 0"),
    ),
    BadPolicy(
        "warm-ip-huge",
        {"bounds": {"warmIPTarget": {"max": 1025}}},
        ("spec.bounds.warmIPTarget.max", "less than or equal to 1024"),
    ),
    BadPolicy(
        "group-bounds-min-above-max",
        _group(bounds={"warmIPTarget": {"min": 5, "max": 2}}),
        ("spec.groups[0].bounds.warmIPTarget", _ORDER),
    ),
    BadPolicy(
        "group-bounds-trap",
        _group(bounds={"warmIPTarget": {"min": 0}}),
        ("spec.groups[0].bounds.warmIPTarget.min", "must be at least 1: with WARM_IP_TARGET=0"),
    ),
    BadPolicy(
        "group-share",
        _group(objective={"maxDelayedStarts": "101%"}),
        ("spec.groups[0].objective.maxDelayedStarts", "must be a share from 0% to 100%"),
    ),
    BadPolicy(
        "bound-fraction",
        {"bounds": {"warmIPTarget": {"min": 1.5}}},
        ("spec.bounds.warmIPTarget.min", "must be of type integer"),
    ),
    BadPolicy(
        "brake-share", {"subnets": {"brake": {"freeBelow": "101%"}}}, ("brake.freeBelow", _SHARE)
    ),
    BadPolicy(
        "brake-long", {"subnets": {"brake": {"exhaustedWithin": "169h"}}}, ("from 0s to 168h",)
    ),
    BadPolicy("quota-none", {"subnets": {"quota": 0}}, ("spec.subnets.quota", "equal to 1")),
    BadPolicy("quota-text", {"subnets": {"quota": "100"}}, ("spec.subnets.quota", "integer")),
    BadPolicy("window-words", {"demand": {"window": "1 day"}}, ("spec.demand.window", _DURATION)),
    BadPolicy("window-days", {"demand": {"window": "1d"}}, ("spec.demand.window", _DURATION)),
    BadPolicy(
        "window-zero", {"demand": {"window": "0s", "minEvidence": "1s"}}, ("from 1s to 720h",)
    ),
    BadPolicy("window-long", {"demand": {"window": "721h"}}, ("from 1s to 720h",)),
    BadPolicy("window-negative", {"demand": {"window": "-1h"}}, (_DURATION,)),
    BadPolicy("window-endless", {"demand": {"window": "1h1m1s1h1m1s1h1m1s"}}, ("Too long", "16")),
    BadPolicy(
        "evidence-above-window",
        {"demand": {"window": "30m"}},
        ("spec.demand", "minEvidence must be at most window"),
    ),
    BadPolicy(
        "evidence-above-default-window",
        {"demand": {"minEvidence": "25h"}},
        ("spec.demand", "minEvidence must be at most window"),
    ),
    BadPolicy(
        "prometheus-nowhere", {"demand": {"prometheus": {}}}, (_PROMETHEUS, "Required value")
    ),
    BadPolicy("prometheus-file", _prometheus(url="file:///etc/passwd"), (_PROMETHEUS, _URL)),
    BadPolicy("prometheus-password", _prometheus(url="https://me:secret@prometheus"), (_URL,)),
    BadPolicy("prometheus-user", _prometheus(url="https://me@prometheus"), (_URL,)),
    BadPolicy("prometheus-query", _prometheus(url="https://prometheus/?a=b"), (_URL,)),
    BadPolicy("prometheus-fragment", _prometheus(url="https://prometheus/#a"), (_URL,)),
    BadPolicy("prometheus-line-end", _prometheus(url="https://prometheus\n"), (_URL,)),
    BadPolicy(
        "token-of-the-service-account",
        _prometheus(bearerTokenFile="/var/run/secrets/kubernetes.io/serviceaccount/token"),
        (f"{_PROMETHEUS}.bearerTokenFile", "must be a file under /var/run/secrets/ippolicy/"),
    ),
    BadPolicy(
        "token-by-a-way-round",
        _prometheus(bearerTokenFile="/var/run/secrets/ippolicy/../eks.amazonaws.com/token"),
        (f"{_PROMETHEUS}.bearerTokenFile", "must be a file under"),
    ),
    BadPolicy(
        "token-in-a-folder-alike",
        _prometheus(bearerTokenFile="/var/run/secrets/ippolicy-other/token"),
        ("must be a file under",),
    ),
    BadPolicy("token-relative", _prometheus(bearerTokenFile="token"), ("must be a file under",)),
    BadPolicy(
        "token-and-signature",
        _prometheus(
            bearerTokenFile="/var/run/secrets/ippolicy/token", sigV4={"region": "eu-west-1"}
        ),
        (_PROMETHEUS, "one of bearerTokenFile and sigV4 must be left out"),
    ),
    BadPolicy(
        "signature-without-region",
        _prometheus(sigV4={}),
        (f"{_PROMETHEUS}.sigV4.region", "Required value"),
    ),
    BadPolicy(
        "signature-region",
        _prometheus(sigV4={"region": "Ireland"}),
        (f"{_PROMETHEUS}.sigV4.region", "must be an AWS region"),
    ),
    BadPolicy(
        "signature-role",
        _prometheus(sigV4={"region": "eu-west-1", "roleArn": "reader"}),
        (f"{_PROMETHEUS}.sigV4.roleArn", "must be the ARN of an IAM role"),
    ),
    BadPolicy(
        "matcher-without-quotes",
        _prometheus(matchers=["cluster=prod"]),
        (f"{_PROMETHEUS}.matchers[0]", "must be a label matcher"),
    ),
    BadPolicy(
        "matcher-breaks-out",
        _prometheus(matchers=['cluster="prod"} or up{job="x"']),
        ("must be a label matcher",),
    ),
    BadPolicy("matcher-backslash", _prometheus(matchers=['a="\\"']), ("must be a label matcher",)),
    BadPolicy("node-label", _prometheus(nodeLabel="node-name"), ("must be the name of a label",)),
    BadPolicy("step-zero", _prometheus(step="0s"), (f"{_PROMETHEUS}.step", "from 1s to 1h")),
    BadPolicy(
        "prometheus-window-wide",
        _prometheus(window="48h"),
        ("spec.demand", "prometheus.window must be at most window"),
    ),
    BadPolicy("cooldown-number", {"change": {"cooldown": 60}}, ("must be of type string",)),
    BadPolicy("cooldown-long", {"change": {"cooldown": "169h"}}, ("from 0s to 168h",)),
    BadPolicy("rollback-long", {"change": {"rollback": {"within": "25h"}}}, ("from 0s to 24h",)),
    BadPolicy("window-six-fields", _window(cron="0 0 2 * * 1"), ("must have five cron fields",)),
    BadPolicy("window-name", _window(cron="@daily"), ("windows[0].cron", "five cron fields")),
    BadPolicy("window-no-cron", {"change": {"windows": [{"duration": "4h"}]}}, ("cron",)),
    BadPolicy("window-no-length", {"change": {"windows": [{"cron": "0 2 * * *"}]}}, ("duration",)),
    BadPolicy("window-short", _window(duration="59s"), ("windows[0].duration", "from 1m to 168h")),
    BadPolicy("window-zone", _window(timeZone="../UTC"), ("must be the name of a time zone",)),
    BadPolicy(
        "windows-many",
        {"change": {"windows": [{"cron": "0 2 * * *", "duration": "1h"}] * 21}},
        ("spec.change.windows", "20"),
    ),
    BadPolicy("urgent-unknown", {"change": {"urgent": "Shrink"}}, ('"Grow", "Any", "Never"',)),
    BadPolicy("stabilization-empty", {"change": {"stabilization": ""}}, ("from 0s to 24h",)),
    BadPolicy(
        "changes-none", {"change": {"maxPerDay": 0}}, ("spec.change.maxPerDay", "equal to 1")
    ),
    BadPolicy(
        "changes-many", {"change": {"maxPerDay": 49}}, ("spec.change.maxPerDay", "equal to 48")
    ),
    BadPolicy(
        "method-unknown",
        {"apply": {"method": "Helm"}},
        ("spec.apply.method", '"Auto", "DaemonSet"'),
    ),
    BadPolicy(
        "take-over-unknown",
        {"apply": {"takeOver": ["MAX_ENI"]}},
        ("spec.apply.takeOver[0]", "WARM_IP_TARGET"),
    ),
    BadPolicy(
        "take-over-twice",
        {"apply": {"takeOver": ["WARM_IP_TARGET", "WARM_IP_TARGET"]}},
        ("spec.apply.takeOver", "Duplicate value"),
    ),
    BadPolicy(
        "namespace-upper-case",
        {"daemonSetRef": {"namespace": "Kube-System"}},
        ("spec.daemonSetRef.namespace", "must be the name of a namespace"),
    ),
    BadPolicy(
        "name-with-slash",
        {"daemonSetRef": {"name": "kube-system/aws-node"}},
        ("spec.daemonSetRef.name", "must be the name of a DaemonSet"),
    ),
    BadPolicy(
        "subnet-name",
        {"subnets": {"selector": {"ids": ["private-a"]}}},
        ("spec.subnets.selector.ids[0]", _SUBNET),
    ),
    BadPolicy(
        "subnet-null",
        {"subnets": {"selector": {"ids": [None]}}},
        ("spec.subnets.selector.ids[0]", "must be of type string"),
    ),
    BadPolicy(
        "subnet-twice",
        {"subnets": {"selector": {"ids": ["subnet-01234567"] * 2}}},
        ("spec.subnets.selector.ids", "Duplicate value"),
    ),
    BadPolicy(
        "subnets-many",
        {"subnets": {"selector": {"ids": [f"subnet-{i:08x}" for i in range(101)]}}},
        ("spec.subnets.selector.ids", "Too many", "100"),
    ),
    BadPolicy(
        "tag-without-key",
        {"subnets": {"selector": {"tags": {"": "yes"}}}},
        ("spec.subnets.selector.tags", "each tag key must have 1 to 128 characters"),
    ),
    BadPolicy(
        "tag-number",
        {"subnets": {"selector": {"tags": {"team": 5}}}},
        ("spec.subnets.selector.tags.team", "must be of type string"),
    ),
    BadPolicy(
        "tags-many",
        {"subnets": {"selector": {"tags": {f"t{i}": "x" for i in range(11)}}}},
        ("spec.subnets.selector.tags", "Too many", "10"),
    ),
    BadPolicy("on-delete-unknown", {"onDelete": "Keep"}, ("spec.onDelete", '"Restore", "Retain"')),
    BadPolicy("n" * 64, {}, ("metadata.name must have at most 63 characters",)),
)

GOOD_SPECS: dict[str, Any] = {
    "brake-off": {"subnets": {"brake": {"freeBelow": "0%", "exhaustedWithin": "0s"}}},
    "quota": {"subnets": {"quota": 1, "brake": {"exhaustedWithin": "168h"}}},
    "empty": {},
    "nothing": None,
    "nulls": {"mode": None, "bounds": None, "demand": {"window": None}},
    "seconds": {
        "demand": {"window": "10s", "minEvidence": "1s"},
        "change": {"stabilization": "0s", "cooldown": "0s", "maxPerDay": 48},
    },
    "limits": {
        "objective": {"maxDelayedStarts": "100%", "maxEC2CallsPerMinute": 100_000},
        "bounds": {
            "warmIPTarget": {"min": 1, "max": 1024},
            "minimumIPTarget": {"min": 1024, "max": 1024},
            "warmPrefixTarget": {"min": 64, "max": 64},
        },
        "demand": {"window": "720h", "minEvidence": "720h"},
        "change": {"stabilization": "24h", "cooldown": "168h", "minSaving": "0%"},
    },
    "prometheus": {
        "demand": {
            "window": "336h",
            "prometheus": {
                "url": "http://prometheus.monitoring.svc:9090/sub/path",
                "bearerTokenFile": "/var/run/secrets/ippolicy/prometheus/token",
                "matchers": ['cluster="prod"', 'job=~"aws-(node|vpc)[.a-z]*"', 'tenant!=""'],
                "nodeLabel": "node_name",
                "step": "30s",
                "window": "336h",
            },
        }
    },
    "managed-prometheus": {
        "demand": {
            "prometheus": {
                "url": "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-0a1b",
                "sigV4": {
                    "region": "eu-west-1",
                    "service": "aps",
                    "roleArn": "arn:aws-us-gov:iam::123456789012:role/team/reader",
                },
            }
        }
    },
    "windows": {
        "change": {
            "urgent": "Any",
            "windows": [
                {"cron": "0 2 * * 1-5", "duration": "4h", "timeZone": "Europe/Berlin"},
                {"cron": "30 22 L * *", "duration": "168h"},
                {"cron": "*/5 0-6,20 * JAN-mar SUN#1", "duration": "1m", "timeZone": "Etc/GMT+1"},
            ],
        }
    },
    "long-duration": {"demand": {"window": "1.5h30m0.250s"}},
    "all-keys": {
        "mode": "Apply",
        "apply": {
            "method": "DaemonSet",
            "takeOver": [
                "WARM_ENI_TARGET",
                "WARM_IP_TARGET",
                "MINIMUM_IP_TARGET",
                "WARM_PREFIX_TARGET",
            ],
        },
        "subnets": {
            "selector": {
                "ids": ["subnet-01234567", "subnet-0123456789abcdef0"],
                "tags": {"kubernetes.io/role/cni": "1", "é" * 128: ""},
            }
        },
        "onDelete": "Retain",
    },
    "groups": {
        "groups": [
            {
                "name": f"group-{number}",
                "nodeSelector": {"pool": str(number)},
                "objective": {"maxDelayedStarts": "0.1%", "maxEC2CallsPerMinute": 1},
                "bounds": {"warmIPTarget": {"min": 1, "max": 1}, "minimumIPTarget": {"max": 0}},
            }
            for number in range(50)
        ]
    },
    "group-of-defaults": _group(objective={"goal": "FastStart"}, bounds={}),
}
