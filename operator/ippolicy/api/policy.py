"""An IPPolicy object as the operator works with it: identity, pause, deletion, spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ippolicy.api.spec import PAUSED_ANNOTATION, PolicySpec
from ippolicy.api.validate import problems, read_spec
from ippolicy.errors import InvalidPolicy


@dataclass(frozen=True, slots=True)
class IPPolicy:
    """One IPPolicy object, with every default filled in.

    `created_at_s` is in seconds since the epoch; the oldest of two policies for one DaemonSet acts.
    `deleting` says that the object is only kept by its finalizers.
    """

    name: str
    uid: str = ""
    generation: int = 0
    created_at_s: float = 0.0
    annotations: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    spec: PolicySpec = field(default_factory=PolicySpec)

    @property
    def paused(self) -> bool:
        """Whether the annotation `ippolicy.dev/paused` is "true": nothing is written then."""
        return self.annotations.get(PAUSED_ANNOTATION, "").lower() == "true"

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any]) -> IPPolicy:
        """The policy of a raw object, as the API server or a YAML file gives it.

        Raises:
            InvalidPolicy: the object breaks a rule of the CRD; the message names each field.
        """
        metadata = raw.get("metadata") or {}
        name = metadata.get("name") or ""
        found = problems(raw)
        if found:
            raise InvalidPolicy(f"IPPolicy {name or 'without a name'}: {'; '.join(found)}")
        created = metadata.get("creationTimestamp")
        return cls(
            name=name,
            uid=metadata.get("uid") or "",
            generation=int(metadata.get("generation") or 0),
            created_at_s=datetime.fromisoformat(created).timestamp() if created else 0.0,
            annotations=dict(metadata.get("annotations") or {}),
            deleting=metadata.get("deletionTimestamp") is not None,
            spec=read_spec(raw),
        )
