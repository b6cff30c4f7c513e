"""An IPPolicy object as the operator works with it: identity, pause, deletion, spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from ippolicy.api.spec import PAUSED_ANNOTATION, PolicySpec
from ippolicy.api.validate import problems, read_spec, without_nulls
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
        metadata = _metadata(raw)
        found = problems(raw)
        if found:
            raise InvalidPolicy(f"IPPolicy {metadata.name or 'without a name'}: {'; '.join(found)}")
        created = metadata.creation_timestamp
        return cls(
            name=metadata.name,
            uid=metadata.uid,
            generation=metadata.generation,
            created_at_s=created.timestamp() if created else 0.0,
            annotations=metadata.annotations,
            deleting=metadata.deletion_timestamp is not None,
            spec=read_spec(raw),
        )


class _Metadata(BaseModel):
    """The part of an object's metadata that counts; a YAML file may have anything there."""

    model_config = ConfigDict(alias_generator=to_camel)

    name: str = ""
    uid: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    annotations: dict[str, str] = {}
    deletion_timestamp: datetime | None = None


def _metadata(raw: Mapping[str, Any]) -> _Metadata:
    try:
        return _Metadata.model_validate(without_nulls(raw.get("metadata") or {}))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        path = ".".join(map(str, ("metadata", *fault["loc"])))
        raise InvalidPolicy(f"IPPolicy: {path}: {fault['msg']}: correct it") from error
