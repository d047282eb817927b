"""Charts of the report: tables in, Vega-Lite out.

A person switches parameters that charts share by their names: `score`, `shown` (predictions), `first` and `last` (eras), `focus` (the
prediction of charts that show one), `against` (the other one of a pair), `model` and `measure` (of the features' importance).

Channels are objects that get their parts as arguments, and so do layers. Altair has methods for these parts, which copy the whole chart
so far, and accepts a bare name for a channel, whose class it looks up in the whole schema. Both would double the time of a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from erawise.base.schema import CV, VALIDATION
from erawise.evaluation.significance import BETTER, OPEN, WORSE
from erawise.report.content import SCORES, YARDSTICKS
from erawise.report.drawing import WIDTH

ERAS = "eras"
"""Name of the table of every era's scores, which the page holds once for all charts."""

WINDOW, YEAR = 13, 52
"""Eras of a rolling mean, a quarter of a year, and of a rolling Sharpe."""

HALF_YEAR = 26
"""Eras of a column in the picture of exposures."""

REAL = (0.013, 0.029)
"""Mean CORR of Numerai's example models on real data, targets of 20 days: the known range. docs/metrics.md has the sources."""

IN_RANGE = "datum.era >= first && datum.era <= last"
SHOWN = "indexof(shown, datum.prediction) >= 0"
GOOD, BAD, MUTED = "var(--good)", "var(--bad)", "var(--muted)"
LABELS, CELL = 165, 58
LINE = 16
"""Pixels between two labels at the ends of lines."""

ROOM = "min(118, width * 0.3)"
"""Width of these labels."""

LEVELS = ["#2c7fb8", "#8a8a8a", "#e6550d"]
"""From a feature's lowest value to its highest: apart for the colour-blind, and on a light and a dark ground."""

WHOLE, DASH, DOTS = [1, 0], [5, 2], [2, 3]
DIVERGING = ["#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b"]


@dataclass(frozen=True)
class Defaults:
    """First state of the switches.

    Attributes
    ----------
    names : predictions, and yardsticks after them.
    chosen : of them, the one in focus.
    first, last : eras.
    spans : first and last era of each split that has any, and its number of eras.
    against : the prediction that the one in focus is compared with.
    model, measure : of the features' importance; empty if there is none.
    dashed : models that take the colour of another.
    real : whether the scores can be compared with `REAL`, since they are against Numerai's targets.
    """

    names: list[str]
    chosen: str
    first: int
    last: int
    spans: dict[str, tuple[int, int, int]]
    against: str
    model: str = ""
    measure: str = ""
    dashed: frozenset[str] = frozenset()
    real: bool = True

    @property
    def own(self) -> list[str]:
        """The predictions without the yardsticks."""
        return [name for name in self.names if name not in YARDSTICKS]

    def state(self) -> dict[str, Any]:
        """Return the values of the parameters that charts share, by their names."""
        return {
            "score": next(iter(SCORES)),
            "shown": self.names,
            "first": self.first,
            "last": self.last,
            "focus": self.chosen,
            "against": self.against,
            "model": self.model,
            "measure": self.measure,
        }


def colour(name: str) -> str:
    """Return the colour of a prediction as the style sheet names it; yardsticks are grey."""
    return MUTED if name in YARDSTICKS else f"var(--p-{name})"


