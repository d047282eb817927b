"""Table in, picture out: nothing is computed here but where things go on the page.

The one module that imports matplotlib. A prediction has the same colour in every picture.
"""

import functools
import math
import multiprocessing
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path as Path2D
from matplotlib.ticker import MaxNLocator, MultipleLocator, NullLocator, PercentFormatter

from erawise.base import files
from erawise.base.schema import DATA_TYPE, ERA, LIVE, PREDICTION, VALIDATION
from erawise.charts.explained_tables import LEADING
from erawise.charts.tables import MISSING, PURGED, SUMMARY, TEST, TRAIN, Table
from erawise.charts.tables_data import FICKLE, STABLE
from erawise.running.progress import SILENT, Progress

WIDTH = 9.0
"""Width of every picture, in inches."""

ROW = 0.42
TITLE_COLUMNS = 100
LABEL_COLUMNS = 24
LABEL_POINTS = 11
NARROW = 0.01
"""Share of the scale below which a box is too narrow for its median to be seen in it."""

POINTS_AN_INCH = 72
INK, MUTED, FAINT, PAPER, BLACK = "#222222", "#666666", "#dddddd", "#ffffff", "#000000"

STYLE = dict(matplotlib.rc_params_from_file(Path(__file__).with_name("erawise.mplstyle"), use_default_template=False))

ROLE_COLOURS = {TRAIN: "#56B4E9", PURGED: "#D9D9D9", TEST: "#D55E00"}

MODEL_COLOURS = tuple(f"#{colour.lstrip('#')}" for colour in STYLE["axes.prop_cycle"].by_key()["color"])
"""The hues of the style; more models take them a second time, dashed."""

FIXED_COLOURS = {"ensemble": "#000000", "neutralized": "#D55E00"}
VALUE_COLOURS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
LEVEL_COLOURS = ("#0072B2", "#7FB8DA", "#BDBDBD", "#F0A77B", "#D55E00")
"""From a feature's lowest value to its highest: blue to vermilion, which the colour-blind tell apart, grey between."""

DOT_LENGTH = 0.005
SWARM_COLUMNS, SWARM_STEP, SWARM_REACH = 40, 0.09, 0.42
"""Columns in which dots lie side by side, from the middle to an end, and how far apart and how far out in lines."""

DASH = (0, (4, 1.5))
GROUP_COLOURS = {STABLE: MODEL_COLOURS[0], FICKLE: ROLE_COLOURS[TEST]}
KIND_COLOURS = {TRAIN: MODEL_COLOURS[0], VALIDATION: MODEL_COLOURS[1], LIVE: ROLE_COLOURS[TEST]}
PALE = "#aaaaaa"
GAP = 1
"""Rows between two groups of a list."""

NUMBERED = 20
"""Targets at most whose correlations are written into their cells: more have no room for it."""

READABLE = 4.5
"""Contrast of text with its ground, at least: level AA of the Web Content Accessibility Guidelines 2.1."""

Colours = Mapping[str, str]
BOX_LEGEND = "box: middle half, line: median, diamond: mean, whiskers: 5% to 95%, dots: lowest and highest"


def colours(models: Sequence[str]) -> dict[str, str]:
    """The colour of each prediction: of the models by their place in the list, of the ensembles fixed."""
    return {model: MODEL_COLOURS[k % len(MODEL_COLOURS)] for k, model in enumerate(models)} | FIXED_COLOURS


def write(figure: Figure, path: Path) -> None:
    """Write a picture as SVG: the same bytes for the same table, coordinates to a hundredth of a point."""
    with files.replacing(path) as temporary:
        with matplotlib.rc_context(STYLE):
            _settle(figure)
            # not savefig, which draws everything once more before it writes
            FigureCanvasSVG(figure).print_svg(temporary, metadata={"Date": None, "Creator": None, "Title": figure.get_suptitle()})
        temporary.write_text(rounded(temporary.read_text(encoding="utf-8")), encoding="utf-8")


@contextmanager
def drawing(processes: int, progress: Progress = SILENT) -> Iterator[Callable[..., None]]:
    """Yield `draw(path, chart, table, ...)`, which draws and writes in other processes; in the end all pictures are there.

    Each picture is the same as when it is drawn in this process, and its error is raised here. `progress` is told of each.
    """
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    with progress.counting(0, "pictures") as count, ProcessPoolExecutor(processes, context) as pool:
        pool.submit(int).result()  # forks now, before reading data starts threads
        pictures: list[Future[None]] = []

        def draw(path: Path, chart: Callable[..., Figure], table: Table, *arguments: object) -> None:
            count.expect(1)
            pictures.append(pool.submit(_draw, path, chart, table, *arguments))
            pictures[-1].add_done_callback(lambda _: count.done())

        yield draw
        for picture in pictures:
            picture.result()


def _draw(path: Path, chart: Callable[..., Figure], table: Table, *arguments: object) -> None:
    write(chart(table, *arguments), path)


