"""From an HTTP request to a verb and the resource it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ippolicy.errors import SandboxError
from ippolicy.sandbox.kube.refusals import Refused
from ippolicy.sandbox.kube.resources import Kind, Registry

_ITEM_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}


class NoSuchPath(SandboxError):
    """Nothing is served at a path: the answer is a bare 404."""


@dataclass(frozen=True)
class Target:
    """What a request is about; `name` is "" for a collection."""

    verb: str
    kind: Kind
    namespace: str
    name: str
    subresource: str

    @property
    def resource(self) -> str:
        """`pods`, or `pods/status`."""
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural

    @property
    def address(self) -> str:
        """`namespace/name`, or one of them."""
        return "/".join(filter(None, (self.namespace, self.name)))


def parse(method: str, path: str, query: Mapping[str, str], registry: Registry) -> Target:
    """The target of a request; raises `NoSuchPath`, or `Refused` 405 for a method out of place."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise NoSuchPath(path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3] if len(rest) <= 3 else ("", "", "")
    kind = registry.find(group, version, plural)
    if kind is None or (namespace and not kind.namespaced):
        raise NoSuchPath(path)
    known = ("", "status", *kind.subresources) if kind.has_status else ("", *kind.subresources)
    if subresource not in known:
        raise NoSuchPath(path)
    verb = _verb(method, query, name, subresource)
    if kind.namespaced and not namespace and (name or verb in ("create", "deletecollection")):
        raise Refused(405, "the server does not allow this method on the requested resource")
    return Target(verb, kind, namespace, name, subresource)


def _verb(method: str, query: Mapping[str, str], name: str, subresource: str) -> str:
    if subresource == "binding" and method == "POST":
        return "create"
    verb = (_ITEM_VERBS if name else _COLLECTION_VERBS).get(method)
    if verb is None or (subresource and verb == "delete"):
        raise Refused(405, "the server does not allow this method on the requested resource")
    return "watch" if verb == "list" and query.get("watch") in ("true", "1") else verb
