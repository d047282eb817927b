"""The score by which early stopping looks at an inner slice: the mean per-era correlation."""

import numpy as np
from numpy.typing import NDArray

from erawise.panel import View, era_slices


class EraCorrelation:
    """Mean over eras of the Pearson correlation between predictions and the target.

    An era with a constant prediction counts as 0; eras with a constant target are left out. Without any era left the
    score is 0.
    """

    def __init__(self, target: NDArray, era: NDArray[np.int64]) -> None:
        """Prepare for `target` (rows,) in eras of adjacent rows."""
        slices = era_slices(era)
        self._starts = np.array([rows.start for rows in slices], np.int64)
        self._counts = np.array([rows.stop - rows.start for rows in slices], np.int64)
        self._target, self._target_squares = self._centred(np.asarray(target, np.float64))

    @classmethod
    def of(cls, view: View) -> "EraCorrelation":
        return cls(view.target, view.era)

    def __call__(self, prediction: NDArray) -> float:
        """Score predictions (rows,), all finite."""
        centred, squares = self._centred(np.asarray(prediction, np.float64))
        products = np.add.reduceat(centred * self._target, self._starts)
        scales = np.sqrt(squares * self._target_squares)
        correlations = np.divide(products, scales, out=np.zeros_like(products), where=scales > 0)
        known = self._target_squares > 0
        return float(correlations[known].mean()) if known.any() else 0.0

    def _centred(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # The first value of each era is taken off first: a constant era is then exactly 0.
        shifted = values - np.repeat(values[self._starts], self._counts)
        means = np.add.reduceat(shifted, self._starts) / self._counts
        centred = shifted - np.repeat(means, self._counts)
        return centred, np.add.reduceat(centred * centred, self._starts)
