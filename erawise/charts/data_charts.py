"""Pictures of the data and of its folds."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from erawise.base.schema import DATA_TYPE, ERA, LIVE, VALIDATION
from erawise.charts.figures import by, caption, figure_of, picture, single
from erawise.charts.marks import BOX_LEGEND, beside, boxes, legend, name_rows
from erawise.charts.style import FAINT, INK, MODEL_COLOURS, MUTED, PAPER, ROLE_COLOURS, VALUE_COLOURS, Colours, ink_on, short, short_feature
from erawise.charts.tables import MISSING, SUMMARY, TEST, TRAIN, Table
from erawise.charts.tables_data import FICKLE, STABLE

GROUP_COLOURS = {STABLE: MODEL_COLOURS[0], FICKLE: ROLE_COLOURS[TEST]}
KIND_COLOURS = {TRAIN: MODEL_COLOURS[0], VALIDATION: MODEL_COLOURS[1], LIVE: ROLE_COLOURS[TEST]}
PALE = "#aaaaaa"
GAP = 1
"""Rows between two groups of a list."""

NUMBERED = 20
"""Targets at most whose correlations are written into their cells: more have no room for it."""


@picture
def feature_values(table: Table) -> Figure:
    """Draw boxes over the features of the share of rows at each value, from `tables.feature_values`."""
    shares = table.frame.assign(**{name: 100 * table.frame[name] for name in [*SUMMARY, "mean"]})
    figure, axes = boxes(Table(shares, table.headline), 1.5, [MODEL_COLOURS[0]] * len(shares))
    axes.set_title(f"{BOX_LEGEND}\nover {shares['count'].iloc[0]} features, counted in {shares['eras'].iloc[0]} eras")
    axes.set(xlabel="share of a feature's rows (%)", ylabel="value of the feature")
    axes.set_xlim(left=0)
    return figure


@picture
def target_values(table: Table) -> Figure:
    """Draw stacked bars of the shares of each target's values, from `tables.target_values`."""
    splits = by(table.frame, "split")
    names = list(dict.fromkeys(table.frame["target"]))
    found = set(table.frame["value"])
    values = sorted(found - {MISSING})
    step = (len(VALUE_COLOURS) - 1) / max(len(values) - 1, 1)
    shades = {value: VALUE_COLOURS[round(k * step)] for k, value in enumerate(values)} | {MISSING: FAINT}
    figure = figure_of(table, 1.6 + 0.24 * len(names))
    grid = figure.subplots(1, len(splits), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.1})[0]
    for axes, (split, group) in zip(grid, splits.items(), strict=True):
        _stacked(axes, group, names, shades)
        axes.set_title(f"{split}, {group['rows'].iloc[0]:,} rows")
    legend(figure, {value: shade for value, shade in shades.items() if value in found}, "value")
    return figure


@picture
def folds(table: Table) -> Figure:
    """Draw a line for each fold and the final model: the eras of its training, its purge and its test, from `tables.folds`."""
    numbers = sorted(table.frame["fold"].unique(), key=lambda number: (number == 0, number))
    figure, axes = single(table, 1.2 + 0.32 * len(numbers))
    span = table.frame["last"].max() - table.frame["first"].min() + 1
    for row in table.frame.itertuples():
        place, shade = numbers.index(row.fold), ROLE_COLOURS[str(row.role)]
        axes.barh(place, row.last - row.first + 1, left=row.first - 0.5, height=0.7, color=shade)
        if row.last - row.first + 1 > 0.03 * span:
            middle = (row.first + row.last) / 2
            axes.text(middle, place, f"{row.eras}", color=ink_on(shade), ha="center", va="center", fontsize=8)
    name_rows(axes, [f"fold {number}" if number else "final model" for number in numbers])
    axes.set_xlabel("era (week)")
    axes.margins(x=0.01)
    legend(axes, ROLE_COLOURS)
    caption(figure, "In the bars: how many eras. The final model is tested on the validation eras.")
    return figure


@picture
def feature_stability(table: Table) -> Figure:
    """Draw the mean correlation with the target, with its spread, of the features of the most stable and the most fickle sign."""
    frame = table.frame
    stable = int((frame["group"] == STABLE).sum())
    places = [k + (GAP if k >= stable else 0) for k in range(len(frame))]
    figure, axes = single(table, 1.5 + 0.2 * (len(frame) + GAP))
    for place, row in zip(places, frame.itertuples(), strict=True):
        colour = GROUP_COLOURS[str(row.group)]
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2, alpha=0.5, solid_capstyle="butt")
        axes.plot(row.corr_mean, place, "o", color=colour, markersize=5)
        beside(axes, place, f"{row.sign_stability:.0%} of {row.eras}")
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(places, map(short_feature, frame["feature"]))
    axes.set_ylim(max(places) + 0.7, -0.7)
    axes.grid(axis="y", visible=False)
    axes.set_title("above: the most stable signs, below: the most fickle; at the right: the share of train eras with the sign of the mean")
    axes.set_xlabel("correlation of feature and target in an era: mean, and one standard deviation over eras to each side")
    return figure


