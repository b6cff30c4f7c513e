"""values.yaml as a tree: each value with its default, and with what the comment above it says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml


class ChartError(Exception):
    """The chart's sources do not fit together; one line with the thing and the fix."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the chart, or a group of them.

    Attributes:
        path: its keys from the top, such as ("image", "tag").
        default: what values.yaml gives it.
        about: its description; empty for a group.
        kind: the name after `@kind`, empty where the default tells it.
        children: the values of a group; empty for a single value.
    """

    path: tuple[str, ...]
    default: Any
    about: str
    kind: str
    children: tuple[Value, ...]

    @property
    def name(self) -> str:
        """Its path as `--set` takes it: `image.tag`."""
        return ".".join(self.path)


def read(text: str) -> tuple[Value, ...]:
    """The values at the top of a values.yaml; raises ChartError for one without a description."""
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise ChartError("values.yaml holds no map: write one")
    return tuple(_children(root, yaml.safe_load(text), (), text.splitlines()))


def leaves(values: Sequence[Value]) -> Iterator[Value]:
    """The single values, in the order of the file."""
    for value in values:
        if value.children:
            yield from leaves(value.children)
        else:
            yield value


def _children(
    node: yaml.MappingNode, defaults: Any, path: tuple[str, ...], lines: Sequence[str]
) -> Iterator[Value]:
    for key, child in node.value:
        here = (*path, str(key.value))
        default = defaults[key.value]
        about, kind = _comment(lines, key.start_mark.line)
        group = isinstance(child, yaml.MappingNode) and bool(child.value) and not kind
        inner = tuple(_children(child, default, here, lines)) if group else ()
        if not group and not about:
            raise ChartError(f"values.yaml: {'.'.join(here)} has no comment: say what it does")
        yield Value(here, default, about, kind, inner)


def _comment(lines: Sequence[str], key_line: int) -> tuple[str, str]:
    """Description and kind, from the comment lines right above a key."""
    first = key_line
    while first and re.match(r"\s*#", lines[first - 1]):
        first -= 1
    texts = [line.strip().removeprefix("#").strip() for line in lines[first:key_line]]
    kind = [text.removeprefix("@kind ") for text in texts if text.startswith("@kind ")]
    about = " ".join(text for text in texts if not text.startswith("@kind "))
    return about, kind[-1] if kind else ""
