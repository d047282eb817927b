"""Ridge regression on all rows: the normal equations, added up block by block."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from threadpoolctl import threadpool_limits

from erawise.models.ridge.settings import Ridge as Settings
from erawise.models.shared import common
from erawise.models.shared.protocol import Resources
from erawise.panel.panel import View

MATRICES, BLOCKS = 5, 2
"""Matrices of (features, features) that solving holds at once, and blocks of an era as floats that adding up holds."""

FLOAT_BYTES = 8

prepare = common.nothing_to_prepare
stops_early, steps = common.never_stops_early, common.whole_fit


def required_bytes(train: View) -> int:
    """Return the bytes that fitting to a view needs at most: sums of products of the features, an era as floats, the target."""
    n_features = len(train.names)
    largest = int(np.unique(train.era, return_counts=True)[1].max(initial=0))
    return FLOAT_BYTES * (MATRICES * n_features**2 + BLOCKS * largest * n_features + 2 * train.n_rows)


def needs(settings: Settings, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
    """Return the bytes that each fit needs."""
    needed = [required_bytes(train) for train, _ in folds]
    for (train, _), one in zip(folds, needed, strict=True):
        resources.require(one, f"the sums of products of {len(train.names):,} features")
    return needed


def load(directory: Path) -> common.Linear:
    """Read a model; see `common.Linear.load`."""
    return common.Linear.load(directory)


def fit(settings: Settings, train: View, inner: View | None, rounds: int | None, resources: Resources) -> common.Linear:
    """Fit `w` and `b` to minimise `|y - b - Z w|² + l2 |w|²` over all rows of `train`; `Z` are the standardised features.

    The memory is a (features, features) matrix and one era. `inner` and `rounds` are ignored.

    Raises
    ------
    InputError
        If `train` has no row.
    """
    common.require_rows(train, settings.target)
    with threadpool_limits(resources.threads, user_api="blas"):
        target = train.target.astype(np.float64)
        moments = _add_up(train.blocks(), target - target.mean(), len(train.names))
        model = _solved(moments, float(target.mean()), settings.l2)
    resources.step()
    return model


@dataclass(frozen=True)
class _Moments:
    """Sums over all rows of `d`, the features less the features of the first row, and of the centred target."""

    count: int
    origin: NDArray[np.float64]
    total: NDArray[np.float64]
    gram: NDArray[np.float64]
    with_target: NDArray[np.float64]


def _add_up(blocks: Iterable[NDArray], target: NDArray[np.float64], n_features: int) -> _Moments:
    origin: NDArray[np.float64] | None = None
    total, with_target = np.zeros(n_features), np.zeros(n_features)
    gram = np.zeros((n_features, n_features))
    count = 0
    for block in blocks:
        if origin is None:
            origin = block[0].astype(np.float64)
        shifted = block - origin
        total += shifted.sum(axis=0)
        gram += shifted.T @ shifted
        with_target += shifted.T @ target[count : count + len(block)]
        count += len(block)
    return _Moments(count, np.zeros(n_features) if origin is None else origin, total, gram, with_target)


def _solved(moments: _Moments, target_mean: float, l2: float) -> common.Linear:
    shift = moments.total / moments.count
    scatter = moments.gram - moments.count * np.outer(shift, shift)
    std = common.std_of(np.diag(scatter) / moments.count)
    scale = common.inverse(std)
    used = np.flatnonzero(std)
    penalised = (scatter * scale[:, None] * scale)[np.ix_(used, used)]
    penalised[np.diag_indices_from(penalised)] += l2
    coefficients = np.zeros(len(std))
    coefficients[used] = solve_symmetric(penalised, (moments.with_target * scale)[used])
    return common.Linear(moments.origin + shift, std, coefficients, target_mean)


def solve_symmetric(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the solution of a linear system with a symmetric, positive semi-definite matrix, (n, n) by (n,).

    The solution is by Cholesky. If the matrix is singular to working precision, it is the solution of least norm.
    """
    if not len(right):
        return right
    try:
        factor, lower = linalg.cho_factor(matrix)
    except linalg.LinAlgError:
        return linalg.pinvh(matrix) @ right
    pivots = np.abs(np.diag(factor))
    if (pivots.min() / pivots.max()) ** 2 < len(right) * np.finfo(np.float64).eps:
        return linalg.pinvh(matrix) @ right
    return linalg.cho_solve((factor, lower), right)
