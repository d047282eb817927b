"""Logistic regression: the probability that the target is above its middle."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from erawise.base.threads import one_of_blas
from erawise.models.logistic.settings import Logistic as Settings
from erawise.models.shared import common
from erawise.models.shared.protocol import Portable, Resources
from erawise.panel.panel import View
from erawise.running.errors import InputError

with common.collector_waiting():
    from sklearn.linear_model import LogisticRegression

stops_early, steps = common.never_stops_early, common.whole_fit

CLASS_BOUND = 0.5

CHUNK_ROWS = 1024
"""Rows that are standardised at a time."""

CHUNK_COPIES = 3
"""Arrays of a chunk, as float64, that exist at a time."""

GRADIENT_TOLERANCE = 1e-4
FLOAT_BYTES = 4

ROW_BYTES = 64
"""Bytes a row for the views, the target, the classes and the solver's sums."""


class Logistic(common.Linear):
    """A linear model of the log odds.

    Its attribution is in log odds too, because a feature's contribution to a probability depends on all other features.
    """

    unit = "log-odds"

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Return the probability (rows,) that the target is above .5, from (rows, features)."""
        return expit(self._sum(x))

    def portable(self) -> Portable:
        """Return the weights and the constant of the log odds."""
        return "logistic", super().portable()[1]


def load(directory: Path) -> Logistic:
    """Read a model; see `common.Linear.load`."""
    return Logistic.load(directory)


def required_bytes(settings: Settings, train: View) -> int:
    """Return the bytes that fitting to a view needs at most: its rows as they are stored, and again as float32."""
    n_features, n_rows = len(train.names), min(train.n_rows, settings.max_rows)
    matrix = n_rows * n_features * (train.dtype.itemsize + FLOAT_BYTES)
    chunk = CHUNK_COPIES * CHUNK_ROWS * n_features * np.dtype(np.float64).itemsize
    return matrix + train.n_rows * ROW_BYTES + chunk


def needs(settings: Settings, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
    """Return the bytes that each fit needs."""
    return [_require(settings, train, resources) for train, _ in folds]


def prepare(settings: Settings, folds: Sequence[tuple[View, View | None]], resources: Resources) -> int:
    """Check that every fit has the memory that it needs; the fits run one after the other."""
    return resources.side_by_side(needs(settings, folds, resources), most=1)


def fit(settings: Settings, train: View, inner: View | None, rounds: int | None, resources: Resources) -> Logistic:
    """Fit on at most `max_rows` rows, the same share of every era, by scikit-learn's L-BFGS on one thread.

    The penalty is `l2 / 2 |w|²` against the sum of the log losses. `inner` and `rounds` are ignored.

    Raises
    ------
    InputError
        If there is no row, all rows are of one class, or the memory doesn't suffice.
    """
    common.require_rows(train, settings.target)
    _require(settings, train, resources)
    x, target = common.draw(train, settings.max_rows, settings.seed)
    above = target > CLASS_BOUND
    if above.all() or not above.any():
        raise InputError(
            f"target {settings.target!r}: logistic regression needs values on both sides of {CLASS_BOUND}, "
            f"and all {len(above)} rows to fit on are on one side; choose another target for the model"
        )
    mean, std = common.standardisation(common.chunks(x, CHUNK_ROWS), x.shape[1])
    strength = 1 / settings.l2 if settings.l2 else np.inf
    solver = LogisticRegression(C=strength, max_iter=settings.max_iterations, tol=GRADIENT_TOLERANCE)
    with one_of_blas():
        solver.fit(_standardised(x, mean, std), above)
    resources.step()
    return Logistic(mean, std, solver.coef_[0].astype(np.float64), float(solver.intercept_[0]))


def _require(settings: Settings, train: View, resources: Resources) -> int:
    n_rows = min(train.n_rows, settings.max_rows)
    needed = required_bytes(settings, train)
    resources.require(needed, f"{n_rows:,} rows of {len(train.names):,} features as floats (max_rows)")
    return needed


def _standardised(x: NDArray, mean: NDArray[np.float64], std: NDArray[np.float64]) -> NDArray[np.float32]:
    z, scale = np.empty(x.shape, np.float32), common.inverse(std)
    for chunk, out in zip(common.chunks(x, CHUNK_ROWS), common.chunks(z, CHUNK_ROWS), strict=True):
        out[:] = (chunk - mean) * scale
    return z