@picture
def target_correlation(table: Table) -> Figure:
    """Draw a heat map of the correlations between targets, with the numbers in the cells if they have room."""
    names = list(dict.fromkeys(table.frame["a"]))
    side = min(0.55, 6.3 / len(names))
    figure, axes = single(table, 1.0 + side * len(names) + 1.1)
    for row in table.frame.itertuples():
        known = not math.isnan(row.correlation)
        shade = _between(row.correlation) if known else FAINT
        x, y = names.index(str(row.b)), names.index(str(row.a))
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=shade, edgecolor=PAPER, linewidth=0.5))
        if known and len(names) <= NUMBERED:
            text = f"{row.correlation:.2f}".replace("0.", ".")
            axes.text(x, y, text, color=ink_on(shade), ha="center", va="center", fontsize=8)
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
    labels = [short(name.removeprefix("target_")) for name in names]
    steep = 45 if len(names) <= NUMBERED else 90
    axes.set_xticks(range(len(names)), labels, rotation=steep, ha="right", va="center", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), labels)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("Pearson correlation over the train rows that have both targets; blue: above 0, orange: below")
    return figure


@picture
def drift(table: Table) -> Figure:
    """Draw the distance of live from the last train eras, on the band of these eras' own distances."""
    frame = table.frame
    figure, axes = single(table, 1.7 + 0.22 * len(frame))
    for place, row in enumerate(frame.itertuples()):
        usual = [100 * value for value in (row.expected, row.usual_p95, row.usual_max)]
        axes.barh(place, usual[1], color=FAINT, height=0.7)
        axes.plot([usual[1], usual[2]], [place, place], color=PALE, linewidth=1.5, solid_capstyle="butt")
        axes.plot([usual[0], usual[0]], [place - 0.35, place + 0.35], color=MUTED, linewidth=1)
        colour = ROLE_COLOURS[TEST] if row.beyond else MODEL_COLOURS[0]
        axes.plot(100 * row.distance, place, "D" if row.beyond else "o", color=colour, markersize=5, clip_on=False, zorder=3)
        if row.missing_live:
            beside(axes, place, f"{row.missing_live:.0%} missing")
    name_rows(axes, map(short_feature, frame["feature"]))
    axes.set_xlim(0, max(1.05 * 100 * frame[["distance", "usual_max"]].to_numpy().max(), 1))
    moved = f"the {len(frame)} features that lie furthest from what is usual"
    axes.set_title(moved if frame["distance"].any() else f"{len(frame)} features, live as distributed as train in all of them")
    axes.set_xlabel("share of rows that would have to change their value to be distributed as in the other eras (%)")
    caption(
        figure,
        "Dot: live; diamond: live beyond all train eras. Features ranked within an era, as Numerai's are, move where data is missing.\n"
        f"Grey: 95 % of the last {frame['eras'].iloc[0]} train eras, each against the others, with their mean; thin line: to the furthest.",
    )
    return figure


@picture
def missing_by_era(table: Table) -> Figure:
    """Draw the share of missing feature values by era, and below it the number of features without any data."""
    figure = figure_of(table, 3.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    kinds = {kind: rows for kind in KIND_COLOURS if len(rows := table.frame.loc[table.frame[DATA_TYPE] == kind])}
    for kind, rows in kinds.items():
        for axes, values in ((upper, 100 * rows["missing_share"]), (lower, rows["empty_features"])):
            if kind == LIVE:
                axes.plot(rows[ERA], values, "D", color=KIND_COLOURS[kind], markersize=5, clip_on=False)
            else:
                _steps(axes, rows[ERA], values, KIND_COLOURS[kind])
    for axes in (upper, lower):
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
    upper.set_ylim(top=max(upper.get_ylim()[1], 0.1))
    lower.set_ylim(top=max(lower.get_ylim()[1], 1))
    lower.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    upper.set_ylabel("missing values (%)")
    lower.set(ylabel="features\nwithout any data", xlabel="era (week)")
    labels = {kind: "live (diamond)" if kind == LIVE else f"{kind}, {len(rows)} eras" for kind, rows in kinds.items()}
    legend(upper, {label: KIND_COLOURS[kind] for kind, label in labels.items()})
    return figure


def _steps(axes: Axes, eras: pd.Series, values: pd.Series, colour: str) -> None:
    """Fill steps, one an era."""
    edges = [edge for era in eras for edge in (era - 0.5, era + 0.5)]
    heights = [height for value in values for height in (value, value)]
    axes.fill([edges[0], *edges, edges[-1]], [0, *heights, 0], color=colour, linewidth=0.4)


def _between(correlation: float) -> str:
    """Return a colour from orange at -1 over white at 0 to blue at 1."""
    end = to_rgb(MODEL_COLOURS[0] if correlation >= 0 else ROLE_COLOURS[TEST])
    return to_hex([1 + (part - 1) * min(abs(correlation), 1) for part in end])


def _stacked(axes: Axes, group: pd.DataFrame, names: list[str], shades: Colours) -> None:
    wide = group.pivot(index="target", columns="value", values="share").reindex(index=names, columns=list(shades)).fillna(0.0)
    left = pd.Series(0.0, wide.index)
    for value, shade in shades.items():
        axes.barh(range(len(names)), wide[value], left=left, color=shade, height=0.75)
        left = left + wide[value]
    axes.set_xlim(0, 1)
    name_rows(axes, map(short_feature, names))
    axes.xaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of rows")
