"""Parts that the sections of the page are written with."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from erawise.base.schema import ERA, PREDICTION, SPLIT
from erawise.report import content, drawing, markup, views
from erawise.report.content import SCORES, Content
from erawise.report.drawing import Figure
from erawise.report.markup import escape

HALF = drawing.WIDTH // 2 + 160
"""Largest width in pixels of a chart that stands beside another."""


@dataclass
class Page:
    """Page while it is written: what the sections share, and the charts that JavaScript takes over.

    Attributes
    ----------
    content : of the run.
    pairs : of `content.pairs`.
    defaults : the first state of the switches.
    datasets : tables that charts take by name.
    measures : of `drivers.measures`.
    live : the charts as Vega, by the names of their figures.
    titles : of the figures whose title depends on a switch: the switch, and the title for each value.
    """

    content: Content
    pairs: pd.DataFrame
    defaults: views.Defaults
    datasets: dict[str, pd.DataFrame]
    measures: pd.DataFrame
    live: dict[str, Any] = field(default_factory=dict)
    titles: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def decisive(self) -> pd.DataFrame:
        """The comparisons by the objective that decides, see `content.decisive`."""
        return content.decisive(self.content)

    @functools.cached_property
    def scored(self) -> dict[Any, pd.DataFrame]:
        """Scores by era, in the order of time, of each split and prediction."""
        parts = self.datasets[views.ERAS].groupby([SPLIT, PREDICTION], sort=False, observed=True)
        return {key: part.set_index(ERA).sort_index() for key, part in parts}

    @functools.cached_property
    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of the tables that charts name, without the scores that are switched off at first."""
        off = [score for score in SCORES if score != self.defaults.state()["score"]]
        return {name: drawing.rows_of(table.drop(columns=off, errors="ignore")) for name, table in self.datasets.items()}

    def figure(self, figure: Figure, *, width: int | None = None, zoom: bool = False) -> str:
        """Write a chart with its caption, at most `width` pixels wide; with `zoom` a range of eras can be drawn up on it."""
        still, live = figure.draw(False), figure.draw(True)
        spec = drawing.specified(still)
        self.live[figure.name] = drawing.vega(spec if live is still else drawing.specified(live))
        if figure.keys:
            self.titles[figure.name] = {"keys": figure.keys, "titles": figure.titles, "alt": figure.alt}
        size = "" if width is None else f' data-width="{width}"'
        zoomed = ' data-zoom="yes"' if zoom else ""
        drawn, attributes = drawing.svg(figure, spec, self.rows), f' data-figure="{figure.name}"{size}{zoomed}'
        return markup.figure(figure.title, figure.alt, drawn, note=figure.note, attributes=attributes)

    def beside(self, figures: Iterable[Figure]) -> str:
        """Write charts beside each other, if there is room."""
        return f'<div class="figures">{"".join(self.figure(figure, width=HALF) for figure in figures)}</div>'

    def has(self, name: str) -> bool:
        """Return whether the run has a table of that name with rows."""
        return name in self.content.tables and len(self.content.tables[name]) > 0


def by_score(tables: Mapping[str, str]) -> str:
    """Write a piece of HTML for each score; the page shows the piece whose score is switched on."""
    return "".join(f'<div data-score="{score}"{"" if k == 0 else " hidden"}>{text}</div>' for k, (score, text) in enumerate(tables.items()))


def controls(*selects: str) -> str:
    """Write choices that JavaScript answers to."""
    return f'<p data-needs-script hidden class="controls">{"".join(selects)}</p>'


def select(state: str, label: str, names: Iterable[str], chosen: str) -> str:
    """Write one choice of a name."""
    options = "".join(f"<option{' selected' if name == chosen else ''}>{escape(name)}</option>" for name in names)
    return f'<label>{escape(label)} <select data-state="{state}" autocomplete="off">{options}</select></label>'


def missing(what: str, command: str) -> str:
    """Name a missing part, and the command that makes it."""
    return f'<p class="missing">There is no table of {escape(what)}; <code>{escape(command)}</code> makes it.</p>'


def commands(text: str) -> str:
    """Return text whose parts in backquotes are commands."""
    return "".join(f"<code>{escape(part)}</code>" if k % 2 else escape(part) for k, part in enumerate(text.split("`")))
