"""The functions of `compiled` in numpy: their reference, and their replacement if numba isn't installed or doesn't pay."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


CHUNK_VALUES = 2**17
"""Values of int8 features that are widened to float64 at a time: they stay in the second-level cache."""


def ranked(values: Floats, tables: Floats) -> Floats:
    """Rank like `compiled.ranked`."""
    n = values.shape[1]
    order = np.argsort(values, axis=1)
    ascending = np.take_along_axis(values, order, axis=1)
    position = np.arange(n)
    begins = np.ones(values.shape, bool)
    begins[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    ends = np.ones(values.shape, bool)
    ends[:, :-1] = begins[:, 1:]
    first = np.maximum.accumulate(np.where(begins, position, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, position, n)[:, ::-1], axis=1)[:, ::-1]
    halves = np.empty(values.shape, np.int64)
    np.put_along_axis(halves, order, first + last, axis=1)
    return tables[:, halves]


def correlations(values: Floats, unit: Floats) -> Floats:
    """Calculate like `compiled.correlations`."""
    centred = values.T - values.T.mean(axis=0)
    length = np.sqrt(np.einsum("ij,ij->j", centred, centred))
    return unit @ centred / np.where(length > 0, length, np.nan)


def moments(features: NDArray[np.int8], weights: Floats, start: int, stop: int, piece: int) -> tuple[Floats, NDArray[np.int64]]:
    """Sum like `compiled.moments`."""
    pieces = [slice(first, min(first + piece, stop)) for first in range(start, stop, piece)]
    out, totals = np.empty((len(pieces), len(weights), features.shape[1])), np.zeros((2, features.shape[1]), np.int64)
    for number, rows in enumerate(pieces):
        if len(weights):
            out[number] = weights[:, rows] @ features[rows].astype(np.float64)
        wide = features[rows].astype(np.int64)
        totals += [wide.sum(axis=0), np.square(wide).sum(axis=0)]
    return out, totals


def combinations(features: NDArray[np.int8], weights: Floats, start: int, stop: int) -> Floats:
    """Sum like `compiled.combinations`."""
    out, columns = np.empty((len(weights), stop - start)), np.ascontiguousarray(weights.T)
    chunk = max(CHUNK_VALUES // features.shape[1], 1)
    for first in range(start, stop, chunk):
        last = min(first + chunk, stop)
        out[:, first - start : last - start] = (features[first:last].astype(np.float64) @ columns).T
    return out


def add_centred_gram(gram: NDArray[np.float32], sums: Floats, rows: int, out: Floats) -> None:
    """Add like `compiled.add_centred_gram`, also to the lower triangle."""
    out += gram - np.outer(sums / rows, sums)
