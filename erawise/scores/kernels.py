"""Scores of one era: arrays in, arrays out, all predictions of the era as the columns of one array.

Every function needs finite values and computes in float64. A constant column of predictions, or a constant target, has no score: NaN.
The formulas are from numerai-tools 0.7.2 (`numerai_tools.scoring`).
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from erawise.base.settings import Score
from erawise.scores import loops, projection

Floats = NDArray[np.float64]

NUMERAI: Score = "numerai"

TOP_PARTS = 5
"""The top class holds at least one part of this many equal parts of an era's rows."""

VANISHED = 1e-9
"""A residual whose std is below this share of the original's is rounding noise."""


def is_constant(x: NDArray) -> NDArray[np.bool_]:
    """Return (p,) whether a column of (rows, p), or all of (rows,), has only one value."""
    same: NDArray[np.bool_] = x[0] == x[-1]
    return x.max(axis=0) == x.min(axis=0) if same.any() else same


class Ranks(NamedTuple):
    """The ranks of predictions; each (rows, p), or (rows,)."""

    uniform: Floats
    gaussian: Floats
    powered: Floats
    """`signed_power(gaussian)`."""


def uniform_ranks(x: NDArray) -> Floats:
    """Return the ranks of each column of (rows, p), or of (rows,), in (0, 1): `(average rank - 0.5) / rows`, ties kept."""
    return _looked_up(x, _tables(len(x))[:1])[0]


def gaussianize(x: NDArray) -> Floats:
    """Return (rows, p) or (rows,) as the normal quantiles of the `uniform_ranks`; a constant column is 0 throughout."""
    return _looked_up(x, _tables(len(x))[1:2])[0]


def ranked(x: NDArray) -> Ranks:
    """Return the results of `uniform_ranks` and `gaussianize`, ranked only once."""
    return Ranks(*_looked_up(x, _tables(len(x))))


def _looked_up(x: NDArray, tables: Floats) -> list[Floats]:
    found = loops.ranked(x.T if x.ndim == 2 else x[None], tables)
    return [columns.T.reshape(x.shape) for columns in found]


@functools.lru_cache(maxsize=32)
def _tables(rows: int) -> Floats:
    """Return (3, 2 rows - 1) `Ranks` for each `2 (average rank - 1)`."""
    uniform = np.arange(1, 2 * rows) / (2 * rows)
    quantiles = ndtri(uniform)
    tables = np.array([uniform, quantiles, signed_power(quantiles)])
    tables.flags.writeable = False
    return tables


def signed_power(x: Floats) -> Floats:
    """Return `sign(x) |x|^1.5`, elementwise."""
    return x * np.sqrt(np.abs(x))


def unit_columns(x: NDArray) -> Floats:
    """Return each column of (rows, p) centred and of length 1; NaN if it is constant.

    Columns are scaled before they are squared, and centred twice. A column with a tiny variation keeps its digits.
    """
    constant = is_constant(x)
    centred = x - x.mean(axis=0, dtype=np.float64)
    centred /= np.where(constant, 1.0, np.abs(centred).max(axis=0))
    centred -= centred.mean(axis=0)
    centred /= np.where(constant, np.nan, np.sqrt(np.einsum("ij,ij->j", centred, centred)))
    return centred


def pearson(a: NDArray, b: NDArray) -> Floats:
    """Return the (p, q) Pearson correlations of the columns of (rows, p) with the columns of (rows, q); NaN if one is constant."""
    return np.clip(unit_columns(a).T @ unit_columns(b), -1.0, 1.0)


def exposures(predictions: NDArray, features: NDArray, threads: int = 1) -> Floats:
    """Return the (p, k) Pearson correlations of predictions (rows, p) with features (rows, k); NaN if one is constant.

    `threads` threads read int8 features without a float copy; the result doesn't depend on their number.
    """
    if features.dtype != np.int8:
        return pearson(predictions, features)
    return projection.exposures(unit_columns(predictions).T, features, threads)[0]


def feature_correlations(features: NDArray, target: NDArray) -> Floats:
    """Return the (k,) Pearson correlations of the features (rows, k) with the target (rows,); NaN for a constant feature."""
    return exposures(target[:, None], features)[0]


def numerai_corr(gaussian: Floats, centred_target: Floats) -> Floats:
    """Calculate the CORR (`numerai_corr`) of gaussianized predictions.

    Parameters
    ----------
    gaussian : (rows, p), gaussianized over these rows.
    centred_target : (rows,), less the mean of the target over all rows of the era that have one.

    Returns
    -------
    (p,) Pearson correlations of both sides' signed powers.
    """
    return powered_corr(signed_power(gaussian), centred_target)


def powered_corr(powered: Floats, centred_target: Floats) -> Floats:
    """Calculate the CORR of gaussianized predictions, given their `signed_power` (rows, p)."""
    return pearson_with(powered, signed_power(centred_target))


def spearman(ranks: Floats, target: Floats) -> Floats:
    """Return the (p,) rank correlations of predictions, given as `uniform_ranks` (rows, p), with the target (rows,)."""
    return pearson_with(ranks, uniform_ranks(target))


