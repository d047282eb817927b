"""Live scores of models, compared with their validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from erawise.base.schema import ERA, PREDICTION
from erawise.charts.tables import Table
from erawise.evaluation import significance
from erawise.evaluation.significance import LEVEL
from erawise.history.comparison import interval
from erawise.outlook import staking
from erawise.running.terminal import Column, FilledColumn, Sheet, tabulate
from erawise.scores.kernels import Floats

WEEK_DAYS = 7

METRICS = ("corr", "mmc")

METRIC = "metric"
"""The column of live scores that names one of `METRICS`."""

SHORT = 8
"""Shown digits of a digest."""


@dataclass(frozen=True)
class Horizon:
    """The horizon of live scores.

    Attributes
    ----------
    days : trading days that they look ahead.
    paid : whether Numerai pays for them.
    early : whether they come before the paid ones.
    names : the site's names of these scores.
    """

    days: int
    paid: bool
    early: bool
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Return its name for a person."""
        return f"{'Paid: ' if self.paid else 'Early sign: ' if self.early else ''}{self.days} days"


@dataclass(frozen=True)
class Promise:
    """The validation scores of a prediction, with which its live scores are compared.

    Attributes
    ----------
    scores : (eras,) `corr` and `mmc` in the order of time, without NaN.
    every : weeks from one era to the next.
    overlap : eras that a target spans.
    """

    scores: Mapping[str, Floats]
    every: int
    overlap: int


@dataclass(frozen=True)
class Source:
    """The source of a model's predictions in some rounds.

    Attributes
    ----------
    prediction : its name in the pipeline; empty if unknown.
    digest : of the models that made it; empty if unknown.
    promise : its validation; None if there is none.
    reason : why there is no promise; empty if there is one.
    earlier : whether the model has another source by now.
    """

    prediction: str
    digest: str
    promise: Promise | None
    reason: str = ""
    earlier: bool = False

    @property
    def label(self) -> str:
        """Return its name for a person."""
        if not self.earlier:
            return self.prediction
        return f"{self.prediction or 'not from here'}, earlier" + (f" ({self.digest[:SHORT]})" if self.digest else "")


@dataclass(frozen=True)
class Live:
    """The live scores of one model on one metric, for the rounds that one source predicted.

    Attributes
    ----------
    model, metric : names.
    source : of the predictions.
    horizon : of the scores, and of the validation that they are compared with.
    weeks : DataFrame (weeks): `week` (counted from year 1), `round` (the last of the week), `rounds` (their number), `value` (their mean),
        `percentile`, `final`, `cumulative` (sum of `value`), and the band `low`, `middle`, `high` of that sum, NaN without a promise.
        First come the weeks of resolved rounds, then, with `final` false, the weeks of later rounds.
    open_rounds : rounds that haven't resolved.
    reason : why there is no band; empty if there is one.
    """

    model: str
    metric: str
    source: Source
    horizon: Horizon
    weeks: pd.DataFrame
    open_rounds: int
    reason: str

    @property
    def final(self) -> pd.DataFrame:
        """Return the weeks of resolved rounds."""
        return self.weeks[self.weeks["final"]]

    @property
    def verdict(self) -> str:
        """Return `inside`, `below` or `above` the band after the last final week; `none` without a band or such a week."""
        if self.reason or self.final.empty:
            return "none"
        last = self.final.iloc[-1]
        return "below" if last["cumulative"] < last["low"] else "above" if last["cumulative"] > last["high"] else "inside"


