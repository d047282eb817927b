"""The scores of every prediction in every era, as one long table."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import ERA, PREDICTION
from erawise.base.settings import Score
from erawise.base.threads import one_of_blas
from erawise.panel import blocks
from erawise.panel.panel import era_slices
from erawise.running.errors import InputError
from erawise.running.progress import UNCOUNTED, StepCounter
from erawise.scores import kernels, projection
from erawise.scores.kernels import Floats

MIN_COVERAGE = 0.8
"""Share of an era's rows that a score needs at least, as in numerai-tools."""

ROWS, CONSTANT = "rows", "constant"

SCORES = (
    "corr",
    "spearman",
    "mse",
    "mmc",
    "bmc",
    "fnc",
    "meta_corr",
    "payout",
    "payout_bmc",
    "exposure_max",
    "exposure_rms",
    "auc_top",
    "top_share",
    "auc_above_half",
    "oracle_corr",
)
"""The score columns of the table, in order."""

FNC_V3 = "fncv3"
"""The column of FNC against the features of `Known.fnc_v3`, if there are any."""

EARLY_CORR = "early_corr"
"""The column of CORR against the target of `Known.early`, if there is one."""

Scores = dict[str, NDArray | float]
Groups = Mapping[str, NDArray[np.int64]]
"""Positions of the features of each group."""

Sums = Mapping[str, Mapping[str, float]]
"""Columns that are weighted sums of scores: for each the weights of the scores."""


def exposure_columns(group: str) -> tuple[str, str]:
    """Name the columns of the largest absolute and the root mean square exposure to the features of a group."""
    return f"exposure_max_{group}", f"exposure_rms_{group}"


@dataclass(frozen=True)
class Known:
    """The data of the rows in addition to the target; a score that needs more is NaN.

    Parameters
    ----------
    meta_model, benchmark, oracle : (rows,), NaN if missing, or None.
    features : gives the (rows of the era, k) features of an era in the order of its rows, finite; called once an era.
    groups : groups of the features, each of which also has its exposures.
    fnc_v3 : positions of the features of Numerai's FNC, or None.
    early : (rows,), a target of a shorter horizon for `early_corr`, NaN if unknown, or None.
    score : the correlation that stands for CORR wherever a score is called `corr` or made of it, see `kernels.correlation`.
    """

    meta_model: NDArray | None = None
    benchmark: NDArray | None = None
    oracle: NDArray | None = None
    features: Callable[[int], NDArray] | None = None
    groups: Groups = field(default_factory=dict)
    fnc_v3: NDArray[np.int64] | None = None
    early: NDArray | None = None
    score: Score = kernels.NUMERAI


TARGET_ONLY = Known()


