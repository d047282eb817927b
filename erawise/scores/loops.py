"""The loops of scores and projections: compiled where that pays, plain numpy elsewhere.

The choice hangs on the shape of one call alone (see `jit`), so the same call has the same bits each time.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from erawise import jit
from erawise.scores import plain
from erawise.scores.plain import Floats

MIN_RANKED_ROWS = 2048
"""Rows from which on ranking is compiled."""

MIN_BLOCK = 2**19
"""Values of a block of features from which on its products are compiled."""

MIN_COLUMNS = 256
"""Columns that are worth a thread."""


def _loops(pays: bool) -> ModuleType:
    if not pays or not jit.enabled():
        return plain
    from erawise.scores import compiled

    return compiled


def half_ranks(values: NDArray) -> NDArray[np.int32]:
    """(p, n) ranks of each row of (p, n), see `compiled.half_ranks`."""
    return _loops(values.shape[1] >= MIN_RANKED_ROWS).half_ranks(np.ascontiguousarray(values, np.float64))


def products(features: NDArray[np.int8], weights: Floats, threads: int) -> Floats:
    """(q, k) products of the weights (q, n) with the columns of int8 features (n, k), see `compiled.products`."""
    loop = _loops(features.size >= MIN_BLOCK).products
    wanted = np.ascontiguousarray(weights, np.float64)
    return _by_columns(lambda start, stop: loop(features, wanted, start, stop), features.shape[1], threads)


def square_sums(features: NDArray[np.int8], threads: int) -> NDArray[np.int64]:
    """(2, k) sums and sums of squares of the columns of int8 features (n, k)."""
    loop = _loops(features.size >= MIN_BLOCK).square_sums
    return _by_columns(lambda start, stop: loop(features, start, stop), features.shape[1], threads)


def add_centred_gram(gram: NDArray[np.float32], sums: Floats, rows: int, out: Floats) -> None:
    """Add `gram - sums sums' / rows`, its upper triangle at least, to `out` (k, k)."""
    _loops(gram.size >= MIN_BLOCK).add_centred_gram(gram, sums, rows, out)


def _by_columns(work: Callable[[int, int], NDArray], width: int, threads: int) -> NDArray:
    """Work on ranges of columns, side by side, put together again."""
    parts = min(threads, max(1, width // MIN_COLUMNS))
    if parts == 1:
        return work(0, width)
    first, *others = itertools.pairwise(width * part // parts for part in range(parts + 1))
    with ThreadPoolExecutor(len(others)) as pool:
        waiting = [pool.submit(work, *ends) for ends in others]
        return np.concatenate([work(*first), *[part.result() for part in waiting]], axis=1)