def live(book: pd.DataFrame, model: str, metric: str, source: Source, horizon: Horizon, *, replicates: int, seed: int) -> Live:
    """Return a model's live scores by week, and the band that its validation promises for their running sum.

    The rounds of a week share most of their days: their mean is the week's score, and is compared with an era's score in validation. A
    round's resolved score counts; if there is none, the score of the latest day.

    Parameters
    ----------
    book : scores of the source's rounds and only of the horizon, as from `Scorebook.read`, with `metric`.
    replicates, seed : of the bootstrap.
    """
    latest = latest_scores(book[(book["model"] == model) & (book[METRIC] == metric)])
    final, running = by_week(latest[latest["resolved"]]), by_week(latest[~latest["resolved"]])
    later = running[running["week"] > final["week"].max()] if len(final) else running
    weeks = pd.concat([final.assign(final=True), later.assign(final=False)], ignore_index=True)
    low = middle = high = np.full(len(weeks), np.nan)
    promise, reason = source.promise, source.reason
    if promise is not None and weeks.empty:
        reason = "no score yet"
    elif promise is not None:
        series = promise.scores[metric]
        reason = significance.mean(series, overlap=promise.overlap).reason
        if not reason:
            low, middle, high = band(series, promise.overlap, promise.every, len(weeks), replicates, seed)
    table = weeks.assign(cumulative=weeks["value"].cumsum(), low=low, middle=middle, high=high)
    return Live(model, metric, source, horizon, table, int((~latest["resolved"]).sum()), reason)


