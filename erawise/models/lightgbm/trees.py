"""The trees of a LightGBM text as flat arrays, and prediction by walking them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from erawise.models.lightgbm.planes import ZERO, Doubles, Longs

_DEFAULT_LEFT, _MISSING_SHIFT, _MISSING_ZERO, _MISSING_NAN = 2, 2, 1, 2
_PER_NODE = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


@dataclass(frozen=True)
class Trees:
    """The trees of a model, one after the other in flat arrays.

    Parameters
    ----------
    n_features : features of the model.
    first_node, first_leaf : (trees + 1,) the positions at which each tree's nodes and leaves begin.
    feature, threshold : (nodes,) a row goes right if the feature is above the threshold.
    zero_right, nan_right : (nodes,) whether a row goes right if the feature is 0 or NaN; they override the threshold.
    left, right : (nodes,) children in the same tree: a later node, or `-1 - leaf`.
    value : (leaves,) the value that a leaf adds.
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
        first_node, first_leaf = starts_of(leaves - 1), starts_of(leaves)
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
            raise ValueError("a node splits on a feature that the model doesn't have")


def _numbers(lines: list[str]) -> Doubles:
    return np.array(" ".join(lines).split(), np.float64)


def _exceptions(threshold: Doubles, kind: Longs) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return whether 0 and NaN go right, as in LightGBM's `Tree::NumericalDecision`: NaN counts as 0 unless NaN means missing."""
    missing, default_right = kind >> _MISSING_SHIFT & 3, kind & _DEFAULT_LEFT == 0
    zero_right = np.where(missing == _MISSING_ZERO, default_right, threshold < 0)
    return zero_right, np.where(missing == _MISSING_NAN, default_right, zero_right)


def starts_of(counts: Longs) -> Longs:
    """Return the position at which each run begins, and the end of the last run."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


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
