"""What the chart renders: by default, and as each of its values is changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_camel

from helm import CHART, NAMESPACE, Helm, Object
from ippolicy.api.crd import custom_resource_definition
from ippolicy.settings import PREFIX, Settings, load

NAME = "ippolicy-operator"
SHORT = {"CONTAINER": "spec.template.spec.containers.0", "POD": "spec.template.spec"}
SWITCHES = yaml.safe_load(Path(__file__).with_name("switches.yaml").read_text())
RULES = (
    "groups:\n  - name: ippolicy.{}\n    rules:\n      - {{alert: A, expr: 'a > {{{{ 1 }}}}'}}\n"
)
BOARD = '{"title": "{{ policy }}"}\n'


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with two groups of rules and a dashboard that are known here."""
    chart = Path(shutil.copytree(CHART, tmp_path_factory.mktemp("chart") / NAME))
    for folder in ("rules", "dashboards"):
        shutil.rmtree(chart / "files" / folder, ignore_errors=True)
        (chart / "files" / folder).mkdir()
    for name in ("first", "second"):
        (chart / f"files/rules/{name}.yaml").write_text(RULES.format(name))
    (chart / "files/dashboards/board.json").write_text(BOARD)
    (chart / "values.schema.json").unlink()  # it knows the groups that are shipped only
    return chart


def nested(paths: dict[str, Any]) -> dict[str, Any]:
    """Values as a file has them, from values by path."""
    values: dict[str, Any] = {}
    for path, to in paths.items():
        *groups, key = path.split(".")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[key] = to
    return values


def at(found: Any, path: str) -> Any:
    """What is at a path of keys and indexes; None where it ends early."""
    for short, long in SHORT.items():
        path = path.replace(short, long)
    for key in path.split("."):
        if isinstance(found, list):
            found = found[int(key)] if int(key) < len(found) else None
        else:
            found = (found or {}).get(key)
    return found


def one(objects: dict[str, Object], name: str) -> Object | None:
    """The object of that Kind, or Kind/name."""
    found = [value for key, value in objects.items() if name in (key, key.partition("/")[0])]
    assert len(found) < 2
    return found[0] if found else None


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: f"{switch['value']}")
def test_each_value_changes_what_it_says(helm: Helm, chart: Path, switch: dict[str, Any]) -> None:
    beside = nested(switch.get("beside", {}))
    changed = nested(switch.get("beside", {}) | {switch["value"]: switch["to"]})
    found = []
    for values in (beside, changed):
        thing: Any = one(helm.render(values, chart=chart), switch["object"])
        path = switch.get("path")
        found.append(at(thing, path) if path else thing)
    assert found[1] == switch.get("gives")
    assert found[0] != found[1]


def test_there_is_no_value_without_an_effect() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert {switch["value"] for switch in SWITCHES} == set(single_values(schema)) - {"global"}