def score_eras(
    predictions: pd.DataFrame,
    target: NDArray,
    era: NDArray[np.int64],
    known: Known = TARGET_ONLY,
    *,
    sums: Sums = MappingProxyType({}),
    threads: int = 1,
    count: StepCounter = UNCOUNTED,
) -> pd.DataFrame:
    """Score every prediction in every era.

    Each prediction is scored on its own; missing values of another one don't matter. A score is computed on the rows that have all that
    it needs. It is NaN in any of these cases:

    - these rows are fewer than 80 % of the era's rows;
    - the prediction or the target is constant on them;
    - the data can't give it.

    Parameters
    ----------
    predictions : (rows, p) frame, a column a prediction; NaN in rows without a prediction.
    target : (rows,), NaN if unknown.
    era : (rows,), rows of an era adjacent.
    known : the other data to score against.
    sums : the weights of `payout`, and of its stand-in `payout_bmc`; a sum that isn't given is NaN.
    threads : eras that are scored side by side, each holding its own copies of features as float32 and of their Gram
        matrix. With more than one, `known.features` is called from several threads. The scores don't depend on it.
    count : told of each era that is scored.

    Returns
    -------
    DataFrame, one row for each era and prediction, eras in their order and predictions in the order of their columns:

    - `era`; `prediction`; `rows` (int, with both prediction and target); `constant` (bool: two rows or more, all of one value, so no
        scores); then `SCORES`:
    - corr, spearman, mse, mmc, bmc;
    - fnc: against all features; NaN if they span the era;
    - meta_corr: Pearson of the gaussianized ranks of prediction and meta model;
    - payout and payout_bmc: see `sums`;
    - exposure_max and exposure_rms: largest absolute and root mean square Pearson correlation with the features that aren't constant;
    - auc_top and top_share: of the class `kernels.top_class`;
    - auc_above_half: of the class target > .5; NaN if this is the top class;
    - oracle_corr: CORR of the oracle.
    - With groups, the `exposure_columns` of each; NaN if all of its features are constant.
    - With `known.fnc_v3`, `fncv3`: FNC against these features.
    - With `known.early`, `early_corr`: CORR against that target.

    Raises
    ------
    InputError
        If a prediction is infinite.
    ValueError
        If lengths differ or the rows of an era are apart.
    """
    slices = era_slices(era)
    arrays = (target, known.meta_model, known.benchmark, known.oracle, known.early)
    _check(predictions, era, slices, *arrays)
    values = predictions.to_numpy(np.float64).T
    truth, meta, bench, best, early = (_column(array, len(era)) for array in arrays)

    def score(rows: slice) -> dict[str, NDArray]:
        block = None if known.features is None else _features_of(int(era[rows.start]), rows, known.features)
        era_values = np.ascontiguousarray(values[:, rows]).T
        targets = (truth[rows], None if known.early is None else early[rows])
        scores = _score_era(_Era(era_values, *targets, meta[rows], bench[rows], best[rows], block, known))
        count.done()
        return scores

    found = _each(score, slices, threads)
    names = list(predictions.columns)
    columns = (ROWS, CONSTANT, *SCORES, *_added(known))
    table = {name: np.concatenate([scores[name] for scores in found]) if found else np.empty(0) for name in columns}
    for name, weights in sums.items():
        table[name] = np.sum([weight * table[column] for column, weight in weights.items()], axis=0)
    eras = np.repeat([int(era[rows.start]) for rows in slices], len(names))
    return pd.DataFrame({ERA: eras, PREDICTION: names * len(slices), **table})


def _added(known: Known) -> list[str]:
    """Return the columns of groups of features, of FNC against the features of `fnc_v3`, and of CORR against the target `early`."""
    of_groups = [column for group in known.groups for column in exposure_columns(group)]
    given = {FNC_V3: known.fnc_v3, EARLY_CORR: known.early}
    return [*of_groups, *(name for name, what in given.items() if what is not None)]


def _each(work: Callable[[slice], Any], slices: list[slice], threads: int) -> list[Any]:
    """Call `work` for each slice, `threads` at a time, with one thread of BLAS, because their number would change the last bits."""
    with one_of_blas():
        if threads == 1:
            return [work(rows) for rows in slices]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, slices))


def _features_of(era: int, rows: slice, features: Callable[[int], NDArray]) -> NDArray:
    block = features(era)
    if len(block) != rows.stop - rows.start:
        raise ValueError(f"era {era} has {rows.stop - rows.start} rows and its features {len(block)}")
    return block


@dataclass(frozen=True)
class _Era:
    """One era: predictions (rows, p), the other data (rows,), NaN if missing, the features (rows, k) or None, and `Known` of all eras."""

    predictions: Floats
    target: Floats
    early: Floats | None
    meta_model: Floats
    benchmark: Floats
    oracle: Floats
    features: NDArray | None
    known: Known

    def covered(self, rows: NDArray[np.bool_]) -> bool:
        """Return whether rows are enough of the era for a score."""
        return bool(rows.sum() / len(rows) >= MIN_COVERAGE)

    def correlation(self, x: Floats, rows: NDArray[np.bool_]) -> Floats:
        """Return the score of predictions (rows, p) of some rows of the era."""
        return kernels.correlation(self.known.score, x, self.target[rows], float(np.nanmean(self.target)))


