"""A record as the JSON that is kept on the cluster: a versioned schema, read strictly.

    {
      "version": 1,
      "daemonSetUID": "5a6e…",
      "policyUID": "0c31…",
      "originals": {
        "WARM_ENI_TARGET": {"value": "1"},
        "WARM_IP_TARGET": null
      },
      "changes": [
        {
          "id": "4-9f2c11d0",
          "policy": "default",
          "phase": "Complete",
          "before": {"WARM_IP_TARGET": null},
          "after": {"WARM_IP_TARGET": "2"},
          "reason": "SavesAddresses",
          "intendedAt": "2026-03-01T09:30:00.000000Z",
          "generation": 4,
          "completedAt": "2026-03-01T09:41:12.250000Z"
        }
      ]
    }

It is made to be read with `kubectl get configmap -o yaml`; `null` is "absent". Anything that is
not exactly this is refused as a whole: an original that is guessed is worse than none.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ippolicy.facts import Change, ChangePhase, EnvEntry, Record

VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, allow_inf_nan=False
    )


class _Literal(_Part):
    value: str


class _Source(_Part):
    value_from: dict[str, Any]


class _Change(_Part):
    id: Annotated[str, Field(min_length=1)]
    policy: str
    phase: ChangePhase
    before: dict[str, str | None]
    after: dict[str, str | None]
    reason: str
    intended_at: AwareDatetime
    generation: Annotated[int, Field(ge=0)]
    completed_at: AwareDatetime | None


class _Document(_Part):
    version: Literal[1]
    daemon_set_uid: Annotated[str, Field(min_length=1, alias="daemonSetUID")]
    policy_uid: Annotated[str, Field(alias="policyUID")]
    originals: dict[str, _Literal | _Source | None]
    changes: list[_Change]


def write_document(record: Record) -> str:
    """The record as JSON, times in UTC to the microsecond."""
    document = {
        "version": VERSION,
        "daemonSetUID": record.daemon_set_uid,
        "policyUID": record.policy_uid,
        "originals": {k: _write_entry(record.originals[k]) for k in sorted(record.originals)},
        "changes": [_write_change(change) for change in record.changes],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def read_document(text: str) -> Record:
    """The record in `text`.

    Raises:
        ValueError: the text is not such a document; one line that says what is wrong with it.
    """
    try:
        document = _Document.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the document"
        raise ValueError(f"{where}: {first['msg']}") from error
    return Record(
        daemon_set_uid=document.daemon_set_uid,
        policy_uid=document.policy_uid,
        originals={key: _read_entry(entry) for key, entry in document.originals.items()},
        changes=tuple(_read_change(change) for change in document.changes),
    )


def _write_entry(entry: EnvEntry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    if entry.source is not None:
        return {"valueFrom": dict(entry.source)}
    return {"value": entry.value}


def _read_entry(entry: _Literal | _Source | None) -> EnvEntry | None:
    if isinstance(entry, _Source):
        return EnvEntry(value=None, source=entry.value_from)
    return EnvEntry(value=entry.value) if entry is not None else None


def _write_change(change: Change) -> dict[str, Any]:
    completed = change.completed_at_s
    return {
        "id": change.id,
        "policy": change.policy,
        "phase": change.phase.value,
        "before": dict(sorted(change.before.items())),
        "after": dict(sorted(change.after.items())),
        "reason": change.reason,
        "intendedAt": _write_time(change.intended_at_s),
        "generation": change.generation,
        "completedAt": None if completed is None else _write_time(completed),
    }


def _read_change(change: _Change) -> Change:
    completed = change.completed_at
    return Change(
        id=change.id,
        policy=change.policy,
        phase=change.phase,
        before=change.before,
        after=change.after,
        reason=change.reason,
        intended_at_s=change.intended_at.timestamp(),
        generation=change.generation,
        completed_at_s=None if completed is None else completed.timestamp(),
    )


def _write_time(at_s: float) -> str:
    time = datetime.fromtimestamp(at_s, tz=UTC)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
