"""Lists in pages, each of one consistent version."""

from __future__ import annotations

import base64
import binascii
import bisect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from ippolicy.sandbox.kube.objects import encode
from ippolicy.sandbox.kube.refusals import Refused, expired, invalid
from ippolicy.sandbox.kube.resources import Kind
from ippolicy.sandbox.kube.selectors import Selection, parse_fields, parse_labels
from ippolicy.sandbox.kube.store import Record, Store

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can"
    " start a new list without the continue parameter, or use the continue token in this response"
    " to retrieve the remainder of the results. Continuing with the provided token results in an"
    " inconsistent list - objects that were created, modified, or deleted between the time the"
    " first chunk was returned and now may show up in the list."
)


class _Token(msgspec.Struct):
    """Where a paged list goes on: after `start`, as of version `rv` (-1: as of now)."""

    v: str
    rv: int
    start: str


@dataclass(frozen=True)
class Page:
    """One page of a list; `remaining` is None where a selector makes it unknown."""

    version: int
    records: list[Record]
    token: str = ""
    remaining: int | None = None


def selection(kind: Kind, query: Mapping[str, str]) -> Selection:
    """What a request selects; raises `Refused` 400 where that cannot be read."""
    return Selection(
        parse_labels(query.get("labelSelector", "")),
        parse_fields(query.get("fieldSelector", ""), kind.fields, kind.gvr),
    )


def number(query: Mapping[str, str], name: str) -> int:
    """A query parameter as a number, 0 where it is not given."""
    text = query.get(name) or "0"
    if not text.isdigit():
        raise Refused(400, f"strconv.ParseInt: parsing {text!r}: invalid syntax")
    return int(text)


def list_page(store: Store, kind: Kind, namespace: str, query: Mapping[str, str]) -> Page:
    """The objects a list request asks for.

    Raises `Refused` 400, 410 (history no longer reaches back) or 504 (a version yet to come).
    """
    chosen = selection(kind, query)
    limit = number(query, "limit")
    token = _read_token(query.get("continue", ""))
    with store.lock:
        version = _version(store, query, token)
        try:
            records = store.list(kind.key, namespace, at=version)
        except Refused as refusal:
            if token is None:
                raise
            raise _token_expired(token) from refusal
    if token is not None:
        records = records[bisect.bisect_right(records, token.start, key=_start) :]
    matching = (record for record in records if not chosen or chosen.matches(record.value))
    page = list(itertools.islice(matching, limit + 1 if limit else None))
    if not limit or len(page) <= limit:
        return Page(version, page)
    page = page[:limit]
    following = _Token(v="meta.k8s.io/v1", rv=version, start=_start(page[-1]))
    remaining = None if chosen else len(records) - limit
    return Page(version, page, _write_token(following), remaining)


def _version(store: Store, query: Mapping[str, str], token: _Token | None) -> int:
    if token is not None:
        return token.rv if token.rv > 0 else store.version
    asked = number(query, "resourceVersion")
    match = query.get("resourceVersionMatch", "")
    if match and "resourceVersion" not in query:
        text = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        error = ("resourceVersionMatch", "FieldValueForbidden", text)
        raise invalid("ListOptions", "meta.k8s.io", "", [error])
    if asked > store.version:
        raise Refused(
            504,
            f"Timeout: Too large resource version: {asked}, current: {store.version}",
            details={
                "causes": [
                    {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
                ],
                "retryAfterSeconds": 1,
            },
        )
    exact = match == "Exact" or (not match and asked and number(query, "limit"))
    return asked if exact else store.version


def _start(record: Record) -> str:
    return "/".join(record.address)


def _write_token(token: _Token) -> str:
    return base64.urlsafe_b64encode(encode(token)).decode().rstrip("=")


def _read_token(text: str) -> _Token | None:
    if not text:
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(data, type=_Token)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise Refused(400, f"continue key is not valid: {error}") from error


def _token_expired(token: _Token) -> Refused:
    following = _Token(v=token.v, rv=-1, start=token.start)
    return expired(_TOO_OLD, continue_token=_write_token(following))
