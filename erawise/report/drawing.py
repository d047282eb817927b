"""Charts for the page: each as SVG that needs no JavaScript, and as Vega that takes its place in a browser with JavaScript."""

import functools
import json
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from altair.utils import schemapi

from erawise.charts import figures

WIDTH = 720
VERSION = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""Of Vega-Lite, as Altair writes it and vl-convert names it."""

VALIDATED = False
"""Check each part of a chart against the schema of Vega-Lite. It takes longer than the rest of the page, so only the tests do."""


def validating() -> AbstractContextManager[None]:
    """Check the parts of charts while they are made, or not, as `VALIDATED` says."""
    return schemapi.debug_mode(VALIDATED)


CONFIG = {
    "background": "transparent",
    "aria": False,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--ink)",
        "titleFontWeight": "normal",
        "gridColor": "var(--grid)",
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "labelLimit": 170,
    },
    "legend": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--muted)",
        "titleFontWeight": "normal",
        "orient": "top",
        "labelFontSize": 12,
        "symbolStrokeWidth": 3,
        "labelLimit": 200,
    },
    "text": {"color": "var(--ink)"},
    "rule": {"color": "var(--muted)"},
    "axisXQuantitative": {"labelOverlap": True, "tickCount": 10},
}


@dataclass(frozen=True)
class Figure:
    """Chart with its words.

    Attributes
    ----------
    name : its place in the page.
    title : the finding.
    alt : the chart in words, for people who don't see it.
    draw : returns the chart; with True it answers to the pointer.
    note : how to read it; may be empty.
    keys, titles : the switches that the title depends on, and the title for their values joined by `/`; empty if there is no such switch.
    """

    name: str
    title: str
    alt: str
    draw: Callable[[bool], Any]
    note: str = ""
    keys: tuple[str, ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict)


def same(chart: Any) -> Callable[[bool], Any]:
    """Return a chart that is the same with and without a pointer."""
    return lambda live: chart


def svg(figure: Figure, spec: dict[str, Any], datasets: Mapping[str, list[dict[str, Any]]]) -> str:
    """Draw the figure as SVG that scales with the page, its ids its own.

    Parameters
    ----------
    spec : of the chart that doesn't answer to the pointer, from `specified`.
    datasets : rows of the tables that charts name.
    """
    named = {name: datasets[name] for name in _named(spec) & set(datasets)}
    text = vl_convert.vegalite_to_svg(spec | {"datasets": spec.get("datasets", {}) | named}, vl_version=VERSION)
    text = re.sub(r' (role|aria-[a-z]+)="[^"]*"', "", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{figure.name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{figure.name}-\1)", text)
    text = re.sub(r'(<svg[^>]*?) width="([\d.]+)" height="[\d.]+"', r'\1 style="max-width:\2px"', text, count=1)
    return figures.rounded(text, 1)


def vega(spec: dict[str, Any]) -> dict[str, Any]:
    """Compile the chart that answers to the pointer to Vega, without the tables that it names."""
    compiled: dict[str, Any] = vl_convert.vegalite_to_vega(spec, vl_version=VERSION)
    _silence(compiled)
    return compiled


def _silence(group: dict[str, Any]) -> None:
    """Remove descriptions of single marks: the words beside the chart speak for it."""
    for kind in ("marks", "axes", "legends"):
        for part in group.get(kind, []):
            part["aria"] = False
            _silence(part)


@functools.cache
def library() -> str:
    """Return Vega and its embedding as one JavaScript module that fetches nothing."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VERSION)
    return bundle


def specified(chart: Any) -> dict[str, Any]:
    """Return a chart as Vega-Lite."""
    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = chart.to_dict(validate=VALIDATED)
    return spec | {"config": CONFIG, "autosize": {"type": "fit-x", "contains": "padding", "resize": True}}


def _named(spec: Any) -> set[str]:
    """Return the names of the tables that a chart reads by name."""
    if isinstance(spec, list):
        return set().union(*map(_named, spec))
    if not isinstance(spec, dict):
        return set()
    data = spec.get("data")
    own = {data["name"]} if isinstance(data, dict) and "name" in data else set()
    return own.union(*map(_named, spec.values()))


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as a chart reads them."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=4))
    return rows