def forest(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Draw the difference of each prediction's mean score from the chosen one's, with its interval, from `answer.against`."""
    base = alt.Chart(table).transform_filter("datum.score == score")
    y = alt.Y("prediction:N", sort={"field": "order", "op": "min"}, title=None)
    offset = alt.YOffset("split:N", scale={"domain": [CV, VALIDATION]})
    verdicts = {"domain": [BETTER, OPEN, WORSE, "yardstick"], "range": [GOOD, "var(--ink)", BAD, MUTED]}
    shade = alt.Color("verdict:N", scale=verdicts, legend=None)
    pale = alt.Opacity("split:N", scale={"domain": [CV, VALIDATION], "range": [1, 0.45]}, legend=None)
    figures = [alt.Tooltip(f"{name}:Q", format="+.4f") for name in ("mean", "low", "high")]
    tooltip = [*_tooltip("prediction:N", "split:N"), *figures, *_tooltip("verdict:N")]
    whiskers = base.mark_rule(strokeWidth=2.5).encode(
        y, alt.X("low:Q", title="difference of means"), alt.X2("high:Q"), offset, shade, pale, tooltip=tooltip
    )
    dots = base.mark_circle(size=55).encode(y, alt.X("mean:Q"), offset, shade, pale, tooltip=tooltip)
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color=colour(d.chosen), strokeWidth=2).encode(alt.X("zero:Q"))
    step = alt.Step(23, **{"for": "position"})
    return _layered(d, [zero, whiskers, dots], ["score"], WIDTH * 0.8, step)


def running(d: Defaults, live: bool) -> alt.LayerChart:
    """Draw the running sum of the chosen prediction, in CORR beside the known range of real data if it can be compared."""
    base = _eras(d, f"datum.prediction == '{d.chosen}'")
    total = base.transform_window(total="sum(value)", sort=[alt.SortField("era")], groupby=["split"])
    line = total.mark_line(clip=True, color=colour(d.chosen), strokeWidth=2.5).encode(
        _x(), _y("total", "running sum"), alt.Detail("split:N")
    )
    return _layers(d, [_real(d), line] if d.real else [line], live, ["score"], _hover(total, [d.chosen], "total"), height=170)


def cumulative(d: Defaults, live: bool) -> alt.LayerChart:
    """Draw running sums of all that is shown, from 0 at the first era in range and at the first of validation."""
    base = _eras(d, SHOWN).transform_window(total="sum(value)", sort=[alt.SortField("era")], groupby=["prediction", "split"])
    lines = _lines(d, base, "total", "running sum")
    return _layers(
        d, [lines, _ends(d, base, "total", 300)], live, ["score", "shown"], _hover(base, d.names, "total", room=True), height=300, room=True
    )


def rolling(d: Defaults, live: bool, window: int, worth: str) -> alt.LayerChart:
    """Draw a figure of the last `window` eras of all that is shown, whatever range of eras is: `worth` of their `mean` and `spread`."""
    base = _recent(window).transform_calculate(recent=worth).transform_filter("isFinite(datum.recent)")
    lines = _lines(d, base, "recent", f"of {window} eras")
    hover = _hover(base, d.names, "recent", room=True)
    return _layers(d, [lines, _ends(d, base, "recent", 200)], live, ["score", "shown"], hover, height=200, room=True)


def quarters(d: Defaults) -> alt.Chart:
    """Draw the mean of each `WINDOW` eras of all that is shown, a row for each, as a colour for its sign and a strength for its size."""
    begin = f"datum.begin + {WINDOW} * floor((datum.era - datum.begin) / {WINDOW})"
    base = _eras(d, SHOWN).transform_joinaggregate(begin="min(era)", groupby=["split"]).transform_calculate(start=begin)
    means = base.transform_aggregate(mean="mean(value)", stop="max(era)", eras="count()", groupby=["prediction", "split", "start"])
    cells = means.transform_calculate(end="datum.stop + 1", size="abs(datum.mean)", way="datum.mean < 0 ? 'below 0' : 'above 0'")
    tooltip = [
        alt.Tooltip("prediction:N"),
        alt.Tooltip("start:Q", title="from era"),
        alt.Tooltip("stop:Q", title="to era"),
        alt.Tooltip("mean:Q", format="+.4f"),
    ]
    drawn = cells.mark_rect(clip=True, stroke="var(--ground)").encode(
        _x("start"),
        alt.X2("end:Q"),
        alt.Y("prediction:N", sort=d.names, title=None),
        alt.Color("way:N", scale={"domain": ["above 0", "below 0"], "range": [GOOD, BAD]}, legend={"title": None}),
        alt.Opacity("size:Q", scale={"range": [0.06, 1]}, legend=None),
        tooltip=tooltip,
    )
    return drawn.add_params(*_parameters(d, ["score", "shown"])).properties(width=WIDTH, height=alt.Step(20))


def by_era(d: Defaults, live: bool) -> alt.LayerChart:
    """Draw the score of the prediction in focus, a bar for each era."""
    base = _eras(d, "datum.prediction == focus")
    bars = _bars(base, "value", "score of an era").encode(_own_colour(d, "prediction"))
    return _layers(d, [bars], live, ["score", "focus"], _hover(base, None, "value"), height=160)


def drawdown(d: Defaults, live: bool) -> alt.LayerChart:
    """Draw how far the running sum of the prediction in focus lies below its highest value so far, of all eras of the split."""
    base = (
        _eras(d, "datum.prediction == focus", ranged=False)
        .transform_window(total="sum(value)", sort=[alt.SortField("era")], groupby=["split"])
        .transform_window(peak="max(total)", sort=[alt.SortField("era")], groupby=["split"])
        .transform_calculate(fall="datum.total - datum.peak")
        .transform_filter(IN_RANGE)
    )
    area = base.mark_area(clip=True, color=BAD, opacity=0.45, line={"color": BAD}).encode(
        _x(), _y("fall", "below the peak"), alt.Detail("split:N")
    )
    return _layers(d, [area], live, ["score", "focus"], _hover(base, None, "fall"), height=130)


def tenths(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Draw the mean target in each tenth of the predictions, from `tables.target_by_prediction`."""
    base = alt.Chart(table).transform_filter(SHOWN)
    scale = alt.Scale(nice=False, zero=False, rangeMax=alt.ExprRef(f"width - {ROOM}"))
    x = alt.X("tenth:Q", title="tenth of the predictions (1: lowest)", scale=scale, axis={"tickCount": 10, "grid": False})
    figures = [alt.Tooltip("mean_target:Q", format=".4f"), alt.Tooltip("rows:Q", format=",")]
    tooltip = [*_tooltip("prediction:N", "tenth:Q"), *figures]
    y = alt.Y("mean_target:Q", scale={"zero": False}, title="mean target")
    lines = base.mark_line(point=True).encode(x, y, _own_colour(d, "prediction"), tooltip=tooltip)
    level = base.mark_rule(strokeDash=[4, 3]).encode(alt.Y("mean(mean_all):Q"))
    ends = _ends(d, base, "mean_target", 220, place="tenth", zero=False)
    return _layered(d, [level, lines, ends], ["shown"], WIDTH // 2, 220)


def levels(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Draw the mean prediction against the mean target of each era with the diagonal, from `tables.era_means`."""
    kept = table[["model", "era", "mean_target", "mean_prediction"]]
    base = alt.Chart(kept).transform_filter("datum.model == model").transform_filter(IN_RANGE)
    points = base.mark_circle(size=45, opacity=0.75).encode(
        alt.X("mean_target:Q", scale={"zero": False}, title="mean target of the era"),
        alt.Y("mean_prediction:Q", scale={"zero": False}, title="mean prediction"),
        _own_colour(d, "model"),
        tooltip=[*_tooltip("model:N", "era:Q"), *(alt.Tooltip(f"{name}:Q", format=".4f") for name in ("mean_target", "mean_prediction"))],
    )
    ends = base.transform_aggregate(lx="min(mean_target)", ly="min(mean_prediction)", hx="max(mean_target)", hy="max(mean_prediction)")
    reach = ends.transform_calculate(low="min(datum.lx, datum.ly)", high="max(datum.hx, datum.hy)")
    diagonal = reach.mark_rule(strokeDash=[4, 3]).encode(alt.X("low:Q"), alt.X2("high:Q"), alt.Y("low:Q"), alt.Y2("high:Q"))
    return _layered(d, [diagonal, points], ["model", "first", "last"], WIDTH // 2, 300)


def heat(table: pd.DataFrame, rows: str, columns: str, order: Sequence[str]) -> alt.LayerChart:
    """Draw a square of the column `correlation`, with the numbers in it."""
    axis = {"sort": list(order), "title": None}
    base = alt.Chart(table).encode(alt.X(f"{columns}:N", axis=alt.Axis(labelAngle=-40), **axis), alt.Y(f"{rows}:N", **axis))
    cells = base.mark_rect(stroke="var(--ground)").encode(
        alt.Color("correlation:Q", scale={"domain": [-1, 1], "range": DIVERGING, "type": "linear"}, legend=None),
        tooltip=[*_tooltip(f"{rows}:N", f"{columns}:N"), alt.Tooltip("correlation:Q", format=".3f")],
    )
    light = {"test": "isValid(datum.correlation) && abs(datum.correlation) > 0.75", "value": "#ffffff"}
    known = base.transform_filter("isValid(datum.correlation)")
    numbers = known.mark_text(fontSize=11).encode(alt.Text("correlation:Q", format=".2f"), alt.ColorValue("#1a1a1a", condition=light))
    return alt.LayerChart(layer=[cells, numbers], width=side(len(order)), height=alt.Step(34))


def side(count: int) -> int:
    """Return the width in pixels of a `heat` of so many rows and columns, with their names."""
    return LABELS + CELL * count


def difference(d: Defaults, live: bool) -> alt.LayerChart:
    """Draw the difference of the prediction in focus from the other, a bar for each era in the colour of the higher one."""
    base = (
        _eras(d, "datum.prediction == focus || datum.prediction == against")
        .transform_calculate(one="datum.prediction == focus ? datum.value : null", other="datum.prediction == against ? datum.value : null")
        .transform_aggregate(one="max(one)", other="max(other)", groupby=["era", "split"])
        .transform_filter("isValid(datum.one) && isValid(datum.other)")
        .transform_calculate(gain="datum.one - datum.other", higher="datum.one > datum.other ? focus : against")
    )
    bars = _bars(base, "gain", "difference").encode(_own_colour(d, "higher"))
    mean = base.mark_line(strokeDash=[6, 4], color="var(--ink)", clip=True).transform_joinaggregate(mean="mean(gain)", groupby=["split"])
    tooltip = [alt.Tooltip("era:Q"), *(alt.Tooltip(f"{name}:Q", format="+.4f") for name in ("one", "other", "gain"))]
    drawn = [bars, mean.encode(_x(), alt.Y("mean:Q"), alt.Detail("split:N"))]
    return _layers(d, drawn, live, ["score", "focus", "against"], _rule(base, tooltip), height=180)


def importance(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Draw the leading features of one model by one measure, from `drivers.measures`."""
    base = alt.Chart(table).transform_filter("datum.model == model && datum.measure == measure")
    y = alt.Y("feature:N", sort={"field": "rank", "op": "min"}, title=None)
    figures = [alt.Tooltip(f"{name}:Q", format=".4f") for name in ("value", "low", "high")]
    tooltip = [*_tooltip("feature:N", "group:N"), *figures]
    drawn = base.mark_bar().encode(y, alt.X("value:Q", title="importance by the measure chosen"), _own_colour(d, "model"), tooltip=tooltip)
    whiskers = base.mark_rule(color="var(--ink)").encode(y, alt.X("low:Q"), alt.X2("high:Q"))
    return _layered(d, [drawn, whiskers], ["model", "measure"], WIDTH, alt.Step(18))


def beeswarm(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Draw the contributions of the leading features of one model, a dot a row, from `drivers.swarm`."""
    rounded = table.round({"level": 2, "contribution": 3, "place": 2})
    base = alt.Chart(rounded[["model", "rank", "feature", "era", "value", "level", "contribution", "place"]]).transform_filter(
        "datum.model == model"
    )
    top = int(table["rank"].max())
    scale = alt.Scale(domain=[0.5, top + 0.5], reverse=True, nice=False, zero=False)
    legend = {"format": ".0%", "gradientLength": 160, "direction": "horizontal"}
    dots = base.mark_circle(size=14, opacity=0.85).encode(
        alt.X("contribution:Q", title="contribution (std of predictions)"),
        alt.Y("place:Q", scale=scale, axis=None),
        alt.Color("level:Q", scale={"domain": [0, 1], "range": LEVELS}, title="value of the feature", legend=legend),
        tooltip=[*_tooltip("feature:N", "era:Q", "value:Q"), alt.Tooltip("contribution:Q", format="+.3f")],
    )
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color="var(--ink)", opacity=0.6).encode(alt.X("zero:Q"))
    names = base.transform_aggregate(groupby=["rank", "feature"])
    labels = names.mark_text(align="right", dx=-6, color="var(--muted)", limit=LABELS).encode(
        alt.Y("rank:Q", scale=scale), alt.Text("feature:N"), alt.XValue(0)
    )
    return _layered(d, [zero, dots, labels], ["model"], WIDTH, 34 * top)


def exposure(table: pd.DataFrame, d: Defaults) -> alt.Chart:
    """Draw the largest exposure to each group of features over time, a row for each group, from `drivers.exposed`."""
    base = alt.Chart(table).transform_filter("datum.prediction == focus").transform_filter(IN_RANGE)
    cells = base.transform_calculate(end="datum.stop + 1").mark_rect(clip=True, color="var(--accent)", stroke="var(--ground)")
    highest = max(0.5, float(table["largest"].max()))
    drawn = cells.encode(
        _x("era"),
        alt.X2("end:Q"),
        alt.Y("group:N", sort=None, title=None),
        alt.Opacity("largest:Q", scale={"domain": [0, highest], "range": [0, 1]}, title="|exposure|"),
        tooltip=[
            alt.Tooltip("group:N"),
            alt.Tooltip("era:Q", title="from era"),
            alt.Tooltip("stop:Q", title="to era"),
            alt.Tooltip("largest:Q", format=".2f"),
        ],
    )
    return drawn.add_params(*_parameters(d, ["focus"])).properties(width=WIDTH, height=alt.Step(20))


def year(table: pd.DataFrame, d: Defaults) -> alt.LayerChart:
    """Draw what a stake of 1 becomes within a year: nine years of ten, and the median, from `staking.outlook`."""
    shown = table.assign(**{name: table[name].clip(lower=0.01) for name in ("p05_all", "p95_all", "p05", "p95", "median")})
    base = alt.Chart(shown.round(3)).encode(alt.X("week:Q", title="week", scale={"nice": False}))
    tooltip = [alt.Tooltip("week:Q"), *(alt.Tooltip(f"{name}:Q", format=".2f") for name in ("p05_all", "p05", "median", "p95", "p95_all"))]
    scale = alt.Scale(type="log", nice=False)
    shade = colour(d.chosen)
    wide = base.mark_area(color=shade, opacity=0.18).encode(
        alt.Y("p05_all:Q", scale=scale, title="a stake of 1 becomes"), alt.Y2("p95_all:Q")
    )
    narrow = base.mark_area(color=shade, opacity=0.3).encode(alt.Y("p05:Q"), alt.Y2("p95:Q"))
    line = base.mark_line(color=shade, strokeWidth=2.5).encode(alt.Y("median:Q"), tooltip=tooltip)
    one = alt.Chart(pd.DataFrame({"one": [1]})).mark_rule(color="var(--ink)", opacity=0.6).encode(alt.Y("one:Q"))
    return alt.LayerChart(layer=[wide, narrow, one, line], width=WIDTH, height=220)


def _eras(d: Defaults, chosen: str, *, ranged: bool = True) -> alt.Chart:
    """Take the eras of some predictions, with the score that is switched on as `value`."""
    base = alt.Chart(alt.NamedData(ERAS)).transform_filter(chosen).transform_calculate(value="datum[score]")
    known = base.transform_filter("isValid(datum.value)")
    return known.transform_filter(IN_RANGE) if ranged else known


def _recent(window: int) -> alt.Chart:
    """Take `mean` and `spread` of the last eras, of as many as there must be."""
    return (
        alt.Chart(alt.NamedData(ERAS))
        .transform_filter(SHOWN)
        .transform_calculate(value="datum[score]")
        .transform_filter("isValid(datum.value)")
        .transform_window(
            mean="mean(value)",
            spread="stdevp(value)",
            eras="count()",
            sort=[alt.SortField("era")],
            frame=[1 - window, 0],
            groupby=["prediction", "split"],
        )
        .transform_filter(f"datum.eras == {window}")
        .transform_filter(IN_RANGE)
    )


def _lines(d: Defaults, base: alt.Chart, value: str, title: str) -> alt.Chart:
    """Draw a line for each prediction; yardsticks are grey and dotted, a second round of colours is dashed."""
    dashes = [DOTS if name in YARDSTICKS else DASH if name in d.dashed else WHOLE for name in d.names]
    dash = alt.StrokeDash("prediction:N", scale={"domain": d.names, "range": dashes}, legend=None)
    return base.mark_line(clip=True).encode(_x(room=True), _y(value, title), _own_colour(d, "prediction"), dash, alt.Detail("split:N"))


def _ends(d: Defaults, base: alt.Chart, value: str, height: int, *, place: str = "era", zero: bool = True) -> alt.Chart:
    """Name each line at its right end; labels that would overlap are moved apart, and those below the chart up."""
    order = [alt.SortField(value, "descending")]
    low, high = ("min(0, datum.lo)", "max(0, datum.hi)") if zero else ("datum.lo", "datum.hi")
    labels = (
        base.transform_joinaggregate(lo=f"min({value})", hi=f"max({value})")
        .transform_joinaggregate(end=f"max({place})", groupby=["prediction"])
        .transform_filter(f"datum.{place} == datum.end")
        .transform_window(k="row_number()", sort=order, frame=[None, 0])
        .transform_joinaggregate(n="count()")
        .transform_calculate(gap=f"({high} - {low}) * {LINE} / {height}")
        .transform_calculate(pushed=f"datum.{value} + datum.gap * datum.k")
        .transform_window(least="min(pushed)", sort=order, frame=[None, 0])
        .transform_calculate(spot=f"max(datum.least - datum.gap * datum.k, {low} + datum.gap * (datum.n - datum.k))")
    )
    x = alt.XValue({"expr": f"width - {ROOM} + 6"})
    return labels.mark_text(align="left", fontSize=11, limit=112).encode(
        alt.Y("spot:Q"), alt.Text("prediction:N"), _own_colour(d, "prediction"), x
    )


def _real(d: Defaults) -> alt.Chart:
    """Draw the sums that the known range of real data gives, as a wedge from the first era of each split."""
    rows = [
        {"from": start, "to": stop, "share": count / (stop - start + 1), "last": last}
        for start, stop, count in d.spans.values()
        for last in (0, 1)
    ]
    begin = "max(datum.from - 1, first - 1)"
    base = (
        alt.Chart(pd.DataFrame(rows))
        .transform_filter("score == 'corr' && datum.to > first && datum.from < last")
        .transform_calculate(era=f"datum.last ? min(datum.to, last) : {begin}", weeks=f"datum.last ? min(datum.to, last) - {begin} : 0")
        .transform_calculate(low=f"{REAL[0]} * datum.weeks * datum.share", high=f"{REAL[1]} * datum.weeks * datum.share")
    )
    return base.mark_area(color=MUTED, opacity=0.3, clip=True).encode(_x(), alt.Y("low:Q"), alt.Y2("high:Q"), alt.Detail("from:Q"))


def _layers(
    d: Defaults, drawn: Sequence[Any], live: bool, shared: Sequence[str], hover: alt.Chart | None, *, height: int, room: bool = False
) -> alt.LayerChart:
    layers: list[Any] = [*_ground(d, room), *drawn]
    if live and hover is not None:
        layers.append(hover)
    return _layered(d, layers, ["first", "last", *shared], WIDTH, height)


def _layered(d: Defaults, layers: list[Any], shared: Sequence[str], width: float, height: Any) -> alt.LayerChart:
    """Lay charts over each other, with the parameters that they share with other charts."""
    return alt.LayerChart(layer=layers, params=[_parameter(d, name).param for name in shared], width=width, height=height)


def _ground(d: Defaults, room: bool) -> list[alt.Chart]:
    """Draw the validation eras as a shade, and the line of 0."""
    line = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color="var(--ink)", opacity=0.6)
    zero = line.encode(alt.Y("zero:Q"), alt.XValue(0), alt.X2Value({"expr": f"width - {ROOM}" if room else "width"}))
    if VALIDATION not in d.spans:
        return [zero]
    start, end, _ = d.spans[VALIDATION]
    span = pd.DataFrame({"start": [start - 0.5], "end": [end + 0.5], "label": ["validation"]})
    area = alt.Chart(span).transform_calculate(
        start="clamp(datum.start, first - 0.5, last + 0.5)",
        end="clamp(datum.end, first - 0.5, last + 0.5)",
        label="datum.start < datum.end ? datum.label : ''",
    )
    shade = area.mark_rect(color="var(--shade)", clip=True).encode(_x("start", room=room), alt.X2("end:Q"))
    label = area.mark_text(align="left", baseline="top", dx=4, dy=4, color=MUTED, clip=True).encode(
        _x("start", room=room), alt.Text("label:N"), alt.YValue(0)
    )
    return [shade, label, zero]


def _hover(base: alt.Chart, names: Sequence[str] | None, value: str, *, room: bool = False) -> alt.Chart:
    """Draw a line at the era nearest to the pointer, with the values of all that is shown."""
    if names is None:
        return _rule(base, [alt.Tooltip("era:Q"), alt.Tooltip("split:N"), alt.Tooltip(f"{value}:Q", format=".4f")])
    numbered = {name: f"p{k}" for k, name in enumerate(names)}
    keys = "{" + ", ".join(f"'{name}': '{key}'" for name, key in numbered.items()) + "}"
    wide = base.transform_calculate(key=f"{keys}[datum.prediction]").transform_pivot("key", value=value, groupby=["era"])
    return _rule(
        wide, [alt.Tooltip("era:Q"), *(alt.Tooltip(f"{key}:Q", title=name, format=".4f") for name, key in numbered.items())], room=room
    )


def _rule(base: alt.Chart, tooltip: list[alt.Tooltip], *, room: bool = False) -> alt.Chart:
    near = alt.selection_point(name="near", nearest=True, on="pointerover", clear="pointerout", fields=["era"], empty=False)
    return (
        base.mark_rule(color="var(--ink)", strokeWidth=1)
        .encode(_x(room=room), alt.OpacityValue(0, condition={"param": near.name, "empty": False, "value": 0.7}), tooltip=tooltip)
        .add_params(near)
    )


def _own_colour(d: Defaults, field: str) -> alt.Color:
    """Return the colour of a prediction or model, without a key: its name stands next to it."""
    return alt.Color(f"{field}:N", scale={"domain": d.names, "range": [colour(name) for name in d.names]}, legend=None)


def _bars(base: Any, value: str, title: str) -> Any:
    """Draw a bar for each era from 0, as wide as the era; an era that isn't there has none."""
    spanned = base.transform_calculate(start="datum.era - 0.5", end="datum.era + 0.5")
    return spanned.mark_rect(clip=True).encode(_x("start"), alt.X2("end:Q"), _y(value, title), alt.Y2(datum=0))


def _tooltip(*fields: str) -> list[alt.Tooltip]:
    """Return a line of a tooltip for each field."""
    return [alt.Tooltip(field) for field in fields]


def _x(field: str = "era", *, room: bool = False) -> alt.X:
    """Return the axis of eras; with room for labels at its right end if there are any."""
    ends = {"domainMin": alt.ExprRef("first - 0.5"), "domainMax": alt.ExprRef("last + 0.5")}
    scale = alt.Scale(**ends, nice=False, zero=False, **({"rangeMax": alt.ExprRef(f"width - {ROOM}")} if room else {}))
    axis = {"format": "d", "grid": False, "tickCount": alt.ExprRef("min(10, last - first)")}
    return alt.X(f"{field}:Q", scale=scale, title="era (week)", axis=axis)


def _y(field: str, title: str) -> alt.Y:
    return alt.Y(f"{field}:Q", title=title)


def _parameters(d: Defaults, shared: Sequence[str]) -> list[alt.Parameter]:
    return [_parameter(d, name) for name in ("first", "last", *shared)]


def _parameter(d: Defaults, name: str) -> alt.Parameter:
    return alt.param(name=name, value=d.state()[name])
