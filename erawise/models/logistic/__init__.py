"""Logistic regression: the probability that the target is above its middle."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

from erawise import params
from erawise.errors import InputError
from erawise.models import common
from erawise.models.protocol import Portable, Resources
from erawise.panel import View

with common.collector_waiting():
    from sklearn.linear_model import LogisticRegression

CLASS_BOUND = 0.5

WHOLE_BYTES = 256 * 2**20
"""Rows that take at most this as float32 go to scikit-learn at once; more are fitted in chunks, to the same end within its tolerance."""

CHUNK_ROWS = 1024
"""Rows that are turned into floats at a time; the sums over them are added in their order, whatever the threads."""

GRADIENT_TOLERANCE = 1e-4
LOSS_TOLERANCE = 64 * float(np.finfo(np.float64).eps)
LINE_SEARCH_STEPS = 50
MEMORY_PAIRS = 10
"""Where L-BFGS stops, and how it searches: as scikit-learn has it."""

ROW_BYTES = 64
"""Bytes a row that the views, the target and the classes take."""


Solution = tuple[NDArray[np.float64], float]
"""Coefficients (features,) of the standardised features, and the intercept."""


class Logistic(common.Linear):
    """A linear model of the log odds, in which it is explained: what a feature adds to a probability hangs on all others."""

    unit = "log-odds"

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Probability (rows,) that the target is above .5, from (rows, features)."""
        return expit(self._sum(x))

    def portable(self) -> Portable:
        """As that of `common.Linear`, for the log odds."""
        return "logistic", super().portable()[1]


def stops_early(settings: params.Logistic) -> bool:
    return False


def steps(settings: params.Logistic) -> tuple[int, str]:
    return common.WHOLE_FIT


def load(directory: Path) -> Logistic:
    """Read a model; see `common.Linear.load`."""
    return Logistic.load(directory)


def required_bytes(settings: params.Logistic, train: View, threads: int) -> int:
    """Bytes that fitting to a view takes at most: the rows as they are stored, and a chunk of them as floats for each thread."""
    n_features, n_rows = len(train.names), min(train.n_rows, settings.max_rows)
    whole = WHOLE_BYTES if _fits(n_rows, n_features) else 0
    float_bytes = np.dtype(np.float64).itemsize
    chunk = threads * CHUNK_ROWS * n_features * float_bytes
    sums = (2 * MEMORY_PAIRS + n_rows / CHUNK_ROWS) * n_features * float_bytes
    return n_rows * n_features * train.dtype.itemsize + train.n_rows * ROW_BYTES + chunk + int(sums) + whole


def needs(settings: params.Logistic, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
    """Bytes that each fit takes."""
    return [_require(settings, train, resources) for train, _ in folds]


def prepare(settings: params.Logistic, folds: Sequence[tuple[View, View | None]], resources: Resources) -> int:
    """Check that every fit has the memory that it needs; they run one after the other."""
    return resources.side_by_side(needs(settings, folds, resources), most=1)


def fit(settings: params.Logistic, train: View, inner: View | None, rounds: int | None, resources: Resources) -> Logistic:
    """Fit on at most `max_rows` rows, the same share of every era, by L-BFGS; more than a few stay as they are stored.

    The penalty is `l2 / 2 |w|²` against the sum of the log losses. `inner` and `rounds` play no part, and the number of
    threads changes nothing but the time.

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
            f"and all {len(above)} rows to fit on are on one; choose another target for the model"
        )
    mean, std = common.standardisation(common.chunks(x, CHUNK_ROWS), x.shape[1])
    with threadpool_limits(1, user_api="blas"):
        if _fits(*x.shape):
            solution = _solved_whole(settings, x, above, mean, std)
        else:
            solution = _solved_in_chunks(settings, x, above, mean, std, resources.threads)
    resources.step()
    return Logistic(mean, std, *solution)


def _require(settings: params.Logistic, train: View, resources: Resources) -> int:
    n_rows = min(train.n_rows, settings.max_rows)
    needed = required_bytes(settings, train, resources.threads)
    resources.require(needed, f"{n_rows:,} rows of {len(train.names):,} features (max_rows)")
    return needed


def _fits(n_rows: int, n_features: int) -> bool:
    return n_rows * n_features * np.dtype(np.float32).itemsize <= WHOLE_BYTES


def _solved_whole(settings: params.Logistic, x: NDArray, above: NDArray, mean: NDArray, std: NDArray) -> Solution:
    z, scale = np.empty(x.shape, np.float32), common.inverse(std)
    for chunk, out in zip(common.chunks(x), common.chunks(z), strict=True):
        out[:] = (chunk - mean) * scale
    solver = LogisticRegression(C=1 / settings.l2 if settings.l2 else np.inf, max_iter=settings.max_iterations, tol=GRADIENT_TOLERANCE).fit(
        z, above
    )
    return solver.coef_[0].astype(np.float64), float(solver.intercept_[0])


def _solved_in_chunks(settings: params.Logistic, x: NDArray, above: NDArray, mean: NDArray, std: NDArray, threads: int) -> Solution:
    limits = {"maxiter": settings.max_iterations, "maxcor": MEMORY_PAIRS, "maxls": LINE_SEARCH_STEPS}
    tolerances = {"gtol": GRADIENT_TOLERANCE, "ftol": LOSS_TOLERANCE}
    with ThreadPoolExecutor(threads) as pool:
        loss = _Loss(x, above, mean, common.inverse(std), settings.l2, pool)
        found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={**limits, **tolerances}).x
    return found[:-1], float(found[-1])


@dataclass(frozen=True)
class _Loss:
    """The mean log loss and its penalty, and their gradient, by coefficients of the standardised features and an intercept.

    Parameters
    ----------
    x : (rows, features) int8 or float32, as stored.
    above : (rows,) bool, the class.
    mean, scale : (features,) what standardises; `scale` is 0 for a constant feature.
    l2 : the penalty against the sum of the losses.
    threads : what works on the chunks.
    """

    x: NDArray
    above: NDArray[np.bool_]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    l2: float
    threads: Executor

    def __call__(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        coefficients, intercept = parameters[:-1], parameters[-1]
        weights = coefficients * self.scale
        constant = intercept - self.mean @ weights
        loss, slope, products = 0.0, 0.0, np.zeros(len(weights))
        for part_loss, part_slope, part_products in self._parts(weights, float(constant)):
            loss, slope = loss + part_loss, slope + part_slope
            products += part_products
        n_rows = len(self.x)
        gradient = np.append(self.scale * (products - self.mean * slope) + self.l2 * coefficients, slope)
        return (loss + 0.5 * self.l2 * float(coefficients @ coefficients)) / n_rows, gradient / n_rows

    def _parts(self, weights: NDArray[np.float64], constant: float) -> Iterator[tuple[float, float, NDArray[np.float64]]]:
        """Of each chunk, in order: the sum of its losses, of their slopes, and of the features times the slopes."""

        def part(start: int) -> tuple[float, float, NDArray[np.float64]]:
            chunk = self.x[start : start + CHUNK_ROWS].astype(np.float64)
            above = self.above[start : start + CHUNK_ROWS]
            odds = chunk @ weights + constant
            slopes = expit(odds) - above
            return float(np.logaddexp(0.0, odds).sum() - odds[above].sum()), float(slopes.sum()), slopes @ chunk

        return self.threads.map(part, range(0, len(self.x), CHUNK_ROWS))
