"""Parts that kinds of models share: rows to fit on, prediction in chunks, standardisation, the linear model, and the score of early
stopping."""

import ctypes
import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from erawise.base.threads import one_of_blas
from erawise.models.shared import arrays
from erawise.models.shared.protocol import PREDICTION_UNIT, Attribution, Portable, Resources
from erawise.panel.panel import View, era_slices
from erawise.running.errors import InputError

CHUNK_ROWS = 8192
"""Rows that are predicted, or turned into floats, at a time."""

LEAST_STD = 1e-6
"""A feature whose std is below this counts as constant: features are on a scale of 1 or 4."""

OWN_COPIES, OWN_ROW_BYTES = (4, 8), 64
"""Bytes a value of the copies that other code makes of the rows, and bytes a row for the views, the target and the eras."""

LINEAR_FILE = "linear.npz"
_LINEAR: dict[str, tuple[type[np.generic], int]] = {
    "mean": (np.float64, 1),
    "std": (np.float64, 1),
    "coefficients": (np.float64, 1),
    "intercept": (np.float64, 0),
}


def never_stops_early(settings: Any) -> bool:
    """Return False: for kinds without rounds."""
    return False


def whole_fit(settings: Any) -> tuple[int, str]:
    """Return the steps of kinds that can't report progress within a fit."""
    return 1, "fits"


def nothing_to_prepare(settings: Any, folds: Sequence[tuple[View, View | None]], resources: Resources) -> int:
    """Prepare nothing: for kinds whose fits share nothing and run one after the other."""
    return 1


def give_back() -> None:
    """Return freed memory from the C library to the system: the next step may need all of it."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def require_rows(train: View, target: str) -> None:
    """Check that there are rows to learn from.

    Raises
    ------
    InputError
        If no row has a value of the target.
    """
    if not train.n_rows:
        raise InputError(f"target {target!r} has no value in the eras to fit on; choose another target for the model")


def draw(train: View, max_rows: int, seed: int) -> tuple[NDArray, NDArray[np.float32]]:
    """Draw at most `max_rows` rows of a view, the same share of every era: features (rows, features) and target (rows,).

    Raises
    ------
    InputError
        If that leaves no row of any era.
    """
    return draw_with_era(train, max_rows, seed)[:2]


def draw_with_era(train: View, max_rows: int, seed: int) -> tuple[NDArray, NDArray[np.float32], NDArray[np.int64]]:
    """Return `draw`, and the era (rows,) of each row."""
    x, rows = train.sample(max_rows, np.random.default_rng(seed))
    if not len(x):
        raise InputError(f"max_rows: {max_rows} of {train.n_rows} rows leave no row of any era; raise it")
    return x, train.target[rows], train.era[rows]


def needs_of_matrix(settings: Any, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
    """Return the bytes that each fit needs: for kinds that fit all drawn rows at once, see `require_matrix`."""
    return [require_matrix(settings.max_rows, train, resources) for train, _ in folds]


def require_matrix(max_rows: int | None, train: View, resources: Resources) -> int:
    """Return the bytes that a fit of drawn rows needs: as they are stored, as float32, and as float64 in the model's own copy.

    Raises
    ------
    InputError
        If that is more than the fit may have.
    """
    n_rows = min(train.n_rows, max_rows or train.n_rows)
    needed = n_rows * len(train.names) * (train.dtype.itemsize + sum(OWN_COPIES)) + train.n_rows * OWN_ROW_BYTES
    resources.require(needed, f"{n_rows:,} rows of {len(train.names):,} features, as they are and as floats (max_rows)")
    return needed


def chunks(x: NDArray, rows: int = CHUNK_ROWS) -> Iterator[NDArray]:
    """Yield views of at most `rows` adjacent rows."""
    for start in range(0, len(x), rows):
        yield x[start : start + rows]


def require_features(x: NDArray, n_features: int) -> None:
    """Raise `InputError` if rows (rows, features) have another number of features than the model."""
    if x.shape[1] != n_features:
        raise InputError(f"the model was fitted on {n_features} features and is given {x.shape[1]}; train it again on these features")


def checked(what: str, found: Any, rows: int) -> NDArray[np.float64]:
    """Return predictions of other code as (rows,) float64; `what` names the code.

    Raises
    ------
    InputError
        If they aren't a finite number for each of the rows.
    """
    try:
        values = np.asarray(found, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what} gave {type(found).__name__}, not numbers; expected an array ({rows},)") from None
    if values.shape != (rows,):
        raise InputError(f"{what} gave predictions of shape {values.shape}; expected ({rows},), one for each row")
    if not np.isfinite(values).all():
        raise InputError(f"{what} gave {int((~np.isfinite(values)).sum())} predictions of {rows} that are NaN or infinite")
    return values


def predict_in_chunks(predict: Callable[[NDArray], NDArray], x: NDArray, n_features: int) -> NDArray[np.float64]:
    """Predict (rows,) from (rows, features), a chunk of rows at a time.

    Raises
    ------
    InputError
        If `x` has another number of features than the model.
    """
    require_features(x, n_features)
    out = np.empty(len(x), np.float64)
    filled = 0
    for chunk in chunks(x):
        out[filled : filled + len(chunk)] = predict(chunk)
        filled += len(chunk)
    return out


def shares(values: NDArray) -> NDArray[np.float64]:
    """Scale values of at least 0 to sum 1; if all are 0, they stay 0."""
    total = float(np.sum(values, dtype=np.float64))
    return np.asarray(values, np.float64) / total if total > 0 else np.zeros(len(values))


def standardisation(blocks: Iterable[NDArray], n_features: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and std (ddof 0) of each feature over blocks (rows, features), read once.

    The sums are of differences from the first row, so that the std of a constant feature is exactly 0.
    """
    origin: NDArray[np.float64] | None = None
    total, squares, count = np.zeros(n_features), np.zeros(n_features), 0
    for block in blocks:
        for chunk in chunks(block):
            if origin is None:
                origin = chunk[0].astype(np.float64)
            shifted = chunk - origin
            total += shifted.sum(axis=0)
            squares += np.einsum("ij,ij->j", shifted, shifted)
            count += len(chunk)
    if origin is None:
        return np.zeros(n_features), np.zeros(n_features)
    mean = total / count
    return origin + mean, std_of(squares / count - mean * mean)


