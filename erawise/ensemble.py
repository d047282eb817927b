"""Blends of models: per-era gaussianized ranks, and their weights."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.errors import InputError
from erawise.panel import era_slices
from erawise.schema import era_name
from erawise.scores import kernels
from erawise.scores.kernels import Floats


def resolve_weights(weights: Literal["equal"] | dict[str, float], members: Sequence[str]) -> dict[str, float]:
    """The weight of each member, of sum 1, in the order of `members`; one that isn't named has 0.

    Raises
    ------
    InputError
        If there is no member, a weight is for none of them or is negative, or no member has a weight above 0.
    """
    if not members:
        raise InputError("models: there is no model to blend; add one")
    given = dict.fromkeys(members, 1.0) if weights == "equal" else weights
    for name, weight in given.items():
        if name not in members:
            raise InputError(f"ensemble.weights.{name}: no model of that name; models are {', '.join(members)}")
        if not 0 <= weight < np.inf:
            raise InputError(f"ensemble.weights.{name}: a weight must be at least 0 and finite (it is {weight})")
    total = sum(given.values())
    if not total > 0:
        raise InputError(f"ensemble.weights: at least one weight must be above 0; give one to a model of {', '.join(members)}")
    return {name: float(given.get(name, 0.0)) / total for name in members}


def blend(predictions: pd.DataFrame, era: NDArray[np.int64], weights: dict[str, float]) -> Floats:
    """Blend models in each era: rank, gaussianize, weighted mean, rank again.

    Parameters
    ----------
    predictions : (rows, models) frame, a column a model.
    era : (rows,), rows of an era adjacent.
    weights : column → weight, at least 0; columns of weight 0 are not looked at, and may have NaN.

    Returns
    -------
    (rows,) float64 in (0, 1): `(average rank - 0.5) / rows` of the mean in each era.

    Raises
    ------
    InputError
        If a model with a weight lacks a prediction, or one is infinite.
    """
    members = {name: weight for name, weight in weights.items() if weight > 0}
    values = predictions[list(members)].to_numpy(np.float64)
    for name, column in zip(members, values.T, strict=True):
        _check_complete(name, column, era)
    out = np.empty(len(era))
    for rows in era_slices(era):
        gaussian = kernels.gaussianize(values[rows])
        mean = np.zeros(len(gaussian))
        for column, weight in zip(gaussian.T, members.values(), strict=True):
            mean += weight * column
        out[rows] = kernels.uniform_ranks(mean)
    return out


def _check_complete(name: str, column: Floats, era: NDArray[np.int64]) -> None:
    missing = ~np.isfinite(column)
    if missing.any():
        first = era_name(int(era[missing.argmax()]))
        raise InputError(
            f"model {name!r} has no finite prediction in {missing.sum()} rows, the first in {first}; "
            "a model with a weight needs one in every row: train it again, or give it the weight 0"
        )
