"""The loops of `blocks`, compiled by numba on their first call and cached next to this file. Other threads run meanwhile."""

import numpy as np
from numpy.typing import NDArray

from erawise.base.jit import compiled
from erawise.panel.blocks_plain import COLUMNS, MULTIPLIER, WORD

TILE = 64
"""Rows or columns that are transposed at a time; their cache lines fit the caches."""

LINE = 64
"""Extra bytes of a tile's rows, so that its columns don't fall on the same cache lines."""

_MULTIPLIER = np.uint64(MULTIPLIER)
_BYTE, _PAIR, _HALF = np.uint64(8), np.uint64(16), np.uint64(32)
_BYTES, _PAIRS, _HALVES = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00000000FFFFFFFF)
WORDS = "Array(uint64, 1, 'C', readonly=True, aligned=False)"


@compiled(f"void({WORDS}, uint64[::1])")
def add_words(words: NDArray[np.uint64], lanes: NDArray[np.uint64]) -> None:
    a, b, c, d = lanes
    for i in range(0, len(words), 4):
        a = a * _MULTIPLIER + (words[i] ^ (words[i] >> _HALF))
        b = b * _MULTIPLIER + (words[i + 1] ^ (words[i + 1] >> _HALF))
        c = c * _MULTIPLIER + (words[i + 2] ^ (words[i + 2] >> _HALF))
        d = d * _MULTIPLIER + (words[i + 3] ^ (words[i + 3] >> _HALF))
    lanes[0], lanes[1], lanes[2], lanes[3] = a, b, c, d


@compiled()
def scatter(columns: NDArray, rows: NDArray[np.int64], matrix: NDArray) -> None:
    width = len(columns)
    for left in range(0, width, TILE):
        right = min(left + TILE, width)
        for r in range(len(rows)):
            out = matrix[rows[r], left:right]
            for c in range(right - left):
                out[c] = columns[left + c, r]


@compiled()
def _swap(a: np.uint64, b: np.uint64, shift: np.uint64, mask: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Exchange the upper parts of `a` with the lower parts of `b`. A part has `shift` bits; `mask` covers every second one."""
    exchanged = ((a >> shift) ^ b) & mask
    return a ^ (exchanged << shift), b ^ exchanged


@compiled()
def _scatter_words(
    columns: NDArray, words: NDArray[np.uint64], rows: NDArray[np.int64], tile: NDArray, tile_words: NDArray[np.uint64], matrix: NDArray
) -> None:
    """Write columns to the rows of the matrix. Squares of 8 x 8 bytes are transposed in eight words, into a tile of whole rows."""
    width, n = len(columns), len(rows)
    groups = width // 8
    for top in range(0, n, TILE):
        height = min(TILE, n - top)
        for group in range(groups):
            left = group * 8
            for j in range((height + 7) // 8):
                k = top // 8 + j
                a, b = _swap(words[left, k], words[left + 1, k], _BYTE, _BYTES)
                c, d = _swap(words[left + 2, k], words[left + 3, k], _BYTE, _BYTES)
                e, f = _swap(words[left + 4, k], words[left + 5, k], _BYTE, _BYTES)
                g, h = _swap(words[left + 6, k], words[left + 7, k], _BYTE, _BYTES)
                a, c = _swap(a, c, _PAIR, _PAIRS)
                b, d = _swap(b, d, _PAIR, _PAIRS)
                e, g = _swap(e, g, _PAIR, _PAIRS)
                f, h = _swap(f, h, _PAIR, _PAIRS)
                a, e = _swap(a, e, _HALF, _HALVES)
                b, f = _swap(b, f, _HALF, _HALVES)
                c, g = _swap(c, g, _HALF, _HALVES)
                d, h = _swap(d, h, _HALF, _HALVES)
                r = j * 8
                tile_words[r, group], tile_words[r + 1, group], tile_words[r + 2, group], tile_words[r + 3, group] = a, b, c, d
                tile_words[r + 4, group], tile_words[r + 5, group], tile_words[r + 6, group], tile_words[r + 7, group] = e, f, g, h
        for r in range(height):
            for c_left in range(groups * 8, width):
                tile[r, c_left] = columns[c_left, top + r]
            matrix[rows[top + r], :] = tile[r, :width]


@compiled()
def take_columns(block: NDArray, columns: NDArray[np.int64], out: NDArray) -> None:
    for r in range(len(block)):
        for k in range(len(columns)):
            out[r, k] = block[r, columns[k]]


def scatter_bytes(columns: NDArray, rows: NDArray[np.int64], matrix: NDArray) -> None:
    """Scatter as `blocks.scatter` does, for values of one byte and columns whose length is a multiple of 8."""
    tile = np.empty((TILE, len(columns) // WORD * WORD + LINE), columns.dtype)
    _scatter_words(columns, columns.view(np.uint64), rows, tile, tile.view(np.uint64), matrix)


@compiled()
def add_up(
    block: NDArray[np.int8],
    weights: NDArray[np.float64],
    extremes: NDArray[np.int8],
    sums: NDArray[np.int64],
    products: NDArray[np.float64],
) -> None:
    """Sum as `blocks.column_sums` does, with a loop for each sum: one loop for all is not vectorized."""
    rows, width = block.shape
    for left in range(0, width, COLUMNS):
        size = min(COLUMNS, width - left)
        low, high = np.full(size, 127, np.int8), np.full(size, -128, np.int8)
        total, squares = np.zeros(size, np.int32), np.zeros(size, np.int64)
        product = np.zeros(size, np.float64)
        for r in range(rows):
            row, weight = block[r, left : left + size], weights[r]
            for k in range(size):
                low[k] = min(low[k], row[k])
            for k in range(size):
                high[k] = max(high[k], row[k])
            for k in range(size):
                total[k] += np.int32(row[k])
            for k in range(size):
                squares[k] += np.int32(row[k]) * np.int32(row[k])
            for k in range(size):
                product[k] += weight * np.float64(row[k])
        extremes[0, left : left + size], extremes[1, left : left + size] = low, high
        sums[0, left : left + size], sums[1, left : left + size] = total, squares
        products[left : left + size] = product
