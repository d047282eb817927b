"""The ensemble: the blend of the models, and its weights."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls

from erawise.base.schema import CV, ERA, SPLIT, era_name
from erawise.evaluation import objectives
from erawise.evaluation.objectives import Era, Goal, Objective
from erawise.folds.splits import Plan
from erawise.panel.panel import era_slices
from erawise.predictions import Blend
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress
from erawise.scores.kernels import Floats

RCOND = 1e-10
"""Directions with less than this share of the largest variance are dropped: models that are linear combinations of others."""

FORWARD_STEPS = 50


def resolve_weights(weights: Literal["equal", "nnls", "forward"] | dict[str, float], models: Sequence[str]) -> dict[str, float]:
    """Return the weight of each model, of sum 1, in the order of `models`.

    A model that `weights` doesn't name has 0. Weights that are fitted later are equal.

    Raises
    ------
    InputError
        If there is no model, a weight names no model or is negative, or no weight is above 0.
    """
    if not models:
        raise InputError("models: there is no model to blend; add one")
    given = dict.fromkeys(models, 1.0) if isinstance(weights, str) else weights
    for name, weight in given.items():
        if name not in models:
            raise InputError(f"ensemble.weights.{name}: no model of that name; models are {', '.join(models)}")
        if not 0 <= weight < np.inf:
            raise InputError(f"ensemble.weights.{name}: a weight must be at least 0 and finite (it is {weight})")
    total = sum(given.values())
    if not total > 0:
        raise InputError(f"ensemble.weights: at least one weight must be above 0; give one to a model of {', '.join(models)}")
    return {name: float(given.get(name, 0.0)) / total for name in models}


def blend(predictions: pd.DataFrame, era: NDArray[np.int64], weights: dict[str, float], progress: Progress = SILENT) -> Floats:
    """Blend models as `predictions.Blend` does.

    Parameters
    ----------
    predictions : (rows, models) frame, a column a model.
    era : (rows,), rows of an era adjacent.
    weights : column → weight, at least 0; columns of weight 0 are ignored and may have NaN.
    progress : told of each model.

    Returns
    -------
    (rows,) float64 in (0, 1): `(average rank - 0.5) / rows` of the mean in each era.

    Raises
    ------
    InputError
        If a model with a weight lacks a prediction, or one is infinite.
    """
    used = {name: weight for name, weight in weights.items() if weight > 0}
    values = predictions[list(used)].to_numpy(np.float64)
    for name, column in zip(used, values.T, strict=True):
        _check_complete(name, column, era)
    found = Blend(era)
    with progress.counting(len(used), "models") as count:
        for column, weight in zip(values.T, used.values(), strict=True):
            found.add(column, weight)
            count.done()
    return found.values()


def blend_covered(predictions: pd.DataFrame, era: NDArray[np.int64], weights: dict[str, float], progress: Progress = SILENT) -> Floats:
    """Blend models as `blend` does, of which some may lack whole eras: there the others are blended.

    Raises
    ------
    InputError
        If no model with a weight has an era, or a model has it in part.
    """
    used = [name for name, weight in weights.items() if weight > 0]
    lacking = predictions[used].isna().to_numpy()
    if not lacking.any():
        return blend(predictions, era, weights, progress)
    slices = era_slices(era)
    patterns, own = np.unique([lacking[rows.start] for rows in slices], axis=0, return_inverse=True)
    pattern_of_row = np.repeat(own.ravel(), [rows.stop - rows.start for rows in slices])
    out = np.full(len(era), np.nan)
    for number, pattern in enumerate(patterns):
        rows = pattern_of_row == number
        present = {name: weights[name] for name, gone in zip(used, pattern, strict=True) if not gone}
        if not present:
            first = era_name(int(era[rows.argmax()]))
            raise InputError(f"no model with a weight has a prediction of {first}; add one that has, or give it a weight")
        out[rows] = blend(predictions[rows], era[rows], present, progress)
    return out


def blend_fitted(
    method: str, rows: pd.DataFrame, models: Sequence[str], goal: Goal, plan: Plan, progress: Progress = SILENT
) -> tuple[dict[str, float], Floats, list[dict[str, float]]]:
    """Blend models by weights that are fitted on `cv`.

    The weights for a fold's test eras are fitted without these eras, so that the blend stays out of fold.

    Parameters
    ----------
    method : see `fit_weights`.
    rows : as `predictions.join` gives them.
    models : columns of `rows`, NaN in eras that a model lacks: weights are fitted on the eras that all have, see also `blend_covered`.
    goal : the objective, with the target of the rows, NaN if it is unknown or not to be seen.
    plan : the weights for a fold's test eras are fitted on its training eras; equal if these have no prediction.
    progress : told of each fit of weights and the blend by them.

    Returns
    -------
    weights : fitted on all of `cv`, for the rows of other splits.
    blended : (rows,), see `blend`.
    of_folds : the weights for each fold's test eras.
    """
    era, cv = rows[ERA].to_numpy(np.int64), (rows[SPLIT] == CV).to_numpy()
    values = rows[list(models)]
    complete = values.notna().to_numpy().all(axis=1)

    def fitted(chosen: NDArray[np.bool_]) -> dict[str, float]:
        chosen = chosen & complete
        return fit_weights(method, values[chosen], era[chosen], goal.of(chosen))

    out = np.full(len(rows), np.nan)
    of_folds = []
    with progress.counting(len(plan.folds) + 1, "fits") as count:
        weights = fitted(cv)
        out[~cv] = blend_covered(values[~cv], era[~cv], weights)
        count.done()
        for fold in plan.folds:
            own, tested = fitted(cv & np.isin(era, fold.train)), cv & np.isin(era, fold.test)
            out[tested] = blend_covered(values[tested], era[tested], own)
            of_folds.append(own)
            count.done()
    return weights, out, of_folds


def fit_weights(method: str, predictions: pd.DataFrame, era: NDArray[np.int64], goal: Goal) -> dict[str, float]:
    """Return the weights, of sum 1, that blend models best on some eras; equal weights if no model is of use there.

    Parameters
    ----------
    method : `nnls`, see `nonnegative_weights`; `forward`, see `forward_weights`.
    predictions : (rows, models) frame, a column a model.
    era : (rows,), rows of an era adjacent.
    goal : the objective, with the data of the rows; rows without a target are left out.

    Raises
    ------
    InputError
        If a model lacks a prediction, or one is infinite.
    """
    for name in predictions:
        _check_complete(str(name), predictions[name].to_numpy(np.float64), era)
    usable = objectives.usable_eras(predictions.to_numpy(np.float64), era, goal)
    found = FITS[method](usable, goal.objective) if usable else np.zeros(predictions.shape[1])
    weights = found if found.sum() > 0 else np.ones(len(found))
    return dict(zip(map(str, predictions), (weights / weights.sum()).tolist(), strict=True))


def nonnegative_weights(eras: Sequence[Era], objective: Objective = objectives.BY_CORR) -> Floats:
    """Return the (models,) weights, not negative, of the least-squares fit of every era's outcome.

    With the gaussianized predictions `G` of an era of `n` rows, its centred target `t`, and the gaussianized meta model or benchmark model
    `m`, the outcome is:

    - `corr`: `y = t / std(t)`.
    - `mmc`, `bmc`: `y = t4 - m (m't4) / (m'm)`, the target that is orthogonal to `m`, with `t4 = 4 t`. `G'y / n` are the official MMC.
    - `payout`: the sum of these by the multipliers of the regime.

    The weights `w >= 0` minimize the sum over eras of `|y - G w|^2 / n`. Up to their scale they are the weights with the highest mean of
    `w'G'y / n` for a mean square of the blend of 1. A Sharpe ratio is no least-squares problem.

    Source: Lawson & Hanson (1974), Solving least squares problems, chapter 23; the outcomes are of numerai-tools'
    `correlation_contribution`.
    """
    models = eras[0].gaussian.shape[1]
    gram, products = np.zeros((models, models)), np.zeros(models)
    for era in eras:
        gram += era.gaussian.T @ era.gaussian / len(era.gaussian)
        products += era.products(objective.weights)
    values, vectors = np.linalg.eigh(gram)
    kept = values > RCOND * values.max(initial=0.0)
    roots = np.sqrt(values[kept])
    return nnls(roots[:, None] * vectors[:, kept].T, (vectors[:, kept].T @ products) / roots)[0] if kept.any() else np.zeros(models)


def forward_weights(eras: Sequence[Era], objective: Objective = objectives.BY_CORR, steps: int = FORWARD_STEPS) -> Floats:
    """Return how often each model was added, (models,).

    Each step adds the model that raises the blend's objective most, whether or not it was added before. The step with the highest
    objective gives the result.

    Source: Caruana, Niculescu-Mizil, Crew & Ksikes (2004), Ensemble selection from libraries of models.
    """
    models = eras[0].gaussian.shape[1]
    totals = [np.zeros(len(era.gaussian)) for era in eras]
    counts, best, highest = np.zeros(models), np.zeros(models), 0.0
    for _ in range(steps):
        values = np.array([era.values(total[:, None] + era.gaussian, objective.weights) for total, era in zip(totals, eras, strict=True)])
        figures = [objective.figure(series) for series in values.T]
        chosen = int(np.argmax(figures))
        counts[chosen] += 1
        totals = [total + era.gaussian[:, chosen] for total, era in zip(totals, eras, strict=True)]
        if figures[chosen] > highest:
            best, highest = counts.copy(), figures[chosen]
    return best


FITS: dict[str, Callable[[Sequence[Era], Objective], Floats]] = {"nnls": nonnegative_weights, "forward": forward_weights}
"""The ways to fit weights."""


def _check_complete(name: str, column: Floats, era: NDArray[np.int64]) -> None:
    missing = ~np.isfinite(column)
    if missing.any():
        first = era_name(int(era[missing.argmax()]))
        raise InputError(
            f"model {name!r} has no finite prediction in {missing.sum()} rows, the first in {first}; "
            "a model with a weight needs one in every row: train it again, or give it the weight 0"
        )
