"""Summary of per-era scores: one block a prediction, without the figures that the data can't give."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from erawise.base.schema import ERA, PREDICTION, spanned_eras, spanned_weeks
from erawise.evaluation import significance
from erawise.scores.eras import CONSTANT, EARLY_CORR, FNC_V3, SCORES

Floats = NDArray[np.float64]

DECIMALS = 6
NODES = 64
"""Points of the Gauss-Legendre rule on each side of the class boundary."""
TAIL = 9.0
"""Standard deviations beyond which the normal density counts as 0."""

PARTS = "parts"
"""Key of the figures of parts of the eras in a prediction's block."""
LEAST_SHARE = 0.8
"""Share of the scored eras that a prediction needs for figures of parts of them."""
WHOLE, FIRST_HALF, SECOND_HALF, WITH_META_MODEL = "whole", "first_half", "second_half", "with_meta_model"

SEEDS, SEED_STD = "seeds", "seed_std"
"""Keys of a model with several seeds: their number, and the standard deviation between their means of a score."""

SERIES = ("corr", "spearman", "mmc", "bmc", "fnc", FNC_V3, "payout", "payout_bmc")
"""Scores whose mean has a standard deviation between seeds."""


def summarize(table: pd.DataFrame, days: int) -> dict[str, dict[str, Any]]:
    """Summarize the table of `score_eras`; the target looks `days` trading days ahead.

    Every figure is over the eras with a score that isn't NaN; a figure that no era gives is absent. Std and Sharpe are with
    ddof 0, not annualised; Sharpe is absent if the series doesn't vary.

    Returns
    -------
    dict, prediction → block, predictions in the order of their first appearance. Floats have 6 decimals. A block holds, if available:

    - `corr`, `spearman`, `mmc`, `bmc`, `fnc`, `fncv3`, `payout`, `payout_bmc`: each mean; low and high, the bounds of its 95 %
        interval, see `significance.mean`; std, sharpe, max_drawdown, median, iqr, positive_share. Mmc, bmc and the payouts also have
        `eras`, the number of eras that they are over.
    - `early`: mean CORR against the 20-day sibling of a longer target, and its `eras`.
    - `meta_corr`: mean.
    - `exposure`: max and rms, means over eras.
    - `auc`: top, top_share and above_half, means over eras, of above_half over the eras in which it is a class of its own;
        top_implied, the AUC that the mean CORR implies for the mean top_share, see `implied_auc`.
    - `mse`.
    - `ceiling_share`: mean CORR / mean CORR of the oracle over the eras that have both, if the oracle's mean is above 0.
    - `eras`: the number of eras with a CORR.
    """
    overlap = spanned_eras(table[ERA].to_numpy(), spanned_weeks(days))
    return {str(name): _block(rows, overlap) for name, rows in table.groupby(PREDICTION, sort=False)}


