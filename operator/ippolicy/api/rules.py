"""A rule of the policy, once for both who hold it: the API server (CEL) and these types (Python).

A rule on a field stands in its `Annotated` metadata; a rule between fields of an object stands in
the `RULES` of its `Part`. Either way the message is the same, and the CRD is generated from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from ippolicy.api.quantities import DURATION_PATTERN, SHARE_PATTERN, Duration

VALIDATIONS = "x-kubernetes-validations"
_INITIALS = {"ip": "IP", "ec2": "EC2", "eni": "ENI", "enis": "ENIs", "uid": "UID", "id": "ID"}


def camel_case(name: str) -> str:
    """The name of a field in YAML: `warm_ip_target` gives `warmIPTarget`."""
    first, *rest = name.split("_")
    return first + "".join(_INITIALS.get(word, word.capitalize()) for word in rest)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as CEL (`self` is the value), the message that tells the fix, and its Python twin.

    `holds` takes the value as these types hold it: defaulted, with Python's field names.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]

    def check(self, value: Any) -> Any:
        """Give `value` back, or raise the error that pydantic reports at the value's place."""
        if not self.holds(value):
            raise self._broken()
        return value

    def _broken(self) -> PydanticCustomError:
        return PydanticCustomError("rule", "{problem}", {"problem": self.message})

    def _read(self, value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
        """Text that is no quantity at all breaks the rule too, whose message says more."""
        try:
            read = inner(value)
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] == "quantity":
                raise self._broken() from None
            raise
        return self.check(read)

    def as_cel(self) -> dict[str, str]:
        """The entry of x-kubernetes-validations."""
        return {"rule": self.cel, "message": self.message}

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        shown = handler(schema)
        return {**shown, VALIDATIONS: [*shown.get(VALIDATIONS, ()), self.as_cel()]}


def span(least: str, most: str) -> Rule:
    """A duration from `least` to `most`, both included."""
    low_s, high_s = Duration(least).seconds, Duration(most).seconds
    return Rule(
        cel=f"self.matches('{DURATION_PATTERN}') && duration(self) >= duration('{least}')"
        f" && duration(self) <= duration('{most}')",
        message=f"must be a duration from {least} to {most}, such as 30s, 15m, 1h30m or 24h",
        holds=lambda value: low_s <= value.seconds <= high_s,
    )


def matches(pattern: str, message: str) -> Rule:
    """Text that is `pattern` from end to end, a regular expression without backslashes."""
    compiled = re.compile(pattern, re.ASCII)
    return Rule(
        cel=f"self.matches('^{pattern}$')",
        message=message,
        holds=lambda value: compiled.fullmatch(value) is not None,
    )


SHARE_RULE = Rule(
    cel=f"self.matches('{SHARE_PATTERN}')",
    message="must be a share from 0% to 100%, such as 0.5%",
    holds=lambda value: value.fraction <= 1.0,
)


@dataclass(frozen=True, slots=True)
class Unique:
    """A list without repetitions, which the API server holds by itself (list type `set`)."""

    def check(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        """Give `value` back, or raise the error that pydantic reports at the value's place."""
        for index, item in enumerate(value):
            if item in value[:index]:
                raise PydanticCustomError(
                    "duplicate", "{item} twice", {"item": str(item), "index": index}
                )
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "x-kubernetes-list-type": "set"}


UNIQUE = Unique()


class Part(BaseModel):
    """An object of the resource: frozen, closed to unknown fields, camelCase in YAML."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=camel_case,
        populate_by_name=True,
        validate_default=True,
        use_attribute_docstrings=True,
    )
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        for rule in self.RULES:
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        shown = handler(schema)
        if cls.RULES:
            target = handler.resolve_ref_schema(shown)
            target[VALIDATIONS] = [rule.as_cel() for rule in cls.RULES]
        return shown

    def to_raw(self) -> dict[str, Any]:
        """The object as it stands in YAML, without what is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
