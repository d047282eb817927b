"""The loops that numpy can't do fast, compiled by numba on their first call and cached next to this file.

They release the interpreter's lock, so that threads run them side by side, and start no threads. `plain` has the same functions in
numpy. Importing this module fails if numba isn't installed.
"""

import numpy as np
from numpy.typing import NDArray

from erawise.base import jit

Floats = NDArray[np.float64]
Four = tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int8], NDArray[np.int8]]
"""Four rows of features, of one tile."""

INTERVALS = 2**14
"""Equal intervals of the range of an era's values, for the first step of sorting."""

DIGIT_BITS, DIGITS, BUCKETS = 11, 6, 2048
"""A float64 has six digits of 11 bits; the highest has 9."""

LEADING = 3
"""The first of the digits that order almost all values of an era."""

MAX_MOVES = 4
"""Mean number of positions that an insertion sort may move a value; if it needs more, it is given up."""

ROWS = 128
"""Rows of features that are processed at a time: they stay in the second-level cache."""

TILE = 4096
"""Features of a tile: four of its rows as float64 stay in the second-level cache."""

compiled = jit.compiled()

fused = jit.compiled(fastmath={"contract"})
"""Compiles multiplication and addition to one step, rounded once, if the processor has it."""

reordered = jit.compiled(fastmath={"reassoc", "contract"})
"""Compiles sums in another order, several at a time; the order is the same each time."""

finite = jit.compiled(fastmath={"nnan", "ninf", "nsz"})


@compiled
def ranked(values: Floats, tables: Floats) -> Floats:
    """Rank each row of (p, n), and look up the ranks in tables.

    Parameters
    ----------
    values : (p, n), finite.
    tables : (t, 2n - 1), the value for each half rank `2 (average rank - 1)` with ranks from 1. A half rank is the sum of the first
        and the last position among the ties. 0 and -0 are ties.

    Returns
    -------
    (t, p, n).
    """
    count, n = values.shape
    out = np.empty((len(tables), count, n))
    ascending, order = np.empty(n), np.empty(n, np.int32)
    interval, counts = np.empty(n, np.int32), np.empty(INTERVALS, np.int32)
    for row in range(count):
        if not _sorted_by_interval(values[row], ascending, order, interval, counts):
            _sort_by_digits(values[row], ascending, order)
        _share_ties(ascending, order, tables, out[:, row])
    return out


@finite
def _range(values: Floats) -> tuple[float, float]:
    low, high = values[0], values[0]
    for i in range(len(values)):
        low, high = min(low, values[i]), max(high, values[i])
    return low, high


@compiled
def _sorted_by_interval(
    values: Floats, ascending: Floats, order: NDArray[np.int32], interval: NDArray[np.int32], counts: NDArray[np.int32]
) -> bool:
    """Sort (n,) values and their positions, into equal intervals, then by insertion; False if too many share an interval."""
    n = len(values)
    low, high = _range(values)
    scale = INTERVALS / (high - low) if high > low else 0.0
    if not 0 < scale < np.inf:
        return False
    for i in range(n):
        interval[i] = min(np.int32((values[i] - low) * scale), np.int32(INTERVALS - 1))
    counts[:] = 0
    for i in range(n):
        counts[interval[i]] += 1
    _to_starts(counts)
    for i in range(n):
        k = interval[i]
        position = counts[k]
        counts[k] = position + 1
        ascending[position] = values[i]
        order[position] = i
    return _inserted(ascending, order, MAX_MOVES * n)


@compiled
def _to_starts(counts: NDArray[np.int32]) -> None:
    """Turn the sizes (b,) of buckets that lie one after the other into their first positions."""
    start = 0
    for bucket in range(len(counts)):
        size = counts[bucket]
        counts[bucket] = start
        start += size


@compiled
def _sort_by_digits(values: Floats, ascending: Floats, order: NDArray[np.int32]) -> None:
    """Sort (n,) values and their positions by a radix sort."""
    n = len(values)
    keys, spare_keys, spare_order = np.empty(n, np.uint64), np.empty(n, np.uint64), np.empty(n, np.int32)
    _keys(values, keys, order)
    _sort(keys, order, spare_keys, spare_order, LEADING)
    if not _inserted(keys, order, MAX_MOVES * n):
        _sort(keys, order, spare_keys, spare_order, 0)
    for i in range(n):
        ascending[i] = values[order[i]]