@dataclass(frozen=True)
class _Ranked:
    """Predictions (rows, p) that exist on the same rows, ranked once for each set of rows."""

    values: Floats
    _known: dict[bytes, kernels.Ranks] = field(default_factory=dict)

    def rank(self, rows: NDArray[np.bool_]) -> kernels.Ranks:
        """Return the ranks among some rows."""
        key = rows.tobytes()
        if key not in self._known:
            self._known[key] = kernels.ranked(_picked(self.values, rows))
        return self._known[key]


def _check(predictions: pd.DataFrame, era: NDArray[np.int64], slices: list[slice], *arrays: NDArray | None) -> None:
    if any(len(array) != len(era) for array in (predictions, *arrays) if array is not None):
        raise ValueError("predictions, target, era and references must have the same number of rows")
    if len({int(era[rows.start]) for rows in slices}) != len(slices):
        raise ValueError("the rows of an era must be adjacent; sort by era")
    for name, column in predictions.items():
        infinite = np.isinf(column.to_numpy(np.float64))
        if infinite.any():
            raise InputError(
                f"prediction {name!r}: infinite in {infinite.sum()} rows, the first in era {era[infinite.argmax()]}; "
                "predictions must be finite, train the model again with settings that converge"
            )


def _column(array: NDArray | None, n_rows: int) -> Floats:
    return np.full(n_rows, np.nan) if array is None else np.asarray(array, np.float64)


def _score_era(era: _Era) -> dict[str, NDArray]:
    n_predictions = era.predictions.shape[1]
    table: dict[str, NDArray] = {ROWS: np.zeros(n_predictions, np.int64), CONSTANT: np.zeros(n_predictions, bool)}
    table |= {name: np.full(n_predictions, np.nan) for name in (*SCORES, *_added(era.known))}
    for columns in _same_rows(era.predictions):
        for name, score in _score_columns(era, columns).items():
            table[name][columns] = score
    table["oracle_corr"][:] = _oracle_corr(era)
    return table


def _same_rows(predictions: Floats) -> Iterator[list[int]]:
    """Yield groups of columns that exist on the same rows, so that each group is ranked in one call."""
    groups: dict[bytes, list[int]] = {}
    for column, missing in enumerate(np.isnan(predictions).T):
        groups.setdefault(missing.tobytes(), []).append(column)
    yield from groups.values()


def _score_columns(era: _Era, columns: list[int]) -> Scores:
    predictions = _Ranked(era.predictions[:, columns])
    present = ~np.isnan(predictions.values[:, 0])
    scored = present & ~np.isnan(era.target)
    values = _picked(predictions.values, scored)
    scores: Scores = {ROWS: len(values)}
    if len(values) > 1:
        scores[CONSTANT] = kernels.is_constant(values)
    if era.covered(scored):
        scores |= _target_scores(era, predictions, scored)
    if era.early is not None:
        scores |= _early_corr(era.early, era, predictions, present)
    scores |= _contributions(era, predictions, scored)
    if era.features is not None and era.features.shape[1] and era.covered(present):
        scores |= _feature_scores(era, _picked(era.features, present), predictions, present, scored)
    return scores


def _target_scores(era: _Era, predictions: _Ranked, scored: NDArray[np.bool_]) -> Scores:
    ranks = predictions.rank(scored)
    target = era.target[scored]
    return {
        "corr": _corr(era, predictions, scored, era.target),
        "spearman": kernels.spearman(ranks.uniform, target),
        "mse": kernels.mse(_picked(predictions.values, scored), target),
    } | _auc_scores(ranks.uniform, target)


