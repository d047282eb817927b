"""The pictures of docs/concepts.md: table in, figure out, in the style of `erawise.charts.style`."""

import functools
import textwrap
from collections.abc import Callable

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from erawise.charts import figures, style
from erawise.charts.style import DASH, INK, MODEL_COLOURS, MUTED, ROLE_COLOURS
from erawise.charts.tables import PURGED, TEST, TRAIN, Table

BLUE, ORANGE = MODEL_COLOURS[0], style.FIXED_COLOURS["neutralized"]
VALUES = (0.0, 0.25, 0.5, 0.75, 1.0)
OVERLAPPING = "#8C8C8C"
VALUE_COLOURS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
ARROWS = (INK, *MODEL_COLOURS[5:7], MODEL_COLOURS[2])
BINS = 40


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    @functools.wraps(draw)
    def drawn(*tables: Table) -> Figure:
        with matplotlib.rc_context(style.STYLE):
            return draw(*tables)

    return drawn


def _figure(table: Table, height: float, caption: str) -> Figure:
    figure = Figure(figsize=(style.WIDTH, height), dpi=style.POINTS_AN_INCH, layout="constrained")
    figure.suptitle(textwrap.fill(table.headline, figures.TITLE_COLUMNS), x=0.01, ha="left", fontsize=11, color=INK)
    figure.supxlabel(caption, fontsize=8, color=MUTED, x=0.01, ha="left")
    return figure


@_styled
def target(cells: Table, outcomes: Table) -> Figure:
    """Draw rows of an era as tiles, and the histogram of the following returns, coloured by the target."""
    figure = _figure(
        cells,
        3.9,
        "Colours are values, dark the lowest and bright the highest: features in five equal bins, the target in five unequal ones.",
    )
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    frame = cells.frame
    last = frame["column"].max()
    for row in frame.itertuples():
        apart = 0.5 if row.column == last else 0.0
        left.add_patch(Rectangle((row.column + apart, row.stock), 0.94, 0.94, color=_shade(row.value), linewidth=0))
    left.set(xlim=(0, last + 1.5), ylim=(0, frame["stock"].max() + 1), yticks=[], title="some rows of the era: a row is a stock")
    left.set_xticks([last / 2, last + 1], ["features", "target"])
    left.grid(visible=False)
    left.spines[["left", "bottom"]].set_visible(False)
    edges = np.linspace(outcomes.frame["outcome"].min(), outcomes.frame["outcome"].max(), BINS + 1)
    groups = [outcomes.frame.loc[outcomes.frame["target"] == value, "outcome"] for value in VALUES]
    right.hist(groups, bins=edges, stacked=True, color=[_shade(value) for value in VALUES])
    for value, group in zip(VALUES, groups, strict=True):
        share = len(group) / len(outcomes.frame)
        right.text(
            group.median(), 1.02, f"{value:g}\n{share:.0%}", transform=right.get_xaxis_transform(), ha="center", fontsize=8, color=MUTED
        )
    right.set(xlabel="return of the next 4 weeks, in units of the market", ylabel="stocks")
    right.set_title("target, and share of the stocks\n\n")
    return figure


@_styled
def purge(table: Table) -> Figure:
    """Draw a bar for each era: the weeks whose returns its target sums up."""
    frame = table.frame
    figure = _figure(
        table,
        5.6,
        "A line is an era, its bar the 4 weeks that its target looks at. Shaded: the weeks that the targets of the test look at.",
    )
    axes = figure.subplots()
    axes.axvspan(frame["test_first"].iloc[0] - 0.5, frame["test_last"].iloc[0] + 0.5, color=ROLE_COLOURS[TEST], alpha=0.12, linewidth=0)
    for row in frame.itertuples():
        colour = OVERLAPPING if row.shares else ROLE_COLOURS[str(row.role)]
        axes.barh(row.era, row.last - row.era + 1, left=row.era - 0.5, height=0.72, color=colour)
    named = {
        TRAIN: ROLE_COLOURS[TRAIN],
        "purged: kept at a distance": ROLE_COLOURS[PURGED],
        "purged: shares weeks with the test": OVERLAPPING,
        TEST: ROLE_COLOURS[TEST],
    }
    patches = [Patch(color=colour, label=name) for name, colour in named.items()]
    axes.legend(handles=patches, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(patches))
    axes.set(xlabel="week", ylabel="era", ylim=(frame["era"].max() + 0.8, 0.2))
    axes.margins(x=0.01)
    return figure


