"""EC2's paging: MaxResults within bounds, and an opaque NextToken that survives changes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from ippolicy.sandbox.ec2.errors import Ec2CallError, invalid

FEWEST = 5


class Numbered(Protocol):
    @property
    def number(self) -> int: ...


N = TypeVar("N", bound=Numbered)


def page(
    records: Sequence[N],
    params: dict[str, Any],
    *,
    most: int,
    default: int | None = None,
    ids: str | None = None,
) -> tuple[list[N], str | None]:
    """One page and the token of the next, None on the last.

    `most` bounds MaxResults, `default` stands in for it (None: everything), and `ids` names the
    parameter that may not go with it, if that was given. A token holds the number of the last
    record seen, so resources that come and go between pages shift nothing.
    """
    limit: int | None = params.get("MaxResults", default)
    if "MaxResults" in params and limit is not None:
        if ids and params.get(ids):
            raise Ec2CallError(
                "InvalidParameterCombination",
                f"The parameter {ids} cannot be used with the parameter MaxResults",
            )
        if not FEWEST <= limit <= most:
            raise invalid(
                f"Value ( {limit} ) for parameter maxResults is invalid. "
                f"Expecting a value between {FEWEST} and {most}."
            )
    seen = _number_in(params["NextToken"]) if params.get("NextToken") else 0
    rest = sorted((one for one in records if one.number > seen), key=lambda one: one.number)
    if limit is None or len(rest) <= limit:
        return rest, None
    return rest[:limit], _token(rest[limit - 1].number)


def _token(number: int) -> str:
    return base64.urlsafe_b64encode(f"after:{number}".encode()).decode()


def _number_in(token: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("after:"))
    except (ValueError, binascii.Error) as cause:
        raise invalid("Unable to parse pagination token") from cause
