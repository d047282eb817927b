"""Projections by era: predictions without their linear part in some features."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

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
    threads : threads that read int8 features; LAPACK has its own.

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


@dataclass(frozen=True)
class Parts:
    """A prediction, and its part that isn't linear in some features, in each era.

    Mixing the two takes out a proportion of the linear part. Several proportions therefore cost only one fit an era.

    Attributes
    ----------
    era : (rows,), rows of an era adjacent.
    gaussian : (rows,), the prediction, gaussianized in each era; 0 in eras with a constant prediction.
    left : (rows,), the prediction without its linear part.
    width : (eras,), the number of features in each era.
    """

    era: NDArray[np.int64]
    gaussian: Floats
    left: Floats
    width: list[int]

    @cached_property
    def emptied(self) -> int | None:
        """The position of the first era in which only rounding noise is left without the linear part; None if there is none."""
        for number, rows in enumerate(era_slices(self.era)):
            whole = self.gaussian[rows]
            if not kernels.is_constant(whole) and kernels.vanished(self.left[rows][:, None], whole[:, None])[0]:
                return number
        return None

    def without(self, proportion: float) -> Floats:
        """Return the prediction (rows,) in [0, 1] without a proportion, 0..1, of its linear part.

        In each era a shift and a factor map it to [0, 1], so that it stays orthogonal to the features. It is .5 in eras with a
        constant prediction.

        Raises
        ------
        InputError
            If nothing is left of it in an era.
        """
        if proportion == 1 and self.emptied is not None:
            slices = era_slices(self.era)
            raise InputError(
                f"neutralize.features: in {era_name(int(self.era[slices[self.emptied].start]))} the prediction is a linear function of the "
                f"{self.width[self.emptied]} features, so that nothing is left of it; set neutralize.proportion below 1, or "
                "neutralize.features to riskiest or none"
            )
        out = (1 - proportion) * self.gaussian + proportion * self.left
        for rows in era_slices(self.era):
            low, high = out[rows].min(), out[rows].max()
            out[rows] = (out[rows] - low) / (high - low) if high > low else 0.5
        return out


def split_eras(
    predictions: NDArray,
    era: NDArray[np.int64],
    features: Callable[[int], NDArray],
    threads: int = 1,
    progress: Progress = SILENT,
) -> Parts:
    """Split one prediction, era by era, into its linear part in some features and the rest.

    Parameters
    ----------
    predictions : (rows,), finite.
    era : (rows,), rows of an era adjacent.
    features : gives the (rows of the era, k) features of an era in the order of its rows.
    threads : threads that read an era's int8 features; LAPACK has its own.
    progress : told of each era.

    Raises
    ------
    InputError
        If a prediction is missing or infinite, or if the features with a constant span an era (rows <= k + 1).
    """
    gaussian, left, width = np.zeros(len(era)), np.zeros(len(era)), []
    slices = era_slices(era)
    with progress.counting(len(slices), "eras") as count:
        for rows in slices:
            number = int(era[rows.start])
            block = features(number)
            width.append(block.shape[1])
            gaussian[rows], left[rows] = _split_era(np.asarray(predictions[rows], np.float64), block, number, threads)
            count.done()
    return Parts(era, gaussian, left, width)


def neutralize_eras(
    predictions: NDArray,
    era: NDArray[np.int64],
    features: Callable[[int], NDArray],
    proportion: float,
    threads: int = 1,
    progress: Progress = SILENT,
) -> Floats:
    """Neutralize one prediction (rows,) era by era, ready to submit: `split_eras`, then `Parts.without`.

    Returns
    -------
    (rows,) float64 in [0, 1].

    Raises
    ------
    InputError
        See `split_eras` and `Parts.without`.
    """
    return split_eras(predictions, era, features, threads, progress).without(proportion)


def riskiest(correlations: NDArray, count: int) -> NDArray[np.int64]:
    """Return the positions of the features whose per-era correlation with the target varies most, the riskiest first.

    Parameters
    ----------
    correlations : (eras, k), NaN if a feature is constant in an era; such eras are left out of its std (ddof 0).
    count : how many to return; all if there are fewer. Ties go by position; a feature that is NaN throughout is last.

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
    """Return `count`, or a quarter of an era's rows if that is less: more features would leave little but noise."""
    return min(count, rows // ROWS_A_FEATURE)


def _split_era(predictions: Floats, features: NDArray, era: int, threads: int) -> tuple[Floats, Floats]:
    """Return the gaussianized prediction (rows,) of an era, and the same without its linear part."""
    n_rows, n_features = features.shape
    if not np.isfinite(predictions).all():
        raise InputError(
            f"{era_name(era)}: the prediction to neutralize is missing or infinite in some rows; every row needs one, run ensemble again"
        )
    if kernels.is_constant(predictions):
        return np.zeros(n_rows), np.zeros(n_rows)
    if n_rows <= n_features + 1:
        raise InputError(
            f"neutralize.features: {era_name(era)} has {n_rows} rows, which {n_features} features and a constant span: nothing but "
            f"noise would be left; set neutralize.features to riskiest (features for at most a quarter of an era's rows) or to none"
        )
    gaussian = kernels.gaussianize(predictions[:, None])
    left, _ = kernels.residuals(gaussian, features, 1.0, threads)
    return gaussian[:, 0], left[:, 0]