@compiled
def _keys(values: Floats, keys: NDArray[np.uint64], order: NDArray[np.int32]) -> None:
    """Write the bits of (n,) values as integers of the same order, and the positions 0..n-1."""
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
    """Sort (n,) keys in place, and their positions with them, by the digits from `first` up, the lowest first."""
    n, last = len(keys), np.uint64(BUCKETS - 1)
    counts = np.empty(BUCKETS, np.int32)
    for digit in range(first, DIGITS):
        shift = np.uint64(digit * DIGIT_BITS)
        counts[:] = 0
        for i in range(n):
            counts[(keys[i] >> shift) & last] += 1
        if counts[(keys[0] >> shift) & last] == n:
            continue
        _to_starts(counts)
        for i in range(n):
            bucket = (keys[i] >> shift) & last
            position = counts[bucket]
            counts[bucket] = position + 1
            spare_keys[position] = keys[i]
            spare_order[position] = order[i]
        keys[:] = spare_keys
        order[:] = spare_order


@compiled
def _inserted(keys: NDArray, order: NDArray[np.int32], moves: int) -> bool:
    """Sort in place (n,) keys that are almost sorted; False, with the keys in disorder, if that needs more than `moves`."""
    for i in range(1, len(keys)):
        key, position = keys[i], order[i]
        at = i
        while at > 0 and keys[at - 1] > key:
            keys[at], order[at] = keys[at - 1], order[at - 1]
            at -= 1
        keys[at], order[at] = key, position
        moves -= i - at
        if moves < 0:
            return False
    return True


@compiled
def _share_ties(ascending: Floats, order: NDArray[np.int32], tables: Floats, out: Floats) -> None:
    """Write the table values (t, n) of (n,) sorted values, in the values' original order."""
    n, count = len(ascending), len(tables)
    first = 0
    while first < n:
        last, value = first, ascending[first]
        while last + 1 < n and ascending[last + 1] == value:
            last += 1
        for i in range(first, last + 1):
            position = order[i]
            for t in range(count):
                out[t, position] = tables[t, first + last]
        first = last + 1


@reordered
def correlations(values: Floats, unit: Floats) -> Floats:
    """Return the (p,) correlations of each row of (p, n) with (n,), which has mean 0 and length 1; NaN if a row has no variance."""
    count, n = values.shape
    out = np.empty(count)
    for row in range(count):
        total = 0.0
        for i in range(n):
            total += values[row, i]
        mean, square, product = total / n, 0.0, 0.0
        for i in range(n):
            difference = values[row, i] - mean
            square += difference * difference
            product += difference * unit[i]
        out[row] = product / np.sqrt(square) if square > 0 else np.nan
    return out


