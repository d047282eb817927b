"""The loops of `blocks` in plain numpy."""

import numpy as np
from numpy.typing import NDArray

MULTIPLIER = 0x9E3779B97F4A7C15
"""The digest's factor: the golden ratio's bits. It is odd, so that no bit of a word is lost."""

LANES = 4
"""Sums of the digest that run in parallel, since each waits for its own multiplication."""

WORD = 8

COLUMNS = 512
"""Columns that are summed at a time; their sums fit the first cache."""


def add_words(words: NDArray[np.uint64], lanes: NDArray[np.uint64]) -> None:
    """Add words (n,), n a multiple of 4, to the polynomials of the lanes (4,), in place."""
    mixed = (words ^ (words >> np.uint64(32))).reshape(-1, LANES)
    powers = np.full(len(mixed) + 1, MULTIPLIER, np.uint64)
    powers[0] = 1
    powers = np.cumprod(powers)[::-1, None]
    lanes[:] = lanes * powers[0] + (mixed * powers[1:]).sum(axis=0, dtype=np.uint64)


def scatter(columns: NDArray, rows: NDArray[np.int64], matrix: NDArray) -> None:
    """Scatter as `blocks.scatter` does."""
    matrix[rows] = columns[:, : len(rows)].T


scatter_bytes = scatter


def take_columns(block: NDArray, columns: NDArray[np.int64], out: NDArray) -> None:
    """Write some columns of a block to `out`."""
    np.take(block, columns, axis=1, out=out, mode="clip")


def add_up(
    block: NDArray[np.int8],
    weights: NDArray[np.float64],
    extremes: NDArray[np.int8],
    sums: NDArray[np.int64],
    products: NDArray[np.float64],
) -> None:
    """Sum as `blocks.column_sums` does. `extremes` and `sums` are (2, columns)."""
    for left in range(0, block.shape[1], COLUMNS):
        columns = slice(left, left + COLUMNS)
        values = block[:, columns].astype(np.float64)
        extremes[0, columns], extremes[1, columns] = values.min(axis=0), values.max(axis=0)
        sums[0, columns], sums[1, columns] = values.sum(axis=0), np.square(values).sum(axis=0)
        products[columns] = weights @ values
