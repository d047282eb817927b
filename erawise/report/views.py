"""The charts of the report: tables in, Vega-Lite out.

What a person switches on the page are parameters that charts share by their names: `shown` (predictions), `first` and `last` (eras),
`focus` (the prediction of charts that show one), `model` and `measure` (of what drives it), `a` and `b`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from erawise.report.drawing import WIDTH

ERAS = "eras"
"""Name of the table of every era's score, which the page holds once for all charts."""

WINDOW = 13
"""Eras of the rolling mean: a quarter of a year."""

IN_RANGE = "datum.era >= first && datum.era <= last"
SHOWN = "indexof(shown, datum.prediction) >= 0"
GOOD, BAD = "var(--good)", "var(--bad)"
LABELS = 165
CELL = 58
COLUMNS = alt.ExprRef("max(1, floor(width / 130))")
"""Of a key: as many as fit the chart's width."""

LEVELS = ["#2c7fb8", "#8a8a8a", "#e6550d"]
"""From a feature's lowest value to its highest: apart for the colour-blind, and on a light and a dark ground."""

WHOLE, DASH = [1, 0], [5, 2]
DIVERGING = ["#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b"]


@dataclass(frozen=True)
class Defaults:
    """What the switches say at first.

    Attributes
    ----------
    names : predictions.
    chosen : of them, the one in focus.
    first, last : eras.
    boundary : first and last validation era, None where there is none.
    a, b : the two that are compared.
    model, measure : of what drives it; empty where there is nothing.
    dashed : models that take the colour of another.
    """

    names: list[str]
    chosen: str
    first: int
    last: int
    boundary: tuple[int, int] | None
    a: str
    b: str
    model: str = ""
    measure: str = ""
    dashed: frozenset[str] = frozenset()

    def state(self) -> dict[str, Any]:
        """The values of the parameters that charts share, by their names."""
        return {
            "shown": self.names,
            "first": self.first,
            "last": self.last,
            "focus": self.chosen,
            "model": self.model,
            "measure": self.measure,
            "a": self.a,
            "b": self.b,
        }


def colour(name: str) -> str:
    """The colour of a prediction, as the style sheet names it."""
    return f"var(--p-{name})"


def cumulative(d: Defaults, live: bool) -> alt.LayerChart:
    """Running sum of CORR of every prediction that is shown, from 0 at the first era in range and at the first of validation."""
    base = _eras(d, ["shown"]).transform_window(total="sum(corr)", sort=[alt.SortField("era")], groupby=["prediction", "split"])
    lines = base.mark_line(clip=True, interpolate="linear").encode(
        _x(), _y("total", "sum of CORR"), _colour(d.names), _dash(d), detail="split:N"
    )
    return _layers(d, lines, live, ["shown"], _hover(base, d.names, "total"), height=300)


def running(d: Defaults, live: bool) -> alt.LayerChart:
    """Running sum of CORR of the chosen prediction alone."""
    base = alt.Chart(alt.NamedData(ERAS)).transform_filter(f"datum.prediction == '{d.chosen}'").transform_filter(IN_RANGE)
    total = base.transform_window(total="sum(corr)", sort=[alt.SortField("era")], groupby=["split"])
    line = total.mark_line(clip=True, color=colour(d.chosen), strokeWidth=2.5).encode(_x(), _y("total", "sum of CORR"), detail="split:N")
    return _layers(d, line, live, [], _hover(total, [d.chosen], "total"), height=170)


def rolling(d: Defaults, live: bool) -> alt.LayerChart:
    """Mean CORR of the last `WINDOW` eras of every prediction that is shown, whatever range of eras is."""
    base = (
        alt.Chart(alt.NamedData(ERAS))
        .transform_window(
            recent="mean(corr)",
            eras="count()",
            sort=[alt.SortField("era")],
            frame=[1 - WINDOW, 0],
            groupby=["prediction", "split"],
        )
        .transform_filter(f"datum.eras == {WINDOW}")
        .transform_filter(IN_RANGE)
        .transform_filter(SHOWN)
    )
    lines = base.mark_line(clip=True).encode(
        _x(), _y("recent", f"mean CORR of {WINDOW} eras"), _colour(d.names), _dash(d), detail="split:N"
    )
    return _layers(d, lines, live, ["shown"], _hover(base, d.names, "recent"), height=220)


