"""A random forest: fitted by scikit-learn, kept and predicted as plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from erawise.models.random_forest import contributions
from erawise.models.random_forest.nodes_plain import LEAF, TreeArrays
from erawise.models.random_forest.settings import RandomForest as Settings
from erawise.models.shared import arrays, common
from erawise.models.shared.protocol import PREDICTION_UNIT, Attribution, Portable, Resources
from erawise.panel.panel import View

with common.collector_waiting():
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.tree import DecisionTreeRegressor

stops_early, steps = common.never_stops_early, common.whole_fit

FILE = "forest.npz"
FLOAT_BYTES = 4

ROW_BYTES = 64
"""Bytes a row for the views and the target."""

TREE_ROW_BYTES = 40
"""Bytes a row to grow a tree: its draw, its weights, its order and one feature's values."""

_LAYOUT: dict[str, tuple[type[np.generic], int]] = {
    "node_counts": (np.int32, 1),
    "left": (np.int32, 1),
    "right": (np.int32, 1),
    "feature": (np.int32, 1),
    "threshold": (np.float64, 1),
    "value": (np.float64, 1),
    "cover": (np.int32, 1),
    "feature_importance": (np.float64, 1),
}


@dataclass(frozen=True)
class Forest:
    """The mean of regression trees, whose nodes follow each other tree by tree.

    Parameters
    ----------
    node_counts : (trees,) int32, nodes of each tree.
    left, right : (nodes,) int32, children by their number within the tree, `LEAF` for a leaf.
    feature : (nodes,) int32, the feature that a node splits on; 0 for a leaf.
    threshold : (nodes,) float64; values up to it go left; 0 for a leaf.
    value : (nodes,) float64, the mean target of the node's rows.
    cover : (nodes,) int32, the node's rows in the tree's draw, each as often as it was drawn.
    feature_importance : (features,) float64, mean decrease of impurity.
    """

    node_counts: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    value: NDArray[np.float64]
    cover: NDArray[np.int32]
    feature_importance: NDArray[np.float64]

    @property
    def rounds(self) -> int | None:
        return None

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features), equal bit by bit to scikit-learn with one job.

        Raises
        ------
        InputError
            If `x` has another number of features.
        """
        return common.predict_in_chunks(self._mean_of_trees, x, len(self.feature_importance))

    def importance(self) -> NDArray[np.float64]:
        """Return the (features,) share of each feature in the mean decrease of impurity."""
        return common.shares(self.feature_importance)

    def tree_importance(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the (features,) share of each feature in the mean decrease of impurity, and in the number of splits."""
        splits = np.bincount(self.feature[self.left != LEAF], minlength=len(self.feature_importance))
        return self.importance(), common.shares(splits)

    def attribution(self, sample: NDArray, background: NDArray, threads: int) -> Attribution:
        """Return exact TreeSHAP values, by the rows of the fit that took each path; see `contributions`."""
        base, explained = contributions.of_forest({name: getattr(self, name) for name in _LAYOUT}, threads)
        return Attribution(PREDICTION_UNIT, base, explained, self.predict)

    def portable(self) -> Portable:
        """Return the arrays that predictions need."""
        return "forest", self._trees._asdict()

    def save(self, directory: Path) -> None:
        """Write `forest.npz` into the directory."""
        arrays.save_arrays({name: getattr(self, name) for name in _LAYOUT}, directory / FILE)

    def _mean_of_trees(self, x: NDArray) -> NDArray[np.float64]:
        total = np.zeros(len(x))
        contributions.loops(len(self.left)).add_leaves(np.ascontiguousarray(x), self._trees, total)
        return total / len(self.node_counts)

    @property
    def _trees(self) -> TreeArrays:
        return TreeArrays(*(getattr(self, name) for name in TreeArrays._fields))


def required_bytes(settings: Settings, train: View, threads: int) -> int:
    """Return the bytes that fitting to a view needs at most: rows as they are stored and again as float32, and growing trees."""
    n_rows = min(train.n_rows, settings.max_rows)
    matrix = n_rows * len(train.names) * (train.dtype.itemsize + FLOAT_BYTES)
    return matrix + train.n_rows * ROW_BYTES + threads * n_rows * TREE_ROW_BYTES


