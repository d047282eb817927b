"""Tables and sentences as commands print them: for a person on a terminal, or as Markdown, CSV or JSON."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Form = Literal["terminal", "md", "csv", "json"]
Value = str | float | int | None

WIDE = 1000
"""Columns of an output that is no terminal: nothing is wrapped or left out there."""

NARROWEST = 28
"""Columns that a text which may be wrapped gets at least."""

NONE = "–"

STYLES = {"better": "bold green", "worse": "bold red", "can't tell": "yellow"}
"""Colours of verdicts."""

LEFT_OUT = "The terminal is narrow: {} more {} by --md."


@dataclass(frozen=True)
class Column:
    """A column of a `Sheet`.

    Attributes
    ----------
    heading : its name.
    form : how a number is written, such as `.4f`; empty for text.
    best : whether the largest or the smallest number is shown in bold.
    spare : columns of the highest number are left out first if the terminal is narrow; columns of 0 always stay.
    wraps : whether its text is long, and goes on in the next line.
    short : the name on a terminal, if that is another.
    """

    heading: str
    form: str = ""
    best: Literal["", "most", "least"] = ""
    spare: int = 0
    wraps: bool = False
    short: str = ""

    def text(self, value: Value) -> str:
        """Return a value as a person reads it."""
        if _is_missing(value):
            return NONE if self.form or value is None else ""
        return value if isinstance(value, str) else format(value, self.form)


@dataclass(frozen=True)
class Sheet:
    """A table: its columns, the values of each row, a title, and its name in CSV and JSON."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    title: str = ""
    name: str = ""

    def without_empty(self) -> "Sheet":
        """Return the table without the columns that have no value in any row."""
        kept = [k for k in range(len(self.columns)) if any(row[k] not in (None, "") for row in self.rows)]
        return replace(self, columns=[self.columns[k] for k in kept], rows=[[row[k] for k in kept] for row in self.rows])


FilledColumn = tuple[Column, Callable[[Any], Value]]
"""A column, and the function that gives its value for a record."""


def tabulate(records: Iterable[Any], columns: Sequence[FilledColumn], title: str = "") -> Sheet:
    """Return a table with a row for each record."""
    headings, values = zip(*columns, strict=True)
    return Sheet(headings, [[value(one) for value in values] for one in records], title)


def write(parts: Sequence[str | Sheet], form: Form = "terminal") -> None:
    """Print sentences and tables in their order; in CSV and JSON there are only the tables.

    A table without rows is left out. CSV and JSON have the numbers in full; tables with a name are told apart by it, in CSV in the first
    column.
    """
    sheets = [part for part in parts if isinstance(part, Sheet) and part.rows]
    if form == "json":
        tables = {sheet.name: _records(sheet) for sheet in sheets}
        print(json.dumps(tables if any(tables) else tables.get("", []), ensure_ascii=False, indent=1))
    elif form == "csv":
        print(_csv(sheets), end="")
    else:
        shown = [part for part in parts if isinstance(part, str) or part.rows]
        terminal = None if form == "md" else _Terminal()
        print("\n".join(_written(shown, terminal.table, terminal.text) if terminal else _written(shown, markdown, _plain)))


def markdown(sheet: Sheet) -> str:
    """Return a table as Markdown, without its title."""
    lines = [[column.heading for column in sheet.columns]]
    lines += [[column.text(value).replace("|", "¦") for column, value in zip(sheet.columns, row, strict=True)] for row in sheet.rows]
    head, *rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|" + "|".join("---:" if column.form else "---" for column in sheet.columns) + "|", *rows])


def _written(parts: Sequence[str | Sheet], table: Callable[[Sheet], str], text: Callable[[str, bool], str]) -> list[str]:
    """Return the texts of all parts; an empty line stands before and after each table."""
    found: list[str] = []
    for part in parts:
        if isinstance(part, str):
            if part or (found and found[-1]):
                found.append(text(part, False))
            continue
        found += [""] * bool(found and found[-1]) + ([text(part.title, True)] if part.title else []) + [table(part), ""]
    return found[:-1] if found and not found[-1] else found


