"""Pictures of the folds, and of the target by the predictions."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from erawise.base.schema import PREDICTION
from erawise.charts.figures import by, caption, picture, single
from erawise.charts.marks import end_labels, legend, name_rows
from erawise.charts.style import DASH, MUTED, ROLE_COLOURS, Colours, ink_on
from erawise.charts.tables import Table


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
