"""Content of the report: the files of a run, read and put side by side, without the page."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import CV, ERA, PREDICTION, SPLIT, VALIDATION, spanned_eras, spanned_weeks
from erawise.base.settings import Score
from erawise.evaluation import doubt, evaluation, objectives, significance
from erawise.evaluation.objectives import SHARPE, Objective
from erawise.evaluation.significance import BETTER, OPEN, WORSE
from erawise.history.comparison import DECIMALS

CORR, PAYOUT, STAND_IN = "corr", "payout", "payout_bmc"
SPLITS = (CV, VALIDATION)

SCORES = {CORR: "CORR", "mmc": "MMC", "bmc": "BMC", "fnc": "FNC", PAYOUT: "payout"}
"""The scores that the page can be switched to, by their columns. Unless every era of a split has a payout, its stand-in takes the place."""

COMPARED = ["a", "b", "eras", "wins", "mean", "low", "high", "p_value", "verdict"]
"""The columns of a comparison of two predictions."""

BENCHMARK, META, BEST, FEATURE = YARDSTICKS = ("benchmark model", "meta model", "best possible", "best single feature")
"""Names that no prediction of ours can have: they hold a space."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of the run with the committed one.

    Attributes
    ----------
    before, after : names of the two.
    table : of `comparison.compare`; empty if they can't be compared.
    changed : lines that say which settings differ.
    reason : why there is no table, else empty.
    """

    before: str
    after: str
    table: pd.DataFrame
    changed: list[str]
    reason: str = ""


@dataclass(frozen=True)
class Looks:
    """Looks at the validation eras.

    Attributes
    ----------
    count : evaluations on this data in this checkout, 0 if there is no record.
    deflated : probability that the chosen prediction's Sharpe is above the best of so many by luck; NaN if it is unknown.
    """

    count: int
    deflated: float


@dataclass(frozen=True)
class Run:
    """Circumstances of the run.

    Attributes
    ----------
    commit : that is checked out, with `+` if tracked files differ; None if there is none, or Git refuses the repository.
    made : when the report was written, as a person reads it.
    settings : value of each parameter by its path.
    versions : of Python and packages.
    digests : DataFrame with `path` and `md5` of the files that DVC keeps.
    stages : DataFrame with `stage`, `seconds`, `peak_bytes`, `rows`, `started`; a row for each stage whose last run is on record.
    """

    commit: str | None
    made: str
    settings: dict[str, Any]
    versions: dict[str, str]
    digests: pd.DataFrame
    stages: pd.DataFrame


@dataclass(frozen=True)
class Stake:
    """A year of stakes on the chosen prediction.

    Attributes
    ----------
    split : whose scores it is drawn from.
    stand_in : whether BMC takes the place of MMC.
    regime : the id of the regime that pays.
    rates : payout of each era, as a share of the stake, in the order of time.
    figures : row of the first table of `staking.outlook`.
    bands : its second table.
    reason : why there is no year, else empty; then the others are.
    """

    split: str = ""
    stand_in: bool = False
    regime: str = ""
    rates: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    figures: Mapping[str, float] = field(default_factory=dict)
    bands: pd.DataFrame = field(default_factory=pd.DataFrame)
    reason: str = ""


@dataclass(frozen=True)
class Live:
    """Live predictions that go out.

    Attributes
    ----------
    checks : DataFrame with `prediction`, `check`, `found`, `expected` and `passed`.
    exposures : DataFrame with `feature`, `group`, `cv` (mean absolute exposure of the chosen prediction over some eras) and `live`.
    eras : cv eras behind the exposures.
    """

    checks: pd.DataFrame = field(default_factory=pd.DataFrame)
    exposures: pd.DataFrame = field(default_factory=pd.DataFrame)
    eras: int = 0


@dataclass(frozen=True)
class Content:
    """Content of the page.

    Attributes
    ----------
    chosen : the prediction that the settings send out.
    by : the objective that decides, `evaluate.objective`.
    models : names, in the order of the settings; with `ensemble` and `neutralized` they are the predictions.
    target, days : the main target, and how many trading days it looks ahead.
    metrics : content of `data/scores/<split>.json` without the diagnostics, by split.
    scores : the long tables of `score_eras`, by split.
    data : content of `metrics/data.json`.
    similarity : DataFrame (predictions, predictions), mean over eras of the correlation of two predictions' ranks.
    similar_eras : eras that it is over.
    stale : stages that would run again, since something that they depend on has changed since; empty if all is as it was.
    compared, looks, run : see there.
    notes : lines on the target, the proportion of neutralization, and scores that are absent.
    tables : the tables behind the pictures and of `explore`, by the name of their file without its ending.
    yardsticks : DataFrame with `era`, `split`, `prediction` (of `YARDSTICKS`) and `corr`.
    exposure : DataFrame with `split`, `era`, `prediction`, `group`, `max_abs`: the largest exposures to each group of features.
    stake, live : see there.
    toy : whether the data is the embedded market.
    own_score : the correlation that stands for CORR if a schema describes the panel, else None.
    """

    chosen: str
    models: list[str]
    target: str
    days: int
    metrics: dict[str, dict[str, dict[str, Any]]]
    scores: dict[str, pd.DataFrame]
    data: dict[str, Any]
    similarity: pd.DataFrame
    similar_eras: int
    stale: list[str]
    compared: Comparison
    looks: Looks
    run: Run
    notes: list[str]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    yardsticks: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[ERA, SPLIT, PREDICTION, CORR]))
    exposure: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[SPLIT, ERA, PREDICTION, "group", "max_abs"]))
    stake: Stake = field(default_factory=Stake)
    live: Live = field(default_factory=Live)
    toy: bool = False
    by: Objective = objectives.BY_CORR
    own_score: Score | None = None

    @property
    def corr(self) -> str:
        """The name of CORR, or of the correlation that stands for it."""
        return evaluation.corr_name(self.own_score)

    @property
    def score_names(self) -> dict[str, str]:
        """The names of `SCORES`, by their columns."""
        return SCORES | {CORR: self.corr}

    @property
    def predictions(self) -> list[str]:
        """All of them that have a score, in the order of the settings."""
        known = {name for split in SPLITS for name in self.metrics[split]}
        return [name for name in (*self.models, "ensemble", "neutralized") if name in known]

    @property
    def doubtful(self) -> list[str]:
        """The predictions whose scores of cv aren't known to be out of fold."""
        return doubt.doubtful(self.metrics[CV])

    def value(self, split: str, name: str, *path: str) -> float | None:
        """Return a figure of the metrics, None if there is none."""
        found: Any = self.metrics[split].get(name, {})
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return None if found is None else float(found)

    def column(self, split: str, score: str) -> str:
        """Return the column and the block of metrics of a score in a split: the payout's stand-in unless every era has a payout."""
        table = self.scores[split]
        if score != PAYOUT or STAND_IN not in table:
            return score
        eras = table.reindex(columns=[ERA, CORR, PAYOUT]).groupby(ERA).count().gt(0)
        return PAYOUT if len(eras) and eras.loc[eras[CORR], PAYOUT].all() else STAND_IN

    def figure(self, name: str) -> float | None:
        """Return the objective that decides for a prediction, out of fold; None if it is unknown."""
        return self.value(CV, name, self.by.column, "sharpe" if self.by.name == SHARPE else "mean")


