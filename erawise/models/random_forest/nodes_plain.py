"""The loops over the trees of a forest in plain numpy, and the arrays that they read."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAF = NONE = -1


class TreeArrays(NamedTuple):
    """The arrays of a `Forest` that its predictions need."""

    node_counts: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    value: NDArray[np.float64]


class Branches(NamedTuple):
    """The branches of all trees, each named after the node that it leads to, numbered over all trees; a root has no branch.

    Attributes
    ----------
    starts : (trees + 1,) the position at which each tree's nodes begin.
    parent, feature, threshold, left : (nodes,) the node at which a branch begins, its question, and whether it is the left branch.
    earlier : (nodes,) the last branch above it that asks for the same feature; `NONE` without one.
    leaf, value : (nodes,) whether the node is a leaf, and its value.
    factor, slope : (nodes, 2, points) for z of 0 and of 1, at each point t with its weight w: `t z + (1 - t) p`, and `w (z - p)`
        divided by it. Here p is over all branches of the feature so far.
    """

    starts: NDArray[np.int64]
    parent: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.bool_]
    earlier: NDArray[np.int64]
    leaf: NDArray[np.bool_]
    value: Floats
    factor: Floats
    slope: Floats


def add_leaves(x: NDArray, trees: TreeArrays, total: Floats) -> None:
    """Add to `total` (rows,), tree by tree, the value of the leaf in which each row of `x` (rows, features) ends."""
    node_counts, left, right, feature, threshold, value = trees
    rows, start = np.arange(len(x)), 0
    for count in node_counts:
        node = np.zeros(len(x), np.intp)
        while (inner := left[start + node] != LEAF).any():
            goes_left = x[rows, feature[start + node]] <= threshold[start + node]
            node = np.where(inner, np.where(goes_left, left[start + node], right[start + node]), node)
        total += value[start + node]
        start += count


def add_contributions(x: NDArray, branches: Branches, out: Floats) -> None:
    """Add to `out` (rows, features) the contributions of `x` (rows, features) to the sum of the trees."""
    starts, parent, feature, threshold, left, earlier, leaf, value, factor, slope = branches
    for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        taken = np.ones((stop - start, len(x)), np.int64)
        products = np.ones((stop - start, len(x), factor.shape[2]))
        for k in range(start + 1, stop):
            taken[k - start] = (x[:, feature[k]] <= threshold[k]) == left[k]
            products[k - start] = products[parent[k] - start]
            if earlier[k] != NONE:
                before = taken[earlier[k] - start]
                taken[k - start] &= before
                products[k - start] /= factor[earlier[k], before]
            products[k - start] *= factor[k, taken[k - start]]
        products[leaf[start:stop]] *= value[start:stop][leaf[start:stop], None, None]
        products[~leaf[start:stop]] = 0.0
        for k in range(stop - 1, start, -1):
            products[parent[k] - start] += products[k - start]
            slopes = slope[k, taken[k - start]]
            if earlier[k] != NONE:
                slopes = slopes - slope[earlier[k], taken[earlier[k] - start]]
            out[:, feature[k]] += (products[k - start] * slopes).sum(axis=1)