def std_of(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the std; 0 if it is so small that it may be rounding."""
    std = np.sqrt(np.maximum(variance, 0))
    return np.where(std < LEAST_STD, 0.0, std)


def inverse(std: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `1 / std`; 0 if the std is 0, which turns a constant feature into zeros."""
    return np.divide(1.0, std, out=np.zeros_like(std), where=std > 0)


@dataclass(frozen=True)
class Linear:
    """The model `intercept + z @ coefficients`, with `z` the features standardised by `mean` and `std`.

    Parameters
    ----------
    mean, std : (features,) float64 of the training rows; a feature of std 0 is constant there and isn't used.
    coefficients : (features,) float64, for the standardised features.
    intercept : float.
    """

    unit: ClassVar[str] = PREDICTION_UNIT
    """The unit of the sum."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercept: float

    @property
    def rounds(self) -> int | None:
        return None

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features).

        Raises
        ------
        InputError
            If `x` has another number of features.
        """
        return self._sum(x)

    def _sum(self, x: NDArray) -> NDArray[np.float64]:
        weights, constant = self._weights()
        with one_of_blas():
            return predict_in_chunks(lambda chunk: chunk.astype(np.float64) @ weights + constant, x, len(self.mean))

    def importance(self) -> NDArray[np.float64]:
        """Return the (features,) share of each feature in the sum of the absolute coefficients."""
        return shares(np.abs(self.coefficients))

    def tree_importance(self) -> None:
        """Return None: there are no trees."""

    def attribution(self, sample: NDArray, background: NDArray, threads: int) -> Attribution:
        """Return, for each feature, its weight times its distance from its mean over `sample`: the SHAP values of independent features.

        Source: Lundberg & Lee (2017), A unified approach to interpreting model predictions, corollary 1.
        """
        weights, constant = self._weights()
        mean = sample.mean(axis=0, dtype=np.float64)
        return Attribution(self.unit, float(mean @ weights) + constant, lambda x: (x - mean) * weights, self._sum)

    def portable(self) -> Portable:
        """Return the weights of the features before standardisation, and the constant."""
        weights, constant = self._weights()
        return "linear", {"weights": weights, "constant": np.array(constant)}

    def _weights(self) -> tuple[NDArray[np.float64], float]:
        weights = self.coefficients * inverse(self.std)
        return weights, self.intercept - float(self.mean @ weights)

    def save(self, directory: Path) -> None:
        """Write `linear.npz` into the directory."""
        content = {name: np.asarray(getattr(self, name), np.float64) for name in _LINEAR}
        arrays.save_arrays(content, directory / LINEAR_FILE)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a model that `save` has written.

        Raises
        ------
        InputError
            If the file is missing or broken, or its arrays don't fit together.
        """
        path = directory / LINEAR_FILE
        content = arrays.load_arrays(path, _LINEAR)
        mean, std, coefficients = content["mean"], content["std"], content["coefficients"]
        if not len(mean) == len(std) == len(coefficients):
            raise arrays.broken(path, "its arrays differ in length")
        if (std < 0).any():
            raise arrays.broken(path, "a std is below 0")
        return cls(mean, std, coefficients, float(content["intercept"]))


class Opaque:
    """A model of which only the predictions are known."""

    n_features: int

    @property
    def rounds(self) -> int | None:
        return None

    def importance(self) -> NDArray[np.float64]:
        """Return (features,) NaN."""
        return np.full(self.n_features, np.nan)

    def tree_importance(self) -> None:
        """Return None: no trees are known."""

    def attribution(self, sample: NDArray, background: NDArray, threads: int) -> None:
        """Return None: no way to explain every model is known."""


class EraCorrelation:
    """The mean over eras of the Pearson correlation between predictions and the target.

    An era with a constant prediction counts as 0. Eras with a constant target are left out; if no era is left, the score is 0.
    """

    def __init__(self, target: NDArray, era: NDArray[np.int64]) -> None:
        """Prepare for `target` (rows,) in eras of adjacent rows."""
        slices = era_slices(era)
        self._starts = np.array([rows.start for rows in slices], np.int64)
        self._counts = np.array([rows.stop - rows.start for rows in slices], np.int64)
        self._target, self._target_squares = self._centred(np.asarray(target, np.float64))

    @classmethod
    def from_view(cls, view: View) -> "EraCorrelation":
        """Prepare for the rows of a view."""
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
        # Subtract the first value of each era first: a constant era is then exactly 0.
        shifted = values - np.repeat(values[self._starts], self._counts)
        means = np.add.reduceat(shifted, self._starts) / self._counts
        centred = shifted - np.repeat(means, self._counts)
        return centred, np.add.reduceat(centred * centred, self._starts)


@contextmanager
def collector_waiting() -> Iterator[None]:
    """Hold the garbage collector back, so that large packages are imported faster.

    It would scan the growing heap again and again. Afterwards it ignores the imported objects.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
