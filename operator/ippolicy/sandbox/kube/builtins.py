"""Defaults and checks of the built-in kinds, as far as clients of the sandbox can see them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ippolicy.sandbox.kube.objects import Json, Object, clone, dig, encode, stamp, utc_now
from ippolicy.sandbox.kube.schema import Fault
from ippolicy.sandbox.kube.selectors import label_selector_matches

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_CONTAINER = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_POD_SPEC: Object = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_NO_PODS = {
    "currentNumberScheduled": 0,
    "desiredNumberScheduled": 0,
    "numberMisscheduled": 0,
    "numberReady": 0,
}
_WEBHOOK: Object = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "reinvocationPolicy": "Never",
    "timeoutSeconds": 10,
}
_CONTAINER_LISTS = ("initContainers", "containers")


def drop_nulls(value: Json) -> Json:
    """The value without nulls: typed objects do not keep them."""
    if isinstance(value, dict):
        return {name: drop_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [drop_nulls(item) for item in value]
    return value


def with_defaults(kind: str, value: Object) -> Object:
    """The object with the defaults of its type filled in."""
    if kind == "Pod":
        spec = _pod_spec(value.get("spec") or {})
        spec.setdefault("enableServiceLinks", True)
        status = {"phase": "Pending", "qosClass": _qos(spec), **(value.get("status") or {})}
        return {**value, "spec": spec, "status": status}
    if kind in ("DaemonSet", "Deployment"):
        spec = {"revisionHistoryLimit": 10, **(value.get("spec") or {})}
        template = spec.get("template") or {}
        spec["template"] = {**template, "spec": _pod_spec(template.get("spec") or {})}
        if kind == "DaemonSet":
            spec["updateStrategy"] = _update_strategy(spec.get("updateStrategy") or {})
            value = {**value, "status": {**_NO_PODS, **(value.get("status") or {})}}
        return {**value, "spec": spec}
    if kind == "Namespace":
        metadata = value["metadata"]
        name = metadata.get("name", "")
        labels = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": name}
        return {
            **value,
            "metadata": {**metadata, "labels": labels},
            "spec": {"finalizers": ["kubernetes"], **(value.get("spec") or {})},
            "status": {"phase": "Active", **(value.get("status") or {})},
        }
    if kind == "CustomResourceDefinition":
        return _definition(value)
    if kind == "MutatingWebhookConfiguration":
        return {**value, "webhooks": [_webhook(hook) for hook in value.get("webhooks") or ()]}
    return value


def _webhook(hook: Object) -> Object:
    client = {**(hook.get("clientConfig") or {})}
    if client.get("service"):
        client["service"] = {"port": 443, **client["service"]}
    rules = [{"scope": "*", **rule} for rule in hook.get("rules") or ()]
    return {**_WEBHOOK, **hook, "clientConfig": client, "rules": rules}


def _pod_spec(spec: Object) -> Object:
    filled = {**_POD_SPEC, **spec}
    filled.setdefault("securityContext", {})
    if "serviceAccountName" in filled:
        filled.setdefault("serviceAccount", filled["serviceAccountName"])
    for name in _CONTAINER_LISTS:
        if filled.get(name):
            host = bool(filled.get("hostNetwork"))
            filled[name] = [_container(item, host_network=host) for item in filled[name]]
    return filled


def _container(container: Object, *, host_network: bool) -> Object:
    filled = {**_CONTAINER, **container}
    filled.setdefault("resources", {})
    tag = str(filled.get("image", "")).rpartition("/")[2].partition(":")[2]
    filled.setdefault("imagePullPolicy", "Always" if tag in ("", "latest") else "IfNotPresent")
    if filled.get("ports"):
        ports = [{"protocol": "TCP", **port} for port in filled["ports"]]
        if host_network:
            ports = [{"hostPort": port.get("containerPort"), **port} for port in ports]
        filled["ports"] = ports
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if filled.get(probe):
            filled[probe] = {**_PROBE, **filled[probe]}
    if filled.get("env"):
        filled["env"] = [_env(entry) for entry in filled["env"]]
    return filled


def _env(entry: Object) -> Object:
    reference = dig(entry, "valueFrom", "fieldRef")
    if not isinstance(reference, dict) or "apiVersion" in reference:
        return entry
    source = {**entry["valueFrom"], "fieldRef": {"apiVersion": "v1", **reference}}
    return {**entry, "valueFrom": source}


def _update_strategy(strategy: Object) -> Object:
    filled = {"type": "RollingUpdate", **strategy}
    if filled["type"] == "RollingUpdate":
        rolling = filled.get("rollingUpdate") or {}
        filled["rollingUpdate"] = {"maxSurge": 0, "maxUnavailable": 1, **rolling}
    return filled


def _qos(spec: Object) -> str:
    resources = [item.get("resources") or {} for item in spec.get("containers") or ()]
    if not any(item.get("requests") or item.get("limits") for item in resources):
        return "BestEffort"
    full = all(
        {"cpu", "memory"} <= set(item.get("limits") or ())
        and (item.get("requests") or item["limits"]) == item["limits"]
        for item in resources
    )
    return "Guaranteed" if full else "Burstable"


def _definition(value: Object) -> Object:
    spec = clone(value.get("spec") or {})
    names = spec.get("names") or {}
    names.setdefault("singular", names.get("kind", "").lower())
    names.setdefault("listKind", f"{names.get('kind', '')}List")
    spec["names"] = names
    spec.setdefault("conversion", {"strategy": "None"})
    now = stamp(utc_now())
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": now,
        }
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    stored = [version["name"] for version in spec.get("versions") or () if version.get("storage")]
    status = {"conditions": conditions, "acceptedNames": names, "storedVersions": stored}
    return {**value, "spec": spec, "status": {**status, **(value.get("status") or {})}}


def template_generation(old: Object | None, new: Object) -> Object:
    """A DaemonSet with its count of template changes, which pods carry as a label."""
    count = int(dig(old or {}, "metadata", "annotations", TEMPLATE_GENERATION) or 0)
    if old is None or old["spec"].get("template") != new["spec"].get("template"):
        count += 1
    metadata = new["metadata"]
    annotations = {**(metadata.get("annotations") or {}), TEMPLATE_GENERATION: str(count)}
    return {**new, "metadata": {**metadata, "annotations": annotations}}


def faults(kind: str, value: Object, old: Object | None) -> Iterator[Fault]:
    """What is wrong with an object of a built-in kind."""
    yield from name_faults(value)
    if kind == "Pod":
        yield from _pod_faults(value.get("spec") or {}, "spec")
        old_node = dig(old or {}, "spec", "nodeName")
        if old_node and old_node != dig(value, "spec", "nodeName"):
            yield (
                "spec",
                "FieldValueForbidden",
                "Forbidden: pod updates may not change spec.nodeName",
            )
    elif kind in ("DaemonSet", "Deployment"):
        yield from _workload_faults(value.get("spec") or {}, old)
    elif kind == "CustomResourceDefinition":
        spec = value.get("spec") or {}
        wanted = f"{dig(spec, 'names', 'plural')}.{spec.get('group')}"
        if value["metadata"].get("name") != wanted:
            name = _shown(value["metadata"].get("name"))
            text = f'Invalid value: {name}: must be spec.names.plural+"."+spec.group'
            yield "metadata.name", "FieldValueInvalid", text


def name_faults(value: Object) -> Iterator[Fault]:
    """What is wrong with metadata.name."""
    name = value["metadata"].get("name")
    if not name:
        yield (
            "metadata.name",
            "FieldValueRequired",
            "Required value: name or generateName is required",
        )
    elif not _SUBDOMAIN.fullmatch(name) or len(name) > 253:
        text = (
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case'
            " alphanumeric characters, '-' or '.', and must start and end with an alphanumeric"
            " character (e.g. 'example.com', regex used for validation is"
            r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
        yield "metadata.name", "FieldValueInvalid", text


def _pod_faults(spec: Object, path: str) -> Iterator[Fault]:
    if not spec.get("containers"):
        yield f"{path}.containers", "FieldValueRequired", "Required value"
    for field in _CONTAINER_LISTS:
        names: set[str] = set()
        for index, container in enumerate(spec.get(field) or ()):
            where = f"{path}.{field}[{index}]"
            if not container.get("name"):
                yield f"{where}.name", "FieldValueRequired", "Required value"
            elif container["name"] in names:
                text = f'Duplicate value: "{container["name"]}"'
                yield f"{where}.name", "FieldValueDuplicate", text
            names.add(container.get("name", ""))
            for place, entry in enumerate(container.get("env") or ()):
                if not entry.get("name"):
                    yield f"{where}.env[{place}].name", "FieldValueRequired", "Required value"
                elif entry.get("value") and entry.get("valueFrom"):
                    yield (
                        f"{where}.env[{place}].valueFrom",
                        "FieldValueInvalid",
                        'Invalid value: "": may not be specified when `value` is not empty',
                    )


def _workload_faults(spec: Object, old: Object | None) -> Iterator[Fault]:
    selector = spec.get("selector")
    labels = dig(spec, "template", "metadata", "labels") or {}
    if not selector:
        yield "spec.selector", "FieldValueRequired", "Required value"
    elif not label_selector_matches(selector, labels):
        text = f"Invalid value: {_shown(labels)}: `selector` does not match template `labels`"
        yield "spec.template.metadata.labels", "FieldValueInvalid", text
    if old is not None and old["spec"].get("selector") != selector:
        yield (
            "spec.selector",
            "FieldValueInvalid",
            f"Invalid value: {_shown(selector)}: field is immutable",
        )
    yield from _pod_faults(dig(spec, "template", "spec") or {}, "spec.template.spec")


def misfits(kind: str, value: Object) -> str:
    """Why a value cannot be decoded into the Go type, or ""; only what clients get wrong."""
    for name in ("labels", "annotations"):
        for item in (value["metadata"].get(name) or {}).values():
            if not isinstance(item, str):
                return _misfit(item, f"ObjectMeta.metadata.{name}")
    place = {"Pod": ("spec",), "DaemonSet": ("spec", "template", "spec")}.get(kind)
    spec = (dig(value, *place) if place else None) or {}
    for field in _CONTAINER_LISTS:
        for container in spec.get(field) or ():
            for entry in container.get("env") or ():
                if entry.get("value") is not None and not isinstance(entry["value"], str):
                    return _misfit(
                        entry["value"], ".".join(("EnvVar", *(place or ()), field, "env.value"))
                    )
    return ""


def _misfit(value: Json, field: str) -> str:
    found = {bool: "bool", int: "number", float: "number", list: "array"}.get(type(value), "object")
    return f"json: cannot unmarshal {found} into Go struct field {field} of type string"


def _shown(value: Json) -> str:
    return encode(value).decode()
