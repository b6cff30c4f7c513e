"""The tables of the chart's README, made from values.yaml and the operator's settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from schema import OF_THE_POD
from values import ChartError, Value, leaves

from ippolicy.settings import PREFIX, Settings

BEGIN = "<!-- tables: made by `make generate` from values.yaml and the operator's settings -->"
END = "<!-- end of tables -->"


def with_tables(readme: str, values: Sequence[Value]) -> str:
    """The README with its tables renewed; raises ChartError where their place is not marked."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ChartError(f"README.md has no place for its tables: add `{BEGIN}` and `{END}`")
    tables = [
        "## Values",
        _table(
            ("Value", "Default", "Meaning"),
            ((f"`{v.name}`", _code(v.default), v.about) for v in leaves(values)),
        ),
        "## Settings",
        "Settings of the operator, each a value `settings.NAME` and a variable of its environment.",
        _table(
            ("Setting", "Variable", "Default", "Meaning"),
            (
                _setting(*each)
                for each in Settings.model_fields.items()
                if each[0] not in OF_THE_POD
            ),
        ),
    ]
    return "\n\n".join((before + BEGIN, *tables, END + after))


def _setting(name: str, field: FieldInfo) -> tuple[str, ...]:
    variable = f"`{PREFIX}{name.upper()}`"
    return (f"`{to_camel(name)}`", variable, _code(field.default), str(field.description))


def _code(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
