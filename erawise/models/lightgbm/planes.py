"""The questions of a model, its program, and the loops that run the program on planes of bits."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from erawise.base.jit import kernel

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Words = NDArray[np.uint64]
Doubles = NDArray[np.float64]

ZERO = float(np.float32(1e-35))
"""For LightGBM, a value that is not farther from 0 than this is 0."""

WORDS = 8
ROWS = 64 * WORDS
"""Rows of a block: a plane is eight words of 64 rows, a line of the cache."""


class Questions(NamedTuple):
    """The distinct questions of a model, by feature.

    Attributes
    ----------
    features : (used,) features that are split on.
    first : (used + 1,) the position at which the questions of each begin.
    feature : (questions,) the feature.
    threshold, zero_right, nan_right : (questions,) as in `Trees`, the last two as bytes 0 or 255.
    levels : the distinct thresholds, for whole numbers from -128 to 127; empty if an int8 must be compared as a float.
    level : (questions,) number of the level.
    """

    features: Longs
    first: Longs
    feature: Longs
    threshold: Doubles
    zero_right: Bytes
    nan_right: Bytes
    levels: NDArray[np.int8]
    level: Longs


class Program(NamedTuple):
    """The operations on the planes, tree by tree.

    Attributes
    ----------
    first_node : (trees + 1,) the position at which each tree's nodes begin.
    question : (nodes,) the question of a node.
    line : (nodes,) the line of a tree that says which rows reach the node: 0 for the root; node k fills in `2 k + 1` for its left
        child and `2 k + 2` for its right child.
    first_bit : (trees + 1,) the position at which the bits of each tree's codes begin.
    first_part : (bits + 1,) the position at which the parts of a bit begin.
    part : lines of subtrees whose leaves all have the bit; together they hold all leaves that have it.
    first_value : (trees,) the position at which a tree's values begin.
    values : leaf values by tree and code.
    """

    first_node: Longs
    question: Ints
    line: Ints
    first_bit: Longs
    first_part: Longs
    part: Ints
    first_value: Longs
    values: Doubles


@kernel
def _compare(x: NDArray[np.int8], levels: NDArray[np.int8], answers: Bytes) -> None:
    """Set bit k of `answers[n, f]` if feature f of row k, of at most eight rows, is above level n."""
    for number in range(len(levels)):
        answer, level = answers[number], levels[number]
        answer[:] = 0
        for row in range(len(x)):
            values, bit = x[row], np.uint8(1 << row)
            for k in range(len(values)):
                answer[k] |= bit if values[k] > level else np.uint8(0)


@kernel
def ask_whole(x: NDArray[np.int8], questions: Questions, planes: Words) -> None:
    """Fill in the planes of int8, block by block: first bytes of eight rows for each level and feature, then words of eight bytes."""
    answers = np.empty((8, len(questions.levels), x.shape[1]), np.uint8)
    for number in range(len(planes) * WORDS):
        block, word = planes[number // WORDS], number % WORDS
        for byte in range(8):
            row = 64 * number + 8 * byte
            _compare(x[row : row + 8], questions.levels, answers[byte])
        for question in range(len(block)):
            bits = np.uint64(0)
            for byte in range(8):
                bits |= np.uint64(answers[byte, questions.level[question], questions.feature[question]]) << np.uint64(8 * byte)
            block[question, word] = bits


@kernel
def _gather(x: NDArray, features: Longs, columns: NDArray) -> None:
    """Copy the rows of a block into columns, one a used feature: every eighth row from row 0, then every eighth from row 1, ..."""
    for start in range(0, len(features), 64):
        stop = min(start + 64, len(features))
        for row in range(len(x)):
            for k in range(start, stop):
                columns[k, row & 7, row >> 3] = x[row, features[k]]


@kernel
def _above(column: NDArray, limit: float, plane: Bytes) -> None:
    """Fill in a plane, given as bytes: the rows of the block that are above the limit."""
    for byte in range(8 * WORDS):
        bits = np.uint8(0)
        for row in range(8):
            bits |= np.uint8(1 << row) if column[row, byte] > limit else np.uint8(0)
        plane[byte] = bits


@kernel
def _find_exceptions(column: NDArray, zero: Bytes, nan: Bytes) -> None:
    """Fill in the rows of the block that are 0, and the rows that are NaN."""
    zero[:] = 0
    nan[:] = 0
    for row in range(8):
        bit = np.uint8(1 << row)
        for byte in range(8 * WORDS):
            zero[byte] |= bit if abs(column[row, byte]) <= ZERO else np.uint8(0)
            nan[byte] |= bit if column[row, byte] != column[row, byte] else np.uint8(0)


@kernel
def ask_floats(x: NDArray, questions: Questions, planes: Bytes) -> None:
    """Fill in the planes of floats, given as bytes, block by block."""
    columns = np.zeros((len(questions.features), 8, 8 * WORDS), x.dtype)
    zero, nan = np.empty(8 * WORDS, np.uint8), np.empty(8 * WORDS, np.uint8)
    for block in range(len(planes)):
        _gather(x[block * ROWS : (block + 1) * ROWS], questions.features, columns)
        for k in range(len(columns)):
            _find_exceptions(columns[k], zero, nan)
            for question in range(questions.first[k], questions.first[k + 1]):
                plane = planes[block, question]
                _above(columns[k], questions.threshold[question], plane)
                zero_right, nan_right = questions.zero_right[question], questions.nan_right[question]
                for byte in range(8 * WORDS):
                    plane[byte] = (plane[byte] & ~zero[byte]) | (zero[byte] & zero_right) | (nan[byte] & nan_right)


@kernel
def _reach(planes: Words, question: Ints, line: Ints, reached: Words) -> None:
    """Fill in, line by line, which rows of the block reach each node and leaf of a tree."""
    for node in range(len(question)):
        here, plane = reached[line[node]], planes[question[node]]
        left, right = reached[2 * node + 1], reached[2 * node + 2]
        for word in range(WORDS):
            to_right = here[word] & plane[word]
            left[word] = here[word] ^ to_right
            right[word] = to_right


@kernel
def _code(reached: Words, first_part: Longs, part: Ints, codes: Words) -> None:
    """Fill in the bits of the codes of the leaves that the rows reach."""
    for bit in range(len(codes)):
        code = codes[bit]
        code[:] = 0
        for k in range(first_part[bit], first_part[bit + 1]):
            line = reached[part[k]]
            for word in range(WORDS):
                code[word] |= line[word]


@kernel
def _transpose(codes: Words, rows: Words) -> None:
    """Turn at most eight bits of the codes, each a plane, into a byte a row: 8 x 8 bits at a time (Warren, Hacker's Delight, 7-3)."""
    planes = codes.view(np.uint8)
    for byte in range(8 * WORDS):
        rows[byte] = planes[0, byte]
    for bit in range(1, len(codes)):
        for byte in range(8 * WORDS):
            rows[byte] |= np.uint64(planes[bit, byte]) << np.uint64(8 * bit)
    for byte in range(8 * WORDS):
        x = rows[byte]
        for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
            swap = (x ^ (x >> np.uint64(shift))) & np.uint64(mask)
            x = x ^ swap ^ (swap << np.uint64(shift))
        rows[byte] = x


@kernel
def _add(codes: Words, values: Doubles, low: Words, high: Words, out: Doubles) -> None:
    """Add to each row of the block the leaf value of its code."""
    if not len(codes):
        for row in range(len(out)):
            out[row] += values[0]
        return
    _transpose(codes[:8], low)
    low_bytes = low.view(np.uint8)
    if len(codes) <= 8:
        for row in range(len(out)):
            out[row] += values[low_bytes[row]]
        return
    _transpose(codes[8:], high)
    high_bytes = high.view(np.uint8)
    for row in range(len(out)):
        out[row] += values[np.intp(low_bytes[row]) | np.intp(high_bytes[row]) << 8]


@kernel
def run(planes: Words, program: Program, n_lines: int, out: Doubles) -> None:
    """Write the sum of the trees' values, block by block."""
    reached, codes = np.empty((n_lines, WORDS), np.uint64), np.empty((16, WORDS), np.uint64)
    low, high = np.empty(8 * WORDS, np.uint64), np.empty(8 * WORDS, np.uint64)
    reached[0] = ~np.uint64(0)
    out[:] = 0
    for block in range(len(planes)):
        rows = out[block * ROWS : (block + 1) * ROWS]
        for tree in range(len(program.first_value)):
            a, b = program.first_node[tree], program.first_node[tree + 1]
            c, d = program.first_bit[tree], program.first_bit[tree + 1]
            used = codes[: d - c]
            _reach(planes[block], program.question[a:b], program.line[a:b], reached)
            _code(reached, program.first_part[c : d + 1], program.part, used)
            _add(used, program.values[program.first_value[tree] :], low, high, rows)
