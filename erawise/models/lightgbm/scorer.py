"""Prediction of LightGBM's trees for many rows at once, to the last bit what `Booster.predict` gives, and many times faster.

A tree is not walked. Whether a row goes right at a node is one bit, and the bits of a block of rows, for each distinct
question of the model ("is feature f above t?"), are a plane: eight rows to a byte. From the planes, a few operations on
bytes per node give, for all rows of the block, who reaches it. A leaf has a code; the bits of the code of each row's leaf are
planes, too: bit b is set for who reaches a subtree whose leaves all have b in their code. At last the codes are looked up
in a table of leaf values, which are added in the order of the trees.

Without numba, or with ERAWISE_NUMBA=0 in the environment, trees are walked in plain numpy.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from erawise.base import jit
from erawise.base.jit import kernel
from erawise.running.errors import InputError

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Words = NDArray[np.uint64]
Doubles = NDArray[np.float64]

FAST = jit.enabled() and sys.byteorder == "little"

MOST_LEAVES = 4096
"""Above this many leaves of a tree LightGBM's own prediction takes over: it takes time by depth, ours by leaves."""

ZERO = float(np.float32(1e-35))
"""LightGBM takes what is not farther from 0 than this for 0."""

_WORDS = 8
_ROWS = 64 * _WORDS
"""Rows of a block: a plane is eight words of 64 rows, a line of the cache."""

_PART_BLOCKS = 4
"""Blocks that a thread takes at a time: few, so that their planes stay in the cache."""

_MOST_LEVELS = 16
"""Where an int8 is compared with more thresholds than this, it is taken for a float."""

