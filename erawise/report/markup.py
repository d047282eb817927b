"""Pieces of HTML: everything that comes from data or settings is escaped here."""

import html
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

DASH = "–"


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    text : as a person reads it; it is escaped.
    order : what the column is sorted by; None: by the text. A `DASH` comes last, whichever way.
    markup : in place of the text, HTML that is trusted.
    """

    text: str
    order: float | None = None
    markup: str | None = None


def escape(text: object) -> str:
    """Return text as HTML, in quotes of an attribute too."""
    return html.escape(str(text), quote=True)


def number(value: float | None, form: str = ".4f") -> Cell:
    """Return a figure, a dash if there is none."""
    return Cell(DASH) if value is None or math.isnan(value) else Cell(format(value, form), float(value))


def bounds(low: float | None, high: float | None, form: str = ".4f") -> Cell:
    """Return an interval, sorted by its lower end; a dash if there is none."""
    return Cell(DASH) if low is None or high is None or math.isnan(low) else Cell(f"{low:{form}} … {high:{form}}", low)


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Cell | str]], *, texts: int = 1) -> str:
    """Write a table whose first `texts` columns are text and whose others are figures; the first cell of a row names it."""
    figure = ' class="figure"'
    head = "".join(
        f'<th scope="col"{figure if k >= texts else ""}><button type="button">{escape(name)}</button></th>' for k, name in enumerate(heads)
    )
    body = "".join("<tr>" + "".join(_cell(cell, k, texts) for k, cell in enumerate(row)) + "</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="sortable"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def card(label: str, lines: Sequence[tuple[str, str, str, str]]) -> str:
    """Write a card of a figure: for each split its name, the value in large type, the interval and a line below."""
    parts = "".join(
        "<dd>"
        + (f"<span>{escape(split)}</span>" if split else "")
        + f"<strong>{escape(value)}</strong>"
        + "".join(f"<small>{escape(text)}</small>" for text in (interval, below) if text)
        + "</dd>"
        for split, value, interval, below in lines
    )
    return f'<div class="card"><dt>{escape(label)}</dt>{parts}</div>'


def figure(title: str, words: str, drawn: str, *, note: str = "", attributes: str = "") -> str:
    """Write a drawn chart with its caption, a note below the title, and words for those who don't see it."""
    below = f"<p>{escape(note)}</p>" if note else ""
    return (
        f"<figure><figcaption><h3>{escape(title)}</h3>{below}</figcaption>"
        f'<div class="plot" role="img" aria-label="{escape(f"{title}. {words}")}"{attributes}>{drawn}</div></figure>'
    )


def document(title: str, policy: str, style: str, main: str, command: str, scripts: str = "") -> str:
    """Write a page that stands alone, with the security policy that the browser keeps, the command that wrote it, and its scripts."""
    css = asset("page.css")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{style}{css}</style></head><body><main>{main}</main>'
        f"<footer>Written by <code>{command}</code>. The page is one file and asks for nothing from the network.</footer>"
        f"{scripts}</body></html>\n"
    )


def asset(name: str) -> str:
    """Return a file of the pages."""
    return resources.files("erawise.report").joinpath(name).read_text(encoding="utf-8")


def script_json(content: Any) -> str:
    """Return JSON that can stand within a script element: NaN is null, and nothing in it ends the element."""
    return json.dumps(_plain(content), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _plain(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    return [_plain(value) for value in content] if isinstance(content, list | tuple) else content


def _cell(cell: Cell | str, place: int, texts: int) -> str:
    found = cell if isinstance(cell, Cell) else Cell(cell)
    inside = escape(found.text) if found.markup is None else found.markup
    order = " data-missing" if found.text == DASH else "" if found.order is None else f' data-order="{found.order:g}"'
    if place == 0:
        return f'<th scope="row"{order}>{inside}</th>'
    kind = ' class="figure"' if place >= texts else ""
    return f"<td{kind}{order}>{inside}</td>"
