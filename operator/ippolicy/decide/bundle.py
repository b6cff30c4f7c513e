"""All that a decision rests on, as one JSON document from which it can be made again elsewhere.

    {
      "kind": "ippolicy-bundle", "version": 1, "made_by": "0.1.0",
      "inputs": {"policy": {...}, "snapshot": {...}, "traces": [...], "record": null, ...},
      "served": {"verdict": "Hold", "reason": "ModeRecommend", ...},
      "births": {"table": {...}, "cohorts": {...}, "served": {...}, ...}
    }

Facts stand under their own names; `served` is the decision that was made, or null, and `births` the
step of targets by node group that followed from it, or null. Arrays are base64 of zlib of their
little-endian numbers. What decisions do not look at stays out where it may tell of more than
addresses: env entries that ipamd does not read, annotations of others, registries of images, and
whatever looks like an account id.

For all inputs, decide(load(dump(inputs))) is decide(inputs).
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

import msgspec
import numpy as np
from pydantic import BaseModel, ValidationError

from ippolicy import __version__
from ippolicy.api import GROUP, IPPolicy
from ippolicy.decide.births.kept import KeptStep
from ippolicy.decide.bundle_limits import MAX_BYTES, MAX_NUMBERS, check_limits
from ippolicy.decide.decision import Inputs
from ippolicy.decide.types import Decision
from ippolicy.errors import InvalidBundle
from ippolicy.facts import DaemonSetFacts, EnvEntry, Record, Snapshot
from ippolicy.ipamd.settings import ENV_KEYS, parse_bool

KIND: Final = "ippolicy-bundle"
VERSION: Final = 1
_GZIP_MAGIC: Final = b"\x1f\x8b"
_LONGEST_ANNOTATION: Final = 64
_ACCOUNT_ID: Final = re.compile(r"(?<!\d)\d{12}(?!\d)")
_HEADER: Final = {"kind": KIND, "version": VERSION}


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a document holds: `served` is the decision made on `inputs` by version `made_by`, and
    `births` the step that followed from it."""

    kind: Literal["ippolicy-bundle"]
    version: Literal[1]
    made_by: str
    inputs: Inputs
    served: Decision | None
    births: KeptStep | None = None


def dump(inputs: Inputs, served: Decision | None = None, births: KeptStep | None = None) -> bytes:
    """The document of `inputs`, with the decision `served` on them if there is one, and the step of
    `births` that followed from it.

    Raises:
        InvalidBundle: it would be beyond the limits of what `load` takes.
    """
    told = None if served is None else _public_decision(served)
    bundle = Bundle(KIND, VERSION, __version__, _public_inputs(inputs), told, births)
    check_limits(bundle)
    document = msgspec.json.encode(bundle, enc_hook=_encode, order="deterministic")
    if len(document) > MAX_BYTES:
        raise InvalidBundle(_too_long(len(document)))
    return document


def load(document: bytes) -> Inputs:
    """The inputs that `document` holds; see `read`."""
    return read(document).inputs


def read(document: bytes) -> Bundle:
    """What `document`, which may be gzip'd, holds; refused whole where anything is amiss.

    Raises:
        InvalidBundle: it is no bundle of this version, or a field is beyond its limits or unknown;
            the message names the field.
    """
    raw = _parse(_unzip(document))
    header = {key: raw.get(key) for key in _HEADER}
    if header != _HEADER:
        raise InvalidBundle(
            f"not a bundle that this version reads: it says {header}, not {_HEADER}: take one from "
            "an operator of this version"
        )
    try:
        bundle = msgspec.convert(raw, Bundle, dec_hook=_Arrays().decode)
    except msgspec.ValidationError as error:
        raise InvalidBundle(f"bundle: {_one_line(error)}") from error
    check_limits(bundle)
    unknown = _unknown_field(raw, as_data(bundle), "$")
    if unknown is not None:
        raise InvalidBundle(
            f"bundle: {_one_line(unknown)} is no field that this version knows: remove it"
        )
    return bundle


def differing(served: Decision, again: Decision) -> list[str]:
    """The fields in which a decision made `again` differs from the one `served` in a bundle."""
    public = _public_decision(again)
    return [
        field.name
        for field in fields(Decision)
        if getattr(served, field.name) != getattr(public, field.name)
    ]


def as_data(value: Any) -> Any:
    """Facts, decisions and choices as what JSON has; arrays are left out."""
    return msgspec.to_builtins(value, enc_hook=_keep)


def _unzip(document: bytes) -> bytes:
    if not document.startswith(_GZIP_MAGIC):
        plain = document
    else:
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            plain = unpacking.decompress(document, MAX_BYTES + 1)
        except zlib.error as error:
            raise InvalidBundle(f"bundle: it cannot be unzipped: {error}") from error
    if len(plain) > MAX_BYTES:
        raise InvalidBundle(_too_long(len(plain)))
    return plain


def _too_long(length: int) -> str:
    return (
        f"bundle: {length} bytes or more are beyond the limit of {MAX_BYTES}: shorten "
        "spec.demand.window"
    )