_DEFAULT_LEFT, _MISSING_SHIFT, _MISSING_ZERO, _MISSING_NAN = 2, 2, 1, 2
_PER_NODE = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_DTYPES = (np.dtype(np.int8), np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Trees:
    """The trees of a model, one after the other in flat arrays.

    Parameters
    ----------
    n_features : features of the model.
    first_node, first_leaf : (trees + 1,) where each tree's nodes and leaves begin.
    feature, threshold : (nodes,) a row goes right where the feature is above the threshold ...
    zero_right, nan_right : (nodes,) ... but these say it where the feature is 0 or NaN.
    left, right : (nodes,) children in the same tree: a later node, or `-1 - leaf`.
    value : (leaves,) what a leaf adds.
    """

    n_features: int
    first_node: Longs
    first_leaf: Longs
    feature: Longs
    threshold: Doubles
    zero_right: NDArray[np.bool_]
    nan_right: NDArray[np.bool_]
    left: Longs
    right: Longs
    value: Doubles

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read a LightGBM text of format v4.

        Raises
        ------
        ValueError
            If it is no plain sum of numerical trees, or its arrays don't fit together.
        """
        head, _, rest = text.partition("\n\n")
        header = {key: value for key, _, value in (line.partition("=") for line in head.splitlines())}
        one = header.get("num_class") == "1" and header.get("num_tree_per_iteration") == "1"
        if not one or header.get("objective") != "regression" or "average_output" in header:
            raise ValueError("the model is no plain regression")
        lines: dict[str, list[str]] = {}
        for line in rest.partition("\nend of trees")[0].splitlines():
            key, _, value = line.partition("=")
            lines.setdefault(key, []).append(value)
        try:
            return cls._from_lines(int(header["max_feature_idx"]) + 1, lines)
        except KeyError as error:
            raise ValueError(f"the model has no {error}") from None

    @classmethod
    def _from_lines(cls, n_features: int, lines: dict[str, list[str]]) -> Self:
        if _numbers(lines["num_cat"]).any() or _numbers(lines["is_linear"]).any():
            raise ValueError("the model has categorical splits or linear leaves")
        leaves = _numbers(lines["num_leaves"]).astype(np.int64)
        first_node, first_leaf = _starts(leaves - 1), _starts(leaves)
        nodes = {key: _numbers(lines[key]) for key in _PER_NODE}
        value = _numbers(lines["leaf_value"])
        if (leaves < 1).any() or len(value) != first_leaf[-1] or any(len(found) != first_node[-1] for found in nodes.values()):
            raise ValueError("the model's trees have too few or too many numbers")
        feature, kind, left, right = (
            nodes[key].astype(np.int64) for key in ("split_feature", "decision_type", "left_child", "right_child")
        )
        zero_right, nan_right = _exceptions(nodes["threshold"], kind)
        trees = cls(n_features, first_node, first_leaf, feature, nodes["threshold"], zero_right, nan_right, left, right, value)
        trees._check()
        return trees

    def _check(self) -> None:
        nodes = np.diff(self.first_node)
        own = np.arange(len(self.left)) - np.repeat(self.first_node[:-1], nodes)
        n_nodes = np.repeat(nodes, nodes)
        parents = np.zeros(len(own), np.int64)
        for child in (self.left, self.right):
            inner = child >= 0
            if not np.where(inner, (own < child) & (child < n_nodes), -1 - child <= n_nodes).all():
                raise ValueError("a child of a node is outside of its tree or not after its parent")
            parents += np.bincount((child + np.arange(len(own)) - own)[inner], minlength=len(own))
        if (parents != (own > 0)).any():
            raise ValueError("a node has no parent or two")
        if ((self.feature < 0) | (self.feature >= self.n_features)).any():
            raise ValueError("a node splits on a feature that the model has not")


def _numbers(lines: list[str]) -> Doubles:
    return np.array(" ".join(lines).split(), np.float64)


def _exceptions(threshold: Doubles, kind: Longs) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether 0 and NaN go right: by LightGBM's `Tree::NumericalDecision`, where NaN counts as 0 unless it is what is missing."""
    missing, default_right = kind >> _MISSING_SHIFT & 3, kind & _DEFAULT_LEFT == 0
    zero_right = np.where(missing == _MISSING_ZERO, default_right, threshold < 0)
    return zero_right, np.where(missing == _MISSING_NAN, default_right, zero_right)


def walk(trees: Trees, x: NDArray) -> Doubles:
    """Predict (rows,) from (rows, features) in plain numpy: all rows go down one tree after the other."""
    out = np.zeros(len(x))
    rows = np.arange(len(x))
    for tree, (first, first_leaf) in enumerate(zip(trees.first_node[:-1], trees.first_leaf[:-1], strict=True)):
        at = np.full(len(x), -1 if first == trees.first_node[tree + 1] else 0)
        while len(inner := rows[at >= 0]):
            node = first + at[inner]
            value = x[inner, trees.feature[node]].astype(np.float64)
            right = np.where(np.abs(value) <= ZERO, trees.zero_right[node], value > trees.threshold[node])
            right = np.where(np.isnan(value), trees.nan_right[node], right)
            at[inner] = np.where(right, trees.right[node], trees.left[node])
        out += trees.value[first_leaf - 1 - at]
    return out


class Questions(NamedTuple):
    """The distinct questions of a model, by feature.

    Parameters
    ----------
    features : (used,) features that are split on.
    first : (used + 1,) where the questions of each begin.
    feature : (questions,) the feature.
    threshold, zero_right, nan_right : (questions,) as in `Trees`, the last two as bytes 0 or 255.
    levels : the distinct thresholds, for whole numbers from -128 to 127; empty where an int8 has to be asked as a float.
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


def ask(trees: Trees) -> tuple[Questions, Longs]:
    """The questions of a model, and the number (nodes,) of each node's question."""
    keys = (trees.nan_right, trees.zero_right, trees.threshold, trees.feature)
    order = np.lexsort(keys)
    new = np.ones(len(order), bool)
    new[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in keys], axis=0)
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(new) - 1
    one = order[new]
    threshold, feature = trees.threshold[one], trees.feature[one]
    features, first = np.unique(feature, return_index=True)
    zero, nan = (np.where(right[one], 255, 0).astype(np.uint8) for right in (trees.zero_right, trees.nan_right))
    levels, level = _levels(threshold, trees.zero_right[one])
    return Questions(features, np.append(first, len(feature)), feature, threshold, zero, nan, levels, level), number


