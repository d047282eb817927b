"""What the report is made of: the files of a run, read and put side by side, and nothing of the page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from erawise.base.schema import CV, ERA, PREDICTION, SPLIT, VALIDATION, spanned_eras, spanned_weeks
from erawise.evaluation import significance
from erawise.evaluation.significance import BETTER, OPEN, WORSE
from erawise.history.comparison import DECIMALS, series

CORR = "corr"
SPLITS = (CV, VALIDATION)


@dataclass(frozen=True)
class Comparison:
    """The run against the committed one.

    Attributes
    ----------
    before, after : names of the two.
    table : of `comparison.compare`; empty where they can't be compared.
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
    """How often the validation eras were looked at.

    Attributes
    ----------
    count : evaluations on this data in this checkout, 0 where none is on record.
    deflated : probability that the chosen prediction's Sharpe is above what the best of so many shows by luck; NaN where it can't be told.
    """

    count: int
    deflated: float


@dataclass(frozen=True)
class Run:
    """How the run was made.

    Attributes
    ----------
    commit : that is checked out, with `+` where tracked files differ; None if there is none, or Git refuses the repository.
    made : when the report was written, as a person reads it.
    settings : value of each parameter by its path.
    versions : of Python and packages.
    digests : DataFrame with `path` and `md5` of what DVC keeps.
    stages : DataFrame with `stage`, `seconds`, `peak_bytes`, `rows`, `started`; a row for each stage whose last run is on record.
    """

    commit: str | None
    made: str
    settings: dict[str, Any]
    versions: dict[str, str]
    digests: pd.DataFrame
    stages: pd.DataFrame


@dataclass(frozen=True)
class Content:
    """All that the page shows.

    Attributes
    ----------
    chosen : the prediction that the answer is about.
    models : names, in the order of the settings; with `ensemble` and `neutralized` they are the predictions.
    target, days : the main target, and how many trading days it looks ahead.
    metrics : content of `metrics/<split>.json` without the diagnostics, by split.
    scores : the long tables of `score_eras`, by split.
    data : content of `metrics/data.json`.
    similarity : DataFrame (predictions, predictions), mean over eras of the correlation of two predictions' ranks.
    similar_eras : eras that it is over.
    stale : stages that would run again, since something that they depend on has changed since; empty where all is as it was.
    compared, looks, run : see there.
    regime : the id of the regime that the payout is of.
    notes : lines that say what the scores are of, which proportion of neutralization was chosen, and which scores are absent and why.
    tables : the tables behind the pictures and of `explore`, by the name of their file without its ending; one that isn't there is absent.
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
    regime: str
    notes: list[str]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def predictions(self) -> list[str]:
        """All of them that have a score, in the order of the settings."""
        known = {name for split in SPLITS for name in self.metrics[split]}
        return [name for name in (*self.models, "ensemble", "neutralized") if name in known]

    def value(self, split: str, name: str, *path: str) -> float | None:
        """A figure of the metrics, None where there is none."""
        found: Any = self.metrics[split].get(name, {})
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return None if found is None else float(found)


def era_scores(content: Content) -> pd.DataFrame:
    """`era`, `split`, `prediction`, `corr` of every era with a score, sorted by split, prediction and era."""
    pieces = [
        table.loc[table[CORR].notna(), [ERA, PREDICTION, CORR]].assign(**{SPLIT: split}).sort_values([PREDICTION, ERA], kind="stable")
        for split, table in content.scores.items()
    ]
    return pd.concat(pieces, ignore_index=True)[[ERA, SPLIT, PREDICTION, CORR]]


def pairs(content: Content) -> pd.DataFrame:
    """Every two predictions against each other on the eras that have both.

    Returns
    -------
    DataFrame with `split`, `a`, `b`, `eras`, `wins` (eras where A is higher), `mean` (of A less B), `low`, `high` (its 95 % interval, NaN
    where it can't be given) and `verdict` on A.
    """
    rows = []
    for split in SPLITS:
        found = {name: series(content.scores[split], name) for name in content.predictions}
        for a, one in found.items():
            rows += [{"split": split, "a": a, "b": b, **_pair(one, other, content.days)} for b, other in found.items() if a != b]
    return pd.DataFrame(rows, columns=["split", "a", "b", "eras", "wins", "mean", "low", "high", "verdict"])


def _pair(one: pd.Series, other: pd.Series, days: int) -> dict[str, Any]:
    common = one.index.intersection(other.index)
    difference = (one[common] - other[common]).round(DECIMALS).to_numpy(np.float64)
    if not len(difference):
        return {"eras": 0, "wins": 0, "mean": np.nan, "low": np.nan, "high": np.nan, "verdict": OPEN}
    found = significance.mean(difference, overlap=spanned_eras(common.to_numpy(), spanned_weeks(days)))
    low, high = (np.nan, np.nan) if found.reason else (found.low, found.high)
    verdict = BETTER if low > 0 else WORSE if high < 0 else OPEN
    return {"eras": len(common), "wins": int((difference > 0).sum()), "mean": found.mean, "low": low, "high": high, "verdict": verdict}


def extremes(content: Content, count: int) -> pd.DataFrame:
    """The worst and the best eras of the chosen prediction.

    Returns
    -------
    DataFrame with `split`, `era`, `corr`, `others` (mean CORR of the other predictions in that era, NaN where there are none) and `end`,
    `worst` or `best`; at most `count` of each, the worst first.
    """
    table = era_scores(content)
    own = table[table[PREDICTION] == content.chosen].sort_values(CORR, kind="stable")
    others = table[table[PREDICTION] != content.chosen].groupby(ERA)[CORR].mean()
    take = min(count, len(own) // 2)
    worst, best = own.head(take).assign(end="worst"), own.tail(take).iloc[::-1].assign(end="best")
    found = pd.concat([worst, best], ignore_index=True)
    return found.assign(others=found[ERA].map(others))[[SPLIT, ERA, CORR, "others", "end"]]


def similarity(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How far predictions agree: mean over eras of the correlation of their ranks.

    Parameters
    ----------
    frames : by name, `id`, `era`, `prediction`; only rows that all have count.

    Returns
    -------
    DataFrame (predictions, predictions); a prediction that is constant in an era has no correlation there, NaN where in all.
    """
    wide = pd.concat({name: frame.set_index([ERA, "id"])[PREDICTION] for name, frame in frames.items()}, axis=1, join="inner")
    ranks = wide.groupby(level=ERA).rank()
    by_era = [rows.corr().to_numpy() for _, rows in ranks.groupby(level=ERA)]
    known = np.array([np.isfinite(part) for part in by_era]).sum(axis=0)
    total = np.nansum(by_era, axis=0)
    mean = np.where(known > 0, total / np.maximum(known, 1), np.nan) if by_era else np.full((len(frames), len(frames)), np.nan)
    return pd.DataFrame(mean, index=list(frames), columns=list(frames))
