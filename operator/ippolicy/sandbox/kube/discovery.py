"""What the API says of itself: versions, groups and resources."""

from __future__ import annotations

from ippolicy.sandbox.kube.objects import Object
from ippolicy.sandbox.kube.resources import Registry

_VERSION: Object = {
    "major": "1",
    "minor": "35",
    "gitVersion": "v1.35.4",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "go1.25",
    "compiler": "gc",
    "platform": "linux/amd64",
}


def document(path: str, registry: Registry, host: str) -> Object | None:
    """The discovery document at a path, or None where there is none."""
    found: Object | None = None
    match path.strip("/").split("/"):
        case ["version"]:
            found = _VERSION
        case ["api"]:
            server = {"clientCIDR": "0.0.0.0/0", "serverAddress": host}
            body = {"versions": ["v1"], "serverAddressByClientCIDRs": [server]}
            found = {"kind": "APIVersions", **body}
        case ["apis"]:
            groups = [_group(group, registry) for group in registry.versions() if group]
            found = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", group] if group in registry.versions():
            found = {"kind": "APIGroup", "apiVersion": "v1", **_group(group, registry)}
        case ["api", version]:
            found = _resources("", version, registry)
        case ["apis", group, version]:
            found = _resources(group, version, registry)
    return found


def _group(group: str, registry: Registry) -> Object:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for version in registry.versions()[group]
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resources(group: str, version: str, registry: Registry) -> Object | None:
    if version not in registry.versions().get(group, ()):
        return None
    kinds = [kind for kind in registry.all() if (kind.group, kind.version) == (group, version)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": [entry for kind in kinds for entry in kind.discovery()],
    }