def _levels(threshold: Doubles, zero_right: NDArray[np.bool_]) -> tuple[NDArray[np.int8], Longs]:
    low, high = np.iinfo(np.int8).min, np.iinfo(np.int8).max
    levels, level = np.unique(np.clip(np.floor(threshold), low, high).astype(np.int8), return_inverse=True)
    suits = (zero_right == (threshold < 0)).all() and (threshold >= low).all() and len(levels) <= _MOST_LEVELS
    return levels if suits else levels[:0], level.astype(np.int64)


class Program(NamedTuple):
    """What is done with the planes, tree by tree.

    Parameters
    ----------
    first_node : (trees + 1,) where each tree's nodes begin.
    question : (nodes,) the question of a node.
    line : (nodes,) the line of a tree that says who reaches the node: 0 for the root; node k fills in `2 k + 1` for its left
        child and `2 k + 2` for its right child.
    first_bit : (trees + 1,) where the bits of each tree's codes begin.
    first_part : (bits + 1,) where the parts of a bit begin.
    part : lines of subtrees whose leaves all have the bit: together they are all that have it.
    first_value : (trees,) where a tree's values begin.
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


class Codes(NamedTuple):
    """The codes of the leaves, by the children of each node.

    Parameters
    ----------
    left, right : (nodes,) the code of the first leaf below each child.
    left_bits, right_bits : (nodes,) the bits that all leaves below a child have, and not all below its parent.
    """

    left: Longs
    right: Longs
    left_bits: Longs
    right_bits: Longs


def compile_trees(trees: Trees, question: Longs) -> Program:
    """The program for trees whose nodes ask these questions."""
    nodes = np.diff(trees.first_node)
    tree = np.repeat(np.arange(len(nodes)), nodes)
    codes = Codes(*(np.zeros(len(tree), np.int64) for _ in Codes._fields))
    n_bits, line = np.zeros(len(nodes), np.int64), np.zeros(len(tree), np.int32)
    _encode(trees.first_node, trees.left, trees.right, codes, n_bits, line)
    first_bit, first_value, values = _values(trees, tree, n_bits, codes)
    own = np.arange(len(tree)) - trees.first_node[tree]
    first_part, part = _parts_of_bits(first_bit, first_bit[tree], (2 * own + 1, 2 * own + 2), (codes.left_bits, codes.right_bits))
    return Program(trees.first_node, question.astype(np.int32), line, first_bit, first_part, part, first_value, values)


def _values(trees: Trees, tree: Longs, n_bits: Longs, codes: Codes) -> tuple[Longs, Longs, Doubles]:
    """`Program.first_bit`, `Program.first_value` and `Program.values`, from each node's tree and its children's codes."""
    sizes = 1 << n_bits
    first_value = np.cumsum(sizes) - sizes
    values = np.zeros(int(sizes.sum()))
    single = np.diff(trees.first_node) == 0
    values[first_value[single]] = trees.value[trees.first_leaf[:-1][single]]
    for child, code in ((trees.left, codes.left), (trees.right, codes.right)):
        leaf = child < 0
        values[(first_value[tree] + code)[leaf]] = trees.value[(trees.first_leaf[tree] - 1 - child)[leaf]]
    return _starts(n_bits), first_value, values


def _parts_of_bits(first_bit: Longs, first: Longs, lines: tuple[NDArray, NDArray], bits: tuple[NDArray, NDArray]) -> tuple[Longs, Ints]:
    """`Program.first_part` and `Program.part`, from each child's line and its bits, for the left and for the right."""
    of_part, of_line = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for line, has in zip(lines, bits, strict=True):
        for bit in range(int(has.max(initial=0)).bit_length()):
            those = has >> bit & 1 == 1
            of_part.append(first[those] + bit)
            of_line.append(line[those])
    bits_of_parts = np.concatenate(of_part)
    order = np.argsort(bits_of_parts, kind="stable")
    return _starts(np.bincount(bits_of_parts, minlength=first_bit[-1])), np.concatenate(of_line)[order].astype(np.int32)