@compiled
def moments(features: NDArray[np.int8], weights: Floats, start: int, stop: int, piece: int) -> tuple[Floats, NDArray[np.int64]]:
    """Sum the rows `start:stop` of int8 features, column by column, in one reading.

    Parameters
    ----------
    features : (n, k) int8, row-major.
    weights : (q, n).
    piece : rows that are summed on their own, at most 2**16.

    Returns
    -------
    (pieces, q, k) sums of the rows of each piece weighted by each row of `weights`, in float64.
    (2, k) exact sums and sums of squares of all rows.
    """
    width, count = features.shape[1], len(weights)
    out, totals = np.zeros((-(-(stop - start) // piece), count, width)), np.zeros((2, width), np.int64)
    sums, widened, w = np.empty((2, width), np.int32), np.empty((4, TILE)), np.empty((count, 4))
    for number in range(len(out)):
        first = start + number * piece
        sums[:] = 0
        for top in range(first, min(first + piece, stop), ROWS):
            bottom = min(top + ROWS, first + piece, stop)
            fours = bottom - (bottom - top) % 4 if count else top
            for begin in range(0, width, TILE):
                end = min(begin + TILE, width)
                total, square = sums[0, begin:end], sums[1, begin:end]
                for i in range(top, fours, 4):
                    rows = (
                        features[i, begin:end],
                        features[i + 1, begin:end],
                        features[i + 2, begin:end],
                        features[i + 3, begin:end],
                    )
                    for q in range(count):
                        for r in range(4):
                            w[q, r] = weights[q, i + r]
                    if count == 1:
                        _add_four(total, square, out[number, 0, begin:end], w[0], rows)
                    else:
                        _widen_four(total, square, widened, rows)
                        for q in range(0, count - 1, 2):
                            _add_pair(out[number, q, begin:end], out[number, q + 1, begin:end], w[q], w[q + 1], widened)
                        if count % 2:
                            _add_widened(out[number, count - 1, begin:end], w[count - 1], widened)
                for i in range(fours, bottom):
                    _add_squares(total, square, features[i, begin:end])
                    for q in range(count):
                        _add_row(out[number, q, begin:end], weights[q, i], features[i, begin:end])
        totals += sums
    return out, totals


@fused
def _add_four(total: NDArray[np.int32], square: NDArray[np.int32], found: Floats, w: Floats, rows: Four) -> None:
    """Add four rows, their squares, and the weighted rows."""
    f0, f1, f2, f3 = rows
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    for j in range(len(found)):
        a, b, c, d = np.int32(f0[j]), np.int32(f1[j]), np.int32(f2[j]), np.int32(f3[j])
        total[j] = np.int32(total[j] + (a + b) + (c + d))
        square[j] = np.int32(square[j] + (a * a + b * b) + (c * c + d * d))
        found[j] += (w0 * a + w1 * b) + (w2 * c + w3 * d)


@compiled
def _widen_four(total: NDArray[np.int32], square: NDArray[np.int32], widened: Floats, rows: Four) -> None:
    """Add four rows and their squares, and copy the rows as float64, once for all predictions."""
    f0, f1, f2, f3 = rows
    for j in range(len(total)):
        a, b, c, d = np.int32(f0[j]), np.int32(f1[j]), np.int32(f2[j]), np.int32(f3[j])
        widened[0, j], widened[1, j], widened[2, j], widened[3, j] = a, b, c, d
        total[j] = np.int32(total[j] + (a + b) + (c + d))
        square[j] = np.int32(square[j] + (a * a + b * b) + (c * c + d * d))


@fused
def _add_pair(s: Floats, t: Floats, v: Floats, w: Floats, rows: Floats) -> None:
    """Add four rows, weighted for two predictions."""
    v0, v1, v2, v3 = v[0], v[1], v[2], v[3]
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    for j in range(len(s)):
        a, b, c, d = rows[0, j], rows[1, j], rows[2, j], rows[3, j]
        s[j] += (v0 * a + v1 * b) + (v2 * c + v3 * d)
        t[j] += (w0 * a + w1 * b) + (w2 * c + w3 * d)


@fused
def _add_widened(s: Floats, w: Floats, rows: Floats) -> None:
    """Add four rows, weighted for one prediction."""
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    for j in range(len(s)):
        s[j] += (w0 * rows[0, j] + w1 * rows[1, j]) + (w2 * rows[2, j] + w3 * rows[3, j])


@compiled
def _add_squares(total: NDArray[np.int32], square: NDArray[np.int32], row: NDArray[np.int8]) -> None:
    for j in range(len(row)):
        value = np.int32(row[j])
        total[j] = np.int32(total[j] + value)
        square[j] = np.int32(square[j] + value * value)


@compiled
def _add_row(found: Floats, weight: float, row: NDArray[np.int8]) -> None:
    for j in range(len(row)):
        found[j] += weight * row[j]


@compiled
def combinations(features: NDArray[np.int8], weights: Floats, start: int, stop: int) -> Floats:
    """Return (q, stop - start) sums of the columns of int8 features (n, k), weighted by (q, k), for the rows `start:stop`.

    The bits of a row don't depend on other rows.
    """
    width, count = features.shape[1], len(weights)
    out = np.zeros((count, stop - start))
    widened = np.zeros((4, TILE))
    for i in range(start, stop, 4):
        there = min(4, stop - i)
        for begin in range(0, width, TILE):
            end = min(begin + TILE, width)
            for r in range(there):
                for j in range(end - begin):
                    widened[r, j] = features[i + r, begin + j]
            for q in range(count):
                found = _dots(widened, weights[q, begin:end])
                for r in range(there):
                    out[q, i - start + r] += found[r]
    return out


@reordered
def _dots(rows: Floats, weights: Floats) -> tuple[float, float, float, float]:
    """Return the products of (k,) with the beginnings of four rows."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for j in range(len(weights)):
        a += rows[0, j] * weights[j]
        b += rows[1, j] * weights[j]
        c += rows[2, j] * weights[j]
        d += rows[3, j] * weights[j]
    return a, b, c, d


@compiled
def add_centred_gram(gram: NDArray[np.float32], sums: Floats, rows: int, out: Floats) -> None:
    """Add the upper triangle of `gram - sums sums' / rows` (k, k) to the upper triangle of `out` (k, k)."""
    for a in range(len(sums)):
        mean = sums[a] / rows
        from_, to, others = gram[a, a:], out[a, a:], sums[a:]
        for b in range(len(from_)):
            to[b] += np.float64(from_[b]) - mean * others[b]