def _picture(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the project's style, and where the table is empty nothing but its headline."""

    @functools.wraps(draw)
    def drawn(table: Table, *arguments: object) -> Figure:
        with matplotlib.rc_context(STYLE):
            return _figure(table, 0.8) if table.frame.empty else draw(table, *arguments)

    return drawn


@_picture
def corr_box(table: Table, colours: Colours) -> Figure:
    """Box plot of the per-era CORR of each prediction, from `tables.corr_box`."""
    figure = _figure(table, 1.4 + ROW * len(table.frame))
    axes = figure.subplots()
    _boxes(axes, table.frame, PREDICTION, [colours[name] for name in table.frame[PREDICTION]])
    axes.axvline(0, color=INK, linewidth=1)
    _beside(axes, [f"mean {mean:.4f}\n{count:,} eras" for mean, count in zip(table.frame["mean"], table.frame["count"], strict=True)])
    axes.set_xlabel("CORR per era (a correlation)")
    return figure


@_picture
def corr_time(table: Table, colours: Colours) -> Figure:
    """Running sum of CORR of all predictions, and below it the CORR of each over time, from `tables.corr_time`."""
    series = {str(name): group for name, group in table.frame.groupby(PREDICTION, sort=False)}
    figure = _figure(table, 4.6 + 0.55 * len(series))
    grid = figure.subplots(1 + len(series), sharex=True, height_ratios=[max(3.2, 0.2 * len(series)), *[0.55] * len(series)])
    _running(figure, grid[0], series, colours)
    low, high = min(table.frame["corr"].min(), 0), max(table.frame["corr"].max(), 0)
    for axes, (name, group) in zip(grid[1:], series.items(), strict=True):
        _strip(axes, group, colours[name])
        axes.set_ylim(1.1 * low, 1.1 * high or 1)
        axes.text(1.03, 0.5, _short(name), color=_readable(colours[name]), transform=axes.transAxes, va="center", fontsize=8)
    period = table.frame["eras"].max()
    grid[1].set_title("CORR per era, all on one scale" if period == 1 else f"CORR, mean of {period} eras, all on one scale")
    grid[-1].set_xlabel("era (week)")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@_picture
def comparison(table: Table, colours: Colours) -> Figure:
    """Per-era CORR of A against B with the diagonal, and their difference over time, from `tables.comparison`."""
    frame = table.frame
    a, b = str(frame["model_a"].iloc[0]), str(frame["model_b"].iloc[0])
    figure = _figure(table, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    for rows, colour in ((frame["difference"] > 0, colours[a]), (frame["difference"] <= 0, colours[b])):
        left.plot(frame.loc[rows, "corr_b"], frame.loc[rows, "corr_a"], "o", color=colour, markersize=4, alpha=0.7, markeredgewidth=0)
    _square(left, frame[["corr_a", "corr_b"]].to_numpy().min(), frame[["corr_a", "corr_b"]].to_numpy().max())
    left.axhline(0, color=MUTED, linewidth=0.8)
    left.axvline(0, color=MUTED, linewidth=0.8)
    short = {name: _short(name) for name in (a, b)}
    left.set(
        title=f"a dot an era (n = {len(frame)}):\n{short[a]} is better above the line",
        xlabel=f"CORR of {short[b]}",
        ylabel=f"CORR of {short[a]}",
    )
    for sign, colour in ((1, colours[a]), (-1, colours[b])):
        _area(right, frame[ERA], (sign * frame["difference"]).clip(lower=0) * sign, colour)
    right.axhline(0, color=INK, linewidth=1)
    right.axhline(frame["mean_difference"].iloc[0], color=MUTED, linewidth=1.2, linestyle=DASH)
    right.set(title=f"{short[a]} less {short[b]};\ndashed: the mean", xlabel="era (week)", ylabel="difference in CORR per era")
    right.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    return figure


@_picture
def differences(table: Table, colours: Colours) -> Figure:
    """Difference of each prediction between two runs with its interval, a panel for each split, from `comparison.picture`."""
    splits = {str(name): group for name, group in table.frame.groupby("split", sort=False)}
    names = list(dict.fromkeys(table.frame[PREDICTION]))
    figure = _figure(table, 1.5 + ROW * len(names))
    grid = figure.subplots(1, len(splits), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.1})[0]
    for axes, (split, group) in zip(grid, splits.items(), strict=True):
        for row in group.itertuples():
            place, colour = names.index(str(row.prediction)), colours.get(str(row.prediction), MUTED)
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(row.difference, place, "o", color=colour, markersize=6)
            beside = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center", "bbox": {"color": "white", "pad": 0.5}}
            axes.annotate(str(row.verdict), (row.difference, place), **beside, fontsize=8, color=MUTED)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_title(f"{split}, {group['eras'].max()} eras")
        axes.set_xlabel("difference of mean CORR, with its 95 % interval")
        axes.set_ylim(len(names) - 0.4, -0.7)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.1)
    grid[0].set_yticks(range(len(names)), names)
    return figure


