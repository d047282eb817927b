"""The code that Numerai runs: a prediction from plain arrays and text, without the rest of this library.

The pickle holds the text of this module, with the text of `preparation.derived` in place of its import, see `build`. Any Python from 3.10
on runs it. So it imports only numpy, pandas and scipy, and lightgbm if there are trees; a plug-in imports its own packages. Each function
repeats the step of the pipeline that its docstring names, with the same order of operations and of rows.
"""

import io
import pathlib
import pickle
import sys
import tempfile
import types
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from erawise.preparation.derived import derive

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray]

PREDICTION = "prediction"
MIDDLE = {"int8": 2, "float32": 0.5}
"""The value in place of a feature's missing value."""

TOP = {"int8": 4, "float32": 1.0}
LARGEST_INT8 = 127

CHUNK_ROWS, NETWORK_ROWS = 8192, 1024
"""Rows at a time: predicted by most models, or predicted by the network."""

ROWS_A_FEATURE = 4
RCOND = 1e-6
VANISHED = 1e-9
"""See `neutralize` and `scores`."""


class Content(TypedDict):
    """The data of the pickle.

    Attributes
    ----------
    features : the needed features of live data, in the order of the pipeline's matrix; all of them if one is derived.
    dtype : of that matrix, `int8` or `float32`.
    demean : whether to subtract each feature's mean over the live rows.
    columns, projection : the features that every model sees, or `mean` and `components` of their projection; None without.
    models : the variants of each model, by its name: the name of a function of `MEMBERS`, and its data as text or npy bytes.
    weights : of the models in the ensemble; None if the prediction is one model's.
    neutralization : `features`, `capped` (to fewer features if there are few rows) and `proportion`; None without.
    """

    features: list[str]
    dtype: str
    demean: bool
    columns: list[str]
    projection: dict[str, bytes] | None
    models: dict[str, list[tuple[str, dict[str, str | bytes]]]]
    weights: dict[str, float] | None
    neutralization: dict[str, Any] | None


def prediction(content: Content) -> Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    """Return the function that Numerai calls."""

    def predict(live_features: pd.DataFrame, live_benchmark_models: pd.DataFrame) -> pd.DataFrame:
        """Predict the live rows.

        Parameters
        ----------
        live_features : (rows, at least the needed features), indexed by `id`, in any order; NaN is taken as the middle bin.
        live_benchmark_models : not used.

        Returns
        -------
        DataFrame (rows, 1), `prediction`, indexed as `live_features`.

        Raises
        ------
        ValueError
            If there are no rows, an id is there twice, a feature is missing, twice there or of another type than in training, or
            neutralization leaves nothing.
        """
        ids = live_features.index
        if not len(ids):
            raise ValueError("live_features: there are no rows; expected one for each id of the round")
        if ids.has_duplicates:
            raise ValueError(f"live_features: id {ids[ids.duplicated()][0]!r} is there more than once; expected every id once")
        order = np.argsort(np.array([str(label) for label in ids], object), kind="stable")
        found = np.empty(len(ids))
        found[order] = predicted(content, matrix(live_features, content["features"], content["dtype"])[order])
        return pd.DataFrame({PREDICTION: found}, index=ids)

    return predict


def predicted(content: Content, values: NDArray) -> Floats:
    """Return (rows,) predictions of rows sorted by id, from the needed features (`serving.Pipeline.predict`)."""
    seen = projected(content, block(content, values, content["columns"]))
    models = {name: of_model(members, seen) for name, members in content["models"].items()}
    weights, neutralization = content["weights"], content["neutralization"]
    if weights is None:
        return next(iter(models.values()))
    blended = blend(models, weights)
    return blended if neutralization is None else neutralized(content, values, blended, **neutralization)


