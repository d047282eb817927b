"""Pictures of what a stake may become, and of live scores beside what validation promises."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from erawise.base.schema import PREDICTION
from erawise.charts.figures import by, caption, panels, picture
from erawise.charts.marks import name_rows
from erawise.charts.style import DASH, INK, MODEL_COLOURS, MUTED, Colours
from erawise.charts.tables import Table


@picture
def payout(table: Table, rounds: pd.DataFrame, colours: Colours) -> Figure:
    """Draw bands of what a stake becomes within a year, a panel for each prediction, and the share of rounds that burn.

    From `payout_tables.picture` and the first table of `staking.outlook`.
    """
    series = by(table.frame, PREDICTION)
    figure, grid = panels(table, len(series) + 1, 3, 2.3)
    low, high = min(table.frame["p05_all"].min(), 0.5), max(table.frame["p95_all"].max(), 2.0)
    ticks = _powers(low, high)
    for axes, (name, group) in zip(grid, series.items(), strict=False):
        _band(axes, group, colours.get(name, MUTED))
        axes.set_yscale("log", base=2)
        axes.set_ylim(low, high)
        axes.set_yticks(ticks, [f"×{tick:g}" for tick in ticks])
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_title(name)
        axes.set_xlabel("week")
    for place, row in enumerate(rounds.itertuples()):
        shade = colours.get(str(row.prediction), MUTED)
        grid[-1].plot([100 * row.burn_low, 100 * row.burn_high], [place, place], color=shade, linewidth=2, solid_capstyle="butt")
        grid[-1].plot(100 * row.burn, place, "o", color=shade, markersize=5)
    name_rows(grid[-1], rounds[PREDICTION])
    grid[-1].set_xlim(left=0)
    grid[-1].set_title("rounds that burn, with 95 % interval")
    grid[-1].set_xlabel("share of rounds (%)")
    caption(
        figure,
        "What a stake of 1 becomes. Line: median; dark: nine years of ten, with the mean and the spread that were seen;\n"
        "pale: nine years of ten, with both known no better than from these eras.",
    )
    return figure


@picture
def live(table: Table, colours: Colours) -> Figure:
    """Draw running sums of live scores in the band that validation promises, from `monitoring.picture`; a panel a model and metric."""
    series = {tuple(map(str, names)): group for names, group in table.frame.groupby(["model", "metric", "source"], sort=False)}
    figure, grid = panels(table, len(series), 2, 2.5)
    for axes, ((model, metric, source), group) in zip(grid, series.items(), strict=True):
        shade = colours.get(str(group["prediction"].iloc[0]), MODEL_COLOURS[0])
        rounds, final = group["round"].to_numpy(), group["final"].to_numpy(bool)
        if group["low"].notna().all():
            axes.fill_between(rounds, group["low"].tolist(), group["high"].tolist(), color=shade, alpha=0.18, linewidth=0)
            axes.plot(rounds, group["middle"], color=shade, linewidth=0.8, linestyle=DASH)
        axes.bar(rounds, group["value"], width=3, color=MUTED, alpha=0.5, linewidth=0)
        axes.plot(rounds[final], group["cumulative"][final], color=shade, linewidth=1.8, marker="o", markersize=2.5)
        if not final.all():
            joined = slice(max(int(final.sum()) - 1, 0), None)
            axes.plot(rounds[joined], group["cumulative"].iloc[joined], color=shade, linewidth=1.2, linestyle=":")
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_title(f"{model}: {metric.upper()}" + (f" of {source}" if source else ""))
        axes.set_xlabel("round")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    caption(
        figure,
        "Line: running sum over weeks, dotted if rounds are still open; bars: the weeks. Pale: 19 of 20 running sums stay in it\n"
        "all the way, by validation; dashed: their median.",
    )
    return figure


def _band(axes: Axes, group: pd.DataFrame, colour: str) -> None:
    weeks = group["week"].tolist()
    for suffix, alpha in (("_all", 0.18), ("", 0.35)):
        axes.fill_between(weeks, group[f"p05{suffix}"].tolist(), group[f"p95{suffix}"].tolist(), color=colour, alpha=alpha, linewidth=0)
    axes.plot(weeks, group["median"], color=colour, linewidth=1.5)
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.margins(x=0)


def _powers(low: float, high: float) -> list[float]:
    """Return at most eight powers of 2 from low to high, 1 among them, evenly spaced."""
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    step = -(-(last - first) // 6) or 1
    return [2.0**power for power in range(-(-first // step) * step, last + 1, step)]