@_styled
def staleness(lines: Table, ages: Table) -> Figure:
    """Draw what each model learns from and predicts, and below it how old the model of each era is."""
    figure = _figure(
        lines,
        5.2,
        "Above: the model that is never retrained, and below it those that are retrained every 52 weeks. A model is as old as the weeks\n"
        "from the last era that it learned from to the era that it predicts, which is more than the purge of 16 weeks.",
    )
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.1, 1])
    models = list(dict.fromkeys(lines.frame["model"]))
    for row in lines.frame.itertuples():
        above.barh(models.index(row.model), row.last - row.first + 1, left=row.first - 0.5, height=0.72, color=ROLE_COLOURS[str(row.role)])
    above.set_yticks(range(len(models)), models)
    above.invert_yaxis()
    above.grid(visible=False, axis="y")
    names = {"learns from": TRAIN, "purged": PURGED, "predicts": TEST}
    patches = [Patch(color=ROLE_COLOURS[role], label=name) for name, role in names.items()]
    above.legend(handles=patches, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(patches))
    for colour, (name, rows) in zip(MODEL_COLOURS, ages.frame.groupby("retrained", sort=False), strict=False):
        below.step(rows["era"], rows["weeks"], where="mid", color=colour, linewidth=1.5)
        below.text(rows["era"].iloc[-1] + 2, rows["weeks"].iloc[-1], str(name), color=colour, fontsize=8, va="center")
    below.set(xlabel="era (week)", ylabel="age of the model (weeks)", ylim=(0, None))
    below.margins(x=0.01)
    return figure


@_styled
def corr(table: Table) -> Figure:
    """Draw four panels: rank, gaussian, power, and the correlation with the target."""
    frame = table.frame
    caption = (
        "A dot is a stock. Orange: the twentieth of the stocks at each end, which decides most of the score. Step 4 correlates step 3\n"
        "with the target, centred and taken to the power 1.5 in the same way. Its bars say: the higher the target, the higher step 3."
    )
    figure = _figure(table, 3.7, caption)
    grid = figure.subplots(1, 4)
    steps = [
        ("prediction", "rank", "1  ranks, from 0 to 1", "prediction", "rank"),
        ("rank", "gaussian", "2  as a normal variable", "rank", "normal quantile g"),
        ("gaussian", "powered", "3  to the power 1.5", "g", "sign(g) |g|^1.5"),
    ]
    for axes, (x, y, title, x_label, y_label) in zip(grid, steps, strict=False):
        for rows, colour in ((~frame["outer"], BLUE), (frame["outer"], ORANGE)):
            axes.plot(frame.loc[rows, x], frame.loc[rows, y], "o", color=colour, markersize=2.5, markeredgewidth=0)
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    for axes, name in ((grid[1], "gaussian"), (grid[2], "powered")):
        axes.text(
            0.05, 0.93, f"outer tenth:\n{frame[f'outer_{name}'].iloc[0]:.0%} of the squares", transform=axes.transAxes, va="top", fontsize=8
        )
    _against_target(grid[3], frame)
    return figure


def _against_target(axes: Axes, frame: pd.DataFrame) -> None:
    means = frame.groupby("target")["powered"].mean()
    axes.bar(range(len(means)), means, color=[_shade(value) for value in means.index], width=0.8)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(title=f"4  with the target: {frame['corr'].iloc[0]:+.3f}", xlabel="target", ylabel="mean of step 3")
    axes.set_xticks(range(len(means)), [f"{value:g}" for value in means.index])
    axes.grid(axis="x", visible=False)


@_styled
def neutralization(bars: Table, scores: Table) -> Figure:
    """Draw exposures at several proportions, and the CORR of eras before and after."""
    frame = bars.frame
    caption = (
        "Left: correlations of one era's prediction with the features to which it is most exposed; it is made neutral to those with a *.\n"
        "A feature without one keeps what it has of its own. Right: a dot is an era, the diamond the mean, the bar one std to each side."
    )
    figure = _figure(bars, 4.1, caption)
    grid = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.35])
    features = frame[frame["proportion"] == 0].sort_values("place")
    reach = 1.1 * frame["exposure"].abs().max()
    for axes, (proportion, group) in zip(grid, frame.groupby("proportion"), strict=False):
        axes.barh(group["place"], group["exposure"], color=np.where(group["neutralized"], ORANGE, BLUE).tolist(), height=0.75)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set(title=f"proportion {proportion:g}", xlim=(-reach, reach), ylim=(len(features) - 0.4, -0.6), xlabel="exposure")
        axes.set_yticks([])
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3, symmetric=True))
    labels = [f"{'* ' if row.neutralized else ''}feature {row.feature}" for row in features.itertuples()]
    grid[0].set_yticks(range(len(features)), labels, fontsize=7)
    _spreads(grid[3], scores.frame)
    return figure


