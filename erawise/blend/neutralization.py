"""Projections by era: predictions without their linear part in some features."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from erawise.base.schema import era_name
from erawise.panel.panel import era_slices
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress
from erawise.scores import kernels
from erawise.scores.kernels import Floats

ROWS_A_FEATURE = 4
"""An era has at least this many rows for each feature of `riskiest`."""


def neutralize_block(predictions: NDArray, features: NDArray, proportion: float, threads: int = 1) -> Floats:
    """Subtract `proportion` of the least-squares fit to the features and a constant (numerai-tools' `neutralize`).

    Parameters
    ----------
    predictions : (rows, p), finite.
    features : (rows, k), finite, any dtype; may be collinear or constant.
    proportion : 0..1.
    threads : that read int8 features; LAPACK has its own.

    Returns
    -------
    (rows, p) float64; a constant prediction is NaN throughout.
    """
    values = np.asarray(predictions, np.float64)
    varying = ~kernels.is_constant(values)
    out = np.full(values.shape, np.nan)
    if varying.any():
        out[:, varying], _ = kernels.residuals(values[:, varying], features, proportion, threads)
    return out


def neutralize_eras(
    predictions: NDArray,
    era: NDArray[np.int64],
    features: Callable[[int], NDArray],
    proportion: float,
    threads: int = 1,
    progress: Progress = SILENT,
) -> Floats:
    """Neutralize one prediction era by era, ready to submit.

    In each era the prediction is gaussianized, neutralized and mapped to [0, 1] by a shift and a factor, which leave it
    as orthogonal to the features as it is. Where it is constant in an era there is nothing to take out: it is .5 there.

    Parameters
    ----------
    predictions : (rows,), finite.
    era : (rows,), rows of an era adjacent.
    features : gives the (rows of the era, k) features of an era in the order of its rows.
    proportion : 0..1.
    threads : that read an era's int8 features; LAPACK has its own.
    progress : told of each era.

    Returns
    -------
    (rows,) float64 in [0, 1].

    Raises
    ------
    InputError
        If a prediction is missing or infinite, if the features with a constant span an era (rows <= k + 1), or if
        nothing is left of the prediction in an era.
    """
    out = np.empty(len(era))
    slices = era_slices(era)
    with progress.counting(len(slices), "eras") as count:
        for rows in slices:
            number = int(era[rows.start])
            out[rows] = _neutralize_era(np.asarray(predictions[rows], np.float64), features(number), proportion, number, threads)
            count.done()
    return out


def riskiest(correlations: NDArray, count: int) -> NDArray[np.int64]:
    """Positions of the features whose per-era correlation with the target varies most, the riskiest first.

    Parameters
    ----------
    correlations : (eras, k), NaN where a feature is constant in an era; such eras are left out of its std (ddof 0).
    count : how many to take; all where there are fewer. Ties go by position; a feature that is NaN throughout is last.

    Returns
    -------
    (min(count, k),) int64.
    """
    known = ~np.isnan(correlations)
    eras = np.maximum(known.sum(axis=0), 1)
    values = np.where(known, correlations, 0.0)
    deviation = np.where(known, values - values.sum(axis=0) / eras, 0.0)
    std = np.sqrt(np.square(deviation).sum(axis=0) / eras)
    return np.argsort(-np.where(known.any(axis=0), std, -1.0), kind="stable")[:count].astype(np.int64)


def cap(count: int, rows: int) -> int:
    """At most a quarter of an era's rows: more features would leave little but noise."""
    return min(count, rows // ROWS_A_FEATURE)


def _neutralize_era(predictions: Floats, features: NDArray, proportion: float, era: int, threads: int) -> Floats:
    n_rows, n_features = features.shape
    if not np.isfinite(predictions).all():
        raise InputError(
            f"{era_name(era)}: the prediction to neutralize is missing or infinite in some rows; every row needs one, run ensemble again"
        )
    if kernels.is_constant(predictions):
        return np.full(n_rows, 0.5)
    if n_rows <= n_features + 1:
        raise InputError(
            f"neutralize.features: {era_name(era)} has {n_rows} rows, which {n_features} features and a constant span: nothing but "
            f"noise would be left; set neutralize.features to riskiest, which takes at most a quarter of an era's rows, or to none"
        )
    gaussian = kernels.gaussianize(predictions[:, None])
    neutral = neutralize_block(gaussian, features, proportion, threads)
    if kernels.vanished(neutral, gaussian)[0]:
        raise InputError(
            f"neutralize.features: in {era_name(era)} the prediction is a linear function of the {n_features} features, so that nothing is "
            "left of it; set neutralize.proportion below 1, or neutralize.features to riskiest or none"
        )
    low, high = neutral.min(), neutral.max()
    return (neutral[:, 0] - low) / (high - low)