def latest_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the score of each round that counts, for one model and metric; rounds without a date are left out."""
    dated = scores[scores["closed"] != ""]
    ordered = dated.assign(number=pd.to_numeric(dated["version"], errors="coerce").fillna(-1))
    ordered = ordered.sort_values(["round", "resolved", "day", "number", "version"], kind="stable")
    return ordered.drop_duplicates("round", keep="last").drop(columns="number")


def by_week(latest: pd.DataFrame) -> pd.DataFrame:
    """Group rounds by the week in which they closed: `week`, `round`, `rounds`, `value`, `percentile`, see `Live.weeks`."""
    week = [(date.fromisoformat(text).toordinal() - 1) // WEEK_DAYS for text in latest["closed"]]
    grouped = latest.assign(week=np.array(week, np.int64)).groupby("week")
    return pd.DataFrame(
        {
            "round": grouped["round"].max(),
            "rounds": grouped.size(),
            "value": grouped["value"].mean(),
            "percentile": grouped["percentile"].mean(),
        }
    ).reset_index()


def history(book: pd.DataFrame) -> pd.DataFrame:
    """Return the live scores of resolved rounds as scores by era: `era` (the week), `prediction` (the model), `corr`, `mmc`.

    Parameters
    ----------
    book : scores of one horizon as from `Scorebook.read`, with `metric`.
    """
    parts = []
    for model, rows in book[book["resolved"]].groupby("model"):
        weeks = {name: by_week(latest_scores(rows[rows[METRIC] == name])) for name in METRICS}
        found = pd.DataFrame({name: table.set_index("week")["value"] for name, table in weeks.items()})
        parts.append(found.rename_axis(ERA).reset_index().assign(**{PREDICTION: model}))
    columns = [ERA, PREDICTION, *METRICS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def band(series: Floats, overlap: int, every: int, weeks: int, replicates: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Simulate the running sum of so many weeks' scores from validation eras; 95 % of the sums stay within the band in every week.

    - Deviations from the mean are drawn by a stationary bootstrap, divided by the root of the variance that it keeps of overlapping eras
      (`staking.variance_kept`).
    - Mean and spread are drawn from their posterior (`staking.posterior_draws`).
    - The band begins as each week's 95 % interval, and is widened until 95 % of the sums are within it in every week.

    Returns
    -------
    low, middle, high : (weeks,); `middle` is the median.
    """
    known = series[np.isfinite(series)]
    found = significance.mean(known, overlap=overlap)
    length = staking.mean_block(known[:, None], overlap)
    rng = np.random.default_rng(seed)
    order = significance.stationary_order(len(known), length, replicates, rng, -(-weeks // every))
    shift, spread = staking.posterior_draws(np.array([(found.high - found.low) / 2]), np.array([found.degrees]), replicates)
    deviation = spread * (known - known.mean())[order] / np.sqrt(staking.variance_kept(length, overlap))
    drawn = np.cumsum(found.mean + shift + np.repeat(deviation, every, axis=1)[:, :weeks], axis=1)
    low, middle, high = np.quantile(drawn, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], axis=0)
    distance = np.where(drawn >= middle, (drawn - middle) / (high - middle), (middle - drawn) / (middle - low))
    apart = float(np.quantile(distance.max(axis=1), LEVEL))
    return middle - apart * (middle - low), middle, middle + apart * (high - middle)


def metrics(every: list[Live]) -> dict[str, Any]:
    """Return the figures of `metrics/live.json`, by model and metric: of resolved rounds and of open ones.

    Rounds of an earlier source are under `earlier`, by the first digits of its digest.
    """
    content: dict[str, Any] = {}
    for one in every:
        final, running = one.final, one.weeks[~one.weeks["final"]]
        block: dict[str, float] = {"rounds": int(final["rounds"].sum()), "weeks": len(final)}
        if len(final):
            last = final.iloc[-1]
            block |= {"mean": final["value"].mean(), "sum": last["cumulative"], "percentile": final["percentile"].mean()}
            if not one.reason:
                block |= {"promised_low": last["low"], "promised_high": last["high"], "inside": int(one.verdict == "inside")}
        if one.open_rounds:
            block |= {"open_rounds": one.open_rounds}
        if len(running):
            block |= {"open_mean": running["value"].mean()}
        known = {name: value if isinstance(value, int) else round(float(value), 6) for name, value in block.items() if np.isfinite(value)}
        own = content.setdefault(one.model, {})
        if one.source.earlier:
            own = own.setdefault("earlier", {}).setdefault(one.source.digest[:SHORT] or "unknown", {})
        own[one.metric] = known
    return content


def sheet(every: list[Live], ranks: Mapping[str, int], title: str) -> Sheet:
    """Return the table that a person reads: sums over the weeks that have resolved."""

    def promised(one: Live) -> str:
        if one.reason or one.final.empty:
            return one.reason
        last = one.final.iloc[-1]
        return interval(last["low"], last["high"], "+.3f")

    columns: list[FilledColumn] = [
        (Column("model"), lambda one: one.model),
        (Column("prediction", spare=2), lambda one: one.source.label),
        (Column("score"), lambda one: one.metric.upper()),
        (Column("rounds", "d"), lambda one: int(one.final["rounds"].sum())),
        (Column("weeks", "d", spare=3), lambda one: len(one.final)),
        (Column("mean", ".4f"), lambda one: one.final["value"].mean()),
        (Column("percentile", ".0f", spare=4), lambda one: 100 * one.final["percentile"].mean()),
        (Column("sum", ".3f"), lambda one: one.final["cumulative"].iloc[-1] if len(one.final) else None),
        (Column("promised for the sum", wraps=True, short="promised"), promised),
        (Column("verdict"), lambda one: "" if one.verdict == "none" else one.verdict),
        (Column("open rounds", "d", spare=5), lambda one: one.open_rounds),
        (Column("rank", "d", spare=1), lambda one: ranks.get(one.model)),
    ]
    return tabulate(every, columns, title)


def alarms(every: list[Live]) -> list[str]:
    """Return a line for each model and metric outside of its band; earlier sources don't count."""
    lines = []
    for one in every:
        if one.verdict in ("below", "above") and not one.source.earlier:
            last = one.final.iloc[-1]
            bounds = interval(last["low"], last["high"], "+.3f")
            score = f"{one.metric.upper()} ({one.horizon.title.lower()})"
            sums = f"the sum of {score} over {len(one.final)} weeks is {last['cumulative']:+.3f}"
            lines.append(f"{one.model}: {sums}, {one.verdict} the band of the validation of {one.source.prediction}, {bounds}")
    return lines


def picture(every: list[Live], horizon: Horizon) -> Table:
    """Return the table that `outlook_charts.live` draws: a row for each week."""
    columns = ["model", "metric", "prediction", "source"]
    parts = [
        one.weeks.assign(model=one.model, metric=one.metric, prediction=one.source.prediction, source=one.source.label)
        for one in every
        if len(one.weeks)
    ]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    out = [one for one in every if one.verdict in ("below", "above") and not one.source.earlier]
    held = sum(one.verdict == "inside" for one in every)
    if out:
        headline = f"{horizon.title}: {' and '.join(sorted({one.model for one in out}))} left the band of validation"
    elif held:
        headline = f"{horizon.title}: live scores are within the band of validation"
    else:
        headline = f"{horizon.title}: live scores; there is no band of validation for them yet"
    return Table(frame[[*columns, *(name for name in frame if name not in columns)]], headline)
