"""Logistic regression: the probability that the target is above its middle."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from erawise import params
from erawise.errors import InputError
from erawise.models import common
from erawise.panel import View

CLASS_BOUND = 0.5


class Logistic(common.Linear):
    """A linear model of the log odds."""

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Probability (rows,) that the target is above .5, from (rows, features)."""
        return expit(super().predict(x))


def uses_rounds() -> bool:
    return False


def load(directory: Path) -> Logistic:
    """Read a model; see `common.Linear.load`."""
    return Logistic.load(directory)


def fit(settings: params.Logistic, train: View, inner: View | None, rounds: int | None, threads: int) -> Logistic:
    """Fit on at most `max_rows` rows, the same share of every era, by L-BFGS on one thread.

    The penalty is `l2 / 2 |w|²` against the sum of the log losses. `inner`, `rounds` and `threads` play no part.

    Raises
    ------
    InputError
        If there is no row, or all rows are of one class.
    """
    common.require_rows(train, settings.target)
    x, target = common.draw(train, settings.max_rows, settings.seed)
    above = target > CLASS_BOUND
    if above.all() or not above.any():
        raise InputError(
            f"target {settings.target!r}: logistic regression needs values on both sides of {CLASS_BOUND}, "
            f"and all {len(above)} rows to fit on are on one; choose another target for the model"
        )
    mean, std = common.standardisation([x], x.shape[1])
    solver = LogisticRegression(C=1 / settings.l2 if settings.l2 else np.inf, max_iter=settings.max_iterations)
    with threadpool_limits(1):
        solver.fit(_standardised(x, mean, std), above)
    return Logistic(mean, std, solver.coef_[0].astype(np.float64), float(solver.intercept_[0]))


def _standardised(x: NDArray, mean: NDArray[np.float64], std: NDArray[np.float64]) -> NDArray[np.float32]:
    z = np.empty(x.shape, np.float32)
    scale = common.inverse(std)
    for chunk, out in zip(common.chunks(x), common.chunks(z), strict=True):
        out[:] = (chunk - mean) * scale
    return z
