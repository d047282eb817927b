"""The loops that numpy can't do fast, compiled by numba on their first call and cached beside this file.

They release the interpreter's lock, so that threads run them side by side, and use no thread of their own. `plain` has
the same functions in numpy. Importing this module fails where numba isn't there.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DIGIT_BITS, DIGITS, BUCKETS = 11, 6, 2048
"""A float64 has six digits of 11 bits; the highest has 9."""

LEADING = 3
"""Digits, from here up, that order almost all values of an era."""

MAX_MOVES = 4
"""Places a value that an insertion sort may move the rest of the way; beyond, all digits are sorted by."""

TILE = 1024
"""Features of a tile: four rows of them as float64, and their sums for a few predictions, stay in the nearest caches."""

ROWS_IN_INT32 = 2**16
"""Rows whose squares of int8 can be summed in 32 bits."""

compiled = numba.njit(cache=True, nogil=True)


@compiled
def half_ranks(values: Floats) -> NDArray[np.int32]:
    """Rank each row of (p, n) by a radix sort.

    Returns
    -------
    (p, n) int32, `2 (average rank - 1)` with ranks from 1: first + last position among the ties, 0..2n-2. 0 and -0 are
    ties; NaN isn't allowed.
    """
    count, n = values.shape
    out = np.empty((count, n), np.int32)
    keys, spare_keys = np.empty(n, np.uint64), np.empty(n, np.uint64)
    order, spare_order = np.empty(n, np.int32), np.empty(n, np.int32)
    for row in range(count):
        _keys(values[row], keys, order)
        _sort(keys, order, spare_keys, spare_order, LEADING)
        if not _inserted(keys, order, MAX_MOVES * n):
            _sort(keys, order, spare_keys, spare_order, 0)
        _share_ties(keys, order, out[row])
    return out


@compiled
def _keys(values: Floats, keys: NDArray[np.uint64], order: NDArray[np.int32]) -> None:
    """Bits of (n,) values as integers of the same order, and the places 0..n-1."""
    top = np.uint64(1) << np.uint64(63)
    bits = values.view(np.uint64)
    for i in range(len(bits)):
        key = bits[i] if bits[i] != top else np.uint64(0)
        keys[i] = ~key if key & top else key | top
        order[i] = i


@compiled
def _sort(
    keys: NDArray[np.uint64], order: NDArray[np.int32], spare_keys: NDArray[np.uint64], spare_order: NDArray[np.int32], first: int
) -> None:
    """Sort (n,) keys in place, and their places with them, by the digits from `first` up, the lowest first."""
    n, last = len(keys), np.uint64(BUCKETS - 1)
    counts = np.empty(BUCKETS, np.int32)
    for digit in range(first, DIGITS):
        shift = np.uint64(digit * DIGIT_BITS)
        counts[:] = 0
        for i in range(n):
            counts[(keys[i] >> shift) & last] += 1
        if counts[(keys[0] >> shift) & last] == n:
            continue
        start = 0
        for bucket in range(BUCKETS):
            size = counts[bucket]
            counts[bucket] = start
            start += size
        for i in range(n):
            bucket = (keys[i] >> shift) & last
            place = counts[bucket]
            counts[bucket] = place + 1
            spare_keys[place] = keys[i]
            spare_order[place] = order[i]
        keys[:] = spare_keys
        order[:] = spare_order


@compiled
def _inserted(keys: NDArray[np.uint64], order: NDArray[np.int32], moves: int) -> bool:
    """Sort (n,) keys that are almost sorted in place; False where that takes more moves, with the keys in disorder."""
    for i in range(1, len(keys)):
        key, place = keys[i], order[i]
        at = i
        while at > 0 and keys[at - 1] > key:
            keys[at], order[at] = keys[at - 1], order[at - 1]
            at -= 1
        keys[at], order[at] = key, place
        moves -= i - at
        if moves < 0:
            return False
    return True


@compiled
def _share_ties(keys: NDArray[np.uint64], order: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    """The half ranks of (n,) sorted keys, put back in their order."""
    n = len(keys)
    first = 0
    while first < n:
        last = first
        while last + 1 < n and keys[last + 1] == keys[first]:
            last += 1
        for i in range(first, last + 1):
            out[order[i]] = first + last
        first = last + 1


@compiled
def products(features: NDArray[np.int8], weights: Floats, start: int, stop: int) -> Floats:
    """Products of predictions with the columns `start:stop` of int8 features, in float64.

    Parameters
    ----------
    features : (n, k) int8, row-major.
    weights : (q, n).

    Returns
    -------
    (q, stop - start) sums over the rows; the same bits however the columns are split.
    """
    n, count = len(features), len(weights)
    out = np.empty((count, stop - start))
    sums, rows = np.empty((count, TILE)), np.empty((4, TILE))
    for begin in range(start, stop, TILE):
        width = min(TILE, stop - begin)
        sums[:] = 0.0
        for i in range(0, n, 4):
            there = min(4, n - i)
            f0, f1 = features[i, begin : begin + width], features[min(i + 1, n - 1), begin : begin + width]
            f2, f3 = features[min(i + 2, n - 1), begin : begin + width], features[min(i + 3, n - 1), begin : begin + width]
            if count > 1:
                _widen(f0, f1, f2, f3, rows)
            for q in range(count):
                w0 = weights[q, i]
                w1 = weights[q, i + 1] if there > 1 else 0.0
                w2 = weights[q, i + 2] if there > 2 else 0.0
                w3 = weights[q, i + 3] if there > 3 else 0.0
                if count > 1:
                    _add_rows(sums[q, :width], w0, rows[0], w1, rows[1], w2, rows[2], w3, rows[3])
                else:
                    _add_rows(sums[q, :width], w0, f0, w1, f1, w2, f2, w3, f3)
        out[:, begin - start : begin - start + width] = sums[:, :width]
    return out


@compiled
def _widen(f0: NDArray[np.int8], f1: NDArray[np.int8], f2: NDArray[np.int8], f3: NDArray[np.int8], out: Floats) -> None:
    """Four rows as float64, once for all predictions."""
    for j in range(len(f0)):
        out[0, j], out[1, j], out[2, j], out[3, j] = f0[j], f1[j], f2[j], f3[j]


@compiled
def _add_rows(sums: Floats, w0: float, f0: NDArray, w1: float, f1: NDArray, w2: float, f2: NDArray, w3: float, f3: NDArray) -> None:
    """Add four weighted rows of int8 or float64."""
    for j in range(len(sums)):
        sums[j] += (w0 * f0[j] + w1 * f1[j]) + (w2 * f2[j] + w3 * f3[j])


@compiled
def square_sums(features: NDArray[np.int8], start: int, stop: int) -> NDArray[np.int64]:
    """(2, stop - start) sums, and sums of squares, of the columns `start:stop` of (n, k) int8 features; exact."""
    n, width = len(features), stop - start
    out = np.zeros((2, width), np.int64)
    sums, squares = np.empty(width, np.int32), np.empty(width, np.int32)
    for begin in range(0, n, ROWS_IN_INT32):
        sums[:] = 0
        squares[:] = 0
        for i in range(begin, min(begin + ROWS_IN_INT32, n)):
            row = features[i, start:stop]
            for j in range(width):
                value = np.int32(row[j])
                sums[j] = np.int32(sums[j] + value)
                squares[j] = np.int32(squares[j] + value * value)
        out[0] += sums
        out[1] += squares
    return out


@compiled
def add_centred_gram(gram: NDArray[np.float32], sums: Floats, rows: int, out: Floats) -> None:
    """Add to the upper triangle of `out` (k, k) that of `gram` (k, k), less `sums sums' / rows`."""
    for a in range(len(sums)):
        mean = sums[a] / rows
        from_, to, others = gram[a, a:], out[a, a:], sums[a:]
        for b in range(len(from_)):
            to[b] += np.float64(from_[b]) - mean * others[b]
