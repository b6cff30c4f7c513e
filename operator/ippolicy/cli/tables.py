"""Tables of plain text, no wider than a terminal, and CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

WIDTH: Final = 80
_GAP: Final = "  "

T = TypeVar("T")


def table(
    rows: Sequence[Sequence[str]], *, left: Iterable[int] = (), header_rows: int = 1
) -> list[str]:
    """Lines of a table, numbers to the right, the columns of `left` to the left.

    The first `header_rows` rows are headers, with a rule below them.
    """
    to_left = set(left)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        _GAP.join(
            cell.ljust(width) if column in to_left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = _GAP.join("-" * width for width in widths)
    return [*lines[:header_rows], rule, *lines[header_rows:]]


def blocks(items: Sequence[T], show: Callable[[Sequence[T]], list[str]]) -> list[str]:
    """`items` side by side, as many in one table as a terminal is wide, a line between tables."""
    count = len(items)
    while count > 1 and max(map(len, show(items[:count]))) > WIDTH:
        count -= 1
    rest = blocks(items[count:], show) if items[count:] else []
    return ["", *show(items[:count]), *rest]


def sentence(mark: str, text: str) -> list[str]:
    """`text` after `mark`, wrapped, its further lines below its first."""
    indent = " " * len(mark)
    return textwrap.wrap(
        text, WIDTH, initial_indent=mark, subsequent_indent=indent, break_on_hyphens=False
    )


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of like keys as CSV with a header; nothing for no rows."""
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()


def number(value: float, digits: int = 1) -> str:
    """A number with thousands apart: 12,345.6."""
    return f"{value:,.{digits}f}"


def percent(share: float, digits: int = 2) -> str:
    """A share as a percentage: 0.005 is 0.50%."""
    return f"{100 * share:.{digits}f}%"
