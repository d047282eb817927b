"""Gradient-boosted trees: LightGBM on the features as they are, int8 or float32."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from erawise import files, params
from erawise.errors import InputError
from erawise.models import arrays, common
from erawise.panel import View, era_slices
from erawise.schema import INT8_TOP

# Read when LightGBM is imported: its threads would else spin while they wait, and on busy cores take many times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import lightgbm

FILE = "model.txt"
INNER, SCORE = "inner", "mean_correlation"
FLOAT_BINS = 255
BIN_SAMPLE_ROWS = 20_000
"""Rows from which LightGBM finds the bins: what costs memory is 8 bytes a value of this sample."""

_HEADER = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "objective": "regression"}
_OF_SPLITS = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child", "internal_value", "internal_count")
_OF_LEAVES = ("leaf_value", "leaf_count")
_CATEGORICAL = 1
"""The bit of `decision_type` that marks a categorical split, which no model here has."""


@dataclass(frozen=True)
class Trees:
    """Boosted trees, held as LightGBM's text.

    Parameters
    ----------
    text : the model.
    rounds : trees that early stopping found best, or that were asked for; None for a model from a file.
    """

    text: str
    rounds: int | None = None
    _booster: lightgbm.Booster = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_booster", lightgbm.Booster(model_str=self.text))

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features).

        Raises
        ------
        InputError
            If `x` has another number of features.
        """
        return common.predict_in_chunks(self._booster.predict, x, self._booster.num_feature())

    def importance(self) -> NDArray[np.float64]:
        """(features,) share of each feature in the gain of all splits."""
        return _gain_shares(self._booster)

    def save(self, directory: Path) -> None:
        """Write `model.txt` into the directory."""
        with files.replacing(directory / FILE) as temporary:
            temporary.write_text(self.text, encoding="utf-8", newline="\n")


def uses_rounds() -> bool:
    return True


def load(directory: Path) -> Trees:
    """Read what `save` has written.

    Raises
    ------
    InputError
        If the file is missing, is no LightGBM model, or could lead a prediction out of its arrays or into a cycle.
    """
    path = directory / FILE
    try:
        text = path.read_text(encoding="utf-8")
        reason = why_broken(text)
        if reason:
            raise arrays.broken(path, reason)
        return Trees(text)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; train the model again") from None
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise arrays.broken(path, str(error)) from None


def fit(settings: params.LightGBM, train: View, inner: View | None, rounds: int | None, threads: int) -> Trees:
    """Boost trees on the squared error.

    With `inner`, up to `settings.trees` of them, and those up to the best mean per-era correlation on `inner` stay;
    without it `rounds`, or `settings.trees` where that is None. Rows too few for a split give a constant.

    Raises
    ------
    InputError
        If `train` has no row.
    """
    common.require_rows(train, settings.target)
    options = {
        **_options(settings.learning_rate, settings.leaves, settings.seed, threads),
        "max_depth": settings.max_depth,
        "feature_fraction": settings.feature_share,
        "min_data_in_leaf": settings.min_rows_leaf,
        "lambda_l2": settings.l2,
    }
    if inner is None:
        trees = settings.trees if rounds is None else rounds
        booster = lightgbm.train(options, _dataset(train, options), trees)
    else:
        common.require_rows(inner, settings.target)
        booster = _train_until_best(options, train, inner, settings.trees, settings.early_stopping)
        trees = max(booster.best_iteration, 1)
        if booster.best_score[INNER][SCORE] <= 0:
            return Trees(booster.model_to_string(num_iteration=trees, importance_type="gain"))
    return Trees(booster.model_to_string(num_iteration=trees, importance_type="gain"), trees)


def importance_of_first(train: View, *, trees: int, learning_rate: float, leaves: int, seed: int, threads: int) -> NDArray[np.float64]:
    """Share of each feature in the gain of a first model, (features,): what features can be chosen by.

    Every tree may use every feature; the other options are LightGBM's own. All 0 where there is no split.
    """
    if not train.n_rows:
        raise InputError("data.target: it has no value in the eras to select features on; choose another target")
    options = _options(learning_rate, leaves, seed, threads)
    return _gain_shares(lightgbm.train(options, _dataset(train, options), trees))


def _options(learning_rate: float, leaves: int, seed: int, threads: int) -> dict[str, Any]:
    return {
        "objective": "regression",
        "metric": "None",
        "learning_rate": learning_rate,
        "num_leaves": leaves,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_col_wise": True,
        "bin_construct_sample_cnt": BIN_SAMPLE_ROWS,
        "enable_bundle": False,
        "verbosity": -1,
    }


def _train_until_best(options: dict[str, Any], train: View, inner: View, trees: int, patience: int) -> lightgbm.Booster:
    score = common.EraCorrelation.of(inner)

    def mean_correlation(prediction: NDArray, _: lightgbm.Dataset) -> tuple[str, float, bool]:
        return SCORE, score(prediction), True

    data = _dataset(train, options)
    return lightgbm.train(
        options,
        data,
        trees,
        valid_sets=[_dataset(inner, options, reference=data)],
        valid_names=[INNER],
        feval=mean_correlation,
        callbacks=[lightgbm.early_stopping(patience, first_metric_only=True, verbose=False)],
    )


def _dataset(view: View, options: dict[str, Any], reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
    """A dataset built from Arrow columns: LightGBM would copy an int8 matrix to floats as a whole."""
    columns = _columns(view)
    bins = INT8_TOP + 1 if columns.dtype == np.int8 else FLOAT_BINS
    names = [f"column_{k}" for k in range(len(columns))]
    table = pa.Table.from_arrays([pa.array(column) for column in columns], names)
    return lightgbm.Dataset(table, view.target, reference=reference, params={**options, "max_bin": bins})


def _columns(view: View) -> NDArray:
    """The features as (features, rows), each in one piece."""
    out: NDArray | None = None
    for rows, block in zip(era_slices(view.era), view.blocks(), strict=True):
        if out is None:
            out = np.empty((block.shape[1], view.n_rows), block.dtype)
        out[:, rows] = block.T
    return np.empty((len(view.names), 0), np.float32) if out is None else out


def _gain_shares(booster: lightgbm.Booster) -> NDArray[np.float64]:
    return common.shares(booster.feature_importance("gain"))


def why_broken(text: str) -> str | None:
    """What is wrong with a model text, or None where it is a whole regression model that can be followed.

    LightGBM's own parser ends the process at a text that is cut short, and follows a child that isn't there.

    The rules are those of LightGBM's format v4: after the header come the trees, each as long as `tree_sizes` says; an
    inner node's child is a later inner node, or `-1 - leaf`.
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
            return f"tree {number} is not where it should be"
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
        return "a node splits on a feature that it has not"
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
