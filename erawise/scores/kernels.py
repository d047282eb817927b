"""Scores of one era: arrays in, arrays out, all predictions of the era as the columns of one array.

Every function takes finite values and computes in float64. A constant column of predictions, or a constant target, has
no score: NaN. The formulas are those of numerai-tools 0.7.2 (`numerai_tools.scoring`).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

Floats = NDArray[np.float64]

POWER = 1.5
"""Exponent by which CORR stresses the tails."""

TOP_PARTS = 5
"""The top class holds at least one of this many equal parts of an era's rows."""

RCOND = 1e-6
"""Singular values below this share of the largest count as 0 in `neutralize`."""

VANISHED = 1e-9
"""A residual whose std is below this share of the original's is rounding noise."""


def is_constant(x: NDArray) -> NDArray[np.bool_]:
    """(p,) whether a column of (rows, p) has one value alone."""
    return x.max(axis=0) == x.min(axis=0)


def uniform_ranks(x: NDArray) -> Floats:
    """Ranks of each column of (rows, p) in (0, 1): `(average rank - 0.5) / rows`, ties kept."""
    return (rankdata(x, axis=0) - 0.5) / len(x)


def gaussianize(x: NDArray) -> Floats:
    """Each column of (rows, p) as the normal quantiles of its `uniform_ranks`; 0 throughout where it is constant."""
    return ndtri(uniform_ranks(x))


def signed_power(x: Floats) -> Floats:
    """`sign(x) |x|^1.5`, elementwise."""
    return np.sign(x) * np.abs(x) ** POWER


def unit_columns(x: NDArray) -> Floats:
    """Each column of (rows, p) centred and of length 1; NaN where it is constant.

    Columns are scaled before they are squared and centred twice, so that a column whose variation is tiny against its
    mean, or tiny in itself, keeps its digits.
    """
    constant = is_constant(x)
    centred = x - x.mean(axis=0, dtype=np.float64)
    centred /= np.where(constant, 1.0, np.abs(centred).max(axis=0))
    centred -= centred.mean(axis=0)
    centred /= np.where(constant, np.nan, np.sqrt(np.einsum("ij,ij->j", centred, centred)))
    return centred


def pearson(a: NDArray, b: NDArray) -> Floats:
    """(p, q) Pearson correlations between the columns of (rows, p) and those of (rows, q); NaN where one is constant."""
    return np.clip(unit_columns(a).T @ unit_columns(b), -1.0, 1.0)


def feature_correlations(features: NDArray, target: NDArray) -> Floats:
    """(k,) Pearson correlations of the features (rows, k) with the target (rows,); NaN for a constant feature."""
    return pearson(features, target[:, None])[:, 0]


def numerai_corr(gaussian: Floats, centred_target: Floats) -> Floats:
    """CORR (`numerai_corr`) of gaussianized predictions.

    Parameters
    ----------
    gaussian : (rows, p), gaussianized over these rows.
    centred_target : (rows,), less the mean of the target over all rows of the era that have one.

    Returns
    -------
    (p,) Pearson correlations of both sides' signed powers.
    """
    return pearson(signed_power(gaussian), signed_power(centred_target)[:, None])[:, 0]


def spearman(ranks: Floats, target: Floats) -> Floats:
    """(p,) rank correlations of predictions, given as `uniform_ranks` (rows, p), with the target (rows,)."""
    return pearson(ranks, uniform_ranks(target[:, None]))[:, 0]


def contribution(gaussian: Floats, other: Floats, target: Floats) -> Floats:
    """MMC or BMC (`correlation_contribution`): what the predictions add to the meta model or benchmark.

    Parameters
    ----------
    gaussian : (rows, p), gaussianized predictions.
    other : (rows,), the gaussianized meta model or benchmark.
    target : (rows,); one within [0, 1] is multiplied by 4, as the official code does.

    Returns
    -------
    (p,) products of the centred target with the part of the predictions that is orthogonal to `other`, over rows.
    A constant prediction or target has NaN where the official code has 0.
    """
    if is_constant(target) or is_constant(other):
        return np.full(gaussian.shape[1], np.nan)
    orthogonal = gaussian - np.outer(other, (other @ gaussian) / (other @ other))
    scaled = 4 * target if target.min() >= 0 and target.max() <= 1 else target
    scores = (scaled - scaled.mean()) @ orthogonal / len(target)
    return np.where(is_constant(gaussian), np.nan, scores)


def residuals(predictions: Floats, features: NDArray, proportion: float) -> tuple[Floats, int]:
    """Predictions less `proportion` of their least-squares fit to the features and a constant (`neutralize`).

    Parameters
    ----------
    predictions : (rows, p), none constant.
    features : (rows, k), any dtype; may be collinear or constant.
    proportion : share of the fit to take out, 0..1.

    Returns
    -------
    (rows, p) residuals, and the rank of the features with the constant.
    """
    design = np.ones((len(features), features.shape[1] + 1))
    design[:, :-1] = features
    coefficients, _, rank, _ = np.linalg.lstsq(design, predictions, rcond=RCOND)
    return predictions - proportion * (design @ coefficients), int(rank)


def vanished(residual: Floats, original: Floats) -> NDArray[np.bool_]:
    """(p,) whether nothing but rounding noise is left of a column of `original` (rows, p) in `residual` (rows, p)."""
    return residual.std(axis=0) <= VANISHED * original.std(axis=0)


def neutral_gaussian(gaussian: Floats, features: NDArray) -> Floats:
    """The prediction that FNC scores (`feature_neutral_corr`): neutral to all features, of std 1.

    Parameters
    ----------
    gaussian : (rows, p), gaussianized predictions.
    features : (rows, k).

    Returns
    -------
    (rows, p). A column is NaN where nothing is left to score: the prediction is constant or a linear function of the
    features, or the features with a constant span the era.
    """
    out = np.full(gaussian.shape, np.nan)
    residual, rank = residuals(gaussian, features, 1.0)
    if rank < len(gaussian):
        left = ~vanished(residual, gaussian)
        out[:, left] = residual[:, left] / residual[:, left].std(axis=0)
    return out


def top_class(target: Floats) -> NDArray[np.bool_]:
    """(rows,) the highest values of the target, cumulated from the top until a fifth of the rows is in.

    On five bins of 5/20/50/20/5 % these are the upper two bins: 25 % of the rows.
    """
    values, counts = np.unique(target, return_counts=True)
    enough = np.cumsum(counts[::-1]) * TOP_PARTS >= len(target)
    return target >= values[::-1][np.argmax(enough)]


def auc(ranks: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Area under the ROC curve by the rank sum of the positive class; a tie counts half.

    Parameters
    ----------
    ranks : (rows, p), `uniform_ranks` of the predictions.
    positive : (rows,), the class.

    Returns
    -------
    (p,); NaN where the class is everything or nothing.
    """
    n, n_positive = len(positive), int(positive.sum())
    if n_positive in (0, n):
        return np.full(ranks.shape[1], np.nan)
    rank_sum = (n * ranks[positive] + 0.5).sum(axis=0)
    area = (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * (n - n_positive))
    return np.where(is_constant(ranks), np.nan, area)


def mse(predictions: Floats, target: Floats) -> Floats:
    """(p,) mean squared differences of the predictions (rows, p) from the target (rows,)."""
    if is_constant(target):
        return np.full(predictions.shape[1], np.nan)
    return np.where(is_constant(predictions), np.nan, np.square(predictions - target[:, None]).mean(axis=0))
