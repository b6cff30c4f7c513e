"""Durations, shares and moments as a policy has them: text with a meaning, kept as written."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from ippolicy.errors import InvalidPolicy

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A moment as Kubernetes writes it: 2026-11-22T16:49:00Z."""

# At most six digits a part and sixteen characters in all: no text that fits can overflow the
# nanoseconds that Go, and so the API server's CEL, counts durations in.
DURATION_PATTERN = "^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$"
DURATION_MAX_LENGTH = 16
SHARE_PATTERN = "^(100([.]0{1,4})?|[0-9]{1,2}([.][0-9]{1,4})?)%$"
SHARE_MAX_LENGTH = 8

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(DURATION_PATTERN.removesuffix("$"), re.ASCII)
_DURATION_PART = re.compile(r"([0-9.]+)(ms|s|m|h)", re.ASCII)
_SHARE = re.compile(SHARE_PATTERN.removesuffix("$"), re.ASCII)


class _Quantity(str):
    """Text with a number in it; the schema of its field shows the pattern."""

    __slots__ = ()
    pattern: str
    max_length: int

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls._read, core_schema.str_schema(max_length=cls.max_length)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": cls.pattern}

    @classmethod
    def _read(cls, text: str) -> Self:
        try:
            return cls(text)
        except InvalidPolicy as error:
            raise PydanticCustomError("quantity", "{problem}", {"problem": str(error)}) from None


class Duration(_Quantity):
    """A span of time as Go and Kubernetes write it: "30s", "15m", "1h30m", "24h".

    Raises:
        InvalidPolicy: the text is no such duration.
    """

    __slots__ = ()
    pattern = DURATION_PATTERN
    max_length = DURATION_MAX_LENGTH

    def __new__(cls, text: str) -> Self:
        if len(text) > DURATION_MAX_LENGTH or not _DURATION.fullmatch(text):
            raise InvalidPolicy(f"{text!r} must be a duration such as 30s, 15m, 1h30m or 24h")
        return super().__new__(cls, text)

    @property
    def seconds(self) -> float:
        """The span in seconds."""
        parts = _DURATION_PART.findall(self)
        return sum(float(number) * _UNIT_MS[unit] for number, unit in parts) / 1_000


class Share(_Quantity):
    """A share from "0%" to "100%", such as "0.5%".

    Raises:
        InvalidPolicy: the text is no such share.
    """

    __slots__ = ()
    pattern = SHARE_PATTERN
    max_length = SHARE_MAX_LENGTH

    def __new__(cls, text: str) -> Self:
        if not _SHARE.fullmatch(text):
            raise InvalidPolicy(f"{text!r} must be a share from 0% to 100%, such as 0.5%")
        return super().__new__(cls, text)

    @property
    def fraction(self) -> float:
        """The share as a number from 0.0 to 1.0: "0.5%" gives 0.005."""
        return float(self[:-1]) / 100
