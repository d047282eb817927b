"""Pictures of the scores: their spread, their course, two predictions or two runs against each other."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from erawise.base.schema import ERA, PREDICTION
from erawise.charts.figures import by, figure_of, picture
from erawise.charts.marks import ROW, area, boxes, end_labels, line_style, square
from erawise.charts.style import DASH, INK, MUTED, Colours, readable, short
from erawise.charts.tables import Table


@picture
def corr_box(table: Table, colours: Colours) -> Figure:
    """Draw a box of the per-era CORR of each prediction, from `tables.corr_box`."""
    figure, axes = boxes(table, 1.4, [colours[name] for name in table.frame[PREDICTION]])
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_xlabel("CORR per era (a correlation)")
    return figure


@picture
def corr_time(table: Table, colours: Colours) -> Figure:
    """Draw the running sum of CORR of all predictions, and below it the CORR of each over time, from `tables.corr_time`."""
    series = by(table.frame, PREDICTION)
    figure = figure_of(table, 4.6 + 0.55 * len(series))
    grid = figure.subplots(1 + len(series), sharex=True, height_ratios=[max(3.2, 0.2 * len(series)), *[0.55] * len(series)])
    _running(figure, grid[0], series, colours)
    low, high = min(table.frame["corr"].min(), 0), max(table.frame["corr"].max(), 0)
    for axes, (name, group) in zip(grid[1:], series.items(), strict=True):
        area(axes, group[ERA], group["corr"], colours[name])
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
        axes.margins(x=0.01)
        axes.grid(visible=False)
        axes.set_ylim(1.1 * low, 1.1 * high or 1)
        axes.text(1.03, 0.5, short(name), color=readable(colours[name]), transform=axes.transAxes, va="center", fontsize=8)
    period = table.frame["eras"].max()
    grid[1].set_title("CORR per era, all on one scale" if period == 1 else f"CORR, mean of {period} eras, all on one scale")
    grid[-1].set_xlabel("era (week)")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@picture
def comparison(table: Table, colours: Colours) -> Figure:
    """Draw the per-era CORR of A against B with the diagonal, and their difference over time, from `tables.comparison`."""
    frame = table.frame
    a, b = str(frame["model_a"].iloc[0]), str(frame["model_b"].iloc[0])
    figure = figure_of(table, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    for rows, colour in ((frame["difference"] > 0, colours[a]), (frame["difference"] <= 0, colours[b])):
        left.plot(frame.loc[rows, "corr_b"], frame.loc[rows, "corr_a"], "o", color=colour, markersize=4, alpha=0.7, markeredgewidth=0)
    square(left, frame[["corr_a", "corr_b"]].to_numpy().min(), frame[["corr_a", "corr_b"]].to_numpy().max())
    left.axhline(0, color=MUTED, linewidth=0.8)
    left.axvline(0, color=MUTED, linewidth=0.8)
    left.set_title(f"a dot an era (n = {len(frame)}):\n{short(a)} is better above the line")
    left.set(xlabel=f"CORR of {short(b)}", ylabel=f"CORR of {short(a)}")
    for sign, colour in ((1, colours[a]), (-1, colours[b])):
        area(right, frame[ERA], (sign * frame["difference"]).clip(lower=0) * sign, colour)
    right.axhline(0, color=INK, linewidth=1)
    right.axhline(frame["mean_difference"].iloc[0], color=MUTED, linewidth=1.2, linestyle=DASH)
    right.set(title=f"{short(a)} less {short(b)};\ndashed: the mean", xlabel="era (week)", ylabel="difference in CORR per era")
    right.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    return figure


@picture
def differences(table: Table, colours: Colours) -> Figure:
    """Draw the difference of each prediction between two runs with its interval, a panel for each split, from `comparison.picture`."""
    splits = by(table.frame, "split")
    names = list(dict.fromkeys(table.frame[PREDICTION]))
    figure = figure_of(table, 1.5 + ROW * len(names))
    grid = figure.subplots(1, len(splits), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.1})[0]
    for axes, (split, group) in zip(grid, splits.items(), strict=True):
        for row in group.itertuples():
            place, colour = names.index(str(row.prediction)), colours.get(str(row.prediction), MUTED)
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(row.difference, place, "o", color=colour, markersize=6)
            beside = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center"}
            axes.annotate(str(row.verdict), (row.difference, place), **beside, fontsize=8, color=MUTED)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_title(f"{split}, {group['eras'].max()} eras")
        axes.set_xlabel(f"difference of {group['measure'].iloc[0]}, with its 95 % interval")
        axes.set_ylim(len(names) - 0.4, -0.7)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.1)
    grid[0].set_yticks(range(len(names)), names)
    return figure


def _running(figure: Figure, axes: Axes, series: Mapping[str, pd.DataFrame], colours: Colours) -> None:
    for name, group in series.items():
        axes.plot(group[ERA], group["cumulative"], color=colours[name], linewidth=1.5, linestyle=line_style(name, series))
    axes.axhline(0, color=INK, linewidth=1)
    axes.set_title("running sum of CORR")
    axes.margins(x=0.01)
    end_labels(figure, axes, {name: (group[ERA].iloc[-1], group["cumulative"].iloc[-1]) for name, group in series.items()}, colours)