@_picture
def payout(table: Table, rounds: pd.DataFrame, colours: Colours) -> Figure:
    """Bands of what a stake becomes within a year, a panel for each prediction, and the share of rounds that burn.

    From `payout_tables.picture` and the first table of `payout.outlook`.
    """
    series = {str(name): group for name, group in table.frame.groupby(PREDICTION, sort=False)}
    figure, grid = _panels(table, len(series) + 1, 3, 2.3)
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
    grid[-1].set_yticks(range(len(rounds)), rounds[PREDICTION], fontsize=8)
    grid[-1].set_ylim(len(rounds) - 0.4, -0.6)
    grid[-1].set_xlim(left=0)
    grid[-1].grid(axis="y", visible=False)
    grid[-1].set_title("rounds that burn, with 95 % interval")
    grid[-1].set_xlabel("share of rounds (%)")
    _caption(
        figure,
        "What a stake of 1 becomes. Line: median; dark: nine years of ten, with the mean and the spread that were seen;\n"
        "pale: nine years of ten, with both known no better than from these eras.",
    )
    return figure


@_picture
def live(table: Table, colours: Colours) -> Figure:
    """Running sums of live scores in the band that validation promises, a panel for each model and metric, from `monitoring.picture`."""
    panels = {tuple(map(str, names)): group for names, group in table.frame.groupby(["model", "metric", "source"], sort=False)}
    figure, grid = _panels(table, len(panels), 2, 2.5)
    for axes, ((model, metric, source), group) in zip(grid, panels.items(), strict=True):
        prediction = str(group["prediction"].iloc[0])
        shade = colours.get(prediction, MODEL_COLOURS[0])
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
    _caption(
        figure,
        "Line: running sum over weeks, dotted where rounds are still open; bars: the weeks. Pale: where by validation 19 of 20 running\n"
        "sums stay all the way, dashed: their median.",
    )
    return figure


@_picture
def importance(table: Table, colours: Colours) -> Figure:
    """Bars of the leading features, a panel for each model, from `tables.importance`."""
    models = {str(name): group for name, group in table.frame.groupby("model", sort=False)}
    tallest = max(len(group) for group in models.values())
    figure, grid = _panels(table, len(models), 3, 1.0 + 0.155 * tallest)
    for axes, (name, group) in zip(grid, models.items(), strict=True):
        axes.barh(group["rank"], 100 * group["importance"], color=colours[name], height=0.75)
        axes.set_yticks(group["rank"], [_shortened(feature) for feature in group["feature"]], fontsize=8)
        axes.set_ylim(tallest + 0.6, 0.4)
        axes.grid(axis="y", visible=False)
        axes.set_title(f"{_short(name)}\n{group['cumulative'].iloc[-1]:.0%} in {len(group)} of {group['features'].iloc[0]}")
        axes.set_xlabel("share of importance (%)")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    return figure


@_picture
def shap_beeswarm(table: Table) -> Figure:
    """A dot a row for each leading feature, a panel for each model, from `explained_tables.shap_beeswarm`."""
    models = {str(name): group for name, group in table.frame.groupby("model", sort=False)}
    tallest = table.frame["rank"].max()
    figure, grid = _panels(table, len(models), 3, 0.9 + 0.24 * tallest)
    reach = 1.05 * table.frame["contribution"].abs().max() or 1.0
    for axes, (name, group) in zip(grid, models.items(), strict=True):
        _swarms(axes, group, reach)
        features = group.drop_duplicates("rank")
        axes.set_yticks(features["rank"], [_shortened(feature) for feature in features["feature"]])
        axes.set(title=name, xlim=(-reach, reach), ylim=(tallest + 0.6, 0.4))
        axes.set_xlabel("contribution (std of predictions)")
        axes.axvline(0, color=INK, linewidth=0.8, zorder=0.9)
    names = ["lowest value of the feature", "low", "middle", "high", "highest value"]
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in zip(names, LEVEL_COLOURS, strict=True)],
        loc="outside lower center",
        ncols=len(names),
        title="A dot a row: what the feature adds to the prediction, or takes from it",
    )
    return figure


@_picture
def shap_share(table: Table, colours: Colours) -> Figure:
    """Share of all contributions by the number of leading features, a line for each model, from `explained_tables.shap_share`."""
    series = {str(name): group for name, group in table.frame.groupby("model", sort=False)}
    figure = _figure(table, 4.0)
    axes = figure.subplots()
    for name, group in sorted(series.items(), key=lambda item: -item[1]["leading"].iloc[0]):
        held = group["leading"].iloc[0]
        label = f"{name}: {held:.0%} in {min(LEADING, group['features'].max())}"
        axes.plot(group["features"], 100 * group["share"], color=colours[name], linewidth=1.5, linestyle=_line(name, series), label=label)
        axes.plot(min(LEADING, group["features"].max()), 100 * held, "o", color=colours[name], markersize=5)
    axes.axvline(LEADING, color=MUTED, linewidth=1, linestyle=DASH)
    axes.set(xlabel="number of leading features", ylabel="share of all contributions (%)", ylim=(0, 103))
    axes.set_xlim(left=0)
    axes.legend(loc="lower right")
    return figure


