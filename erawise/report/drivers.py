"""Drivers of the predictions: importance, contributions, and exposure to features."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from erawise.charts.explained_tables import LEADING
from erawise.panel import groups
from erawise.report import drawing, frame, views
from erawise.report.content import Content
from erawise.report.drawing import Figure
from erawise.report.frame import Page

MEASURES = ("SHAP", "permutation", "gain", "splits", "own importance")
"""The chart shows the first of them that the run has."""

NOTHING = pd.DataFrame()
COLUMNS = ["model", "measure", "rank", "feature", "group", "value", "low", "high"]
SWARM_COLUMNS, SWARM_REACH = 40, 0.42
"""Columns in which dots lie side by side, and how far from the line of their feature they may reach, in lines."""


def drivers(page: Page) -> str:
    """Write the importance of features by each measure, SHAP row by row, and the exposure to groups of features."""
    found, table = page.content, page.measures
    had = [measure for measure in MEASURES if measure in set(table["measure"])]
    parts = [frame.missing("the importance of features", "dvc repro plot")]
    if had:
        parts = [frame.controls(frame.select("measure", "measure", had, page.defaults.measure)), page.figure(_importance(page, table))]
    if page.has("shap_beeswarm"):
        parts.append(_beeswarm(page, found.tables["shap_beeswarm"]))
    elif "shap_beeswarm" in found.tables and had:
        parts.append('<p class="missing">No model of this run has SHAP values: permutation explains their kinds.</p>')
    else:
        parts.append(frame.missing("the contributions of each feature to the predictions", "dvc repro plot"))
    return "".join([*parts, _exposure(page) if len(found.exposure) else frame.missing("exposures", "dvc repro evaluate")])


def measures(found: Content) -> pd.DataFrame:
    """Return the `LEADING` features of each model by each measure that it has.

    Returns
    -------
    DataFrame with `model`, `measure`, `rank` (from 1), `feature`, `group` (of features; empty if unknown), `value`, `low` and `high`:
    for permutation the 95 % interval of its mean over eras; the value itself if there is none.
    """
    own = found.tables.get("importance", NOTHING)
    lost = found.tables.get("permutation", NOTHING)
    pieces = []
    for model in found.models:
        shap = found.tables.get(f"explained/{model}/shap", NOTHING)
        kinds = found.tables.get(f"explained/{model}/importance", NOTHING).dropna(axis=1, how="all")
        groups = dict(zip(shap.get("feature", []), shap.get("group", []), strict=True))
        sources = {
            "SHAP": (shap, "share"),
            "permutation": (_own(lost, model), "drop"),
            "gain": (kinds, "gain"),
            "splits": (kinds, "split"),
            "own importance": (NOTHING if "gain" in kinds else _own(own, model), "importance"),
        }
        pieces += [
            _leading(table.rename(columns={column: "value"}), groups).assign(model=model, measure=measure)
            for measure, (table, column) in sources.items()
            if column in table
        ]
    return pd.concat(pieces, ignore_index=True).reindex(columns=COLUMNS) if pieces else pd.DataFrame(columns=COLUMNS)


def _own(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table[table["model"] == model] if "model" in table else table


def _leading(table: pd.DataFrame, groups: Mapping[str, str]) -> pd.DataFrame:
    kept = table[table["value"].notna()].sort_values("value", ascending=False, kind="stable").head(LEADING).reset_index(drop=True)
    kept = kept.assign(rank=kept.index + 1, group=[groups.get(name, "") for name in kept["feature"]])
    bounds = {name: kept[name].fillna(kept["value"]) if name in kept else kept["value"] for name in ("low", "high")}
    return kept.assign(**bounds)[["rank", "feature", "group", "value", "low", "high"]]


def _importance(page: Page, table: pd.DataFrame) -> Figure:
    d = page.defaults
    first = table[table["rank"] == 1]
    titles = {f"{row.model}/{row.measure}": f"{row.feature} leads in {row.model} by {row.measure}" for row in first.itertuples()}
    return Figure(
        "importance",
        titles.get(f"{d.model}/{d.measure}", f"Nothing is known of {d.model} by {d.measure}"),
        "Bars of the leading features of one model by one measure.",
        drawing.same(views.importance(table, d)),
        f"SHAP: share of all contributions. permutation: {page.content.corr} lost when the feature is shuffled within each era, with its "
        "95 % interval. "
        "gain and splits: LightGBM's own, as shares; own importance: the measure of the other kinds.",
        ("model", "measure"),
        titles,
    )


def swarm(table: pd.DataFrame) -> pd.DataFrame:
    """Return the places of the dots of a beeswarm, dots of about the same contribution beside each other.

    Parameters
    ----------
    table : `model`, `rank`, `feature`, `contribution` and more.

    Returns
    -------
    The same with `place`, the rank moved by less than half a line.
    """
    reach = float(table["contribution"].abs().max()) or 1.0
    column = (table["contribution"] / reach * SWARM_COLUMNS).round()
    stacked = table.groupby([table["model"], table["rank"], column])["contribution"]
    beside = stacked.cumcount() - (stacked.transform("size") - 1) / 2
    step = SWARM_REACH / max(float(np.abs(beside).max()), 1.0)
    return table.assign(place=table["rank"] + step * beside)


def _beeswarm(page: Page, table: pd.DataFrame) -> str:
    leading = table[table["rank"] == 1].groupby("model")["feature"].first()
    told = {name: f"{feature} moves {name} most; a dot a row" for name, feature in leading.items()}
    titles = {name: told.get(name, f"No contributions are known of {name}: its kind gives none") for name in page.content.models}
    figure = Figure(
        "beeswarm",
        titles[page.defaults.model],
        "Dots of the contribution of each leading feature to single predictions of one model.",
        drawing.same(views.beeswarm(swarm(table), page.defaults)),
        "What each feature adds to a prediction, in standard deviations of the model's predictions. If blue dots lie on one side and "
        "orange ones on the other, the feature works in one direction; if both lie on both sides, it depends on others.",
        ("model",),
        titles,
    )
    return page.figure(figure)


def exposed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of the largest exposures of each `HALF_YEAR` eras.

    Parameters
    ----------
    table : `split`, `era`, `prediction`, `group`, `max_abs`, see `evaluation.score_split`.

    Returns
    -------
    DataFrame with `prediction`, `group` (`all` first), `era` and `stop` (the first and last of the period) and `largest`.
    """
    begin = table.groupby("split")["era"].transform("min")
    period = begin + views.HALF_YEAR * ((table["era"] - begin) // views.HALF_YEAR)
    groupby = table.assign(start=period).groupby(["prediction", "group", "start"], sort=False)
    means = groupby.agg(stop=("era", "max"), largest=("max_abs", "mean")).reset_index().rename(columns={"start": "era"})
    return means.sort_values("group", key=lambda name: name != groups.ALL, kind="stable", ignore_index=True).round(3)


def _exposure(page: Page) -> str:
    """Draw the exposure to each group of features over time."""
    table = page.content.exposure
    means = table.groupby(["prediction", "group"])["max_abs"].mean()
    titles = {}
    for name in page.defaults.own:
        own = means[name] if name in means.index.get_level_values(0) else pd.Series(dtype=float)
        told = (
            f"Largest exposure of {name} to a feature: {own[groups.ALL]:.2f}, mean over eras"
            if groups.ALL in own
            else f"{name}: no exposure"
        )
        parts = own.drop(groups.ALL, errors="ignore")
        titles[name] = told + (f"; {parts.idxmax()} leads among the groups, {parts.max():.2f}" if len(parts) else "")
    return page.figure(
        Figure(
            "exposure",
            titles[page.content.chosen],
            "Rows of cells, a row for each group of features, stronger for a larger exposure of one prediction.",
            drawing.same(views.exposure(exposed(table), page.defaults)),
            f"Largest absolute correlation with a feature of the group, mean of {views.HALF_YEAR} eras.",
            ("focus",),
            titles,
        )
    )