def _parse(document: bytes) -> dict[str, Any]:
    try:
        raw = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidBundle(f"bundle: it is not JSON: {_one_line(error)}") from error
    if not isinstance(raw, dict):
        raise InvalidBundle(f"bundle: a {type(raw).__name__} stands where an object should")
    return raw


def _one_line(said: Exception | str) -> str:
    return " ".join(str(said).split())


def _unknown_field(given: Any, known: Any, path: str) -> str | None:
    """The path of the first field of `given` that `known` lacks, if there is one."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                return f"{path}.{key}"
            if (found := _unknown_field(value, known[key], f"{path}.{key}")) is not None:
                return found
    elif isinstance(given, list) and isinstance(known, list | tuple):
        for number, (one, other) in enumerate(zip(given, known, strict=False)):
            if (found := _unknown_field(one, other, f"{path}[{number}]")) is not None:
                return found
    return None


# -- arrays, and the types of the policy ----------------------------------------------------------


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        numbers = value.astype(value.dtype.newbyteorder("<"), copy=False)
        return base64.b64encode(zlib.compress(numbers.tobytes())).decode("ascii")
    return _keep(value)


def _keep(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, np.ndarray):
        return None  # its text has no fields
    raise NotImplementedError(f"a bundle has no place for {type(value)}")


class _Arrays:
    """Decodes what msgspec does not know, and no more numbers than a bundle may have.

    msgspec adds the path of the field to a ValueError.
    """

    def __init__(self) -> None:
        self._left = MAX_NUMBERS

    def decode(self, kind: Any, value: Any) -> Any:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return _model(kind, value)
        dtype = np.dtype(kind.__args__[1].__args__[0])
        try:
            packed = base64.b64decode(value, validate=True)
            unpacking = zlib.decompressobj()
            plain = unpacking.decompress(packed, self._left * dtype.itemsize + 1)
        except (TypeError, ValueError, zlib.error) as error:
            raise ValueError(f"an array cannot be read: {_one_line(error)}") from error
        count, rest = divmod(len(plain), dtype.itemsize)
        if rest or count > self._left or not unpacking.eof:
            raise ValueError(f"an array that is cut short, or beyond {MAX_NUMBERS} numbers in all")
        self._left -= count
        return np.frombuffer(plain, dtype.newbyteorder("<")).astype(dtype)


def _model(kind: type[BaseModel], value: Any) -> BaseModel:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        told = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults]
        raise ValueError("; ".join(told)) from error


# -- what is left out -----------------------------------------------------------------------------


def _public_inputs(inputs: Inputs) -> Inputs:
    return replace(
        inputs,
        policy=_public_policy(inputs.policy),
        snapshot=_public_snapshot(inputs.snapshot),
        record=inputs.record and _public_record(inputs.record),
    )


def _public_policy(policy: IPPolicy) -> IPPolicy:
    """With those annotations of ours that are wishes, not state."""
    wishes = {
        key: value
        for key, value in policy.annotations.items()
        if key.startswith(f"{GROUP}/") and len(value) <= _LONGEST_ANNOTATION
    }
    return replace(policy, annotations=wishes)


def _public_snapshot(snapshot: Snapshot) -> Snapshot:
    return replace(
        snapshot,
        nodes=tuple(replace(node, labels={}) for node in snapshot.nodes),
        daemon_set=snapshot.daemon_set and _public_daemon_set(snapshot.daemon_set),
        sources={
            name: replace(state, error=state.error and _without_accounts(state.error))
            for name, state in snapshot.sources.items()
        },
    )


def _public_daemon_set(facts: DaemonSetFacts) -> DaemonSetFacts:
    env = {
        key: _public_entry(entry)
        for key, entry in facts.env.items()
        if key in ENV_KEYS or parse_bool(entry.value or "") is not None
    }
    return replace(
        facts,
        env=env,
        owners={key: managers for key, managers in facts.owners.items() if key in env},
        hands={key: hands for key, hands in facts.hands.items() if key in env},
        image=facts.image.rpartition("/")[2],
    )


def _public_record(record: Record) -> Record:
    originals = {
        key: entry and _public_entry(entry)
        for key, entry in record.originals.items()
        if key in ENV_KEYS
    }
    return replace(record, originals=originals)


def _public_entry(entry: EnvEntry) -> EnvEntry:
    """Of a value from elsewhere, where it comes from and no more."""
    if entry.source is None:
        return entry
    source = {
        kind: {key: reference[key] for key in ("name", "key", "fieldPath") if key in reference}
        for kind, reference in entry.source.items()
        if isinstance(reference, Mapping)
    }
    return EnvEntry(entry.value, source)


def _public_decision(decision: Decision) -> Decision:
    """Without the searches, which are no part of what was decided."""
    message = _without_accounts(decision.message)
    return replace(decision, message=message, searched=None, braked=())


def _without_accounts(text: str) -> str:
    return _ACCOUNT_ID.sub("<account>", text)
