"""Features computed from a row's other features.

The pickle for Numerai's upload holds the text of this module, so it imports only numpy, and Python 3.10 runs it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

OUTER_FIFTH = 0.2

PIECE_ROWS = 512
"""Rows that are held as float64 at a time."""


def derive(block: NDArray, names: Sequence[str], top: float) -> NDArray[np.float32]:
    """Compute derived features of some rows.

    Parameters
    ----------
    block : (rows, features) int8 or float32 without NaN, as stored.
    names : any of `row_mean` (mean over the row), `row_std` (ddof 0) and `extreme_share` (share of values in the lowest
        or the highest fifth of the scale: 0 and 4 of the five bins).
    top : the largest value of the scale.

    Returns
    -------
    (rows, len(names)) float32.
    """
    out = np.empty((len(block), len(names)), np.float32)
    for start in range(0, len(block), PIECE_ROWS):
        rows = slice(start, start + PIECE_ROWS)
        for k, name in enumerate(names):
            out[rows, k] = DERIVED[name](block[rows], top)
    return out


def _row_mean(block: NDArray, top: float) -> NDArray[np.float64]:
    return block.mean(axis=1, dtype=np.float64)


def _row_std(block: NDArray, top: float) -> NDArray[np.float64]:
    return block.std(axis=1, dtype=np.float64)


def _extreme_share(block: NDArray, top: float) -> NDArray[np.float64]:
    return ((block < OUTER_FIFTH * top) | (block > (1 - OUTER_FIFTH) * top)).mean(axis=1)


DERIVED = {"row_mean": _row_mean, "row_std": _row_std, "extreme_share": _extreme_share}
