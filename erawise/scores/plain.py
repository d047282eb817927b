"""The functions of `compiled` in numpy: what they must agree with, and what runs where numba isn't there or wouldn't pay."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def half_ranks(values: Floats) -> NDArray[np.int32]:
    """See `compiled.half_ranks`."""
    n = values.shape[1]
    order = np.argsort(values, axis=1)
    ascending = np.take_along_axis(values, order, axis=1)
    place = np.arange(n)
    begins = np.ones(values.shape, bool)
    begins[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    ends = np.ones(values.shape, bool)
    ends[:, :-1] = begins[:, 1:]
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, place, n)[:, ::-1], axis=1)[:, ::-1]
    out = np.empty(values.shape, np.int32)
    np.put_along_axis(out, order, first + last, axis=1)
    return out


def products(features: NDArray[np.int8], weights: Floats, start: int, stop: int) -> Floats:
    """See `compiled.products`."""
    return weights @ features[:, start:stop].astype(np.float64)


def square_sums(features: NDArray[np.int8], start: int, stop: int) -> NDArray[np.int64]:
    """See `compiled.square_sums`."""
    columns = features[:, start:stop].astype(np.int64)
    return np.array([columns.sum(axis=0), np.square(columns).sum(axis=0)])


def add_centred_gram(gram: NDArray[np.float32], sums: Floats, rows: int, out: Floats) -> None:
    """See `compiled.add_centred_gram`; it fills the lower triangle too."""
    out += gram - np.outer(sums / rows, sums)