def single_values(schema: dict[str, Any], above: str = "") -> Iterator[str]:
    """The paths of all values that are no group; only groups need their keys."""
    for name, value in schema["properties"].items():
        if "required" in value:
            yield from single_values(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def test_by_default_there_are_two_operators_and_no_policy(helm: Helm) -> None:
    objects = helm.render()
    assert at(objects[f"Deployment/{NAME}"], "spec.replicas") == 2
    kinds = {key.partition("/")[0] for key in objects}
    assert kinds == {
        "ServiceAccount",
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "Service",
        "PodDisruptionBudget",
        "Deployment",
        "Pod",  # of `helm test`
    }


def test_the_resource_stays_when_the_release_goes(helm: Helm) -> None:
    crd = helm.render()["CustomResourceDefinition/ippolicies.ippolicy.dev"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_resource_is_the_one_that_the_types_give(helm: Helm) -> None:
    crd = helm.render()["CustomResourceDefinition/ippolicies.ippolicy.dev"]
    assert crd["spec"] == custom_resource_definition()["spec"]


@pytest.mark.parametrize("name", [f"Deployment/{NAME}", f"Pod/{NAME}-test"])
def test_pods_run_without_any_privilege(helm: Helm, name: str) -> None:
    found = helm.render()[name]
    pod = found["spec"] if found["kind"] == "Pod" else at(found, "POD")
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["enableServiceLinks"] is False


def test_operators_stay_when_others_must_go_and_apart_from_each_other(helm: Helm) -> None:
    pod = at(helm.render()[f"Deployment/{NAME}"], "POD")
    assert pod["priorityClassName"] == "system-cluster-critical"
    keys = {each["topologyKey"] for each in pod["topologySpreadConstraints"]}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


def test_an_update_needs_no_address_beside_those_it_has(helm: Helm) -> None:
    strategy = at(helm.render()[f"Deployment/{NAME}"], "spec.strategy.rollingUpdate")
    assert strategy == {"maxSurge": 0, "maxUnavailable": 1}


def test_every_setting_reaches_the_operator_under_its_own_name(helm: Helm) -> None:
    of_the_pod = {"lease_namespace": "metadata.namespace", "lease_holder": "metadata.name"}
    of_values = {"webhook_service": f"{NAME}-webhook", "webhook_certificates": "own"}
    others = of_the_pod | of_values
    fields = {n: f.default for n, f in Settings.model_fields.items() if n not in others}
    values = {to_camel(name): default for name, default in fields.items()}
    rendered = helm.render({"settings": values, "webhook": {"enabled": True}})
    env = at(rendered[f"Deployment/{NAME}"], "CONTAINER.env")
    given = {
        one["name"]: one["value"] if "value" in one else at(one, "valueFrom.fieldRef.fieldPath")
        for one in env
    }
    assert given == {f"{PREFIX}{n.upper()}": str(to) for n, to in (others | fields).items()}
    assert load(given).lease_holder == "metadata.name"


def test_operators_may_hold_the_lease_that_they_are_told_of(helm: Helm) -> None:
    for values, lease in (({}, NAME), ({"settings": {"leaseName": "mine"}}, "mine")):
        create, change = helm.render(values)[f"Role/{NAME}-leader"]["rules"]
        assert create["verbs"] == ["create"]
        assert change["resourceNames"] == [lease]
    assert Settings().lease_name == NAME


def test_what_the_templates_take_for_a_setting_left_out_is_its_default(helm: Helm) -> None:
    fields = Settings.model_fields
    objects = helm.render({"networkPolicy": {"enabled": True}})
    port = at(objects[f"Deployment/{NAME}"], "CONTAINER.ports.0.containerPort")
    scraped = at(objects[f"NetworkPolicy/{NAME}"], "spec.egress.1.ports.0.port")
    assert (port, scraped) == (fields["http_port"].default, fields["scrape_port"].default)
    assert fields["scrape_via"].default == "direct"


def test_another_port_is_known_to_all(helm: Helm) -> None:
    objects = helm.render({"settings": {"httpPort": 9999}})
    annotations = at(objects[f"Deployment/{NAME}"], "spec.template.metadata.annotations")
    assert annotations["prometheus.io/port"] == "9999"
    assert at(objects[f"Service/{NAME}"], "spec.ports.0.port") == 9999
    (url,) = at(objects[f"Pod/{NAME}-test"], "spec.containers.0.env")
    assert url["value"] == f"http://{NAME}.{NAMESPACE}.svc:9999/readyz"


WEBHOOK = f"{NAME}-webhook"


def test_the_webhook_is_reached_at_its_port_and_writes_by_name_only(helm: Helm) -> None:
    objects = helm.render({"webhook": {"enabled": True}, "networkPolicy": {"enabled": True}})
    port = at(objects[f"Deployment/{NAME}"], "CONTAINER.ports.1")
    assert port == {
        "name": at(objects[f"Service/{WEBHOOK}"], "spec.ports.0.targetPort"),
        "containerPort": Settings.model_fields["webhook_port"].default,
    }
    assert at(objects[f"NetworkPolicy/{NAME}"], "spec.ingress.1.ports.0.port") == "webhook"
    (configurations,) = objects[f"ClusterRole/{WEBHOOK}"]["rules"]
    (secrets,) = objects[f"Role/{WEBHOOK}"]["rules"]
    targets, pods = objects[f"Role/{WEBHOOK}-targets"]["rules"]
    assert configurations["resourceNames"] == [WEBHOOK]
    assert secrets["resourceNames"] == [WEBHOOK]
    assert secrets["verbs"] == ["get", "create", "patch", "delete"]
    assert targets["resourceNames"] == ["ippolicy-targets-aws-node"]
    assert targets["verbs"] == ["get", "patch", "delete"]
    assert objects[f"Role/{WEBHOOK}-targets"]["metadata"]["namespace"] == "kube-system"
    assert pods == {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}


def test_without_the_webhook_no_role_deletes_pods(helm: Helm) -> None:
    roles = [one for one in helm.render({}).values() if "rules" in one]
    rules = [rule for role in roles for rule in role["rules"] if "pods" in rule["resources"]]
    assert rules == [
        {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list", "watch"]}
    ]


def test_pods_are_deleted_where_the_daemonset_is(helm: Helm) -> None:
    elsewhere = {"daemonSet": {"namespace": "cni"}, "webhook": {"enabled": True}}
    role = helm.render(elsewhere)[f"Role/{WEBHOOK}-targets"]
    assert role["metadata"]["namespace"] == "cni"


def test_with_cert_manager_the_operator_only_reads_its_certificate(helm: Helm) -> None:
    values = {"webhook": {"enabled": True, "certManager": {"enabled": True}}}
    objects = helm.render(values)
    (secrets,) = objects[f"Role/{WEBHOOK}"]["rules"]
    assert secrets["verbs"] == ["get"]
    certificate = objects[f"Certificate/{WEBHOOK}"]["spec"]
    assert certificate["dnsNames"] == [f"{WEBHOOK}.{NAMESPACE}.svc"]
    assert certificate["secretName"] == WEBHOOK
    assert certificate["issuerRef"] == {"name": WEBHOOK}
    assert objects[f"Issuer/{WEBHOOK}"]["spec"] == {"selfSigned": {}}


@pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor"])
def test_what_the_prometheus_operator_scrapes_is_not_marked_for_others(
    helm: Helm, monitor: str
) -> None:
    deployment = helm.render({monitor: {"enabled": True}})[f"Deployment/{NAME}"]
    assert "prometheus.io/scrape" not in at(deployment, "spec.template.metadata.annotations")


def test_scraping_through_the_proxy_brings_its_right_and_needs_no_way_to_the_nodes(
    helm: Helm,
) -> None:
    policed = {"networkPolicy": {"enabled": True}}
    direct = helm.render(policed)
    proxied = helm.render(policed | {"settings": {"scrapeVia": "proxy"}})
    right = proxied[f"ClusterRole/{NAME}-proxy-scrape"]["rules"]
    assert right == [{"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]}]
    assert f"ClusterRole/{NAME}-proxy-scrape" not in direct
    ways = [at(each[f"NetworkPolicy/{NAME}"], "spec.egress") for each in (direct, proxied)]
    assert [port_of(way) for way in ways[0]] == [443, 61678, 443, 80, 53]
    assert [port_of(way) for way in ways[1]] == [443, 443, 80, 53]


def port_of(egress: dict[str, Any]) -> int:
    return int(egress["ports"][0]["port"])


def test_nothing_is_written_but_by_name(helm: Helm) -> None:
    roles = [one for key, one in helm.render().items() if key.startswith(("Role/", "ClusterRole/"))]
    own = {"ippolicies", "ippolicies/status", "events"}
    for rule in (rule for role in roles for rule in role["rules"]):
        writes = set(rule["verbs"]) - {"get", "list", "watch", "create"}
        assert not writes or "resourceNames" in rule or set(rule["resources"]) <= own
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert "secrets" not in rule["resources"]


def test_everything_is_where_the_release_or_the_cni_is(helm: Helm) -> None:
    objects = helm.render({"daemonSet": {"namespace": "cni"}})
    places = {key: one["metadata"].get("namespace") for key, one in objects.items()}
    for kind in ("Role", "RoleBinding"):
        assert places.pop(f"{kind}/{NAME}") == "cni"
        # Events about objects without a namespace live in `default`.
        assert places.pop(f"{kind}/{NAME}-events") == "default"
    assert set(places.values()) == {NAMESPACE, None}


def test_rules_and_dashboards_come_as_their_files_say(helm: Helm, chart: Path) -> None:
    values = {"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}}
    objects = helm.render(values, chart=chart)
    groups = at(objects[f"PrometheusRule/{NAME}"], "spec.groups")
    assert [group["name"] for group in groups] == ["ippolicy.first", "ippolicy.second"]
    assert groups[0]["rules"] == [{"alert": "A", "expr": "a > {{ 1 }}"}]
    assert objects[f"ConfigMap/{NAME}-dashboard-board"]["data"] == {"board.json": BOARD}


def test_helm_itself_finds_nothing_to_say(helm: Helm) -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in helm("lint", CHART, "--strict")


@pytest.mark.parametrize(("status", "passes"), [(200, True), (503, False)])
def test_helm_test_passes_only_if_the_operator_is_ready(
    helm: Helm, status: int, passes: bool
) -> None:
    container = helm.render()[f"Pod/{NAME}-test"]["spec"]["containers"][0]
    (script,) = container["args"]
    assert "time.monotonic() + 60" in script
    with answering(status) as url:
        done = subprocess.run(
            [sys.executable, "-c", script.replace("+ 60", "+ 0")],
            env={"URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode == 0) is passes
    assert "is not ready: 503: nodes were not listed yet" in done.stderr or passes


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The URL of a server that gives every question the same answer."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"nodes were not listed yet")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()
        thread.join()