def _starts(counts: Longs) -> Longs:
    """Where each run begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


@kernel
def _number_leaves(left: Longs, right: Longs, left_code: Longs, right_code: Longs, line: Ints) -> int:
    """Give the leaves of a tree their codes and return how many bits they have.

    The code is the path, bit d for a turn to the right at depth d, where that takes at most a bit more than counting them
    from left to right.
    """
    n = len(left)
    below, depth, code = np.ones(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    for node in range(n - 1, -1, -1):
        below[node] = (below[left[node]] if left[node] >= 0 else 1) + (below[right[node]] if right[node] >= 0 else 1)
    deepest, bits = 1, 0
    for node in range(n):
        for side, child in enumerate((left[node], right[node])):
            if child >= 0:
                line[child] = 2 * node + 1 + side
                depth[child] = depth[node] + 1
                deepest = max(deepest, depth[child] + 1)
    while 1 << bits < n + 1:
        bits += 1
    by_path = deepest <= bits + 1
    for node in range(n):
        n_left = below[left[node]] if left[node] >= 0 else 1
        left_code[node] = code[node]
        right_code[node] = code[node] + (1 << depth[node] if by_path else n_left)
        if left[node] >= 0:
            code[left[node]] = left_code[node]
        if right[node] >= 0:
            code[right[node]] = right_code[node]
    return deepest if by_path else bits


@kernel
def _find_common(left: Longs, right: Longs, codes: Codes) -> None:
    """Fill in the bits of a tree's codes."""
    n = len(left)
    common = np.zeros(n, np.int64)
    for node in range(n - 1, -1, -1):
        below_left = common[left[node]] if left[node] >= 0 else codes.left[node]
        below_right = common[right[node]] if right[node] >= 0 else codes.right[node]
        common[node] = below_left & below_right
        codes.left_bits[node] = below_left & ~common[node]
        codes.right_bits[node] = below_right & ~common[node]


@kernel
def _encode(first_node: Longs, left: Longs, right: Longs, codes: Codes, n_bits: Longs, line: Ints) -> None:
    """Fill in the last three: the codes, for each tree the number of its bits, for each node its line."""
    for tree in range(len(n_bits)):
        a, b = first_node[tree], first_node[tree + 1]
        if a < b:
            n_bits[tree] = _number_leaves(left[a:b], right[a:b], codes.left[a:b], codes.right[a:b], line[a:b])
            own = Codes(codes.left[a:b], codes.right[a:b], codes.left_bits[a:b], codes.right_bits[a:b])
            _find_common(left[a:b], right[a:b], own)


@kernel
def _compare(x: NDArray[np.int8], levels: NDArray[np.int8], answers: Bytes) -> None:
    """Bit k of `answers[n, f]` is whether feature f of row k of at most eight is above level n."""
    for number in range(len(levels)):
        answer, level = answers[number], levels[number]
        answer[:] = 0
        for row in range(len(x)):
            values, bit = x[row], np.uint8(1 << row)
            for k in range(len(values)):
                answer[k] |= bit if values[k] > level else np.uint8(0)