def correlation(score: Score, x: Floats, target: Floats, mean: float, gaussian: Floats | None = None) -> Floats:
    """Calculate the score that stands for CORR in a panel.

    Parameters
    ----------
    score : `numerai`, CORR; `spearman`, of the ranks of both, ties averaged; `pearson`, of the values of both.
    x : (rows, p), predictions; CORR and Spearman are made of their ranks.
    target : (rows,).
    mean : the mean of the target over all rows of the era that have one; only CORR needs it.
    gaussian : (rows, p), `gaussianize(x)` if it is known already.

    Returns
    -------
    (p,); NaN if the prediction or the target is constant.
    """
    if score == "spearman":
        return spearman(uniform_ranks(x), target)
    if score == "pearson":
        return pearson(x, target[:, None])[:, 0]
    return numerai_corr(gaussianize(x) if gaussian is None else gaussian, target - mean)


def pearson_with(x: Floats, y: Floats) -> Floats:
    """Return the (p,) Pearson correlations of the columns of (rows, p) with (rows,), both made of ranks.

    Ranks need no scaling. A constant column is 0 throughout after its mean is subtracted.
    """
    return np.clip(loops.correlations(x.T, unit_columns(y[:, None])[:, 0]), -1.0, 1.0)


def contribution(gaussian: Floats, other: Floats, target: Floats) -> Floats:
    """Calculate MMC or BMC (`correlation_contribution`): the contribution of predictions to the meta model or benchmark.

    Parameters
    ----------
    gaussian : (rows, p), gaussianized predictions.
    other : (rows,), the gaussianized meta model or benchmark.
    target : (rows,); a target within [0, 1] is multiplied by 4, as in the official code.

    Returns
    -------
    (p,) products of the centred target with the part of the predictions that is orthogonal to `other`, over rows.
    A constant prediction or target gives NaN; the official code gives 0.
    """
    if is_constant(target) or is_constant(other):
        return np.full(gaussian.shape[1], np.nan)
    scaled = 4 * target if target.min() >= 0 and target.max() <= 1 else target
    centred = scaled - scaled.mean()
    orthogonal = centred - other * (centred @ other / (other @ other))
    scores = orthogonal @ gaussian / len(target)
    return np.where(is_constant(gaussian), np.nan, scores)


def residuals(predictions: Floats, features: NDArray, proportion: float, threads: int = 1) -> tuple[Floats, int]:
    """Subtract `proportion` of the least-squares fit to the features and a constant from predictions (`neutralize`).

    Parameters
    ----------
    predictions : (rows, p), no column constant.
    features : (rows, k), any dtype; may be collinear or constant.
    proportion : share of the fit to take out, 0..1.
    threads : threads that read int8 features; LAPACK has its own.

    Returns
    -------
    (rows, p) residuals, and the rank of the features with the constant.
    """
    found, rank = projection.residuals(np.ascontiguousarray(predictions.T), projection.block_of(features, threads), proportion)
    return found.T, rank


def vanished(residual: Floats, original: Floats) -> NDArray[np.bool_]:
    """Return (p,) whether only rounding noise is left of a column of `original` (rows, p) in `residual` (rows, p)."""
    return residual.std(axis=0) <= VANISHED * original.std(axis=0)


def neutral_gaussian(gaussian: Floats, features: projection.Block) -> Floats:
    """Return the prediction that FNC scores (`feature_neutral_corr`), without the scaling to std 1, which doesn't change its ranks.

    Parameters
    ----------
    gaussian : (rows, p), gaussianized predictions.
    features : the features of these rows.

    Returns
    -------
    (rows, p). A column is NaN if nothing is left to score: the prediction is constant or a linear function of the
    features, or the features with a constant span the era.
    """
    residual, rank = projection.residuals(np.ascontiguousarray(gaussian.T), features, 1.0)
    gone = vanished(residual.T, gaussian) if rank < len(gaussian) else np.ones(gaussian.shape[1], bool)
    return np.where(gone, np.nan, residual.T)


def top_class(target: Floats) -> NDArray[np.bool_]:
    """Mark (rows,) the highest values of the target, from the top until a fifth of the rows is marked; ties are marked together.

    On five bins of 5/20/50/20/5 % these are the upper two bins: 25 % of the rows.
    """
    last = -(-len(target) // TOP_PARTS)
    return target >= np.partition(target, len(target) - last)[len(target) - last]


def auc(ranks: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Calculate the area under the ROC curve by the rank sum of the positive class; a tie counts half.

    Parameters
    ----------
    ranks : (rows, p), `uniform_ranks` of the predictions.
    positive : (rows,), the class.

    Returns
    -------
    (p,); NaN if the class has all rows or no row.
    """
    n, n_positive = len(positive), int(positive.sum())
    if n_positive in (0, n):
        return np.full(ranks.shape[1], np.nan)
    rank_sum = n * (positive.astype(np.float64) @ ranks) + n_positive / 2
    area = (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * (n - n_positive))
    return np.where(is_constant(ranks), np.nan, area)


def mse(predictions: Floats, target: Floats) -> Floats:
    """Return the (p,) mean squared differences of the predictions (rows, p) from the target (rows,)."""
    if is_constant(target):
        return np.full(predictions.shape[1], np.nan)
    difference = predictions - target[:, None]
    return np.where(is_constant(predictions), np.nan, np.einsum("ij,ij->j", difference, difference) / len(target))