def matrix(frame: pd.DataFrame, names: Sequence[str], dtype: str) -> NDArray:
    """Return features (rows, names) of a dtype, in the frame's order; missing values become the middle bin (`matrix`, `preparation`).

    Raises
    ------
    ValueError
        If a feature is missing or there twice, or a value isn't a number, is infinite, or for int8 isn't a small whole number.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(
            f"live_features: feature {missing[0]!r} is missing ({len(missing)} of the {len(names)} that are needed); "
            "expected the data version that the model was trained on"
        )
    out = np.empty((len(frame), len(names)), dtype)
    for k, name in enumerate(names):
        out[:, k] = _filled(frame[name], dtype)
    return out


def _filled(column: Any, dtype: str) -> NDArray:
    if column.ndim > 1:
        raise ValueError(f"live_features: feature {column.columns[0]!r} is there more than once; expected every column once")
    if column.dtype == np.dtype(np.int8) and dtype == "int8":
        return column.to_numpy()
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        raise ValueError(f"live_features: feature {column.name!r} is of type {column.dtype}; expected int8 or a float")
    values = column.to_numpy(np.float64, na_value=np.nan)
    filled = np.where(np.isnan(values), MIDDLE[dtype], values)
    if np.isinf(filled).any():
        raise ValueError(f"live_features: feature {column.name!r} holds an infinite value; expected finite ones, or missing")
    if dtype == "int8" and ((filled != np.rint(filled)).any() or (np.abs(filled) > LARGEST_INT8).any()):
        raise ValueError(f"live_features: feature {column.name!r} isn't all small whole numbers, as the features were in training")
    return filled


def block(content: Content, values: NDArray, names: Sequence[str]) -> NDArray:
    """Return (rows, names) features and derived features, less their means if `demean` (`panel.Panel.block`)."""
    position = {name: k for k, name in enumerate(content["features"])}
    picked = [position[name] for name in names if name in position]
    chosen = values if picked == list(range(values.shape[1])) else np.take(values, picked, axis=1)
    if content["demean"]:
        chosen = chosen - chosen.mean(axis=0, dtype=np.float64).astype(np.float32)
    if len(picked) == len(names):
        return chosen
    from_matrix = np.array([name in position for name in names])
    out = np.empty((len(values), len(names)), np.float32)
    out[:, from_matrix] = chosen
    out[:, ~from_matrix] = derive(values, [name for name in names if name not in position], TOP[content["dtype"]])
    return out


def projected(content: Content, values: NDArray) -> NDArray:
    """Return the inputs of the models: the columns, or their projection (`panel.FeatureMap.apply`)."""
    if content["projection"] is None:
        return values
    found = decoded(content["projection"])
    return ((values - found["mean"]) @ found["components"]).astype(np.float32)


def decoded(shipped: dict[str, Any]) -> Arrays:
    """Decode arrays from the bytes of npy files."""
    return {name: np.load(io.BytesIO(content), allow_pickle=False) for name, content in shipped.items()}


def of_model(members: Sequence[tuple[str, dict[str, Any]]], values: NDArray) -> Floats:
    """Predict (rows,) by a model: its only variant, or the blend of several with equal weights (`training.blended`)."""
    parts = [MEMBERS[kind](shipped, values) for kind, shipped in members]
    return parts[0] if len(parts) == 1 else ranks(sum(ndtri(ranks(part)) for part in parts))


def linear(shipped: dict[str, Any], values: NDArray) -> Floats:
    """Predict as `models.common.Linear`."""
    found = decoded(shipped)
    return _in_chunks(lambda rows: rows.astype(np.float64) @ found["weights"] + float(found["constant"]), values)


def logistic(shipped: dict[str, Any], values: NDArray) -> Floats:
    """Predict as `models.logistic.Logistic`."""
    return expit(linear(shipped, values))


def trees(shipped: dict[str, Any], values: NDArray) -> Floats:
    """Predict as `models.lightgbm.Trees`, by LightGBM itself."""
    import lightgbm

    booster = lightgbm.Booster(model_str=shipped["text"])
    return _in_chunks(lambda rows: booster.predict(rows.astype(np.float32), num_threads=1), values)


def forest(shipped: dict[str, Any], values: NDArray) -> Floats:
    """Predict as `models.random_forest.Forest`; all rows of a chunk go down a tree level by level."""
    found = decoded(shipped)
    return _in_chunks(lambda rows: _mean_of_trees(found, rows), values)


def _mean_of_trees(found: Arrays, values: NDArray) -> Floats:
    total, rows, start = np.zeros(len(values)), np.arange(len(values)), 0
    for count in found["node_counts"].tolist():
        left, right, feature, threshold, value = (
            found[name][start : start + count] for name in ("left", "right", "feature", "threshold", "value")
        )
        node = np.zeros(len(values), np.intp)
        while (inner := left[node] >= 0).any():
            goes_left = values[rows, feature[node]] <= threshold[node]
            node = np.where(inner, np.where(goes_left, left[node], right[node]), node)
        total += value[node]
        start += count
    return total / len(found["node_counts"])


def network(shipped: dict[str, Any], values: NDArray) -> Floats:
    """Predict as `models.neural_network.Network`."""
    found = decoded(shipped)
    layers = [(found[f"weights_{k}"], found[f"bias_{k}"]) for k in range(len(found) // 2)]
    return _in_chunks(lambda rows: _forward(layers, rows), values, NETWORK_ROWS)


def _forward(layers: Sequence[tuple[Floats, Floats]], values: NDArray) -> Floats:
    hidden = values.astype(np.float64)
    for number, (weights, bias) in enumerate(layers, 1):
        hidden = hidden @ weights
        hidden += bias
        if number < len(layers):
            np.maximum(hidden, 0.0, out=hidden)
    return hidden[:, 0]


def plugin(shipped: dict[str, Any], values: NDArray) -> Floats:
    """Predict as `models.plugin.PluginModel`, by the plug-in's own source."""
    module = types.ModuleType(shipped["module"])
    sys.modules[module.__name__] = module  # for its classes, which a pickle finds by their name
    exec(compile(shipped["text"], module.__name__, "exec"), module.__dict__)
    found = decoded({name: content for name, content in shipped.items() if isinstance(content, bytes)})
    if "pickle" in found:
        model = pickle.loads(found["pickle"].tobytes())
    else:
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in found.items():
                path = pathlib.Path(scratch, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.tobytes())
            model = module.load(pathlib.Path(scratch, "own"))
    rows = values.view()
    rows.flags.writeable = False  # other models read the same rows
    return np.asarray(module.predict(model, rows), np.float64)