def needs(settings: Settings, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
    """Return the bytes that each fit needs."""
    return [_require(settings, train, resources) for train, _ in folds]


def prepare(settings: Settings, folds: Sequence[tuple[View, View | None]], resources: Resources) -> int:
    """Check that every fit has the memory that it needs, and return how many forests may be fitted at once."""
    needs(settings, folds, resources)
    return resources.side_by_side([required_bytes(settings, train, 1) for train, _ in folds])


def fit(settings: Settings, train: View, inner: View | None, rounds: int | None, resources: Resources) -> Forest:
    """Fit on at most `max_rows` rows, the same share of every era; `inner` and `rounds` are ignored.

    Raises
    ------
    InputError
        If there is no row, or the memory doesn't suffice: scikit-learn needs all these rows at once, as float32.
    """
    common.require_rows(train, settings.target)
    _require(settings, train, resources)
    x, target = common.draw(train, settings.max_rows, settings.seed)
    forest = RandomForestRegressor(
        settings.trees,
        max_depth=settings.max_depth,
        max_features=settings.feature_share,
        min_samples_leaf=settings.min_rows_leaf,
        max_samples=settings.row_share,
        random_state=settings.seed,
        n_jobs=resources.threads,
    )
    forest.fit(x, target)
    resources.step()
    return _as_arrays(forest.estimators_, forest.feature_importances_)


def _require(settings: Settings, train: View, resources: Resources) -> int:
    n_rows = min(train.n_rows, settings.max_rows)
    needed = required_bytes(settings, train, resources.threads)
    resources.require(needed, f"{n_rows:,} rows of {len(train.names):,} features as floats (max_rows)")
    return needed


def _as_arrays(trees: list[DecisionTreeRegressor], importance: NDArray[np.float64]) -> Forest:
    parts = [tree.tree_ for tree in trees]
    leaf = np.concatenate([part.children_left for part in parts]) == LEAF
    return Forest(
        node_counts=np.array([part.node_count for part in parts], np.int32),
        left=np.concatenate([part.children_left for part in parts]).astype(np.int32),
        right=np.concatenate([part.children_right for part in parts]).astype(np.int32),
        feature=np.where(leaf, 0, np.concatenate([part.feature for part in parts])).astype(np.int32),
        threshold=np.where(leaf, 0.0, np.concatenate([part.threshold for part in parts])),
        value=np.concatenate([part.value[:, 0, 0] for part in parts]),
        cover=np.concatenate([part.weighted_n_node_samples for part in parts]).astype(np.int32),
        feature_importance=np.asarray(importance, np.float64),
    )


def load(directory: Path) -> Forest:
    """Read a model that `save` has written.

    Raises
    ------
    InputError
        If the file is missing or broken, or could lead a prediction out of its arrays or into a cycle.
    """
    path = directory / FILE
    forest = Forest(**arrays.load_arrays(path, _LAYOUT))
    reason = _why_broken(forest)
    if reason:
        raise arrays.broken(path, reason)
    return forest


def _why_broken(forest: Forest) -> str | None:
    counts, n_nodes = forest.node_counts, len(forest.left)
    if not len(counts) or (counts < 1).any() or counts.sum(dtype=np.int64) != n_nodes:
        return "the node counts of its trees don't add up"
    if any(len(values) != n_nodes for values in (forest.right, forest.feature, forest.threshold, forest.value, forest.cover)):
        return "its arrays differ in length"
    if (forest.feature < 0).any() or (forest.feature >= len(forest.feature_importance)).any():
        return "a node splits on a feature that the model doesn't have"
    if (forest.feature_importance < 0).any():
        return "an importance is below 0"
    stops = np.cumsum(counts, dtype=np.int64)
    own = np.arange(n_nodes) - np.repeat(stops - counts, counts)
    size = np.repeat(counts, counts)
    leaf = (forest.left == LEAF) & (forest.right == LEAF)
    for child in (forest.left, forest.right):
        if not (leaf | ((own < child) & (child < size))).all():
            return "a child of a node is outside of its tree or not after its parent"
    first = np.repeat(stops - counts, counts)[~leaf]
    below = sum(forest.cover[first + child[~leaf]].astype(np.int64) for child in (forest.left, forest.right))
    if (forest.cover < 1).any() or (forest.cover[~leaf] != below).any():
        return "the rows of its nodes don't add up"
    return None
