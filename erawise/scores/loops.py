"""The loops of scores and projections: compiled if that pays, else plain numpy.

The choice depends only on the shape of the call (see `jit`), so that the same call gives the same bits each time.
"""

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erawise.base import jit
from erawise.scores import plain
from erawise.scores.plain import Floats

MIN_RANKED_ROWS = 2048
"""Least number of rows for compiled ranking."""

MIN_BLOCK = 2**19
"""Least number of values of a block of features for compiled products."""

PIECE = 512
"""Rows that are summed one after the other. The sums of pieces are added in their order, for any number of threads."""


def _loops(pays: bool) -> ModuleType:
    if not pays or not jit.enabled():
        return plain
    from erawise.scores import compiled

    return compiled


def ranked(values: NDArray, tables: Floats) -> Floats:
    """Return the (t, p, n) values of tables (t, 2n - 1) at the ranks in each row of (p, n), see `compiled.ranked`."""
    return _loops(values.shape[1] >= MIN_RANKED_ROWS).ranked(np.ascontiguousarray(values, np.float64), tables)


def correlations(values: Floats, unit: Floats) -> Floats:
    """Return the (p,) correlations of each row of (p, n) with (n,) of mean 0 and length 1, see `compiled.correlations`."""
    return _loops(values.shape[1] >= MIN_RANKED_ROWS).correlations(np.ascontiguousarray(values), np.ascontiguousarray(unit))


def moments(features: NDArray[np.int8], weights: Floats, threads: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return the (q, k) sums of int8 features (n, k) weighted by (q, n), and (2, k) plain sums and sums of squares.

    See `compiled.moments`.
    """
    loop = _loops(features.size >= MIN_BLOCK).moments
    wanted = np.ascontiguousarray(weights, np.float64)

    def some(rows: range) -> Any:
        return loop(features, wanted, rows.start, min(rows.stop, len(features)), PIECE)

    products, sums = zip(*_shared(some, range(0, len(features), PIECE), threads), strict=True)
    return np.concatenate(products).sum(axis=0), np.add.reduce(sums)


def combinations(features: NDArray[np.int8], weights: Floats, threads: int) -> Floats:
    """Return the (q, n) sums of the columns of int8 features (n, k) weighted by (q, k), see `compiled.combinations`."""
    loop = _loops(features.size >= MIN_BLOCK).combinations
    wanted = np.ascontiguousarray(weights, np.float64)

    def some(rows: range) -> Any:
        return loop(features, wanted, rows.start, min(rows.stop, len(features)))

    return np.concatenate(_shared(some, range(0, len(features), PIECE), threads), axis=1)


def add_centred_gram(gram: NDArray[np.float32], sums: Floats, rows: int, out: Floats) -> None:
    """Add `gram - sums sums' / rows`, at least its upper triangle, to `out` (k, k)."""
    _loops(gram.size >= MIN_BLOCK).add_centred_gram(gram, sums, rows, out)


def _shared(work: Callable[[range], Any], pieces: range, threads: int) -> list[Any]:
    """Call `work` for ranges of pieces, side by side."""
    parts = min(threads, len(pieces))
    first, *others = [pieces[begin:end] for begin, end in itertools.pairwise(len(pieces) * part // parts for part in range(parts + 1))]
    if not others:
        return [work(first)]
    waiting = [_pool(len(others)).submit(work, part) for part in others]
    return [work(first), *[part.result() for part in waiting]]


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that are kept, because starting them takes longer than the loops. A forked process starts its own."""
    return ThreadPoolExecutor(threads, "scores")


os.register_at_fork(after_in_child=_pool.cache_clear)
