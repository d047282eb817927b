"""Checks of a LightGBM model text: it is complete, and its trees can be walked.

LightGBM's own parser ends the process if a text is cut short, and follows a child that doesn't exist.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "objective": "regression"}
_OF_SPLITS = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child", "internal_value", "internal_count")
_OF_LEAVES = ("leaf_value", "leaf_count")
_CATEGORICAL = 1
"""The bit of `decision_type` that marks a categorical split, which no model here has."""


def why_broken(text: str) -> str | None:
    """Return why a model text is broken, or None if it is a complete regression model that can be walked.

    The rules of LightGBM's format v4: after the header come the trees, each as long as `tree_sizes` says. An inner node's child is a
    later inner node, or `-1 - leaf`.
    """
    head, separator, rest = text.partition("\n\n")
    header = _pairs(head)
    if not text.isascii() or not text.startswith("tree\n") or not separator:
        return "it is no LightGBM text"
    for key, value in _HEADER.items():
        if header.get(key) != value:
            return f"its {key} is {header.get(key)!r}, not {value!r}"
    try:
        n_features = int(header["max_feature_idx"]) + 1
        sizes = [int(size) for size in header["tree_sizes"].split()]
        if any(len(header[key].split()) != n_features for key in ("feature_names", "feature_infos")):
            return "its features don't add up"
        return _why_trees_broken(rest, sizes, n_features)
    except (KeyError, ValueError) as error:
        return f"a number is missing or unreadable ({error})"


def _why_trees_broken(text: str, sizes: list[int], n_features: int) -> str | None:
    if not sizes or min(sizes) < 1 or not text.startswith("end of trees\n", sum(sizes)) or "\nend of parameters\n" not in text:
        return "it is cut short"
    start = 0
    for number, size in enumerate(sizes):
        block = text[start : start + size]
        if not re.fullmatch(rf"Tree={number}\n(\w+=[^\n]*\n)+\n*", block):
            return f"tree {number} is missing or out of order"
        reason = _why_tree_broken(_pairs(block), n_features)
        if reason:
            return f"tree {number}: {reason}"
        start += size
    return None


def _why_tree_broken(tree: dict[str, str], n_features: int) -> str | None:
    n_leaves = int(tree["num_leaves"])
    if n_leaves < 1 or tree["num_cat"] != "0" or tree["is_linear"] != "0":
        return "it is of another kind"
    found = {key: _numbers(tree[key]) for key in (*_OF_SPLITS, *_OF_LEAVES)}
    found["shrinkage"] = _numbers(tree["shrinkage"])
    lengths = {**dict.fromkeys(_OF_SPLITS, n_leaves - 1), **dict.fromkeys(_OF_LEAVES, n_leaves), "shrinkage": 1}
    if any(len(values) != lengths[key] or not np.isfinite(values).all() for key, values in found.items()):
        return "its numbers are too few, too many or not finite"
    return _why_not_followable(found, n_leaves, n_features)


def _why_not_followable(tree: dict[str, NDArray[np.float64]], n_leaves: int, n_features: int) -> str | None:
    own = np.arange(n_leaves - 1)
    whole = {key: tree[key].astype(np.int64) for key in ("split_feature", "decision_type", "left_child", "right_child")}
    if any((whole[key] != tree[key]).any() for key in whole):
        return "a number of a node is not whole"
    if (whole["split_feature"] < 0).any() or (whole["split_feature"] >= n_features).any():
        return "a node splits on a feature that the model doesn't have"
    if (whole["decision_type"] & _CATEGORICAL).any():
        return "it has a categorical split"
    for child in (whole["left_child"], whole["right_child"]):
        inner = (own < child) & (child < n_leaves - 1)
        leaf = (child < 0) & (child >= -n_leaves)
        if not (inner | leaf).all():
            return "a child of a node is outside of the tree or not after its parent"
    return None


def _pairs(block: str) -> dict[str, str]:
    pairs: list[Any] = [line.split("=", 1) for line in block.splitlines() if "=" in line]
    return dict(pairs)


def _numbers(values: str) -> NDArray[np.float64]:
    return np.array([float(value) for value in values.split()])
