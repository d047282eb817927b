"""The loops of `nodes_plain`, compiled by numba on their first call and cached next to this file. Other threads can run meanwhile."""

import numpy as np
from numpy.typing import NDArray

from erawise.base import jit
from erawise.models.random_forest.nodes_plain import LEAF, Branches, Floats, TreeArrays

LANES = 8
"""Rows that are computed side by side."""


@jit.compiled()
def add_leaves(x: NDArray, trees: TreeArrays, total: Floats) -> None:
    """Add the values of leaves, see `nodes_plain`."""
    node_counts, left, right, feature, threshold, value = trees
    start = 0
    for count in node_counts:
        for row in range(len(x)):
            node = start
            while left[node] != LEAF:
                child = left[node] if x[row, feature[node]] <= threshold[node] else right[node]
                node = start + child
            total[row] += value[node]
        start += count


@jit.compiled()
def add_contributions(x: NDArray, branches: Branches, out: Floats) -> None:
    """Add contributions, see `nodes_plain`."""
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
