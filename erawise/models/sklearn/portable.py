"""Fitted estimators as arrays that predict the same without their package: linear models, sums of trees, and dense layers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erawise.models.shared.protocol import Portable

Floats = NDArray[np.float64]
Tree = dict[str, NDArray]
"""`left`, `right` (nodes of the tree, `LEAF` for a leaf), `feature`, `threshold` and `value` of each node."""

LEAF = -1
TRIED = 256
"""Rows, of bins and of numbers from 0 to 1, on which the arrays must predict what the estimator does."""

TOLERANCE = 1e-7
"""Largest difference, as a share of the spread: an estimator may compute in float32."""


def own_importance(estimator: Any) -> Floats | None:
    """Return the estimator's own measure of its features; None if it has none."""
    if (found := getattr(estimator, "feature_importances_", None)) is not None:
        return np.asarray(found, np.float64)
    if (rounds := getattr(estimator, "_predictors", None)) is not None:  # of histogram-based gradient boosting
        total = np.zeros(estimator.n_features_in_)
        for nodes in (tree.nodes for trees in rounds for tree in trees):
            splits = nodes[nodes["is_leaf"] == 0]
            np.add.at(total, splits["feature_idx"], splits["gain"])
        return total
    found = getattr(estimator, "coef_", None)
    return None if found is None else np.ravel(np.asarray(found, np.float64))


def of_estimator(estimator: Any, n_features: int) -> Portable | None:
    """Return the function of `upload.runtime` and the arrays that predict like an estimator; None if its predictions aren't reached."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.integers(0, 5, (TRIED, n_features)), rng.random((TRIED, n_features), np.float32)]).astype(np.float64)
    expected = np.ravel(estimator.predict(rows)).astype(np.float64)
    for name, shipped, found in _candidates(estimator, rows, expected):
        if found.shape == expected.shape and np.abs(found - expected).max() <= TOLERANCE * max(1.0, float(np.ptp(expected))):
            return name, shipped
    return None


def _candidates(estimator: Any, rows: NDArray, expected: Floats) -> Iterator[tuple[str, dict[str, str | NDArray], Floats]]:
    """Yield functions of the runtime with their arrays, and what they predict."""
    weights = np.ravel(getattr(estimator, "coef_", ())).astype(np.float64)
    if len(weights) == rows.shape[1]:
        constant = np.float64(np.ravel(getattr(estimator, "intercept_", 0.0))[0])
        yield "linear", {"weights": weights, "constant": np.array(constant)}, rows @ weights + constant
    if hasattr(estimator, "coefs_"):
        layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in zip(estimator.coefs_, estimator.intercepts_, strict=True)]
        yield (
            "network",
            {f"{name}_{k}": part for k, layer in enumerate(layers) for name, part in zip(("weights", "bias"), layer, strict=True)},
            _through(layers, rows),
        )
    if trees := _trees(estimator):
        reached = np.sum([tree["value"][_leaves(tree, rows)] for tree in trees], axis=0)
        # the runtime takes the mean of the trees; a boosted model is a sum of them, from a first prediction
        for scale, first in ((1.0, 0.0), _boosted(estimator, len(trees), reached, expected)):
            shipped = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
            shipped["value"] = shipped["value"] * scale + first
            shipped["node_counts"] = np.array([len(tree["left"]) for tree in trees], np.int32)
            yield "forest", dict(shipped), reached * (scale / len(trees)) + first


def _boosted(estimator: Any, count: int, reached: Floats, expected: Floats) -> tuple[float, float]:
    """Return the factor of the trees, whose mean is taken, and the first prediction."""
    rate = 1.0 if hasattr(estimator, "_predictors") else float(getattr(estimator, "learning_rate", 1.0))
    return rate * count, float(np.mean(expected - rate * reached))


def _trees(estimator: Any) -> list[Tree]:
    if hasattr(estimator, "_predictors"):
        return [_of_histogram(tree.nodes) for trees in estimator._predictors for tree in trees]
    found = np.ravel(np.array(getattr(estimator, "estimators_", [estimator]), object))
    return [_of_tree(each.tree_) for each in found] if all(hasattr(each, "tree_") for each in found) else []


def _of_histogram(nodes: NDArray) -> Tree:
    leaf = nodes["is_leaf"] == 1
    left, right = (np.where(leaf, LEAF, nodes[name].astype(np.int32)).astype(np.int32) for name in ("left", "right"))
    return _tree(left, right, nodes["feature_idx"], nodes["num_threshold"], nodes["value"])


def _of_tree(tree: Any) -> Tree:
    return _tree(tree.children_left, tree.children_right, tree.feature, tree.threshold, tree.value[:, 0, 0])


def _tree(left: NDArray, right: NDArray, feature: NDArray, threshold: NDArray, value: NDArray) -> Tree:
    inner = np.asarray(left) != LEAF
    return {
        "left": np.asarray(left, np.int32),
        "right": np.asarray(right, np.int32),
        "feature": np.where(inner, feature, 0).astype(np.int32),
        "threshold": np.where(inner, threshold, 0.0).astype(np.float64),
        "value": np.asarray(value, np.float64),
    }


def _leaves(tree: Tree, rows: NDArray) -> NDArray[np.intp]:
    node, each = np.zeros(len(rows), np.intp), np.arange(len(rows))
    while (inner := tree["left"][node] != LEAF).any():
        goes_left = rows[each, tree["feature"][node]] <= tree["threshold"][node]
        node = np.where(inner, np.where(goes_left, tree["left"][node], tree["right"][node]), node)
    return node


def _through(layers: list[tuple[Floats, Floats]], rows: NDArray) -> Floats:
    for number, (weights, bias) in enumerate(layers, 1):
        rows = rows @ weights + bias
        rows = np.maximum(rows, 0.0) if number < len(layers) else rows
    return rows[:, 0]
