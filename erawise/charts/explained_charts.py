"""Pictures of what drives the models, and of what the predictions are exposed to."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from erawise.base.schema import ERA, PREDICTION
from erawise.charts.figures import figure_of, model_panels, picture
from erawise.charts.marks import legend, name_rows
from erawise.charts.style import DASH, FAINT, FIXED_COLOURS, INK, MUTED, Colours, short, short_feature
from erawise.charts.tables import Table

LEVEL_COLOURS = ("#0072B2", "#7FB8DA", "#BDBDBD", "#F0A77B", "#D55E00")
"""From a feature's lowest value to its highest: blue to vermilion, which the colour-blind tell apart, grey between."""

LEVELS = ("lowest value of the feature", "low", "middle", "high", "highest value")
DOT_LENGTH = 0.005
SWARM_COLUMNS, SWARM_STEP, SWARM_REACH = 40, 0.09, 0.42
"""Columns in which dots lie side by side, from the middle to an end, and how far apart and how far out in lines."""


@picture
def importance(table: Table, colours: Colours) -> Figure:
    """Draw bars of the leading features, a panel for each model, from `tables.importance`."""
    tallest = table.frame["rank"].max()
    figure, models = model_panels(table, 1.0 + 0.155 * tallest)
    for axes, name, group in models:
        axes.barh(group["rank"], 100 * group["importance"], color=colours[name], height=0.75)
        name_rows(axes, map(short_feature, group["feature"]), 1, tallest)
        axes.set_title(f"{short(name)}\n{group['cumulative'].iloc[-1]:.0%} in {len(group)} of {group['features'].iloc[0]}")
        axes.set_xlabel("share of importance (%)")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    return figure


@picture
def shap_beeswarm(table: Table) -> Figure:
    """Draw a dot a row for each leading feature, a panel for each model, from `explained_tables.shap_beeswarm`."""
    tallest = table.frame["rank"].max()
    figure, models = model_panels(table, 0.9 + 0.24 * tallest)
    reach = 1.05 * table.frame["contribution"].abs().max() or 1.0
    for axes, name, group in models:
        name_rows(axes, map(short_feature, group.drop_duplicates("rank")["feature"]), 1, tallest)
        _swarms(axes, group, reach)
        axes.set(title=name, xlim=(-reach, reach), xlabel="contribution (std of predictions)")
        axes.axvline(0, color=INK, linewidth=0.8, zorder=0.9)
    meaning = "A dot a row: what the feature adds to the prediction, or takes from it"
    legend(figure, dict(zip(LEVELS, LEVEL_COLOURS, strict=True)), meaning)
    return figure


@picture
def exposure_time(table: Table) -> Figure:
    """Draw the largest exposure before and after neutralization, over time and by group, from `explained_tables.exposure_time`."""
    frame = table.frame
    names, splits = list(dict.fromkeys(frame["group"])), list(dict.fromkeys(frame["split"]))
    figure = figure_of(table, 3.0 + 0.26 * len(names))
    upper, lower = figure.subplots(2, 1, height_ratios=[2.6, 0.26 * len(names) + 0.2])
    for (prediction, _), group in frame[frame["group"] == names[0]].groupby([PREDICTION, "split"], sort=False):
        upper.plot(group[ERA], group["max_abs"], color=FIXED_COLOURS[str(prediction)], linewidth=1.5)
    for split in splits[1:]:
        upper.axvline(frame.loc[frame["split"] == split, ERA].min() - 0.5, color=MUTED, linewidth=1, linestyle=DASH)
    upper.set(title=f"to all features; {', then '.join(splits)}", xlabel="era (week)", ylabel="max |exposure|")
    upper.set_ylim(bottom=0)
    upper.margins(x=0.01)
    means = frame.groupby(["group", PREDICTION], sort=False)["mean"].first().unstack()
    for place, name in enumerate(names):
        lower.plot(means.loc[name], [place] * means.shape[1], color=FAINT, linewidth=3, zorder=1)
        for prediction, mean in means.loc[name].items():
            lower.plot(mean, place, "o", color=FIXED_COLOURS[str(prediction)], markersize=6)
    name_rows(lower, names)
    lower.set(title="by group of features, mean over eras", xlabel="max |exposure|")
    lower.set_xlim(left=0)
    legend(figure, {str(name): FIXED_COLOURS[str(name)] for name in means.columns})
    return figure


def _swarms(axes: Axes, group: pd.DataFrame, reach: float) -> None:
    """Draw the dots of each feature around its line, those of about the same contribution side by side."""
    column = (group["contribution"] / reach * SWARM_COLUMNS).round()
    stacked = group.groupby([group["rank"], column])["contribution"]
    across = stacked.cumcount() - (stacked.transform("size") - 1) / 2
    step = min(SWARM_STEP, SWARM_REACH / max(across.abs().max(), 1.0))
    level = (group["level"] * (len(LEVEL_COLOURS) - 1)).round().astype(int)
    for number, colour in enumerate(LEVEL_COLOURS):
        chosen = level == number
        places = np.column_stack([group["contribution"], group["rank"] + step * across])[chosen]
        # a dot is a very short line with round ends, which takes a tenth of a marker's bytes
        ends = np.stack([places, places + np.array([0.0, DOT_LENGTH])], axis=1).reshape(-1, 2)
        codes = np.tile([Path.MOVETO, Path.LINETO], len(places))
        axes.add_patch(PathPatch(Path(ends, codes), edgecolor=colour, facecolor="none", linewidth=2.6, capstyle="round"))
    axes.grid(axis="y", color=FAINT)
