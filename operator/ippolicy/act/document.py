"""A record as the JSON that is kept on the cluster: a versioned schema, read strictly.

    {
      "version": 2,
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

It is made to be read with `kubectl get configmap -o yaml`; `null` is "absent". What is as it is
when nothing out of the ordinary happened is left out: the models below name every field that may
be there. Anything that is not exactly this is refused as a whole: an original that is guessed is
worse than none. Version 1, which knew no more than what is shown here, is read as well.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from ippolicy.facts import (
    BackOff,
    Change,
    ChangeKind,
    ChangePhase,
    EnvEntry,
    Forecast,
    Ledger,
    Measured,
    Record,
    Writer,
)

VERSION = 2

_MOMENT = TypeAdapter(Annotated[datetime, Field(strict=False)])


def _read_time(value: Any, info: ValidationInfo) -> Any:
    """Seconds of a moment as it is written; a record has it in seconds already."""
    if info.mode == "python":
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("time", "a time is written as text")
    moment: datetime = _MOMENT.validate_python(value)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.timestamp()


def _write_time(at_s: float) -> str:
    time = datetime.fromtimestamp(at_s, tz=UTC)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


_Time = Annotated[float, BeforeValidator(_read_time), PlainSerializer(_write_time)]
_Env = dict[str, str | None]


def _name(field: str) -> str:
    """How a field is written: `completed_at_s` as completedAt, and `after_s` as afterSeconds."""
    if field == "after_s":
        return "afterSeconds"
    if field == "saved_address_s":
        return "savedAddressSeconds"
    return to_camel(field.removesuffix("_s")).replace("Uid", "UID")


class _Part(BaseModel):
    """Fields have the names and defaults of the facts that they stand for."""

    model_config = ConfigDict(
        alias_generator=_name,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
    )


class _Literal(_Part):
    value: str


class _Source(_Part):
    value_from: dict[str, Any]


class _Forecast(_Part):
    held: float
    held_low: float
    held_high: float
    delayed_share: float | None = None
    ec2_calls_per_minute: float | None = None


class _Measured(_Part):
    after_s: int
    at_s: _Time
    pods: int
    held: float
    expected_held: float | None = None
    delayed_share: float | None = None
    ec2_calls_per_minute: float | None = None
    as_expected: bool | None = None


class _BackOff(_Part):
    after: _Env
    basis: str
    until_s: _Time
    times: Annotated[int, Field(ge=1)]


class _Ledger(_Part):
    saved_address_s: float = 0.0
    until_s: _Time | None = None
    since_s: _Time | None = None


class _Change(_Part):
    id: Annotated[str, Field(min_length=1)]
    policy: str
    phase: Annotated[ChangePhase, Field(strict=False)]
    before: _Env
    after: _Env
    reason: str
    intended_at_s: _Time
    generation: Annotated[int, Field(ge=0)] = 0
    completed_at_s: _Time | None = None
    kind: Annotated[ChangeKind, Field(strict=False)] = ChangeKind.TUNE
    writer: Annotated[Writer, Field(strict=False)] = Writer.DAEMON_SET
    update_id: str = ""
    basis: str = ""
    binding: str = ""
    rejected: list[str] = []
    present: _Forecast | None = None
    predicted: _Forecast | None = None
    measured: list[_Measured] = []
    undone: str = ""
    group: str = ""


class _Document(_Part):
    version: Literal[1, 2]
    daemon_set_uid: Annotated[str, Field(min_length=1)]
    policy_uid: str
    originals: dict[str, _Literal | _Source | None]
    changes: list[_Change]
    writer: Annotated[Writer, Field(strict=False)] = Writer.DAEMON_SET
    back_offs: list[_BackOff] = []
    mispredicted: Annotated[int, Field(ge=0)] = 0
    ledger: _Ledger = _Ledger()
    reapplied_at_s: list[_Time] = []
    max_unavailable: str | None = None
    group_changes: list[_Change] = []


def write_document(record: Record) -> str:
    """The record as JSON, times in UTC to the microsecond."""
    raw = asdict(record) | {
        "version": VERSION,
        "originals": {k: _entry_of(record.originals[k]) for k in sorted(record.originals)},
        "changes": [_in_order(asdict(change)) for change in record.changes],
        "group_changes": [_in_order(asdict(change)) for change in record.group_changes],
    }
    document = _Document.model_validate(
        {key: _listed(value) for key, value in raw.items()}, by_alias=False, by_name=True
    )
    fields = {"version": VERSION} | document.model_dump(
        mode="json", by_alias=True, exclude_defaults=True
    )
    return json.dumps(fields, indent=2, ensure_ascii=False)


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
    fields = dict(document)
    del fields["version"]
    return Record(
        **fields
        | {
            "originals": {key: _read_entry(entry) for key, entry in document.originals.items()},
            "changes": tuple(_read_change(change) for change in document.changes),
            "group_changes": tuple(_read_change(change) for change in document.group_changes),
            "back_offs": tuple(BackOff(**dict(one)) for one in document.back_offs),
            "ledger": Ledger(**dict(document.ledger)),
            "reapplied_at_s": tuple(document.reapplied_at_s),
        }
    )


def _read_change(change: _Change) -> Change:
    return Change(
        **dict(change)
        | {
            "rejected": tuple(change.rejected),
            "present": change.present and Forecast(**dict(change.present)),
            "predicted": change.predicted and Forecast(**dict(change.predicted)),
            "measured": tuple(Measured(**dict(one)) for one in change.measured),
        }
    )


def _entry_of(entry: EnvEntry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    if entry.source is not None:
        return {"value_from": dict(entry.source)}
    return {"value": entry.value}


def _read_entry(entry: _Literal | _Source | None) -> EnvEntry | None:
    if isinstance(entry, _Source):
        return EnvEntry(value=None, source=entry.value_from)
    return EnvEntry(value=entry.value) if entry is not None else None


def _in_order(change: dict[str, Any]) -> dict[str, Any]:
    """The change with its env in one order, so that the same record is the same text."""
    env = {key: dict(sorted(change[key].items())) for key in ("before", "after")}
    return {key: _listed(value) for key, value in (change | env).items()}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
