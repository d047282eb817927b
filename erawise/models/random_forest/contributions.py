"""Contributions of the features to a forest's prediction: the exact values of TreeSHAP, by integrals in place of sums over subsets.

If the features S are known, a leaf of value v is reached with a weight. The weight is a product over the features on the leaf's path:

- z for a known feature: 1 if the row takes the feature's branches, else 0;
- p for another feature: the share of the fit's rows that take its branches.

The Shapley value of feature i in such a product is an integral over t from 0 to 1. The integrand is `v (z_i - p_i)` times the product of
`t z + (1 - t) p` over the other features. It is a polynomial of a degree below the path's number of features, which Gauss-Legendre points
integrate exactly. Source: Owen (1972), Multilinear extensions of games, Management Science 18. The products of the leaves below a branch
are added before they are multiplied, as in linear TreeSHAP (Yu, Bifet, Read & Xu, 2022). The time for a row therefore grows with the
number of nodes, not with their depths.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from erawise.base import jit

Floats = NDArray[np.float64]
Nodes = Mapping[str, NDArray]
"""The arrays of a forest by their names, see `Forest`."""

NONE = -1
CHUNK_ROWS, LANES = 256, 8
"""Rows that a thread works on at a time, and rows of these that it computes side by side."""


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


def of_forest(nodes: Nodes, threads: int) -> tuple[float, Callable[[NDArray], Floats]]:
    """Return the forest's prediction if no feature is known, and a function that gives the (rows, features) contributions to it."""
    trees, width = len(nodes["node_counts"]), len(nodes["feature_importance"])
    branches = branches_of(nodes)
    roots = np.repeat(branches.starts[:-1], nodes["node_counts"])
    base = float((branches.value * branches.leaf * nodes["cover"] / nodes["cover"][roots]).sum()) / trees

    def of_chunk(chunk: NDArray) -> Floats:
        out = np.zeros((len(chunk), width))
        _add(np.ascontiguousarray(chunk, np.float32), branches, out)  # of one type, so that it is compiled once
        return out / trees

    def explained(x: NDArray) -> Floats:
        chunks = [x[start : start + CHUNK_ROWS] for start in range(0, len(x), CHUNK_ROWS)]
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate([np.empty((0, width)), *pool.map(of_chunk, chunks)])

    return base, explained


def branches_of(nodes: Nodes) -> Branches:
    """Return the branches of a forest."""
    counts = nodes["node_counts"]
    starts = np.append(0, np.cumsum(counts, dtype=np.int64))
    inner = np.flatnonzero(nodes["left"] >= 0)
    first = np.repeat(starts[:-1], counts)[inner]
    parent, left = np.full(len(nodes["left"]), NONE, np.int64), np.zeros(len(nodes["left"]), bool)
    for child in ("left", "right"):
        positions = first + nodes[child][inner]
        parent[positions], left[positions] = inner, child == "left"
    above = np.where(parent >= 0, parent, 0)
    feature = np.where(parent >= 0, nodes["feature"][above], NONE).astype(np.int64)
    own = nodes["cover"] / nodes["cover"][above]
    earlier, share, depth = _along_paths(parent, feature, own)
    points, weights = np.polynomial.legendre.leggauss(max(1, -(-depth // 2)))
    t = (points + 1) / 2
    z, p = np.array([0.0, 1.0])[None, :, None], share[:, None, None]
    factor = t * z + (1 - t) * p
    slope = weights / 2 * (z - p) / factor
    leaf = np.ones(len(parent), bool)
    leaf[inner] = False
    return Branches(starts, parent, feature, nodes["threshold"][above], left, earlier, leaf, nodes["value"], factor, slope)


def _along_paths(parent: NDArray[np.int64], feature: NDArray[np.int64], own: Floats) -> tuple[NDArray[np.int64], Floats, int]:
    """Return for each branch the last branch above it with the same feature, and the feature's share of rows so far; and the depth."""
    earlier, share = np.full(len(parent), NONE, np.int64), np.where(parent >= 0, own, 1.0)
    current, depth = parent.copy(), 0
    while (current >= 0).any():
        depth += 1
        at = np.where(current >= 0, current, 0)
        same = (current >= 0) & (feature[at] == feature) & (parent[at] >= 0)
        share[same] *= own[at[same]]
        earlier[same & (earlier == NONE)] = at[same & (earlier == NONE)]
        current = np.where(current >= 0, parent[at], NONE)
    return earlier, share, depth


def _add_plain(x: NDArray, branches: Branches, out: Floats) -> None:
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


@jit.kernel
def _add_compiled(x: NDArray, branches: Branches, out: Floats) -> None:
    starts, parent, feature, threshold, left, earlier, leaf, value, factor, slope = branches
    points = factor.shape[2]
    largest = 0
    for tree in range(len(starts) - 1):
        largest = max(largest, starts[tree + 1] - starts[tree])
    # the processor computes a few rows at once; z is a number, so that no branch of the code depends on it
    products, sums = np.empty((largest, points, LANES)), np.empty((largest, points, LANES))
    taken, added, known = np.ones((largest, LANES)), np.empty(LANES), np.ones(LANES)
    for tree in range(len(starts) - 1):  # the outer loop, so that a tree's numbers stay in the cache
        start, stop = starts[tree], starts[tree + 1]
        for first in range(0, len(x), LANES):
            lanes = min(LANES, len(x) - first)
            products[0] = 1.0
            for k in range(start, stop):
                own = k - start
                if own:
                    above = parent[k] - start
                    if earlier[k] >= 0:
                        known[:] = taken[earlier[k] - start]
                    else:
                        known[:] = 1.0
                    for lane in range(lanes):
                        taken[own, lane] = known[lane] if (x[first + lane, feature[k]] <= threshold[k]) == left[k] else 0.0
                    for t in range(points):
                        low, rise = factor[k, 0, t], factor[k, 1, t] - factor[k, 0, t]
                        for lane in range(LANES):
                            products[own, t, lane] = products[above, t, lane] * (low + taken[own, lane] * rise)
                        if earlier[k] >= 0:
                            low, rise = 1 / factor[earlier[k], 0, t], 1 / factor[earlier[k], 1, t] - 1 / factor[earlier[k], 0, t]
                            for lane in range(LANES):
                                products[own, t, lane] *= low + known[lane] * rise
                for t in range(points):
                    for lane in range(LANES):
                        sums[own, t, lane] = products[own, t, lane] * value[k] if leaf[k] else 0.0
            for k in range(stop - 1, start, -1):
                own, above = k - start, parent[k] - start
                added[:] = 0.0
                for t in range(points):
                    low, rise = slope[k, 0, t], slope[k, 1, t] - slope[k, 0, t]
                    for lane in range(LANES):
                        sums[above, t, lane] += sums[own, t, lane]
                        added[lane] += sums[own, t, lane] * (low + taken[own, lane] * rise)
                if earlier[k] >= 0:
                    known[:] = taken[earlier[k] - start]
                    for t in range(points):
                        low, rise = slope[earlier[k], 0, t], slope[earlier[k], 1, t] - slope[earlier[k], 0, t]
                        for lane in range(LANES):
                            added[lane] -= sums[own, t, lane] * (low + known[lane] * rise)
                for lane in range(lanes):
                    out[first + lane, feature[k]] += added[lane]


_add = _add_compiled if jit.enabled() else _add_plain