def _plain(text: str, is_title: bool) -> str:
    return f"**{text}**\n" if is_title else text


def _records(sheet: Sheet) -> list[dict[str, Any]]:
    return [
        {column.heading: None if _is_missing(value) else value for column, value in zip(sheet.columns, row, strict=True)}
        for row in sheet.rows
    ]


def _csv(sheets: Sequence[Sheet]) -> str:
    first = ["table"] * any(sheet.name for sheet in sheets)
    headings = list(dict.fromkeys(column.heading for sheet in sheets for column in sheet.columns))
    target = io.StringIO()
    writer = csv.DictWriter(target, [*first, *headings], lineterminator="\n")
    writer.writeheader()
    for sheet in sheets:
        writer.writerows(dict.fromkeys(first, sheet.name) | record for record in _records(sheet))
    return target.getvalue()


class _Terminal:
    """The standard output as rich sees it: its width, its colours, and whether it is a terminal at all."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, markup=False, emoji=False)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, markup=False, emoji=False, width=WIDE)

    def text(self, text: str, is_title: bool) -> str:
        """Return a sentence, broken between words, with verdicts in colour; or a title."""
        from rich.text import Text

        styled = Text(text, style="bold" if is_title else "")
        for word, style in STYLES.items():
            styled.highlight_regex(rf"(?<![\w-]){re.escape(word)}(?![\w-])", style)
        return self._printed(styled)

    def table(self, sheet: Sheet) -> str:
        """Return a table that is as wide as the terminal at most. If it still doesn't fit, texts are broken, and numbers stay whole."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        kept = _fitting(sheet, self._console.width)
        is_tight = _needed(sheet, kept) > self._console.width
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for place in kept:
            column = sheet.columns[place]
            table.add_column(
                Text(column.short or column.heading),
                justify="right" if column.form else "left",
                no_wrap=not (column.wraps or (is_tight and not column.form)),
                overflow="fold",
            )
        best = {place: _best(sheet, place) for place in kept}
        for row in sheet.rows:
            cells = []
            for place in kept:
                shown = sheet.columns[place].text(row[place])
                is_best = best[place] is not None and row[place] == best[place]
                cells.append(Text(shown, style="bold" if is_best else STYLES.get(shown, "")))
            table.add_row(*cells)
        absent = len(sheet.columns) - len(kept)
        if not absent:
            return self._printed(table)
        told = LEFT_OUT.format(absent, "column" if absent == 1 else "columns")
        return f"{self._printed(table)}\n{self._printed(Text(told, style='dim'))}"

    def _printed(self, what: Any) -> str:
        with self._console.capture() as captured:
            self._console.print(what)
        return "\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n"))


def _fitting(sheet: Sheet, width: int) -> list[int]:
    """Return the places of the columns that fit a width."""
    kept = list(range(len(sheet.columns)))
    while _needed(sheet, kept) > width:
        spare = max(kept, key=lambda place: (sheet.columns[place].spare, place))
        if not sheet.columns[spare].spare:
            break
        kept.remove(spare)
    return kept


def _needed(sheet: Sheet, kept: Sequence[int]) -> int:
    """Return the width of a table with some of its columns; a text that wraps has the least."""
    return sum(_width(sheet, place) for place in kept) + 3 * (len(kept) - 1)


def _width(sheet: Sheet, place: int) -> int:
    from rich.cells import cell_len

    column = sheet.columns[place]
    texts = [column.short or column.heading, *(column.text(row[place]) for row in sheet.rows)]
    return min(max(map(cell_len, texts)), NARROWEST if column.wraps else WIDE)


def _best(sheet: Sheet, place: int) -> Value:
    """Return the best number of a column; None if it has no best one, or all are the same."""
    known = [row[place] for row in sheet.rows if isinstance(row[place], int | float) and not _is_missing(row[place])]
    if not sheet.columns[place].best or len(set(known)) < 2:
        return None
    return max(known) if sheet.columns[place].best == "most" else min(known)  # type: ignore[type-var]


def _is_missing(value: Value) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
