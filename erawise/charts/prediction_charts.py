"""Pictures of the folds, and of the target by the predictions."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from erawise.base.schema import PREDICTION
from erawise.charts.figures import by, caption, picture, single
from erawise.charts.marks import end_labels, legend, name_rows
from erawise.charts.style import DASH, MUTED, ROLE_COLOURS, Colours, ink_on
from erawise.charts.tables import Table
from erawise.folds.splits import spaced

BLOCKS = 12
"""Blocks that are drawn at most, in addition to the first."""


@picture
def folds(table: Table) -> Figure:
    """Draw a line for each fold, the final model and some blocks: the eras of training, purge and test, from `tables.folds`."""
    found = table.frame["fold"].unique()
    blocks = spaced(-np.sort(-found[found < 0]), BLOCKS)
    numbers = [*sorted(found[found > 0]), 0, *blocks]
    figure, axes = single(table, 1.2 + 0.32 * len(numbers))
    span = table.frame["last"].max() - table.frame["first"].min() + 1
    for row in table.frame[table.frame["fold"].isin(numbers)].itertuples():
        place, shade = numbers.index(row.fold), ROLE_COLOURS[str(row.role)]
        axes.barh(place, row.last - row.first + 1, left=row.first - 0.5, height=0.7, color=shade)
        if row.last - row.first + 1 > 0.03 * span:
            middle = (row.first + row.last) / 2
            axes.text(middle, place, f"{row.eras}", color=ink_on(shade), ha="center", va="center", fontsize=8)
    first = "block 1" if len(blocks) else "final model"
    name_rows(axes, [f"fold {number}" if number > 0 else f"block {-number}" if number else first for number in numbers])
    axes.set_xlabel("era (week)")
    axes.margins(x=0.01)
    legend(axes, ROLE_COLOURS)
    later = int((found < 0).sum())
    tested = "The final model is tested on the validation eras"
    if later:
        left = f"; {len(blocks)} of {later} later blocks are drawn" if len(blocks) < later else ""
        tested = f"Blocks are of validation, each with a model of its own{left}"
    caption(figure, f"In the bars: how many eras. {tested}.")
    return figure


@picture
def target_by_prediction(table: Table, colours: Colours) -> Figure:
    """Draw the mean target in each tenth of the predictions, from `tables.target_by_prediction`."""
    series = by(table.frame, PREDICTION)
    figure, axes = single(table, 3.8)
    for name, group in series.items():
        axes.plot(group["tenth"], group["mean_target"], "o-", color=colours[name], markersize=5, linewidth=1.5)
    axes.axhline(table.frame["mean_all"].iloc[0], color=MUTED, linewidth=1, linestyle=DASH)
    rows = next(iter(series.values()))["rows"].sum()
    axes.set_title(f"dashed: mean target of all {rows:,} rows")
    axes.set(xlabel="tenth of the predictions of an era (1: lowest)", ylabel="mean target")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    end_labels(figure, axes, {name: (group["tenth"].iloc[-1], group["mean_target"].iloc[-1]) for name, group in series.items()}, colours)
    return figure
