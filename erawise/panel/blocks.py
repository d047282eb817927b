"""Fast loops over blocks of a matrix on disk: a digest of its bytes, a transposed scatter, a choice of columns.

Each loop is written for numba and for plain numpy. Both give the same bits.
"""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from erawise.base import jit
from erawise.panel import blocks_plain
from erawise.panel.blocks_plain import LANES, MULTIPLIER, WORD

MIN_BYTES = 2**20
"""Bytes of the smallest block whose loops are compiled."""

MIN_SCATTERED = 6 * 2**20
"""The same for `scatter`. Compiling it takes seconds, once in a fresh clone; plain numpy is faster for less than this."""


def digest(block: NDArray) -> int:
    """Return a 64-bit digest of the bytes of a C-ordered block. It shows damage, not malice, and is the same on every machine.

    1. The bytes are padded with zeros to whole groups of four words of 64 bits, little-endian.
    2. Each word w becomes `w ^ (w >> 32)`, so that a difference in its upper bits reaches the lower ones.
    3. Word i goes to lane i % 4. Each lane is the polynomial of its words in `MULTIPLIER`, modulo 2^64.
    4. The digest is the polynomial of the number of bytes and the lanes.

    Raises
    ------
    ValueError
        If the block isn't C-ordered.
    """
    if not block.flags.c_contiguous:
        raise ValueError("only a C-ordered block has a digest")
    data = block.reshape(-1).view(np.uint8)
    whole = len(data) - len(data) % (LANES * WORD)
    tail = np.zeros(LANES * WORD if whole < len(data) else 0, np.uint8)
    tail[: len(data) - whole] = data[whole:]
    lanes = np.zeros(LANES, np.uint64)
    for piece in (data[:whole], tail):
        _loops(piece).add_words(piece.view("<u8"), lanes)
    value = len(data)
    for lane in lanes:
        value = (value * MULTIPLIER + int(lane)) % 2**64
    return value


def scatter(columns: NDArray, rows: NDArray[np.int64], matrix: NDArray) -> None:
    """Write columns to the rows of a row-major matrix: `matrix[rows] = columns[:, : len(rows)].T`.

    Parameters
    ----------
    columns : (columns, at least n), C-ordered; values beyond n are ignored. int8 is fastest if the length is a multiple of 8.
    rows : (n,), each once.
    matrix : (rows, columns) of the same dtype, C-ordered; changed in place.
    """
    loops = load(columns.nbytes, MIN_SCATTERED)
    if columns.itemsize == 1 and columns.shape[1] % WORD == 0:
        loops.scatter_bytes(columns, rows, matrix)
    else:
        loops.scatter(columns, rows, matrix)


def take_columns(block: NDArray, columns: NDArray[np.int64]) -> NDArray:
    """Return some columns of a C-ordered (rows, all) block, as a new C-ordered (rows, columns) array."""
    if len(columns) and not 0 <= columns.min() <= columns.max() < block.shape[1]:
        raise IndexError(f"columns {columns.min()} to {columns.max()} of a block with {block.shape[1]}")
    out = np.empty((len(block), len(columns)), block.dtype)
    _loops(out).take_columns(block, columns, out)
    return out


def column_sums(
    block: NDArray[np.int8], weights: NDArray[np.float64]
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Sum the columns of a block (rows, columns), in one pass.

    Returns
    -------
    (columns,) each: the lowest and the highest value, the exact sum and sum of squares, and the products with `weights` (rows,).
    """
    width = block.shape[1]
    extremes, sums, products = np.empty((2, width), np.int8), np.empty((2, width), np.int64), np.empty(width)
    _loops(block).add_up(block, weights, extremes, sums, products)
    return extremes[0], extremes[1], sums[0], sums[1], products


def load(size: int, least: int) -> ModuleType:
    """Return the loops for a block of `size` bytes, compiled if it has at least `least`. The first load is slow; other threads go on."""
    if size < least or not jit.enabled():
        return blocks_plain
    from erawise.panel import blocks_compiled

    return blocks_compiled


def _loops(data: NDArray) -> ModuleType:
    return load(data.nbytes, MIN_BYTES)