def _early_corr(early: Floats, era: _Era, predictions: _Ranked, present: NDArray[np.bool_]) -> Scores:
    rows = present & ~np.isnan(early)
    if not era.covered(rows):
        return {}
    return {EARLY_CORR: _corr(era, predictions, rows, early)}


def _corr(era: _Era, predictions: _Ranked, rows: NDArray[np.bool_], target: Floats) -> Floats:
    """Return `kernels.correlation` of some rows, by ranks that other scores need too."""
    score, own = era.known.score, target[rows]
    if score == kernels.NUMERAI:
        return kernels.powered_corr(predictions.rank(rows).powered, own - np.nanmean(target))
    if score == "spearman":
        return kernels.spearman(predictions.rank(rows).uniform, own)
    return kernels.correlation(score, _picked(predictions.values, rows), own, 0.0)


def _auc_scores(ranks: Floats, target: Floats) -> Scores:
    top, above_half = kernels.top_class(target), target > 0.5
    scores: Scores = {} if np.array_equal(top, above_half) else {"auc_above_half": kernels.auc(ranks, above_half)}
    area = kernels.auc(ranks, top)
    return scores | {"auc_top": area, "top_share": np.where(np.isnan(area), np.nan, top.mean())}


def _contributions(era: _Era, predictions: _Ranked, scored: NDArray[np.bool_]) -> Scores:
    scores: Scores = {}
    for name, other in (("mmc", era.meta_model), ("bmc", era.benchmark)):
        rows = scored & ~np.isnan(other)
        if not era.covered(rows):
            continue
        gaussian = predictions.rank(rows).gaussian
        reference = kernels.gaussianize(other[rows])
        scores[name] = kernels.contribution(gaussian, reference, era.target[rows])
        if name == "mmc":
            scores["meta_corr"] = kernels.pearson_with(gaussian, reference)
    return scores


def _feature_scores(era: _Era, features: NDArray, predictions: _Ranked, present: NDArray[np.bool_], scored: NDArray[np.bool_]) -> Scores:
    exposures, block = projection.exposures(kernels.unit_columns(_picked(predictions.values, present)).T, features)
    usable = block.lengths > 0
    scores: Scores = {}
    if usable.any():
        scores["exposure_max"] = np.abs(exposures[:, usable]).max(axis=1)
        scores["exposure_rms"] = np.sqrt(np.square(exposures[:, usable]).mean(axis=1))
    for group, positions in era.known.groups.items():
        own = exposures[:, positions[usable[positions]]]
        if own.shape[1]:
            largest, typical = exposure_columns(group)
            scores |= {largest: np.abs(own).max(axis=1), typical: np.sqrt(np.square(own).mean(axis=1))}
    if era.covered(scored):
        scores["fnc"] = _neutral_corr(era, block, predictions, present, scored)
        if era.known.fnc_v3 is not None:
            some = projection.block_of(blocks.take_columns(features, era.known.fnc_v3))
            scores[FNC_V3] = _neutral_corr(era, some, predictions, present, scored)
    return scores


def _neutral_corr(
    era: _Era, block: projection.Block, predictions: _Ranked, present: NDArray[np.bool_], scored: NDArray[np.bool_]
) -> Floats:
    neutral = kernels.neutral_gaussian(predictions.rank(present).gaussian, block)
    left = ~np.isnan(neutral[0])
    scores = np.full(len(left), np.nan)
    if left.any():
        scores[left] = era.correlation(_picked(neutral[:, left], scored[present]), scored)
    return scores


def _picked(values: NDArray, rows: NDArray[np.bool_]) -> NDArray:
    """Return some rows of (rows, p), without a copy if they are all rows."""
    return values if rows.all() else values[rows]


def _oracle_corr(era: _Era) -> float:
    rows = ~np.isnan(era.oracle) & ~np.isnan(era.target)
    if not era.covered(rows):
        return np.nan
    return float(era.correlation(era.oracle[rows][:, None], rows)[0])