@_picture
def permutation(table: Table, colours: Colours) -> Figure:
    """Mean drop of CORR with its interval where a feature is shuffled, a panel for each model, from `explained_tables.permutation`."""
    models = {str(name): group for name, group in table.frame.groupby("model", sort=False)}
    tallest = table.frame["rank"].max()
    low, high = table.frame[["drop", "low"]].min(axis=None), table.frame[["drop", "high"]].max(axis=None)
    margin = 0.04 * (high - low) or 1.0
    figure, grid = _panels(table, len(models), 3, 1.0 + 0.155 * tallest)
    for axes, (name, group) in zip(grid, models.items(), strict=True):
        for row in group.itertuples():
            axes.plot([row.low, row.high], [row.rank, row.rank], color=colours[name], linewidth=1.5, solid_capstyle="butt")
        axes.plot(group["drop"], group["rank"], "o", color=colours[name], markersize=4)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xlim(low - margin, high + margin)
        axes.set_yticks(group["rank"], [_shortened(feature) for feature in group["feature"]])
        axes.set_ylim(tallest + 0.6, 0.4)
        axes.grid(axis="y", visible=False)
        axes.set_title(f"{name}\n{group['eras'].max()} eras")
        axes.set_xlabel("CORR lost")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    _caption(
        figure,
        "Features in the order of their contributions; line: 95 % interval of the mean over validation eras. A feature that others can\n"
        "stand in for costs little, however much the model uses it.",
    )
    return figure


@_picture
def exposure_time(table: Table) -> Figure:
    """Largest exposure over time before and after neutralization, and its mean by group, from `explained_tables.exposure_time`."""
    frame = table.frame
    names, splits = list(dict.fromkeys(frame["group"])), list(dict.fromkeys(frame["split"]))
    figure = _figure(table, 3.0 + 0.26 * len(names))
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
    lower.set_yticks(range(len(names)), names)
    lower.set(title="by group of features, mean over eras", xlabel="max |exposure|", ylim=(len(names) - 0.4, -0.6))
    lower.set_xlim(left=0)
    lower.grid(axis="y", visible=False)
    handles = [Patch(color=FIXED_COLOURS[str(name)], label=str(name)) for name in means.columns]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


@_picture
def era_means(table: Table, colours: Colours) -> Figure:
    """Mean prediction against mean target of each era, a panel for each model, from `tables.era_means`."""
    models = {str(name): group for name, group in table.frame.groupby("model", sort=False)}
    figure, grid = _panels(table, len(models), 3, 3.1)
    for axes, (name, group) in zip(grid, models.items(), strict=True):
        axes.plot(group["mean_target"], group["mean_prediction"], "o", color=colours[name], markersize=4, alpha=0.6, markeredgewidth=0)
        both = group[["mean_target", "mean_prediction"]].to_numpy()
        _square(axes, both.min(), both.max())
        title = f"{_short(name)}\noff by {group['mean_gap'].iloc[0]:+z.4f} over {group['eras'].iloc[0]} eras"
        axes.set(title=title, xlabel="mean target of the era", ylabel="mean prediction")
    _caption(
        figure,
        "A dot an era (100 of them where there are more); on the dashed diagonal the level is right. Each panel has its own scale.\n"
        "A classifier predicts the probability of a high target, not the target, and lies off the diagonal.",
    )
    return figure


@_picture
def prediction_by_target(table: Table, colours: Colours, name: str) -> Figure:
    """Box plot of a prediction within each value of the target, from `tables.prediction_by_target`."""
    figure = _figure(table, 1.5 + ROW * len(table.frame))
    axes = figure.subplots()
    _boxes(axes, table.frame, "target", [colours[name]] * len(table.frame))
    _beside(axes, [f"mean {mean:.4f}\n{count:,} rows" for mean, count in zip(table.frame["mean"], table.frame["count"], strict=True)])
    axes.set(xlabel=f"prediction of {name}, ranked within its era (0: lowest, 1: highest)", ylabel="target")
    return figure


@_picture
def target_by_prediction(table: Table, colours: Colours) -> Figure:
    """Mean target in each tenth of the predictions, from `tables.target_by_prediction`."""
    series = {str(name): group for name, group in table.frame.groupby(PREDICTION, sort=False)}
    figure = _figure(table, 3.8)
    axes = figure.subplots()
    for name, group in series.items():
        axes.plot(group["tenth"], group["mean_target"], "o-", color=colours[name], markersize=5, linewidth=1.5)
    axes.axhline(table.frame["mean_all"].iloc[0], color=MUTED, linewidth=1, linestyle=DASH)
    rows = next(iter(series.values()))["rows"].sum()
    axes.set(
        title=f"dashed: mean target of all {rows:,} rows", xlabel="tenth of the predictions of an era (1: lowest)", ylabel="mean target"
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    _end_labels(figure, axes, {name: (group["tenth"].iloc[-1], group["mean_target"].iloc[-1]) for name, group in series.items()}, colours)
    return figure


@_picture
def feature_values(table: Table) -> Figure:
    """Box plot over the features of the share of rows at each value, from `tables.feature_values`."""
    figure = _figure(table, 1.5 + ROW * len(table.frame))
    axes = figure.subplots()
    shares = table.frame.assign(**{name: 100 * table.frame[name] for name in [*SUMMARY, "mean"]})
    _boxes(axes, shares, "value", [MODEL_COLOURS[0]] * len(shares))
    axes.set_title(f"{BOX_LEGEND}\nover {shares['count'].iloc[0]} features, counted in {shares['eras'].iloc[0]} eras")
    axes.set(xlabel="share of a feature's rows (%)", ylabel="value of the feature")
    axes.set_xlim(left=0)
    return figure


@_picture
def target_values(table: Table) -> Figure:
    """Stacked bars of the shares of each target's values, from `tables.target_values`."""
    splits = {str(name): group for name, group in table.frame.groupby("split", sort=False)}
    names = list(dict.fromkeys(table.frame["target"]))
    values = sorted(set(table.frame["value"]) - {MISSING})
    shades = {value: _shade(k, len(values)) for k, value in enumerate(values)} | {MISSING: FAINT}
    figure = _figure(table, 1.6 + 0.24 * len(names))
    grid = figure.subplots(1, len(splits), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.1})[0]
    for axes, (split, group) in zip(grid, splits.items(), strict=True):
        _stacked(axes, group, names, shades)
        axes.set_title(f"{split}, {group['rows'].iloc[0]:,} rows")
    grid[0].set_yticks(range(len(names)), [_shortened(name) for name in names])
    shown = [value for value in shades if value in set(table.frame["value"])]
    figure.legend(
        handles=[Patch(color=shades[value], label=value) for value in shown], loc="outside lower center", ncols=len(shown), title="value"
    )
    return figure


