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
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from erawise.base import jit
from erawise.models.random_forest import nodes_plain
from erawise.models.random_forest.nodes_plain import NONE, Branches, Floats

Nodes = Mapping[str, NDArray]
"""The arrays of a forest by their names, see `Forest`."""

CHUNK_ROWS = 256
"""Rows that a thread works on at a time."""

MIN_NODES = 2**7
"""Least nodes of a forest for compiled loops. Rows don't count: they come in many small blocks, which must all use the same loops."""


def loops(nodes: int) -> ModuleType:
    """Return the loops over so many nodes: compiled ones if they pay, else plain ones. To compile takes seconds in a fresh clone."""
    if nodes < MIN_NODES or not jit.enabled():
        return nodes_plain
    from erawise.models.random_forest import nodes_compiled

    return nodes_compiled


def of_forest(nodes: Nodes, threads: int) -> tuple[float, Callable[[NDArray], Floats]]:
    """Return the forest's prediction if no feature is known, and a function that gives the (rows, features) contributions to it."""
    trees, width = len(nodes["node_counts"]), len(nodes["feature_importance"])
    branches = branches_of(nodes)
    roots = np.repeat(branches.starts[:-1], nodes["node_counts"])
    base = float((branches.value * branches.leaf * nodes["cover"] / nodes["cover"][roots]).sum()) / trees
    add = loops(len(branches.parent)).add_contributions

    def of_chunk(chunk: NDArray) -> Floats:
        out = np.zeros((len(chunk), width))
        add(np.ascontiguousarray(chunk, np.float32), branches, out)  # of one type, so that it is compiled once
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
