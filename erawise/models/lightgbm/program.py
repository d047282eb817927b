"""The questions and the program of a model, from its trees."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from erawise.base.jit import kernel
from erawise.models.lightgbm.planes import Doubles, Ints, Longs, Program, Questions
from erawise.models.lightgbm.trees import Trees, starts_of

_MOST_LEVELS = 16
"""An int8 that is compared with more thresholds than this is compared as a float."""


def ask(trees: Trees) -> tuple[Questions, Longs]:
    """Return the questions of a model, and the number (nodes,) of each node's question."""
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


class Codes(NamedTuple):
    """The codes of the leaves, by the children of each node.

    Attributes
    ----------
    left, right : (nodes,) the code of the first leaf below each child.
    left_bits, right_bits : (nodes,) the bits that all leaves below a child have, but not all leaves below its parent.
    """

    left: Longs
    right: Longs
    left_bits: Longs
    right_bits: Longs


def compile_trees(trees: Trees, question: Longs) -> Program:
    """Compile the program of trees from the questions of their nodes."""
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
    """Return `first_bit`, `first_value` and `values` of `Program`, from each node's tree and its children's codes."""
    sizes = 1 << n_bits
    first_value = np.cumsum(sizes) - sizes
    values = np.zeros(int(sizes.sum()))
    single = np.diff(trees.first_node) == 0
    values[first_value[single]] = trees.value[trees.first_leaf[:-1][single]]
    for child, code in ((trees.left, codes.left), (trees.right, codes.right)):
        leaf = child < 0
        values[(first_value[tree] + code)[leaf]] = trees.value[(trees.first_leaf[tree] - 1 - child)[leaf]]
    return starts_of(n_bits), first_value, values


def _parts_of_bits(first_bit: Longs, first: Longs, lines: tuple[NDArray, NDArray], bits: tuple[NDArray, NDArray]) -> tuple[Longs, Ints]:
    """Return `first_part` and `part` of `Program`, from the lines and bits of the left and the right children."""
    of_part, of_line = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for line, has in zip(lines, bits, strict=True):
        for bit in range(int(has.max(initial=0)).bit_length()):
            those = has >> bit & 1 == 1
            of_part.append(first[those] + bit)
            of_line.append(line[those])
    bits_of_parts = np.concatenate(of_part)
    order = np.argsort(bits_of_parts, kind="stable")
    return starts_of(np.bincount(bits_of_parts, minlength=first_bit[-1])), np.concatenate(of_line)[order].astype(np.int32)


@kernel
def _number_leaves(left: Longs, right: Longs, left_code: Longs, right_code: Longs, line: Ints) -> int:
    """Give the leaves of a tree their codes, and return the number of bits of the codes.

    A code is the path to the leaf: bit d is set for a turn to the right at depth d. If that needs over one bit more than counting the
    leaves from left to right, a code is this count.
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
    """Fill in the codes, the number of bits of each tree, and the line of each node."""
    for tree in range(len(n_bits)):
        a, b = first_node[tree], first_node[tree + 1]
        if a < b:
            n_bits[tree] = _number_leaves(left[a:b], right[a:b], codes.left[a:b], codes.right[a:b], line[a:b])
            own = Codes(codes.left[a:b], codes.right[a:b], codes.left_bits[a:b], codes.right_bits[a:b])
            _find_common(left[a:b], right[a:b], own)
