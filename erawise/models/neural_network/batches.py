"""The network's input: batches from the mapped matrix, in an order that depends only on a seed."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from erawise.models.shared import common
from erawise.panel.panel import View

POOL_BYTES = 256 * 2**20
"""Rows that are shuffled together, as they are stored; data up to this size stays in memory between epochs."""

AHEAD_BYTES = 64 * 2**20
"""Batches that wait to be trained on: more than a second of work, which hides the time to fill a pool from disk."""

AHEAD_BATCHES = 64

CHUNK_ROWS = 1024
"""Rows that are turned into floats at a time in a pass over data that isn't in memory."""

T = TypeVar("T")
Batch = tuple[NDArray, NDArray[np.float32]]


class ViewRows:
    """The rows of a view: in memory if they fit a pool, else read from the mapped matrix each time.

    Attributes
    ----------
    held : (rows, features) int8 or float32, or None if they don't fit.
    dtype : dtype of the features.
    """

    def __init__(self, view: View, pool_bytes: int = POOL_BYTES) -> None:
        """Read the rows of a view, of at least one row, if they fit a pool."""
        self.view, self.pool_bytes = view, pool_bytes
        first = next(view.blocks())
        self.dtype = first.dtype
        self.row_bytes = first.shape[1] * first.itemsize
        self.held = view.matrix() if view.n_rows * self.row_bytes <= pool_bytes else None

    @property
    def n_features(self) -> int:
        return len(self.view.names)

    def blocks(self) -> Iterator[NDArray]:
        """Yield the rows in the view's order, (rows, features) at a time."""
        if self.held is not None:
            yield self.held
            return
        for block in ahead(self.view.blocks(), 1):
            yield from common.chunks(block, CHUNK_ROWS)

    def standardisation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean and std of each feature; for int8 exactly, because sums and squares are integers far below 2⁵³."""
        return common.standardisation(self.blocks(), self.n_features)


def epochs(rows: ViewRows, target: str, batch_rows: int, seed: int) -> Iterator[Iterator[Batch]]:
    """Yield the batches of one epoch after the other, without end: features (batch_rows, features) and target (batch_rows,).

    Each row comes once an epoch, and only an epoch's last batch is smaller. Rows in memory are permuted as a whole. Otherwise the eras
    are permuted, as many eras as fill `rows.pool_bytes` are read, and their rows are permuted.

    Parameters
    ----------
    rows : the rows to train on.
    target : the name of the view's target.
    batch_rows : the size of a batch.
    seed : seed of the order.
    """
    rng = np.random.default_rng(seed)
    depth = min(AHEAD_BATCHES, AHEAD_BYTES // (batch_rows * rows.row_bytes), -(-rows.view.n_rows // batch_rows))
    while True:
        yield ahead(_batches(rows, target, batch_rows, rng), max(1, depth))


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """Yield the same items in the same order; another thread makes them in advance, at most `depth` at a time."""
    thread = ThreadPoolExecutor(1)
    coming = deque(thread.submit(next, items, None) for _ in range(depth))
    try:
        while (item := coming.popleft().result()) is not None:
            coming.append(thread.submit(next, items, None))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)


def _batches(rows: ViewRows, target: str, batch_rows: int, rng: np.random.Generator) -> Iterator[Batch]:
    pools = _pools(rows, target, batch_rows, rng) if rows.held is None else iter([(rows.held, rows.view.target)])
    for features, wanted in pools:
        for chosen in common.chunks(rng.permutation(len(features)), batch_rows):
            yield features[chosen], wanted[chosen]


def _pools(rows: ViewRows, target: str, batch_rows: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield all rows by permuted eras, a pool at a time; the next pool overwrites it. All pools but the last fill whole batches."""
    view = View(rows.view.panel, rng.permutation(np.unique(rows.view.era)), rows.view.features, target)
    size = max(1, rows.pool_bytes // (rows.row_bytes * batch_rows)) * batch_rows
    pool = np.empty((size, rows.n_features), rows.dtype)
    filled = done = 0
    for block in view.blocks():
        for piece in np.split(block, range(size - filled, len(block), size)):
            pool[filled : filled + len(piece)] = piece
            filled += len(piece)
            if filled == size:
                yield pool, view.target[done : done + size]
                filled, done = 0, done + size
    if filled:
        yield pool[:filled], view.target[done:]