@kernel
def _ask_whole(x: NDArray[np.int8], questions: Questions, planes: Words) -> None:
    """Fill in the planes of int8, block by block: first a byte for eight rows, each level and feature, then a word of eight bytes."""
    answers = np.empty((8, len(questions.levels), x.shape[1]), np.uint8)
    for number in range(len(planes) * _WORDS):
        block, word = planes[number // _WORDS], number % _WORDS
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
    """Lay the rows of a block into columns, one a used feature: first every eighth row from row 0, then every eighth from row 1, ..."""
    for start in range(0, len(features), 64):
        stop = min(start + 64, len(features))
        for row in range(len(x)):
            for k in range(start, stop):
                columns[k, row & 7, row >> 3] = x[row, features[k]]


@kernel
def _above(column: NDArray, limit: float, plane: Bytes) -> None:
    """Fill in a plane, given as bytes: who of the block is above the limit."""
    for byte in range(8 * _WORDS):
        bits = np.uint8(0)
        for row in range(8):
            bits |= np.uint8(1 << row) if column[row, byte] > limit else np.uint8(0)
        plane[byte] = bits


@kernel
def _find_exceptions(column: NDArray, zero: Bytes, nan: Bytes) -> None:
    """Fill in who of the block is 0, and who is NaN."""
    zero[:] = 0
    nan[:] = 0
    for row in range(8):
        bit = np.uint8(1 << row)
        for byte in range(8 * _WORDS):
            zero[byte] |= bit if abs(column[row, byte]) <= ZERO else np.uint8(0)
            nan[byte] |= bit if column[row, byte] != column[row, byte] else np.uint8(0)


@kernel
def _ask(x: NDArray, questions: Questions, planes: Bytes) -> None:
    """Fill in the planes of floats, given as bytes, block by block."""
    columns = np.zeros((len(questions.features), 8, 8 * _WORDS), x.dtype)
    zero, nan = np.empty(8 * _WORDS, np.uint8), np.empty(8 * _WORDS, np.uint8)
    for block in range(len(planes)):
        _gather(x[block * _ROWS : (block + 1) * _ROWS], questions.features, columns)
        for k in range(len(columns)):
            _find_exceptions(columns[k], zero, nan)
            for question in range(questions.first[k], questions.first[k + 1]):
                plane = planes[block, question]
                _above(columns[k], questions.threshold[question], plane)
                zero_right, nan_right = questions.zero_right[question], questions.nan_right[question]
                for byte in range(8 * _WORDS):
                    plane[byte] = (plane[byte] & ~zero[byte]) | (zero[byte] & zero_right) | (nan[byte] & nan_right)


@kernel
def _reach(planes: Words, question: Ints, line: Ints, reached: Words) -> None:
    """Fill in, line by line, which rows of the block reach each node and leaf of a tree."""
    for node in range(len(question)):
        here, plane = reached[line[node]], planes[question[node]]
        left, right = reached[2 * node + 1], reached[2 * node + 2]
        for word in range(_WORDS):
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
            for word in range(_WORDS):
                code[word] |= line[word]


@kernel
def _transpose(codes: Words, rows: Words) -> None:
    """Turn at most eight bits of the codes, each a plane, into a byte a row: 8 x 8 bits at a time (Warren, Hacker's Delight, 7-3)."""
    planes = codes.view(np.uint8)
    for byte in range(8 * _WORDS):
        rows[byte] = planes[0, byte]
    for bit in range(1, len(codes)):
        for byte in range(8 * _WORDS):
            rows[byte] |= np.uint64(planes[bit, byte]) << np.uint64(8 * bit)
    for byte in range(8 * _WORDS):
        x = rows[byte]
        for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
            swap = (x ^ (x >> np.uint64(shift))) & np.uint64(mask)
            x = x ^ swap ^ (swap << np.uint64(shift))
        rows[byte] = x


@kernel
def _add(codes: Words, values: Doubles, low: Words, high: Words, out: Doubles) -> None:
    """Add to each row of the block the value of the leaf that its code stands for."""
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
def _run(planes: Words, program: Program, n_lines: int, out: Doubles) -> None:
    """Write the sum of the trees' values, block by block."""
    reached, codes = np.empty((n_lines, _WORDS), np.uint64), np.empty((16, _WORDS), np.uint64)
    low, high = np.empty(8 * _WORDS, np.uint64), np.empty(8 * _WORDS, np.uint64)
    reached[0] = ~np.uint64(0)
    out[:] = 0
    for block in range(len(planes)):
        rows = out[block * _ROWS : (block + 1) * _ROWS]
        for tree in range(len(program.first_value)):
            a, b = program.first_node[tree], program.first_node[tree + 1]
            c, d = program.first_bit[tree], program.first_bit[tree + 1]
            used = codes[: d - c]
            _reach(planes[block], program.question[a:b], program.line[a:b], reached)
            _code(reached, program.first_part[c : d + 1], program.part, used)
            _add(used, program.values[program.first_value[tree] :], low, high, rows)


@dataclass(frozen=True)
class Scorer:
    """A model that is ready to predict.

    Parameters
    ----------
    trees : the model's trees.
    questions, program : what they are turned into; None without numba.
    """

    trees: Trees
    questions: Questions | None
    program: Program | None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Make a model's text ready.

        Raises
        ------
        ValueError
            If the model is no plain sum of numerical trees, or has a tree of more than `MOST_LEAVES` leaves.
        """
        trees = Trees.from_text(text)
        if np.diff(trees.first_leaf).max(initial=0) > MOST_LEAVES:
            raise ValueError(f"a tree has more than {MOST_LEAVES} leaves")
        if not FAST:
            return cls(trees, None, None)
        questions, number = ask(trees)
        return cls(trees, questions, compile_trees(trees, number))

    @property
    def n_features(self) -> int:
        return self.trees.n_features

    def predict(self, x: NDArray, threads: int = 1) -> Doubles:
        """Predict (rows,) from (rows, features) of int8, float32 or float64 in any layout.

        The bits are those of `Booster.predict`, whatever the number of threads.

        Raises
        ------
        InputError
            If `x` has another number of features.
        ValueError
            If `x` has another dtype.
        """
        x = np.asarray(x)
        if x.shape[1] != self.n_features:
            raise InputError(
                f"the model was fitted on {self.n_features} features and is given {x.shape[1]}; train it again on these features"
            )
        if x.dtype not in _DTYPES:
            raise ValueError(f"features are int8, float32 or float64, not {x.dtype}")
        out = np.empty(len(x))
        parts = list(_parts(len(x), threads))
        if threads > 1 and len(parts) > 1:
            with ThreadPoolExecutor(min(threads, len(parts))) as pool:
                list(pool.map(lambda rows: self._predict_part(x[rows], out[rows]), parts))
        else:
            for rows in parts:
                self._predict_part(x[rows], out[rows])
        return out

    def _predict_part(self, x: NDArray, out: Doubles) -> None:
        if self.questions is None or self.program is None:
            out[:] = walk(self.trees, x)
            return
        whole = x.dtype == np.int8 and len(self.questions.levels) > 0
        x = np.require(x, None if whole or x.dtype != np.int8 else np.float32, ["C", "A"]).view()
        x.flags.writeable = False
        planes = np.empty((-(-len(x) // _ROWS), len(self.questions.feature), _WORDS), np.uint64)
        if whole:
            _ask_whole(x, self.questions, planes)
        else:
            _ask(x, self.questions, planes.view(np.uint8))
        n_lines = 2 * int(np.diff(self.program.first_node).max(initial=0)) + 1
        _run(planes, self.program, n_lines, out)


def _parts(n_rows: int, threads: int) -> Iterator[slice]:
    """Slices of whole blocks, the same for every thread where there are few rows."""
    blocks = -(-n_rows // _ROWS)
    step = _ROWS * max(1, min(_PART_BLOCKS, -(-blocks // max(threads, 1))))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))