MEMBERS: dict[str, Callable[[dict[str, Any], NDArray], Floats]] = {
    "linear": linear,
    "logistic": logistic,
    "trees": trees,
    "forest": forest,
    "network": network,
    "plugin": plugin,
}
"""The functions of the kinds of models: from the shipped data of a variant and features (rows, features) to predictions (rows,)."""


def _in_chunks(predict: Callable[[NDArray], NDArray], values: NDArray, rows: int = CHUNK_ROWS) -> Floats:
    return np.concatenate([predict(values[start : start + rows]) for start in range(0, len(values), rows)])


def ranks(values: Floats) -> Floats:
    """Return (rows,) ranks as `(average rank - 0.5) / rows`, ties kept (`predictions.ranks`)."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (2 * ends - counts)[which] / (2 * len(values))


def blend(models: dict[str, Floats], weights: dict[str, float]) -> Floats:
    """Blend predictions into the ensemble (rows,) (`blending.blend`)."""
    mean = sum(weights[name] * ndtri(ranks(values)) for name, values in models.items())
    return ranks(np.asarray(mean))


def neutralized(content: Content, values: NDArray, blended: Floats, features: Sequence[str], capped: bool, proportion: float) -> Floats:
    """Return the (rows,) ensemble without its linear part in some features, within [0, 1] (`neutralization.neutralize_eras`).

    Raises
    ------
    ValueError
        If the features and a constant span the rows, or nothing is left of the prediction.
    """
    chosen = features[: len(values) // ROWS_A_FEATURE] if capped else features
    if blended.max() == blended.min():
        return np.full(len(blended), 0.5)
    if len(values) <= len(chosen) + 1:
        raise ValueError(
            f"live_features: there are {len(values)} rows, and {len(chosen)} features and a constant span them, "
            "so neutralization would leave only noise; expected all rows of a round"
        )
    gaussian = ndtri(ranks(blended))
    design = np.column_stack([block(content, values, chosen).astype(np.float64), np.ones(len(values))])
    neutral = gaussian - proportion * (design @ np.linalg.lstsq(design, gaussian, rcond=RCOND)[0])
    if neutral.std() <= VANISHED * gaussian.std():
        raise ValueError(f"live_features: the prediction is a linear function of the {len(chosen)} features that it is neutralized to")
    low, high = neutral.min(), neutral.max()
    return (neutral - low) / (high - low)