@_picture
def weights(table: Table, colours: Colours) -> Figure:
    """Bars of the ensemble's weights, from `tables.weights`."""
    frame = table.frame
    figure = _figure(table, 1.2 + 0.36 * len(frame))
    axes = figure.subplots()
    axes.barh(range(len(frame)), 100 * frame["weight"], color=[colours[name] for name in frame["model"]], height=0.7)
    axes.set_yticks(range(len(frame)), map(_short, frame["model"]))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    for k, weight in enumerate(frame["weight"]):
        axes.annotate(f"{weight:.1%}", (100 * weight, k), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xlabel("weight in the ensemble (%)")
    axes.margins(x=0.1)
    return figure


@_picture
def folds(table: Table) -> Figure:
    """A line for each fold and the final model, with the eras that it is trained on, purged of and tested on, from `tables.folds`."""
    numbers = sorted(table.frame["fold"].unique(), key=lambda number: (number == 0, number))
    figure = _figure(table, 1.2 + 0.32 * len(numbers))
    axes = figure.subplots()
    span = table.frame["last"].max() - table.frame["first"].min() + 1
    for row in table.frame.itertuples():
        place, shade = numbers.index(row.fold), ROLE_COLOURS[str(row.role)]
        axes.barh(place, row.last - row.first + 1, left=row.first - 0.5, height=0.7, color=shade)
        if row.last - row.first + 1 > 0.03 * span:
            middle = (row.first + row.last) / 2
            axes.text(middle, place, f"{row.eras}", color=_on(shade), ha="center", va="center", fontsize=8)
    names = [f"fold {number}" if number else "final model" for number in numbers]
    axes.set(yticks=range(len(numbers)), yticklabels=names, xlabel="era (week)", ylim=(len(numbers) - 0.4, -0.6))
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.01)
    patches = [Patch(color=colour, label=role) for role, colour in ROLE_COLOURS.items()]
    axes.legend(handles=patches, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(patches), frameon=False)
    _caption(figure, "In the bars: how many eras. The final model is tested on the validation eras.")
    return figure


# Pictures of the data itself, from `tables_data`.


@_picture
def feature_stability(table: Table) -> Figure:
    """Mean correlation with the target, with its spread, of the features of the most stable and of the most fickle sign."""
    frame = table.frame
    stable = int((frame["group"] == STABLE).sum())
    places = [k + (GAP if k >= stable else 0) for k in range(len(frame))]
    figure = _figure(table, 1.5 + 0.2 * (len(frame) + GAP))
    axes = figure.subplots()
    for place, row in zip(places, frame.itertuples(), strict=True):
        colour = GROUP_COLOURS[str(row.group)]
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2, alpha=0.5, solid_capstyle="butt")
        axes.plot(row.corr_mean, place, "o", color=colour, markersize=5)
        axes.annotate(
            f"{row.sign_stability:.0%} of {row.eras}",
            (1, place),
            (8, 0),
            axes.get_yaxis_transform(),
            "offset points",
            va="center",
            fontsize=8,
        )
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(places, map(_shortened, frame["feature"]))
    axes.set_ylim(max(places) + 0.7, -0.7)
    axes.grid(axis="y", visible=False)
    axes.set_title("above: the most stable signs, below: the most fickle; at the right: the share of train eras with the sign of the mean")
    axes.set_xlabel("correlation of feature and target in an era: mean, and one standard deviation over eras to each side")
    return figure