def by_era(d: Defaults, live: bool) -> alt.LayerChart:
    """CORR of the prediction in focus, an era a bar."""
    base = _eras(d, ["focus"])
    bars = _bars(base, "corr", "CORR").encode(_own_colour(d, "prediction"))
    return _layers(d, bars, live, ["focus"], _hover(base, None, "corr"), height=180)


def drawdown(d: Defaults, live: bool) -> alt.LayerChart:
    """How far the running sum of the prediction in focus lies below its highest value so far, of all eras of the split."""
    base = (
        alt.Chart(alt.NamedData(ERAS))
        .transform_filter("datum.prediction == focus")
        .transform_window(total="sum(corr)", sort=[alt.SortField("era")], groupby=["split"])
        .transform_window(peak="max(total)", sort=[alt.SortField("era")], groupby=["split"])
        .transform_calculate(fall="datum.total - datum.peak")
        .transform_filter(IN_RANGE)
    )
    area = base.mark_area(clip=True, color=BAD, opacity=0.45, line={"color": BAD}).encode(
        _x(), _y("fall", "below the peak"), detail="split:N"
    )
    return _layers(d, area, live, ["focus"], _hover(base, None, "fall"), height=150)


def boxes(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Spread of the per-era CORR of each prediction, from `tables.corr_box`."""
    base = alt.Chart(table).transform_filter(SHOWN)
    y = alt.Y("prediction:N").sort(d.names).title(None)
    drawn = _box(base, y, "CORR of an era", _own_colour(d, "prediction"))
    return drawn.add_params(_parameter(d, "shown")).properties(width=WIDTH // 2, height=alt.Step(26))


def spread(table: pd.DataFrame, name: str) -> alt.LayerChart:
    """Spread of a prediction within each value of the target, from `tables.prediction_by_target`."""
    y = alt.Y("target:N").sort("descending").title("target")
    return _box(alt.Chart(table), y, f"prediction of {name}", alt.value(colour(name))).properties(width=WIDTH // 2, height=alt.Step(26))


def tenths(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Mean target in each tenth of the predictions, from `tables.target_by_prediction`."""
    base = alt.Chart(table).transform_filter(SHOWN)
    lines = base.mark_line(point=True).encode(
        alt.X("tenth:O").title("tenth of the predictions (1: lowest)").axis(labelAngle=0),
        alt.Y("mean_target:Q").scale(zero=False).title("mean target"),
        _colour([name for name in d.names if name in set(table["prediction"])]),
        tooltip=["prediction:N", "tenth:O", alt.Tooltip("mean_target:Q", format=".4f"), alt.Tooltip("rows:Q", format=",")],
    )
    level = base.mark_rule(strokeDash=[4, 3]).encode(y="mean(mean_all):Q")
    return alt.layer(level, lines).add_params(_parameter(d, "shown")).properties(width=WIDTH // 2, height=220)


def levels(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Mean prediction against mean target of each era with the diagonal, from `tables.era_means`."""
    kept = table[["model", "era", "mean_target", "mean_prediction"]]
    base = alt.Chart(kept).transform_filter("datum.model == model").transform_filter(IN_RANGE)
    points = base.mark_circle(size=45, opacity=0.75).encode(
        alt.X("mean_target:Q").scale(zero=False).title("mean target of the era"),
        alt.Y("mean_prediction:Q").scale(zero=False).title("mean prediction"),
        _own_colour(d, "model"),
        tooltip=["model:N", "era:Q", alt.Tooltip("mean_target:Q", format=".4f"), alt.Tooltip("mean_prediction:Q", format=".4f")],
    )
    parameters = (_parameter(d, name) for name in ("model", "first", "last"))
    drawn = alt.layer(_diagonal(base, "mean_target", "mean_prediction"), points)
    return drawn.add_params(*parameters).properties(width=WIDTH // 2, height=300)


def heat(table: pd.DataFrame, rows: str, columns: str, order: Sequence[str]) -> alt.LayerChart:
    """Return a square of the column `correlation`, with the numbers in it."""
    axis = {"sort": list(order), "title": None}
    base = alt.Chart(table).encode(alt.X(f"{columns}:N", axis=alt.Axis(labelAngle=-40), **axis), alt.Y(f"{rows}:N", **axis))
    cells = base.mark_rect(stroke="var(--ground)").encode(
        alt.Color("correlation:Q").scale(domain=[-1, 1], range=DIVERGING, type="linear").legend(None),
        tooltip=[f"{rows}:N", f"{columns}:N", alt.Tooltip("correlation:Q", format=".3f")],
    )
    light = alt.condition("isValid(datum.correlation) && abs(datum.correlation) > 0.75", alt.value("#ffffff"), alt.value("#1a1a1a"))
    known = base.transform_filter("isValid(datum.correlation)")
    numbers = known.mark_text(fontSize=11).encode(alt.Text("correlation:Q", format=".2f"), color=light)
    return alt.layer(cells, numbers).properties(width=side(len(order)), height=alt.Step(34))


def side(count: int) -> int:
    """Width in pixels of a `heat` of so many rows and columns, the names beside it included."""
    return LABELS + CELL * count


def against(d: Defaults) -> alt.LayerChart:
    """CORR of A against B, an era a dot in the colour of the higher one, with the diagonal."""
    base = _pair(d)
    points = base.mark_circle(size=45, opacity=0.75).encode(
        alt.X("b_corr:Q").title("CORR of B"),
        alt.Y("a_corr:Q").title("CORR of A"),
        _own_colour(d, "higher"),
        tooltip=_pair_tooltip(),
    )
    drawn = alt.layer(_diagonal(base, "b_corr", "a_corr"), points)
    return drawn.add_params(*_parameters(d, ["a", "b"])).properties(width=WIDTH // 2, height=300)


def difference(d: Defaults, live: bool) -> alt.LayerChart:
    """CORR of A less that of B, an era a bar in the colour of the higher one, and the mean of each split."""
    base = _pair(d)
    bars = _bars(base, "gain", "CORR of A less that of B").encode(_own_colour(d, "higher"))
    mean = base.mark_line(strokeDash=[6, 4], color="var(--ink)", clip=True).transform_joinaggregate(mean="mean(gain)", groupby=["split"])
    layers: list[Any] = [*_ground(d), bars, mean.encode(_x(), alt.Y("mean:Q"), detail="split:N")]
    if live:
        layers.append(_rule(base, _pair_tooltip()))
    return alt.layer(*layers).add_params(*_parameters(d, ["a", "b"])).properties(width=WIDTH, height=200)


def folds(table: pd.DataFrame) -> alt.Chart:
    """The eras that each fold and the final model are trained on, purged of and tested on, from `tables.folds`."""
    return (
        alt.Chart(table)
        .mark_bar(height={"band": 0.7})
        .encode(
            alt.X("start:Q").scale(nice=False, zero=False).title("era (week)"),
            alt.X2("end:Q"),
            alt.Y("name:N").sort(None).title(None),
            alt.Color("role:N")
            .scale(domain=["train", "purged", "test"], range=["var(--train)", "var(--purged)", "var(--test)"])
            .title(None),
            tooltip=["name:N", "role:N", "first:Q", "last:Q"],
        )
        .properties(width=WIDTH, height=alt.Step(26))
    )


def importance(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Leading features of one model by one measure, from `drivers.measures`."""
    base = alt.Chart(table).transform_filter("datum.model == model && datum.measure == measure")
    y = alt.Y("feature:N").sort(field="rank", op="min").title(None)
    figures = [alt.Tooltip(f"{name}:Q", format=".4f") for name in ("value", "low", "high")]
    drawn = base.mark_bar().encode(
        y, alt.X("value:Q").title("importance by the measure chosen"), _own_colour(d, "model"), tooltip=["feature:N", "group:N", *figures]
    )
    whiskers = base.mark_rule(color="var(--ink)").encode(y, alt.X("low:Q"), alt.X2("high:Q"))
    return (
        alt.layer(drawn, whiskers)
        .add_params(*(_parameter(d, name) for name in ("model", "measure")))
        .properties(width=WIDTH, height=alt.Step(18))
    )


def beeswarm(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Contributions of the leading features of one model, a dot a row, from `drivers.swarm`."""
    rounded = table.round({"level": 2, "contribution": 3, "place": 2})
    base = alt.Chart(rounded[["model", "rank", "feature", "era", "value", "level", "contribution", "place"]]).transform_filter(
        "datum.model == model"
    )
    top = int(table["rank"].max())
    scale = alt.Scale(domain=[0.5, top + 0.5], reverse=True, nice=False, zero=False)
    dots = base.mark_circle(size=14, opacity=0.85).encode(
        alt.X("contribution:Q").title("contribution (std of predictions)"),
        alt.Y("place:Q").scale(scale).axis(None),
        alt.Color("level:Q")
        .scale(domain=[0, 1], range=LEVELS)
        .title("value of the feature")
        .legend(format=".0%", gradientLength=160, direction="horizontal"),
        tooltip=["feature:N", "era:Q", "value:Q", alt.Tooltip("contribution:Q", format="+.3f")],
    )
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color="var(--ink)", opacity=0.6).encode(alt.X("zero:Q"))
    names = base.transform_aggregate(groupby=["rank", "feature"])
    labels = names.mark_text(align="right", dx=-6, color="var(--muted)", limit=LABELS).encode(
        alt.Y("rank:Q").scale(scale), alt.Text("feature:N"), x=alt.value(0)
    )
    return alt.layer(zero, dots, labels).add_params(_parameter(d, "model")).properties(width=WIDTH, height=34 * top)


def share(table: pd.DataFrame, d: Defaults, leading: int) -> alt.LayerChart:
    """Share of all contributions by the number of leading features, a line a model, from `explained_tables.shap_share`."""
    base = alt.Chart(table).transform_filter("indexof(shown, datum.model) >= 0")
    models = [name for name in d.names if name in set(table["model"])]
    encoding = (
        alt.X("features:Q").title("number of leading features").scale(nice=False),
        alt.Y("share:Q").title("share of all contributions").axis(format="%"),
        alt.Color("model:N").scale(domain=models, range=[colour(name) for name in models]).title(None).legend(columns=COLUMNS),
    )
    lines = base.mark_line().encode(*encoding)
    tooltip = ["model:N", "features:Q", alt.Tooltip("share:Q", format=".1%")]
    dots = base.transform_filter("datum.share == datum.leading").mark_circle(size=60, opacity=1).encode(*encoding, tooltip=tooltip)
    rule = alt.Chart(pd.DataFrame({"at": [leading]})).mark_rule(strokeDash=[4, 3]).encode(alt.X("at:Q"))
    return alt.layer(rule, lines, dots).add_params(_parameter(d, "shown")).properties(width=WIDTH, height=230)


def exposure(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Largest exposure to a feature over time, from `explained_tables.exposure_time`."""
    base = alt.Chart(table).transform_filter(IN_RANGE).transform_filter(SHOWN)
    names = [name for name in d.names if name in set(table["prediction"])]
    tooltip = ["prediction:N", "era:Q", alt.Tooltip("max_abs:Q", format=".3f")]
    lines = base.mark_line(clip=True, point=True).encode(
        _x(), _y("max_abs", "largest |exposure|"), _colour(names), detail="split:N", tooltip=tooltip
    )
    return _layers(d, lines, False, ["shown"], None, height=200)


def by_group(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Mean largest exposure to each group of features, a dot a prediction: `group`, `prediction`, `mean`."""
    names = [name for name in d.names if name in set(table["prediction"])]
    base = alt.Chart(table).encode(alt.Y("group:N").sort(None).title(None))
    joined = base.mark_line(color="var(--line)", strokeWidth=3).encode(alt.X("mean:Q"), detail="group:N")
    dots = base.mark_circle(size=80, opacity=1).encode(
        alt.X("mean:Q").title("mean largest |exposure|"),
        _colour(names),
        tooltip=["group:N", "prediction:N", alt.Tooltip("mean:Q", format=".3f")],
    )
    return alt.layer(joined, dots).properties(width=WIDTH, height=alt.Step(24))


def stability(table: pd.DataFrame) -> alt.LayerChart:
    """Mean correlation of features with the target and its spread over eras, from `tables_data.feature_stability`."""
    shade = alt.Color("group:N").scale(domain=["stable", "fickle"], range=[GOOD, BAD]).title(None)
    base = alt.Chart(table).encode(alt.Y("feature:N").sort(None).title(None))
    figures = [alt.Tooltip(f"{name}:Q", format=form) for name, form in (("sign_stability", ".0%"), ("corr_mean", ".4f"))]
    spreads = base.mark_rule(strokeWidth=2).encode(alt.X("low:Q").title("correlation with the target"), alt.X2("high:Q"), shade)
    dots = base.mark_circle(size=60, opacity=1).encode(alt.X("corr_mean:Q"), shade, tooltip=["feature:N", *figures])
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color="var(--ink)", opacity=0.6).encode(alt.X("zero:Q"))
    return alt.layer(zero, spreads, dots).properties(width=WIDTH, height=alt.Step(20))


def drift(table: pd.DataFrame) -> alt.LayerChart:
    """Distance of live from train for the features that drifted most, beside what is usual, from `tables_data.drift`."""
    base = alt.Chart(table).encode(alt.Y("feature:N").sort(None).title(None))
    tooltip = ["feature:N", *(alt.Tooltip(f"{name}:Q", format=".4f") for name in ("distance", "expected", "usual_p95", "usual_max"))]
    distances = base.mark_bar(color="var(--accent)", opacity=0.8).encode(
        alt.X("distance:Q").title("distance of live from train (share of rows)"), tooltip=tooltip
    )
    usual = base.mark_rule(color="var(--ink)", strokeWidth=2).encode(alt.X("expected:Q"), alt.X2("usual_max:Q"), tooltip=tooltip)
    return alt.layer(distances, usual).properties(width=WIDTH, height=alt.Step(20))


def series(table: pd.DataFrame, d: Defaults, value: str, title: str, *, live: bool, form: str) -> alt.LayerChart:
    """A figure of each era over time; `form` is how its axis writes it."""
    base = alt.Chart(table).transform_filter(IN_RANGE)
    line = base.mark_line(clip=True, color="var(--accent)").encode(_x(), _y(value, title).axis(format=form))
    return _layers(d, line, live, [], _rule(base, [alt.Tooltip("era:Q"), alt.Tooltip(f"{value}:Q", format=".4f")]), height=140)


def _pair(d: Defaults) -> alt.Chart:
    """Every era that A and B both have: `a_corr`, `b_corr`, `gain`, `higher` (the name of the higher one)."""
    base = alt.Chart(alt.NamedData(ERAS)).transform_filter(IN_RANGE)
    return (
        base.transform_filter("datum.prediction == a || datum.prediction == b")
        .transform_calculate(a_part="datum.prediction == a ? datum.corr : null", b_part="datum.prediction == b ? datum.corr : null")
        .transform_aggregate(a_corr="max(a_part)", b_corr="max(b_part)", groupby=["era", "split"])
        .transform_filter("isValid(datum.a_corr) && isValid(datum.b_corr)")
        .transform_calculate(gain="datum.a_corr - datum.b_corr", higher="datum.a_corr > datum.b_corr ? a : b")
    )


def _pair_tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("era:Q"),
        alt.Tooltip("a_corr:Q", title="A", format=".4f"),
        alt.Tooltip("b_corr:Q", title="B", format=".4f"),
        alt.Tooltip("gain:Q", title="A less B", format="+.4f"),
    ]


def _eras(d: Defaults, by: Sequence[str]) -> alt.Chart:
    chosen = SHOWN if "shown" in by else "datum.prediction == focus"
    return alt.Chart(alt.NamedData(ERAS)).transform_filter(IN_RANGE).transform_filter(chosen)


def _layers(d: Defaults, drawn: alt.Chart, live: bool, shared: Sequence[str], hover: alt.Chart | None, *, height: int) -> alt.LayerChart:
    layers: list[alt.Chart] = [*_ground(d), drawn]
    if live and hover is not None:
        layers.append(hover)
    return alt.layer(*layers).add_params(*_parameters(d, shared)).properties(width=WIDTH, height=height)


def _ground(d: Defaults) -> list[alt.Chart]:
    """The validation eras shaded, and the line of 0."""
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color="var(--ink)", opacity=0.6).encode(alt.Y("zero:Q"))
    if d.boundary is None:
        return [zero]
    start, end = d.boundary
    span = pd.DataFrame({"start": [start - 0.5], "end": [end + 0.5], "label": ["validation"]})
    area = alt.Chart(span).transform_calculate(
        start="clamp(datum.start, first - 0.5, last + 0.5)",
        end="clamp(datum.end, first - 0.5, last + 0.5)",
        label="datum.start < datum.end ? datum.label : ''",
    )
    shade = area.mark_rect(color="var(--shade)", clip=True).encode(_x("start"), alt.X2("end:Q"))
    label = area.mark_text(align="left", baseline="top", dx=4, dy=4, color="var(--muted)", clip=True).encode(
        _x("start"), alt.Text("label:N"), y=alt.value(0)
    )
    return [shade, label, zero]


def _hover(base: alt.Chart, names: Sequence[str] | None, value: str) -> alt.Chart:
    """A line at the era nearest to the pointer, with the values of all that is shown."""
    if names is None:
        return _rule(base, [alt.Tooltip("era:Q"), alt.Tooltip("split:N"), alt.Tooltip(f"{value}:Q", format=".4f")])
    wide = base.transform_calculate(key="'p_' + datum.prediction").transform_pivot("key", value=value, groupby=["era"])
    return _rule(wide, [alt.Tooltip("era:Q"), *(alt.Tooltip(f"p_{name}:Q", title=name, format=".4f") for name in names)])


def _rule(base: alt.Chart, tooltip: list[alt.Tooltip]) -> alt.Chart:
    near = alt.selection_point(name="near", nearest=True, on="pointerover", clear="pointerout", fields=["era"], empty=False)
    return (
        base.mark_rule(color="var(--ink)", strokeWidth=1)
        .encode(_x(), opacity=alt.condition(near, alt.value(0.7), alt.value(0)), tooltip=tooltip)
        .add_params(near)
    )


def _diagonal(base: alt.Chart, x: str, y: str) -> alt.Chart:
    """The line on which both are equal, as far as the points reach."""
    ends = base.transform_aggregate(lx=f"min({x})", ly=f"min({y})", hx=f"max({x})", hy=f"max({y})")
    reach = ends.transform_calculate(low="min(datum.lx, datum.ly)", high="max(datum.hx, datum.hy)")
    return reach.mark_rule(strokeDash=[4, 3]).encode(x="low:Q", x2="high:Q", y="low:Q", y2="high:Q")


def _box(base: alt.Chart, y: alt.Y, title: str, shade: Any) -> alt.LayerChart:
    figures = ("min", "p05", "q1", "median", "mean", "q3", "p95", "max")
    tooltip = [y["shorthand"], *(alt.Tooltip(f"{name}:Q", format=".4f") for name in figures), "count:Q"]
    whiskers = base.mark_rule(strokeWidth=1.5).encode(y, alt.X("p05:Q").title(title), alt.X2("p95:Q"), color=shade, tooltip=tooltip)
    box = base.mark_bar(height={"band": 0.6}).encode(y, alt.X("q1:Q"), alt.X2("q3:Q"), color=shade, tooltip=tooltip)
    median = base.mark_tick(color="var(--ground)", thickness=2.5, height={"band": 0.6}).encode(y, alt.X("median:Q"))
    folded = base.transform_fold(["min", "max"], as_=["end", "extreme"])
    ends = folded.mark_circle(size=18, opacity=1).encode(y, alt.X("extreme:Q"), color=shade, tooltip=tooltip)
    return alt.layer(whiskers, box, median, ends)


def _own_colour(d: Defaults, field: str) -> alt.Color:
    """The colour of a prediction or model, without a key: its name stands beside it."""
    return alt.Color(f"{field}:N").scale(domain=d.names, range=[colour(name) for name in d.names]).legend(None)


def _bars(base: Any, value: str, title: str) -> Any:
    """A bar for each era from 0, as wide as the era; an era that isn't there has none."""
    spanned = base.transform_calculate(start="datum.era - 0.5", end="datum.era + 0.5")
    return spanned.mark_rect(clip=True).encode(_x("start"), alt.X2("end:Q"), _y(value, title), alt.Y2(datum=0))


def _x(field: str = "era") -> alt.X:
    scale = alt.Scale(domainMin=alt.ExprRef("first - 0.5"), domainMax=alt.ExprRef("last + 0.5"), nice=False, zero=False)
    ticks = alt.ExprRef("min(10, last - first)")
    return alt.X(f"{field}:Q").scale(scale).title("era (week)").axis(format="d", grid=False, tickCount=ticks)


def _y(field: str, title: str) -> alt.Y:
    return alt.Y(f"{field}:Q").title(title)


def _colour(names: Sequence[str]) -> alt.Color:
    return alt.Color("prediction:N").scale(domain=list(names), range=[colour(name) for name in names]).title(None).legend(columns=COLUMNS)


def _dash(d: Defaults) -> alt.StrokeDash:
    """Whole lines, dashed for the models that take a colour a second time."""
    return alt.StrokeDash("prediction:N").scale(domain=d.names, range=[DASH if name in d.dashed else WHOLE for name in d.names]).title(None)


def _parameters(d: Defaults, shared: Sequence[str]) -> list[alt.Parameter]:
    return [_parameter(d, name) for name in ("first", "last", *shared)]


def _parameter(d: Defaults, name: str) -> alt.Parameter:
    return alt.param(name=name, value=d.state()[name])
