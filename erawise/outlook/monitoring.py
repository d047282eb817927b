"""How models do live, against what their validation promised."""

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
from erawise.running.terminal import Column, Sheet, Value
from erawise.scores.kernels import Floats

WEEK_DAYS = 7

METRICS = ("corr", "mmc")

METRIC = "metric"
"""The column of live scores that says which of `METRICS` each is."""

SHORT = 8
"""Digits of a digest that are shown."""


@dataclass(frozen=True)
class Horizon:
    """How far some live scores look ahead.

    Attributes
    ----------
    days : trading days.
    paid : whether Numerai pays for them.
    early : whether they come before those that it pays for.
    names : the site's names of these scores.
    """

    days: int
    paid: bool
    early: bool
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{'Paid: ' if self.paid else 'Early sign: ' if self.early else ''}{self.days} days"


@dataclass(frozen=True)
class Promise:
    """The validation of what a model was given: what its live scores are held against.

    Attributes
    ----------
    scores : of `corr` and `mmc`, the (eras,) scores in the order of time, NaN left out.
    every : weeks from one era to the next.
    overlap : eras that a target spans.
    """

    scores: Mapping[str, Floats]
    every: int
    overlap: int


@dataclass(frozen=True)
class Source:
    """What predicted some rounds of a model.

    Attributes
    ----------
    prediction : its name in the pipeline; empty if it isn't known.
    digest : of the models that made it; empty if it isn't known.
    promise : what validation says of it; None for `reason`.
    reason : why there is no promise; empty if there is one.
    earlier : whether the model is given something else by now.
    """

    prediction: str
    digest: str
    promise: Promise | None
    reason: str = ""
    earlier: bool = False

    @property
    def label(self) -> str:
        """What a person calls it."""
        if not self.earlier:
            return self.prediction
        return f"{self.prediction or 'not from here'}, earlier" + (f" ({self.digest[:SHORT]})" if self.digest else "")


