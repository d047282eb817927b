"""The marks that several pictures share: named rows, boxes, areas, labels at the ends of lines, legends."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from erawise.charts.figures import lay_out, single
from erawise.charts.style import DASH, FIXED_COLOURS, INK, MODEL_COLOURS, MUTED, Colours, ink_on, readable, short
from erawise.charts.tables import Table

LABEL_POINTS = 11
ROW = 0.42
"""Height of a row with a box, in inches."""

BOX_LEGEND = "box: middle half, line: median, diamond: mean, whiskers: 5% to 95%, dots: lowest and highest"


def name_rows(axes: Axes, names: Iterable[str]) -> None:
    """Name rows from the top, at 0, 1, ..."""
    names = list(names)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def boxes(table: Table, height: float, shades: Sequence[str]) -> tuple[Figure, Axes]:
    """Return a figure with a box for each summary, its mean and number of eras next to it; the first column names the boxes."""
    frame = table.frame
    figure, axes = single(table, height + ROW * len(frame))
    stats = frame.rename(columns={"p05": "whislo", "median": "med", "p95": "whishi"}).to_dict("records")
    drawn = axes.bxp(
        [{**row, "fliers": [row["min"], row["max"]]} for row in stats],
        positions=range(len(frame)),
        orientation="horizontal",
        widths=0.55,
        patch_artist=True,
        showmeans=True,
        medianprops={"linewidth": 1.8},
        meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": INK, "markersize": 4},
        flierprops={"marker": "o", "markersize": 3, "markeredgewidth": 0},
    )
    for k, (shade, row) in enumerate(zip(shades, frame.itertuples(), strict=True)):
        drawn["boxes"][k].set(facecolor=shade, edgecolor=shade)
        drawn["medians"][k].set(color=ink_on(shade))
        drawn["fliers"][k].set(markerfacecolor=shade)
        for part in (*drawn["whiskers"][2 * k : 2 * k + 2], *drawn["caps"][2 * k : 2 * k + 2]):
            part.set(color=shade)
        note = f"mean {row.mean:.4f}\n{row.count:,} eras"
        axes.annotate(note, (1, k), (8, 0), axes.get_yaxis_transform(), "offset points", va="center", fontsize=8, color=MUTED)
    name_rows(axes, map(short, frame.iloc[:, 0]))
    axes.set_title(BOX_LEGEND)
    return figure, axes


def area(axes: Axes, eras: pd.Series, values: pd.Series, colour: str) -> None:
    """Fill from 0 to the values."""
    x, y = eras.tolist(), values.tolist()
    axes.fill([x[0], *x, x[-1]], [0, *y, 0], color=colour, linewidth=0.4)


def square(axes: Axes, low: float, high: float) -> None:
    """Give both axes the same scale, and draw the diagonal."""
    margin = 0.06 * (high - low) or 0.01
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    axes.set_aspect("equal")
    axes.axline((low, low), slope=1, color=MUTED, linewidth=1, linestyle=DASH)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=3))


def line_style(name: str, series: Mapping[str, pd.DataFrame]) -> str | tuple[int, tuple[float, float]]:
    """Return a dash for the models that have a colour a second time, else a line."""
    models = [known for known in series if known not in FIXED_COLOURS]
    return DASH if name in models and models.index(name) >= len(MODEL_COLOURS) else "-"


def end_labels(figure: Figure, axes: Axes, ends: Mapping[str, tuple[float, float]], colours: Colours) -> None:
    """Name each line at its right end; labels that would overlap are moved apart and keep a thin line to their end."""
    lay_out(figure)
    low, high = axes.get_ylim()
    gap = round(LABEL_POINTS / axes.get_window_extent().height, 4)
    names = sorted(ends, key=lambda name: ends[name][1])
    places = within(apart([(ends[name][1] - low) / (high - low) for name in names], gap), gap)
    for name, place in zip(names, places, strict=True):
        axes.annotate(
            short(name),
            xy=ends[name],
            xytext=(1.03, place),
            textcoords="axes fraction",
            color=readable(colours[name]),
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colours[name], "linewidth": 0.5, "shrinkA": 1, "shrinkB": 1, "relpos": (0, 0.5)},
        )


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Move ascending places apart to at least `gap`, each group of crowded ones around its middle."""
    groups: list[tuple[float, int]] = []
    for place in places:
        groups.append((place, 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2:
            (upper, n), (lower, m) = groups.pop(), groups.pop()
            groups.append(((upper * n + lower * m) / (n + m), n + m))
    return [middle + gap * (k - (count - 1) / 2) for middle, count in groups for k in range(count)]


def within(places: Sequence[float], gap: float) -> list[float]:
    """Push ascending places, a gap apart, into 0..1, as far as they have room there."""
    last = len(places) - 1
    return [max(min(place, 1 - gap * (last - k)), gap * k) for k, place in enumerate(places)]


def legend(drawn: Axes | Figure, colours: Colours, title: str | None = None) -> None:
    """Explain the colours, above axes or below a figure."""
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1)} if isinstance(drawn, Axes) else {"loc": "outside lower center"}
    patches = [Patch(color=colour, label=label) for label, colour in colours.items()]
    drawn.legend(handles=patches, ncols=len(patches), title=title, **place)