def _spreads(axes: Axes, frame: pd.DataFrame) -> None:
    ticks = []
    for place, (proportion, group) in enumerate(frame.groupby("proportion")):
        colour = (BLUE, ORANGE)[place]
        values = group["corr"].to_numpy()
        beside = place + 0.3 * ((np.arange(len(values)) * 0.618) % 1 - 0.5)
        axes.plot(beside, values, "o", color=colour, markersize=3, alpha=0.45, markeredgewidth=0)
        axes.plot([place, place], [values.mean() - values.std(), values.mean() + values.std()], color=INK, linewidth=2)
        axes.plot(place, values.mean(), "D", color="white", markeredgecolor=INK, markersize=6)
        ticks.append(
            f"proportion {proportion:g}\nmean {values.mean():.3f}\nstd {values.std():.3f}\nSharpe {values.mean() / values.std():.2f}"
        )
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set(title=f"CORR of {len(frame) // len(ticks)} later eras", xlim=(-0.5, len(ticks) - 0.5))
    axes.grid(axis="x", visible=False)


@_styled
def mmc(table: Table) -> Figure:
    """Draw predictions as arrows, with the meta model as the axis, and the two scores of each."""
    frame = table.frame
    caption = (
        "Left: an arrow is a prediction; along the axis lies what it shares with the meta model, upwards what it has of its own.\n"
        "MMC asks only whether the upward part goes with the target."
    )
    figure = _figure(table, 4.0, caption)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.2])
    for row in frame.itertuples():
        x, y = row.meta_corr, float(np.sqrt(max(0.0, 1 - row.meta_corr**2)))
        colour = ARROWS[int(row.Index)]
        left.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 0, "shrinkB": 0})
        left.text(x + 0.02, y + 0.03, str(row.prediction), color=colour, fontsize=8, ha="left")
        if y > 0:
            left.plot([x, x], [0, y], color=colour, linewidth=1, linestyle=DASH)
    left.set(xlim=(0, 1.35), ylim=(0, 1.12), xlabel="shared with the meta model (correlation)", ylabel="of its own")
    left.set_aspect("equal")
    width = 0.38
    for offset, name, colour in ((-width / 2, "corr", BLUE), (width / 2, "mmc", ORANGE)):
        right.barh(frame.index + offset, frame[name], height=width, color=colour, label=name.upper())
        for place, value in enumerate(frame[name]):
            _beside(right, max(value, 0), place + offset, f"{round(value, 3) + 0.0:.3f}")
    right.set_yticks(range(len(frame)), frame["prediction"])
    right.set_ylim(len(frame) - 0.4, -0.6)
    right.grid(axis="y", visible=False)
    right.margins(x=0.15)
    right.set(xlabel="mean over eras")
    right.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


@_styled
def independence(lags: Table, intervals: Table) -> Figure:
    """Draw the autocorrelation with the share of common weeks, and the interval of the mean in two ways."""
    frame = lags.frame
    caption = (
        "Left: eras one week apart share three of the four weeks that their targets look at, and their scores are alike.\n"
        "Right: the 95 % interval of the mean CORR, by a formula that takes eras as independent, and by the one that this project uses."
    )
    figure = _figure(lags, 3.6, caption)
    left, right = figure.subplots(1, 2)
    left.bar(frame["lag"], frame["seen"], color=BLUE, width=0.6, label="correlation of the scores, as seen")
    left.plot(frame["lag"], frame["shared"], "o--", color=ORANGE, markersize=5, label="share of the weeks in common")
    left.axhline(0, color=INK, linewidth=0.8)
    left.set(xlabel="eras apart (weeks)")
    left.legend(loc="upper right")
    for place, row in enumerate(intervals.frame.itertuples()):
        colour = (MUTED, BLUE)[place]
        right.plot([row.low, row.high], [place, place], color=colour, linewidth=7, solid_capstyle="butt")
        right.plot(row.mean, place, "D", color="white", markeredgecolor=INK, markersize=6)
        _beside(right, row.high, place, f"±{(row.high - row.low) / 2:.3f}")
    right.set_yticks(range(len(intervals.frame)), intervals.frame["way"])
    right.set(ylim=(len(intervals.frame) - 0.4, -0.6), xlabel="mean CORR of the best possible prediction")
    right.grid(axis="y", visible=False)
    right.margins(x=0.25)
    return figure


def _beside(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), (4, 0), textcoords="offset points", va="center", fontsize=8)


def _shade(value: float) -> str:
    return VALUE_COLOURS[round(4 * value)]