def era_scores(content: Content) -> pd.DataFrame:
    """Return `era`, `split`, `prediction` and each of `SCORES` that any era has, sorted by split, prediction and era.

    Eras without any score are left out; the yardsticks follow the predictions of ours.
    """
    pieces = []
    for split, table in content.scores.items():
        own = {score: content.column(split, score) for score in SCORES}
        known = pd.DataFrame({score: table[column] for score, column in own.items() if column in table})
        long = pd.concat([table[[ERA, PREDICTION]].assign(**{SPLIT: split}), known], axis=1).dropna(subset=known.columns, how="all")
        pieces.append(long.sort_values([PREDICTION, ERA], kind="stable"))
    every = pd.concat([*pieces, content.yardsticks] if len(content.yardsticks) else pieces, ignore_index=True)
    had = [score for score in SCORES if score in every and every[score].notna().any()]
    return every[[ERA, SPLIT, PREDICTION, *had]].astype({ERA: np.int64})


def pairs(content: Content, scores: pd.DataFrame) -> pd.DataFrame:
    """Compare every two predictions on the eras that have both, by each score.

    Parameters
    ----------
    scores : of `era_scores`.

    Returns
    -------
    DataFrame with `score`, `split`, `a`, `b`, `eras`, `wins` (eras in which A is higher), `mean` (of A less B), `low`, `high` (its 95 %
    interval, NaN if it can't be given), `p_value` and `verdict` on A. A yardstick is only compared with the chosen prediction.
    """
    rows = []
    for score in [name for name in SCORES if name in scores]:
        for split, table in scores.groupby(SPLIT, sort=False):
            wide = table.pivot(index=ERA, columns=PREDICTION, values=score).sort_index()
            names = [name for name in (*content.predictions, *YARDSTICKS) if name in wide]
            for a, b in itertools.combinations(names, 2):
                if b in YARDSTICKS and (a != content.chosen or wide[b].isna().all()):
                    continue
                found = _pair(wide[a] - wide[b], content.days)
                keys = {"score": score, "split": split}
                rows += [{**keys, "a": a, "b": b, **found}, {**keys, "a": b, "b": a, **_turned(found)}]
    return pd.DataFrame(rows, columns=["score", "split", *COMPARED])