@dataclass(frozen=True)
class Live:
    """The live scores of one model on one metric, of the rounds that one source predicted.

    Attributes
    ----------
    model, metric : names.
    source : what predicted the rounds.
    horizon : of the scores, and of the validation that they are held against.
    weeks : DataFrame (weeks), `week` (counted from year 1), `round` (the last of the week), `rounds`, `value` (their mean), `percentile`,
        `final`, `cumulative` (of `value`), and `low`, `middle`, `high` of what the promise says of it, NaN without one. First the
        weeks of rounds that have resolved, then, `final` false, those of later rounds that haven't.
    open_rounds : rounds that haven't resolved.
    reason : why there is no band; empty where there is one.
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
        """The weeks of rounds that have resolved."""
        return self.weeks[self.weeks["final"]]

    @property
    def verdict(self) -> str:
        """`inside`, `below` or `above` the band after the last final week; `none` without a band or such a week."""
        if self.reason or self.final.empty:
            return "none"
        last = self.final.iloc[-1]
        return "below" if last["cumulative"] < last["low"] else "above" if last["cumulative"] > last["high"] else "inside"


def live(book: pd.DataFrame, model: str, metric: str, source: Source, horizon: Horizon, *, replicates: int, seed: int) -> Live:
    """A model's live scores by week, and the band that its validation promises for their running sum.

    The rounds of a week share most of their days: their mean is the week's score, as an era's is in validation. Of a round its
    last word counts: the resolved one, else that of the latest day.

    Parameters
    ----------
    book : scores of the rounds that the source predicted, of the horizon alone, as `Scorebook.read` gives them, with `metric`.
    replicates, seed : of the bootstrap.
    """
    words = last_words(book[(book["model"] == model) & (book[METRIC] == metric)])
    final, running = by_week(words[words["resolved"]]), by_week(words[~words["resolved"]])
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
    return Live(model, metric, source, horizon, table, int((~words["resolved"]).sum()), reason)


def last_words(scores: pd.DataFrame) -> pd.DataFrame:
    """Of each round the score that counts, of one model and metric; rounds without a date are left out."""
    dated = scores[scores["closed"] != ""]
    ordered = dated.assign(number=pd.to_numeric(dated["version"], errors="coerce").fillna(-1))
    ordered = ordered.sort_values(["round", "resolved", "day", "number", "version"], kind="stable")
    return ordered.drop_duplicates("round", keep="last").drop(columns="number")


def by_week(words: pd.DataFrame) -> pd.DataFrame:
    """Rounds by the week in which they closed: `week`, `round`, `rounds`, `value`, `percentile`, see `Live.weeks`."""
    week = [(date.fromisoformat(text).toordinal() - 1) // WEEK_DAYS for text in words["closed"]]
    grouped = words.assign(week=np.array(week, np.int64)).groupby("week")
    return pd.DataFrame(
        {
            "round": grouped["round"].max(),
            "rounds": grouped.size(),
            "value": grouped["value"].mean(),
            "percentile": grouped["percentile"].mean(),
        }
    ).reset_index()


def history(book: pd.DataFrame) -> pd.DataFrame:
    """The live scores of rounds that have resolved, as scores by era: `era` (the week), `prediction` (the model), `corr`, `mmc`.

    Parameters
    ----------
    book : scores of one horizon as `Scorebook.read` gives them, with `metric`.
    """
    parts = []
    for model, rows in book[book["resolved"]].groupby("model"):
        weeks = {name: by_week(last_words(rows[rows[METRIC] == name])) for name in METRICS}
        found = pd.DataFrame({name: table.set_index("week")["value"] for name, table in weeks.items()})
        parts.append(found.rename_axis(ERA).reset_index().assign(**{PREDICTION: model}))
    columns = [ERA, PREDICTION, *METRICS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def band(series: Floats, overlap: int, every: int, weeks: int, replicates: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Where the running sum of so many weeks' scores stays all the way in 19 of 20 cases, drawn from eras of validation.

    A stationary bootstrap, stretched by what it loses of overlapping eras (`staking.calm`), about a mean and with a spread that are
    themselves drawn from what the eras leave open of them (`staking.beliefs`). The bounds are those of each week, drawn apart until
    95 % of the sums are within them in every week.

    Returns
    -------
    low, middle, high : (weeks,); `middle` is the median.
    """
    known = series[np.isfinite(series)]
    found = significance.mean(known, overlap=overlap)
    length = staking.mean_block(known[:, None], overlap)
    rng = np.random.default_rng(seed)
    order = significance.stationary_order(len(known), length, replicates, rng, -(-weeks // every))
    shift, spread = staking.beliefs(np.array([(found.high - found.low) / 2]), np.array([found.degrees]), replicates)
    deviation = spread * (known - known.mean())[order] / np.sqrt(staking.calm(length, overlap))
    drawn = np.cumsum(found.mean + shift + np.repeat(deviation, every, axis=1)[:, :weeks], axis=1)
    low, middle, high = np.quantile(drawn, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], axis=0)
    reach = np.where(drawn >= middle, (drawn - middle) / (high - middle), (middle - drawn) / (middle - low))
    apart = float(np.quantile(reach.max(axis=1), LEVEL))
    return middle - apart * (middle - low), middle, middle + apart * (high - middle)


def metrics(every: list[Live]) -> dict[str, Any]:
    """What is kept as numbers, by model and metric: of the rounds that have resolved, and of those that haven't.

    Rounds of an earlier source of the model's predictions are under `earlier`, by the first digits of its digest.
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
    columns = [
        Column("model"),
        Column("prediction", spare=2),
        Column("score"),
        Column("rounds", "d"),
        Column("weeks", "d", spare=3),
        Column("mean", ".4f"),
        Column("percentile", ".0f", spare=4),
        Column("sum", ".3f"),
        Column("promised for the sum", short="promised"),
        Column("verdict"),
        Column("open rounds", "d", spare=5),
        Column("rank", "d", spare=1),
    ]
    rows: list[list[Value]] = []
    for one in every:
        final = one.final
        last = final.iloc[-1] if len(final) else None
        rows.append(
            [
                one.model,
                one.source.label,
                one.metric.upper(),
                int(final["rounds"].sum()),
                len(final),
                final["value"].mean() if len(final) else None,
                100 * final["percentile"].mean() if len(final) else None,
                None if last is None else last["cumulative"],
                interval(last["low"], last["high"], "+.3f") if last is not None and not one.reason else one.reason,
                "" if one.verdict == "none" else one.verdict,
                one.open_rounds,
                ranks.get(one.model),
            ]
        )
    return Sheet(columns, rows, title)


def alarms(every: list[Live]) -> list[str]:
    """A line for each model and metric that has fallen out of what was promised; what a model was given earlier is past."""
    lines = []
    for one in every:
        if one.verdict in ("below", "above") and not one.source.earlier:
            last = one.final.iloc[-1]
            bounds = interval(last["low"], last["high"], "+.3f")
            score = f"{one.metric.upper()} ({one.horizon.title.lower()})"
            sums = f"the sum of {score} over {len(one.final)} weeks is {last['cumulative']:+.3f}"
            lines.append(f"{one.model}: {sums}, {one.verdict} what the validation of {one.source.prediction} promises, {bounds}")
    return lines


def picture(every: list[Live], horizon: Horizon) -> Table:
    """Return what `outlook_charts.live` draws: a row for each week."""
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
        headline = f"{horizon.title}: {' and '.join(sorted({one.model for one in out}))} left what validation promised"
    elif held:
        headline = f"{horizon.title}: live scores are within what validation promised"
    else:
        headline = f"{horizon.title}: live scores; there is nothing that validation promised for them yet"
    return Table(frame[[*columns, *(name for name in frame if name not in columns)]], headline)