@_picture
def target_correlation(table: Table) -> Figure:
    """Heat map of the correlations between targets, with the numbers in the cells where they have room."""
    names = list(dict.fromkeys(table.frame["a"]))
    side = min(0.55, 6.3 / len(names))
    figure = _figure(table, 1.0 + side * len(names) + 1.1)
    axes = figure.subplots()
    for row in table.frame.itertuples():
        known = not math.isnan(row.correlation)
        shade = _between(row.correlation) if known else FAINT
        x, y = names.index(str(row.b)), names.index(str(row.a))
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=shade, edgecolor=PAPER, linewidth=0.5))
        if known and len(names) <= NUMBERED:
            text = f"{row.correlation:.2f}".replace("0.", ".")
            axes.text(x, y, text, color=_on(shade), ha="center", va="center", fontsize=8)
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
    short = [_short(name.removeprefix("target_")) for name in names]
    axes.set_xticks(
        range(len(names)), short, rotation=45 if len(names) <= NUMBERED else 90, ha="right", va="center", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(names)), short)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("Pearson correlation over the train rows that have both targets; blue: above 0, orange: below")
    return figure


@_picture
def drift(table: Table) -> Figure:
    """Distance of live from the last train eras, on the band of these eras' own distances."""
    frame = table.frame
    figure = _figure(table, 1.7 + 0.22 * len(frame))
    axes = figure.subplots()
    for place, row in enumerate(frame.itertuples()):
        usual = [100 * value for value in (row.expected, row.usual_p95, row.usual_max)]
        axes.barh(place, usual[1], color=FAINT, height=0.7)
        axes.plot([usual[1], usual[2]], [place, place], color=PALE, linewidth=1.5, solid_capstyle="butt")
        axes.plot([usual[0], usual[0]], [place - 0.35, place + 0.35], color=MUTED, linewidth=1)
        colour = ROLE_COLOURS[TEST] if row.beyond else MODEL_COLOURS[0]
        axes.plot(100 * row.distance, place, "D" if row.beyond else "o", color=colour, markersize=5, clip_on=False, zorder=3)
        if row.missing_live:
            axes.annotate(
                f"{row.missing_live:.0%} missing", (1, place), (8, 0), axes.get_yaxis_transform(), "offset points", va="center", fontsize=8
            )
    axes.set_yticks(range(len(frame)), map(_shortened, frame["feature"]))
    axes.set_ylim(len(frame) - 0.4, -0.6)
    axes.set_xlim(0, max(1.05 * 100 * frame[["distance", "usual_max"]].to_numpy().max(), 1))
    axes.grid(axis="y", visible=False)
    moved = f"the {len(frame)} features that lie furthest from what is usual"
    axes.set_title(moved if frame["distance"].any() else f"{len(frame)} features, live as distributed as train in all of them")
    axes.set_xlabel("share of rows that would have to change their value to be distributed as in the other eras (%)")
    _caption(
        figure,
        "Dot: live; diamond: live beyond all train eras. Features ranked within an era, as Numerai's are, move where data is missing.\n"
        f"Grey: 95 % of the last {frame['eras'].iloc[0]} train eras, each against the others, with their mean; thin line: to the furthest.",
    )
    return figure


