"""What all kinds of models do alike: rows to fit on, prediction in bounded pieces, shares of importance."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from erawise.errors import InputError
from erawise.panel import View

CHUNK_ROWS = 8192
"""Rows that are predicted, or turned into floats, at a time."""

LEAST_STD = 1e-6
"""A feature whose std is below this counts as constant: features are on a scale of 1 or 4."""


def require_rows(train: View, target: str) -> None:
    """Check that there is something to learn.

    Raises
    ------
    InputError
        If no row has a value of the target.
    """
    if not train.n_rows:
        raise InputError(f"target {target!r} has no value in the eras to fit on; choose another target for the model")


def draw(train: View, max_rows: int, seed: int) -> tuple[NDArray, NDArray[np.float32]]:
    """At most `max_rows` rows of a view, the same share of every era: features (rows, features) and target (rows,).

    Raises
    ------
    InputError
        If that leaves no row of any era.
    """
    x, target = train.sample(max_rows, np.random.default_rng(seed))
    if not len(x):
        raise InputError(f"max_rows: {max_rows} of {train.n_rows} rows leave not one of an era; raise it")
    return x, target


def chunks(x: NDArray, rows: int = CHUNK_ROWS) -> Iterator[NDArray]:
    """Views of at most `rows` adjacent rows."""
    for start in range(0, len(x), rows):
        yield x[start : start + rows]


def predict_in_chunks(predict: Callable[[NDArray], NDArray], x: NDArray, n_features: int) -> NDArray[np.float64]:
    """Predict (rows,) from (rows, features), a bounded number of rows at a time.

    Raises
    ------
    InputError
        If `x` has another number of features than the model.
    """
    if x.shape[1] != n_features:
        raise InputError(f"the model was fitted on {n_features} features and is given {x.shape[1]}; train it again on these features")
    out = np.empty(len(x), np.float64)
    filled = 0
    for chunk in chunks(x):
        out[filled : filled + len(chunk)] = predict(chunk)
        filled += len(chunk)
    return out


def shares(values: NDArray) -> NDArray[np.float64]:
    """Values at least 0, scaled to sum 1; all 0 where they are."""
    total = float(np.sum(values, dtype=np.float64))
    return np.asarray(values, np.float64) / total if total > 0 else np.zeros(len(values))


def standardisation(blocks: Iterable[NDArray], n_features: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and std (ddof 0) of each feature over blocks (rows, features), read once.

    The std is 0 where a feature is constant. Sums are of differences from the first row, so that a constant feature
    gives exactly 0.
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
    """The std, 0 where it is too small to be more than rounding."""
    std = np.sqrt(np.maximum(variance, 0))
    return np.where(std < LEAST_STD, 0.0, std)


def inverse(std: NDArray[np.float64]) -> NDArray[np.float64]:
    """`1 / std`, 0 where it is 0: what turns a constant feature into zeros."""
    return np.divide(1.0, std, out=np.zeros_like(std), where=std > 0)