def decisive(content: Content) -> pd.DataFrame:
    """Compare every two predictions out of fold by the objective that decides.

    Returns
    -------
    DataFrame as of `pairs`, without `score` and `split`; and `verdict_holm`, the verdict once Holm has adjusted it for all predictions
    that are compared with the same one, B.
    """
    by, table = content.by, content.scores[CV]
    wide = table.pivot(index=ERA, columns=PREDICTION, values=by.column).sort_index()
    rows = []
    for a, b in itertools.permutations([name for name in content.predictions if name in wide], 2):
        one, other = (wide[name].round(DECIMALS).to_numpy(np.float64) for name in (a, b))
        less = pd.Series(significance.differences(one, other, by.statistic), wide.index)
        rows.append({"a": a, "b": b, **_pair(less, content.days)})
    found = pd.DataFrame(rows, columns=COMPARED)
    adjusted = found.groupby("b", sort=False)["p_value"].transform(lambda values: significance.holm(values.to_list()))
    told = [significance.verdict_after(verdict, p) for verdict, p in zip(found["verdict"], adjusted, strict=True)]
    return found.assign(verdict_holm=told)


def _pair(less: pd.Series, days: int) -> dict[str, Any]:
    known = less.dropna()
    difference = known.round(DECIMALS).to_numpy(np.float64)
    if not len(difference):
        return {"eras": 0, "wins": 0, "lost": 0, "mean": np.nan, "low": np.nan, "high": np.nan, "p_value": np.nan, "verdict": OPEN}
    found = significance.mean(difference, overlap=spanned_eras(known.index.to_numpy(), spanned_weeks(days)))
    wins, lost = int((difference > 0).sum()), int((difference < 0).sum())
    tested = {"low": found.low, "high": found.high, "p_value": found.p_value, "verdict": found.verdict}
    return {"eras": len(known), "wins": wins, "lost": lost, "mean": found.mean, **tested}


def _turned(found: dict[str, Any]) -> dict[str, Any]:
    """Return the comparison of the second prediction with the first."""
    verdict = {BETTER: WORSE, WORSE: BETTER}.get(found["verdict"], OPEN)
    return {**found, "wins": found["lost"], "mean": -found["mean"], "low": -found["high"], "high": -found["low"], "verdict": verdict}


def drawdowns(series: pd.Series, count: int) -> pd.DataFrame:
    """Return the deepest falls of a running sum below its highest value so far.

    Parameters
    ----------
    series : scores by era, in the order of time.

    Returns
    -------
    DataFrame with `begin` (the era of the peak), `bottom`, `recovery` (the era that is at the peak again, NaN if there is none yet),
    `depth` and `eras` (from the peak to the recovery or the end), at most `count` rows, the deepest first. A loss in the first era is none,
    as in the maximum drawdown of the metrics.
    """
    total = series.cumsum()
    fall = (total.cummax() - total).to_numpy()
    eras, rows, start = series.index.to_numpy(), [], None
    for k, depth in enumerate([*fall, 0.0]):
        if depth > 0 and start is None:
            start = k
        if depth <= 0 and start is not None:
            bottom = start + int(fall[start:k].argmax())
            back = eras[k] if k < len(eras) else np.nan
            rows.append((eras[start - 1], eras[bottom], back, fall[bottom], k - start + 1))
            start = None
    found = pd.DataFrame(rows, columns=["begin", "bottom", "recovery", "depth", "eras"])
    return found.sort_values("depth", ascending=False, kind="stable", ignore_index=True).head(count)


def similarity(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return how far predictions agree: the mean over eras of the correlation of their ranks.

    Parameters
    ----------
    frames : by name, `id`, `era`, `prediction`; only rows that all have count.

    Returns
    -------
    DataFrame (predictions, predictions); a prediction that is constant in an era has no correlation there, NaN if it is so in all.
    """
    wide = pd.concat({name: frame.set_index([ERA, "id"])[PREDICTION] for name, frame in frames.items()}, axis=1, join="inner")
    ranks = wide.groupby(level=ERA).rank()
    by_era = [rows.corr().to_numpy() for _, rows in ranks.groupby(level=ERA)]
    known = np.array([np.isfinite(part) for part in by_era]).sum(axis=0)
    total = np.nansum(by_era, axis=0)
    mean = np.where(known > 0, total / np.maximum(known, 1), np.nan) if by_era else np.full((len(frames), len(frames)), np.nan)
    return pd.DataFrame(mean, index=list(frames), columns=list(frames))