@_picture
def missing_by_era(table: Table) -> Figure:
    """Share of missing feature values by era, and below it the number of features without any data."""
    figure = _figure(table, 3.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for kind, colour in KIND_COLOURS.items():
        group = table.frame.loc[table.frame[DATA_TYPE] == kind]
        for axes, values in ((upper, 100 * group["missing_share"]), (lower, group["empty_features"])):
            if kind == LIVE:
                axes.plot(group[ERA], values, "D", color=colour, markersize=5, clip_on=False)
            elif len(group):
                _steps(axes, group[ERA], values, colour)
    for axes in (upper, lower):
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
    upper.set_ylim(top=max(upper.get_ylim()[1], 0.1))
    lower.set_ylim(top=max(lower.get_ylim()[1], 1))
    lower.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    upper.set_ylabel("missing values (%)")
    lower.set(ylabel="features\nwithout any data", xlabel="era (week)")
    kinds = table.frame[DATA_TYPE].value_counts()
    patches = [Patch(color=KIND_COLOURS[kind], label=_kind(kind, kinds[kind])) for kind in KIND_COLOURS if kind in kinds]
    upper.legend(handles=patches, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(patches))
    return figure


def _kind(kind: str, eras: int) -> str:
    return "live (diamond)" if kind == LIVE else f"{kind}, {eras} eras"


def _steps(axes: Axes, eras: pd.Series, values: pd.Series, colour: str) -> None:
    """Filled steps, one an era."""
    edges = [edge for era in eras for edge in (era - 0.5, era + 0.5)]
    heights = [height for value in values for height in (value, value)]
    axes.fill([edges[0], *edges, edges[-1]], [0, *heights, 0], color=colour, linewidth=0.4)


def _between(correlation: float) -> str:
    """From orange at -1 over white at 0 to blue at 1."""
    end = to_rgb(MODEL_COLOURS[0] if correlation >= 0 else ROLE_COLOURS[TEST])
    return to_hex([1 + (part - 1) * min(abs(correlation), 1) for part in end])


def _settle(figure: Figure) -> None:
    """Lay the picture out once, on a coarse grid: the solver's last digits differ between runs, and SVG ids are hashes of them."""
    _lay_out(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(float(edge), 4) for edge in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def _lay_out(figure: Figure) -> None:
    """Place the axes as the first drawing would, without drawing."""
    engine = figure.get_layout_engine()
    if figure.axes and engine is not None:
        engine.execute(figure)


def _figure(table: Table, height: float) -> Figure:
    lines = -(-len(table.headline) // TITLE_COLUMNS)
    # no line of a single word: the lines are about as long as each other
    headline = textwrap.fill(table.headline, TITLE_COLUMNS if lines == 1 else min(TITLE_COLUMNS, len(table.headline) // lines + 12))
    figure = Figure(figsize=(WIDTH, height + 0.2 * headline.count("\n")), dpi=POINTS_AN_INCH, layout="constrained")
    figure.suptitle(headline, x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def _panels(table: Table, count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    columns = min(columns, max(count, 2))
    rows = -(-count // columns)
    figure = _figure(table, 0.6 + height * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[count:]:
        axes.remove()
    return figure, grid[:count]


def _boxes(axes: Axes, frame: pd.DataFrame, label: str, shades: Sequence[str]) -> None:
    stats = [
        {
            "whislo": row.p05,
            "q1": row.q1,
            "med": row.median,
            "q3": row.q3,
            "whishi": row.p95,
            "mean": row.mean,
            "fliers": [row.min, row.max],
        }
        for row in frame[[*SUMMARY, "mean"]].itertuples(index=False)
    ]
    drawn = axes.bxp(
        stats,
        positions=range(len(frame)),
        orientation="horizontal",
        widths=0.55,
        patch_artist=True,
        showmeans=True,
        medianprops={"linewidth": 1.8},
        meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": INK, "markersize": 4},
        flierprops={"marker": "o", "markersize": 3, "markeredgewidth": 0},
    )
    span = frame["max"].max() - frame["min"].min()
    for k, shade in enumerate(shades):
        drawn["boxes"][k].set(facecolor=shade, edgecolor=shade)
        narrow = frame["q3"].iloc[k] - frame["q1"].iloc[k] <= NARROW * span
        drawn["medians"][k].set(color=shade if narrow else _on(shade))
        drawn["fliers"][k].set(markerfacecolor=shade)
        for part in (*drawn["whiskers"][2 * k : 2 * k + 2], *drawn["caps"][2 * k : 2 * k + 2]):
            part.set(color=shade)
    axes.set_yticks(range(len(frame)), map(_short, frame[label]))
    axes.set_ylim(len(frame) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_title(BOX_LEGEND)


def _beside(axes: Axes, notes: Sequence[str]) -> None:
    """A note at the right of each row of a box plot."""
    for k, note in enumerate(notes):
        axes.annotate(note, (1, k), (8, 0), axes.get_yaxis_transform(), "offset points", va="center", fontsize=8, color=MUTED)


def _swarms(axes: Axes, group: pd.DataFrame, reach: float) -> None:
    """The dots of each feature around its line, those of about the same contribution side by side."""
    column = (group["contribution"] / reach * SWARM_COLUMNS).round()
    stacked = group.groupby([group["rank"], column])["contribution"]
    beside = stacked.cumcount() - (stacked.transform("size") - 1) / 2
    step = min(SWARM_STEP, SWARM_REACH / max(beside.abs().max(), 1.0))
    level = (group["level"] * (len(LEVEL_COLOURS) - 1)).round().astype(int)
    for number, colour in enumerate(LEVEL_COLOURS):
        chosen = level == number
        places = np.column_stack([group["contribution"], group["rank"] + step * beside])[chosen]
        # a dot is a very short line with round ends, which takes a tenth of a marker's bytes
        ends = np.stack([places, places + np.array([0.0, DOT_LENGTH])], axis=1).reshape(-1, 2)
        codes = np.tile([Path2D.MOVETO, Path2D.LINETO], len(places))
        dots = PathPatch(Path2D(ends, codes), edgecolor=colour, facecolor="none", linewidth=2.6, capstyle="round")
        axes.add_patch(dots)
    axes.grid(axis="y", color=FAINT)


def _running(figure: Figure, axes: Axes, series: Mapping[str, pd.DataFrame], colours: Colours) -> None:
    for name, group in series.items():
        axes.plot(group[ERA], group["cumulative"], color=colours[name], linewidth=1.5, linestyle=_line(name, series))
    axes.axhline(0, color=INK, linewidth=1)
    axes.set_title("running sum of CORR")
    axes.margins(x=0.01)
    _end_labels(figure, axes, {name: (group[ERA].iloc[-1], group["cumulative"].iloc[-1]) for name, group in series.items()}, colours)


def _line(name: str, series: Mapping[str, pd.DataFrame]) -> str | tuple[int, tuple[float, float]]:
    models = [known for known in series if known not in FIXED_COLOURS]
    return DASH if name in models and models.index(name) >= len(MODEL_COLOURS) else "-"


def _end_labels(figure: Figure, axes: Axes, ends: Mapping[str, tuple[float, float]], colours: Colours) -> None:
    """Name each line at its right end; labels that would overlap are moved apart and keep a thin line to their end."""
    _lay_out(figure)
    low, high = axes.get_ylim()
    gap = round(LABEL_POINTS / axes.get_window_extent().height, 4)
    names = sorted(ends, key=lambda name: ends[name][1])
    places = _within(_apart([(ends[name][1] - low) / (high - low) for name in names], gap), gap)
    for name, place in zip(names, places, strict=True):
        axes.annotate(
            _short(name),
            xy=ends[name],
            xytext=(1.03, place),
            textcoords="axes fraction",
            color=_readable(colours[name]),
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colours[name], "linewidth": 0.5, "shrinkA": 1, "shrinkB": 1, "relpos": (0, 0.5)},
        )


def _apart(places: Sequence[float], gap: float) -> list[float]:
    """Move ascending places apart to at least `gap`, each group of crowded ones around its middle."""
    groups: list[tuple[float, int]] = []
    for place in places:
        groups.append((place, 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2:
            (upper, n), (lower, m) = groups.pop(), groups.pop()
            groups.append(((upper * n + lower * m) / (n + m), n + m))
    return [middle + gap * (k - (count - 1) / 2) for middle, count in groups for k in range(count)]


def _within(places: Sequence[float], gap: float) -> list[float]:
    """Push ascending places, a gap apart, into 0..1, as far as they have room there."""
    last = len(places) - 1
    return [max(min(place, 1 - gap * (last - k)), gap * k) for k, place in enumerate(places)]


def _strip(axes: Axes, group: pd.DataFrame, colour: str) -> None:
    _area(axes, group[ERA], group["corr"], colour)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.margins(x=0.01)
    axes.grid(visible=False)


def _area(axes: Axes, eras: pd.Series, values: pd.Series, colour: str) -> None:
    x, y = eras.tolist(), values.tolist()
    axes.fill([x[0], *x, x[-1]], [0, *y, 0], color=colour, linewidth=0.4)


def _caption(figure: Figure, text: str) -> None:
    """Say below a picture how to read it."""
    figure.supxlabel(text, fontsize=8, color=MUTED, x=0.01, ha="left")


def _band(axes: Axes, group: pd.DataFrame, colour: str) -> None:
    weeks = group["week"].tolist()
    for suffix, alpha in (("_all", 0.18), ("", 0.35)):
        axes.fill_between(weeks, group[f"p05{suffix}"].tolist(), group[f"p95{suffix}"].tolist(), color=colour, alpha=alpha, linewidth=0)
    axes.plot(weeks, group["median"], color=colour, linewidth=1.5)
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.margins(x=0)


def _powers(low: float, high: float) -> list[float]:
    """At most eight powers of 2 from low to high, 1 among them, evenly spaced."""
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    step = -(-(last - first) // 6) or 1
    return [2.0**power for power in range(-(-first // step) * step, last + 1, step)]


def _square(axes: Axes, low: float, high: float) -> None:
    margin = 0.06 * (high - low) or 0.01
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    axes.set_aspect("equal")
    axes.axline((low, low), slope=1, color=MUTED, linewidth=1, linestyle=DASH)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=3))


def _shade(k: int, count: int) -> str:
    return VALUE_COLOURS[round(k * (len(VALUE_COLOURS) - 1) / max(count - 1, 1))]


def _stacked(axes: Axes, group: pd.DataFrame, names: Sequence[str], shades: Colours) -> None:
    wide = group.pivot(index="target", columns="value", values="share").reindex(index=names, columns=list(shades)).fillna(0.0)
    left = pd.Series(0.0, wide.index)
    for value, shade in shades.items():
        axes.barh(range(len(names)), wide[value], left=left, color=shade, height=0.75)
        left = left + wide[value]
    axes.set_xlim(0, 1)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of rows")


def _shortened(name: str) -> str:
    """The name of a feature as labels have it."""
    return _short(name.removeprefix("feature_"))


def _short(name: str) -> str:
    """A name with its middle left out where it is long."""
    half = LABEL_COLUMNS // 2
    return name if len(name) <= LABEL_COLUMNS else f"{name[: half - 1]}…{name[-half:]}"


def _readable(colour: str) -> str:
    """A colour for text on the paper: as it is, or darkened until it can be read."""
    red, green, blue = to_rgb(colour)
    while _contrast((red, green, blue), to_rgb(PAPER)) < READABLE:
        red, green, blue = 0.97 * red, 0.97 * green, 0.97 * blue
    return to_hex((red, green, blue))


def _on(ground: str) -> str:
    """The colour for what is written or drawn on another: black or that of the paper."""
    return max((BLACK, PAPER), key=lambda colour: _contrast(to_rgb(colour), to_rgb(ground)))


def _contrast(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """Ratio of the luminances of two colours, 1 to 21, after the Web Content Accessibility Guidelines 2.1."""
    low, high = sorted(_luminance(colour) for colour in (a, b))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: tuple[float, float, float]) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def rounded(svg: str, decimals: int = 2) -> str:
    """Round the coordinates of paths and places in an SVG: the last digits say nothing and differ between machines."""

    def shorter(match: re.Match[str]) -> str:
        return re.sub(
            r"-?\d+\.\d+",
            lambda number: f"{round(float(number.group()), decimals) + 0.0:.{decimals}f}".rstrip("0").rstrip("."),
            match.group(),
        )

    return re.sub(r'\b(?:d|x|y|x1|x2|y1|y2|width|height|transform)="[^"]*"', shorter, svg)
