"""The loops of `packing`, compiled by numba on their first call and cached next to this file. Other threads can run meanwhile."""

import numpy as np
from numpy.typing import NDArray

from erawise.base.jit import compiled

TILE = 64
"""Features that are packed together, so that the memory that is read and written stays in the cache."""


@compiled()
def bin_floats(block: NDArray[np.float32], bounds: NDArray[np.float64], codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the codes like `packing.bin_floats`."""
    out = np.empty(block.shape, np.uint8)
    for r in range(block.shape[0]):
        for k in range(block.shape[1]):
            value, low, high = np.float64(block[r, k]), 0, bounds.shape[1] - 1
            while low < high:
                middle = (low + high) // 2
                if value <= bounds[k, middle]:
                    high = middle
                else:
                    low = middle + 1
            out[r, k] = codes[k, low]
    return out


@compiled()
def pack_narrow(
    values: NDArray[np.uint8], columns: NDArray[np.int64], table: NDArray[np.uint8], offsets: NDArray[np.int64], start: int, out: NDArray
) -> None:
    """Write codes like `packing.pack_narrow`."""
    rows, odd = values.shape[0], start % 2
    pairs = (rows - odd) // 2
    for tile in range(0, len(columns), TILE):
        end = min(tile + TILE, len(columns))
        if odd:
            for k in range(tile, end):
                out[offsets[k] + start // 2] |= table[k, values[0, columns[k]]] << 4
        for i in range(pairs):
            r = odd + 2 * i
            at = start // 2 + odd + i
            for k in range(tile, end):
                column = columns[k]
                out[offsets[k] + at] = table[k, values[r, column]] | table[k, values[r + 1, column]] << 4
        if odd + 2 * pairs < rows:
            for k in range(tile, end):
                out[offsets[k] + start // 2 + odd + pairs] = table[k, values[rows - 1, columns[k]]]
