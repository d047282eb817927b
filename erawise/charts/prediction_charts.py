"""Pictures of the folds, of the predictions against the target, and of what the ensemble is made of."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from erawise.base.schema import PREDICTION
from erawise.charts.figures import by, caption, model_panels, picture, single
from erawise.charts.marks import boxes, end_labels, legend, name_rows, square
from erawise.charts.style import DASH, MUTED, ROLE_COLOURS, Colours, ink_on, short
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
def era_means(table: Table, colours: Colours) -> Figure:
    """Draw the mean prediction against the mean target of each era, a panel for each model, from `tables.era_means`."""
    figure, models = model_panels(table, 3.1)
    for axes, name, group in models:
        axes.plot(group["mean_target"], group["mean_prediction"], "o", color=colours[name], markersize=4, alpha=0.6, markeredgewidth=0)
        both = group[["mean_target", "mean_prediction"]].to_numpy()
        square(axes, both.min(), both.max())
        title = f"{short(name)}\noff by {group['mean_gap'].iloc[0]:+z.4f} over {group['eras'].iloc[0]} eras"
        axes.set(title=title, xlabel="mean target of the era", ylabel="mean prediction")
    caption(
        figure,
        "A dot an era (100 of them where there are more); on the dashed diagonal the level is right. Each panel has its own scale.\n"
        "A classifier predicts the probability of a high target, not the target, and lies off the diagonal.",
    )
    return figure


@picture
def prediction_by_target(table: Table, colours: Colours, name: str) -> Figure:
    """Draw a box of a prediction for each value of the target, from `tables.prediction_by_target`."""
    figure, axes = boxes(table, 1.5, [colours[name]] * len(table.frame), "rows")
    axes.set(xlabel=f"prediction of {name}, ranked within its era (0: lowest, 1: highest)", ylabel="target")
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


@picture
def weights(table: Table, colours: Colours) -> Figure:
    """Draw the ensemble's weights as bars, from `tables.weights`."""
    frame = table.frame
    figure, axes = single(table, 1.2 + 0.36 * len(frame))
    axes.barh(range(len(frame)), 100 * frame["weight"], color=[colours[name] for name in frame["model"]], height=0.7)
    axes.set_yticks(range(len(frame)), map(short, frame["model"]))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    for k, weight in enumerate(frame["weight"]):
        axes.annotate(f"{weight:.1%}", (100 * weight, k), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xlabel("weight in the ensemble (%)")
    axes.margins(x=0.1)
    return figure
