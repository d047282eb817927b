"""The loops of `binary` in plain numpy."""

import numpy as np
from numpy.typing import NDArray


def bin_floats(block: NDArray[np.float32], bounds: NDArray[np.float64], codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the codes (rows, features) of a block: of the first bin with a bound that is no less, from `codes` (features, bins)."""
    out = np.empty(block.shape, np.uint8)
    for k in range(block.shape[1]):
        out[:, k] = codes[k][np.searchsorted(bounds[k], block[:, k].astype(np.float64))]
    return out


def pack_narrow(
    values: NDArray[np.uint8], columns: NDArray[np.int64], table: NDArray[np.uint8], offsets: NDArray[np.int64], start: int, out: NDArray
) -> None:
    """Write codes two a byte, the earlier row in the lower half.

    Parameters
    ----------
    values : (rows, all), values to look up in `table`.
    columns : (n,), the columns to write.
    table : (n, 256), the code of each value.
    offsets : (n,), the position in `out` at which each column begins.
    start : the number of rows written before.
    out : the file's bytes, written in place; bytes of later rows are 0.
    """
    odd = start % 2
    for k, column in enumerate(columns):
        codes = table[k][values[:, column]]
        first = offsets[k] + start // 2
        if odd:
            out[first] |= codes[0] << 4
        rest = codes[odd:]
        pairs = np.append(rest, np.uint8(0)) if len(rest) % 2 else rest
        out[first + odd : first + odd + len(pairs) // 2] = pairs[::2] | pairs[1::2] << 4


def pack_wide(
    values: NDArray[np.uint8], columns: NDArray[np.int64], table: NDArray[np.uint8], offsets: NDArray[np.int64], start: int, out: NDArray
) -> None:
    """Write codes one a byte, otherwise like `pack_narrow`."""
    for k, column in enumerate(columns):
        first = offsets[k] + start
        out[first : first + len(values)] = table[k][values[:, column]]
