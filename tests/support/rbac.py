"""The operator's rights as `deploy/` ships them, one by one: read, kept back, given back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controlplane import AuditEvent, ControlPlane
from realworlds import DEPLOY

SHIPPED = ("rbac.yaml", "rbac-proxy-scrape.yaml", "webhook.yaml")
CREATED = 201


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource, as one rule of a role grants it; `name` is "" for any object.

    `str()` of it is "create configmaps", or "get configmaps cilium-config" where it has a name.
    """

    role: str
    rule: int
    verb: str
    group: str
    resource: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource} {self.name}".strip()

    def covers(self, event: AuditEvent) -> bool:
        """Whether a request needs this right; namespaces are the API server's.

        A server-side apply of what is not there yet needs two, and is noted as a patch.
        """
        resource = "/".join(filter(None, (event.resource, event.subresource)))
        applied = event.verb == "patch" and event.code == CREATED
        verbs = {event.verb, "create"} if applied else {event.verb}
        about = (event.group, resource) == (self.group, self.resource)
        return about and self.verb in verbs and self.name in ("", event.name)


class Rights:
    """The roles on a control plane, and every right in them."""

    def __init__(self, plane: ControlPlane, folder: Path = DEPLOY) -> None:
        texts = [(folder / name).read_text() for name in SHIPPED]
        documents = [one for text in texts for one in yaml.safe_load_all(text)]
        self._plane = plane
        self._roles = {_key(one): one for one in documents if "rules" in one}
        self.all = tuple(_rights(self._roles))

    def keep_back(self, *taken: Right) -> None:
        """From now on the roles lack these rights, and have all others."""
        for key, role in self._roles.items():
            rules = [_rule(right) for right in _rights({key: role}) if right not in taken]
            self._plane.kubectl("replace", "-f", "-", stdin=json.dumps({**role, "rules": rules}))


def _key(role: dict[str, Any]) -> str:
    return f"{role['kind']}/{role['metadata']['name']}"


def _rights(roles: dict[str, dict[str, Any]]) -> Iterator[Right]:
    for key, role in roles.items():
        for number, rule in enumerate(role["rules"]):
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        for name in rule.get("resourceNames", [""]):
                            yield Right(key, number, verb, group, resource, name)


def _rule(right: Right) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "apiGroups": [right.group],
        "resources": [right.resource],
        "verbs": [right.verb],
    }
    return rule | ({"resourceNames": [right.name]} if right.name else {})
