"""What drives the predictions: importance, contributions, and what they are exposed to."""

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
"""The first of them that there is is what the chart shows at first."""

NOTHING = pd.DataFrame()
COLUMNS = ["model", "measure", "rank", "feature", "group", "value", "low", "high"]
SWARM_COLUMNS, SWARM_REACH = 40, 0.42
"""In how many columns dots lie side by side, and how far from the line of their feature they may reach, in lines."""


def drivers(page: Page) -> str:
    """Importance by each measure, SHAP row by row, the share of the leading features, and exposure over time and by group."""
    found, d = page.content, page.defaults
    table = measures(found)
    had = [measure for measure in MEASURES if measure in set(table["measure"])]
    if had:
        selects = (frame.select("model", "model", found.models, d.model), frame.select("measure", "measure", had, d.measure))
        parts = [frame.controls(*selects), page.figure(_importance(table, d))]
    else:
        parts = [frame.missing("the importance of features", "dvc repro plot")]
    writers = {
        "shap_beeswarm": ("what each feature adds to the predictions", _beeswarm),
        "shap_share": ("the share of the leading features", _share),
        "exposure_time": ("the exposure over time", _exposure),
    }
    for name, (what, write) in writers.items():
        parts.append(write(page, found.tables[name]) if page.has(name) else frame.missing(what, "dvc repro plot"))
    return "".join(parts)


def measures(found: Content) -> pd.DataFrame:
    """The `LEADING` features of each model by each measure that it has.

    Returns
    -------
    DataFrame with `model`, `measure`, `rank` (from 1), `feature`, `group` (of features; empty where unknown), `value`, `low` and `high`:
    for permutation the 95 % interval of its mean over eras, else and where there is none the value itself.
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


def _importance(table: pd.DataFrame, d: views.Defaults) -> Figure:
    first = table[table["rank"] == 1]
    titles = {f"{row.model}/{row.measure}": f"{row.feature} leads in {row.model} by {row.measure}" for row in first.itertuples()}
    return Figure(
        "importance",
        titles.get(f"{d.model}/{d.measure}", f"Nothing is known of {d.model} by {d.measure}"),
        "Bars of the leading features of one model by one measure.",
        drawing.same(views.importance(table, d)),
        "SHAP: share of all contributions. permutation: CORR lost where the feature is shuffled within each era, with its 95 % interval. "
        "gain and splits: LightGBM's own, as shares; own importance: that of the other kinds.",
        ("model", "measure"),
        titles,
    )


def swarm(table: pd.DataFrame) -> pd.DataFrame:
    """Where the dots of a beeswarm lie: those of about the same contribution beside each other.

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
    titles = {name: told.get(name, f"Nothing is known of {name}") for name in page.content.models}
    figure = Figure(
        "beeswarm",
        titles[page.defaults.model],
        "Dots of the contribution of each leading feature to single predictions of one model.",
        drawing.same(views.beeswarm(swarm(table), page.defaults)),
        "What each feature adds to a prediction, in standard deviations of the model's predictions. Where blue dots lie on one side and "
        "orange ones on the other, the feature works in one direction; where both lie on both sides, it depends on others.",
        ("model",),
        titles,
    )
    return page.figure(figure)


def _share(page: Page, table: pd.DataFrame) -> str:
    held = table.groupby("model", sort=False)["leading"].first()
    least = f", {held.idxmin()} {held.min():.0%}" if len(held) > 1 else ""
    figure = Figure(
        "share",
        f"{held.idxmax()} has {held.max():.0%} of all contributions in its {LEADING} leading features{least}",
        "Lines of the share of all contributions by the number of leading features: "
        + "; ".join(f"{name} {share:.0%} in {LEADING}" for name, share in held.items()),
        drawing.same(views.share(table, page.defaults, LEADING)),
        "The steeper the line, the more hangs on a few features.",
    )
    return page.figure(figure)


def _exposure(page: Page, table: pd.DataFrame) -> str:
    whole = table[table["group"] == groups.ALL]
    means = whole.groupby("prediction", sort=False)["mean"].first()
    figure = Figure(
        "exposure",
        "Largest exposure to a feature: " + ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()) + ", mean over eras",
        "Lines over eras of the largest absolute correlation of the ensemble and of the neutralized one with any feature.",
        drawing.same(views.exposure(whole, page.defaults)),
        "Largest absolute correlation with any feature in an era.",
    )
    return page.figure(figure, zoom=True) + _groups(page, table)


def _groups(page: Page, table: pd.DataFrame) -> str:
    """Draw the exposure to each group of features; return nothing if the data has no groups."""
    means = table.groupby(["group", "prediction"], sort=False)["mean"].first().reset_index()
    grouped = means[means["group"] != groups.ALL]
    if grouped.empty:
        return ""
    widest = grouped.loc[grouped["mean"].idxmax()]
    return page.figure(
        Figure(
            "exposure-groups",
            f"Of the groups of features {widest['prediction']} leans most on {widest['group']}: {widest['mean']:.2f}",
            "Dots of the mean largest exposure to each group of features, before and after neutralization.",
            drawing.same(views.by_group(means, page.defaults)),
            "Mean over eras of the largest absolute correlation with a feature of the group, before and after neutralization.",
        )
    )