def with_seeds(metrics: dict[str, dict[str, Any]], table: pd.DataFrame, seeds: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Return the blocks of `summarize` with the standard deviation between a model's seeds beside the mean of every score.

    Parameters
    ----------
    metrics : of `summarize`.
    table : the scores of each seed, as `score_eras` gives them.
    seeds : for each model the names of its seeds' predictions in the table.

    Returns
    -------
    In the block of a model, `seeds`, their number; in each score of `SERIES`, `seed_std`, the standard deviation (ddof 1) between the
    seeds' means over eras. The model's own prediction blends the seeds, so it moves less with them than one seed does.
    """
    found = {name: dict(block) for name, block in metrics.items()}
    scores = [name for name in SERIES if name in table]
    means = table.groupby(PREDICTION)[scores].mean() if len(table) else None
    for name, own in seeds.items():
        if means is None or not set(own) <= set(means.index):
            continue
        spread = means.loc[own].std(ddof=1).dropna()
        found[name] |= {str(score): found[name][score] | _tidy({SEED_STD: std}) for score, std in spread.items() if score in found[name]}
        found[name][SEEDS] = len(own)
    return found


def parts(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Summarize parts of the eras, each over the same eras for all predictions.

    A prediction is left out if it has a CORR in less than 80 % of the eras in which any has one: it would shorten the parts of all others.
    Of the rest, only eras count in which every prediction has a CORR. A score that an era of a part lacks is absent there: a mean over
    fewer eras would be another part's.

    Returns
    -------
    dict, prediction → `PARTS` → `whole`, `first_half`, `second_half` (in time, the longer one if the number is odd) and
    `with_meta_model`, the eras in which every prediction has an MMC. Each holds `eras`, their number, and the `sharpe` of CORR, and the
    means `corr`, `mmc` and `bmc`. Empty with fewer than two such eras; a part without eras is absent.
    """
    by_score = {name: table.pivot(index=ERA, columns=PREDICTION, values=name).sort_index() for name in ("corr", "mmc", "bmc")}
    known = by_score["corr"].notna()
    names = [name for name in table[PREDICTION].unique() if known[name].sum() >= max(LEAST_SHARE * known.any(axis=1).sum(), 1)]
    scores = {name: wide[names].loc[known[names].all(axis=1)] for name, wide in by_score.items()}
    rows, met = scores["corr"].index, scores["mmc"].dropna().index
    half = len(rows) // 2
    eras = {WHOLE: rows, FIRST_HALF: rows[:half], SECOND_HALF: rows[half:], WITH_META_MODEL: met} if half else {}
    return {
        str(name): {
            PARTS: {part: _part({score: wide.loc[own, name] for score, wide in scores.items()}) for part, own in eras.items() if len(own)}
        }
        for name in names
        if eras
    }


def _part(scores: dict[str, pd.Series]) -> dict[str, Any]:
    means = {name: None if values.isna().any() else values.mean() for name, values in scores.items()}
    corr = scores["corr"]
    return _tidy({**means, "sharpe": corr.mean() / corr.std(ddof=0) if corr.max() > corr.min() else None, "eras": len(corr)})


def constant_predictions(table: pd.DataFrame) -> dict[str, int]:
    """Count, for each prediction that is ever constant, the eras in which it is constant and so has no scores."""
    counts = table.groupby(PREDICTION, sort=False)[CONSTANT].sum()
    return {str(name): int(count) for name, count in counts.items() if count}


def mean_or_sharpe(corr: Floats, statistic: str) -> float:
    """Return the mean of (eras,) scores or, if `statistic` is `sharpe`, their mean over std (ddof 0); 0 if the std is 0.

    An era with a constant prediction, NaN, counts as 0.
    """
    known = np.nan_to_num(corr)
    mean, spread = float(known.mean()), float(known.std())
    return mean if statistic == "mean" else mean / spread if spread else 0.0


def implied_auc(correlation: float, share: float) -> float:
    """Return the AUC that a correlation implies for the top `share` against the rest if score and target are jointly normal.

    The score is `X = r Y + sqrt(1 - r^2) Z`. The AUC is the mean of `Phi(r (Y1 - Y0) / sqrt(2 (1 - r^2)))` over Y1 above and Y0 below
    the quantile of `share`. A Gauss-Legendre rule gives both integrals.
    """
    if abs(correlation) >= 1:
        return float(correlation > 0)
    boundary = float(ndtri(1 - share))
    above, above_weights = _normal_rule(boundary, max(boundary, 0.0) + TAIL)
    below, below_weights = _normal_rule(min(boundary, 0.0) - TAIL, boundary)
    slope = correlation / np.sqrt(2 * (1 - correlation**2))
    return float(above_weights @ ndtr(slope * (above[:, None] - below)) @ below_weights)


@cache
def _gauss_legendre() -> tuple[Floats, Floats]:
    return np.polynomial.legendre.leggauss(NODES)


def _normal_rule(low: float, high: float) -> tuple[Floats, Floats]:
    """Return the points and weights, of sum 1, of the mean over a normal variable within (low, high)."""
    points, weights = _gauss_legendre()
    points = low + (high - low) * (points + 1) / 2
    weights = weights * np.exp(-(points**2) / 2)
    return points, weights / weights.sum()


def _block(rows: pd.DataFrame, overlap: int) -> dict[str, Any]:
    scores = {name: rows[name].to_numpy(np.float64) for name in (*SCORES, FNC_V3, EARLY_CORR) if name in rows}
    known = {name: values[~np.isnan(values)] for name, values in scores.items()}
    block = {
        "corr": _series(known["corr"], overlap),
        "spearman": _series(known["spearman"], overlap),
        "mmc": _counted(known["mmc"], overlap),
        "bmc": _counted(known["bmc"], overlap),
        "fnc": _series(known["fnc"], overlap),
        FNC_V3: _series(known.get(FNC_V3, np.empty(0)), overlap),
        "payout": _counted(known["payout"], overlap),
        "payout_bmc": _counted(known["payout_bmc"], overlap),
        "early": _early(known.get(EARLY_CORR, np.empty(0))),
        "meta_corr": {"mean": _mean(known["meta_corr"])},
        "exposure": {"max": _mean(known["exposure_max"]), "rms": _mean(known["exposure_rms"])},
        "auc": _auc(known),
        "mse": _mean(known["mse"]),
        "ceiling_share": _ceiling_share(scores["corr"], scores["oracle_corr"]),
        "eras": len(known["corr"]),
    }
    return _tidy(block)


def _series(values: Floats, overlap: int) -> dict[str, Any]:
    if not len(values):
        return {}
    varies = values.max() > values.min()
    quarter, three_quarters = np.percentile(values, [25, 75])
    mean = significance.mean(values, overlap=overlap)
    return {
        "mean": mean.mean,
        "low": None if mean.reason else mean.low,
        "high": None if mean.reason else mean.high,
        "std": values.std() if varies else 0.0,
        "sharpe": values.mean() / values.std() if varies else None,
        "max_drawdown": significance.max_drawdown(values),
        "median": np.median(values),
        "iqr": three_quarters - quarter,
        "positive_share": (values > 0).mean(),
    }


def _counted(values: Floats, overlap: int) -> dict[str, Any]:
    return _series(values, overlap) | ({"eras": len(values)} if len(values) else {})


def _early(values: Floats) -> dict[str, Any]:
    return {"mean": values.mean(), "eras": len(values)} if len(values) else {}


def _auc(known: dict[str, Floats]) -> dict[str, float | None]:
    corr, share = _mean(known["corr"]), _mean(known["top_share"])
    return {
        "top": _mean(known["auc_top"]),
        "top_share": share,
        "top_implied": None if corr is None or share is None else implied_auc(corr, share),
        "above_half": _mean(known["auc_above_half"]),
    }


def _ceiling_share(corr: Floats, oracle: Floats) -> float | None:
    both = ~np.isnan(corr) & ~np.isnan(oracle)
    return float(corr[both].mean() / oracle[both].mean()) if both.any() and oracle[both].mean() > 0 else None


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _tidy(block: dict[str, Any]) -> dict[str, Any]:
    """Leave out None and empty blocks, and round to pure Python numbers, no negative 0."""
    tidy: dict[str, Any] = {}
    for key, value in block.items():
        if isinstance(value, dict):
            value = _tidy(value) or None
        elif value is not None and not isinstance(value, int):
            value = round(float(value), DECIMALS) + 0.0
        if value is not None:
            tidy[key] = value
    return tidy
