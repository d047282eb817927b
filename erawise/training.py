"""Folds to out-of-fold predictions to the final fit, the same for every kind of model."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from erawise import splits
from erawise.errors import InputError
from erawise.models.protocol import Fitted, Kind, Resources, unheard
from erawise.panel import FeatureMap, Panel, View
from erawise.progress import SILENT, UNCOUNTED, Count, Progress
from erawise.schema import CV, ERA, ID, LIVE, LIVE_ERA, PREDICTION, SPLIT, VALIDATION

Log = Callable[[int, int, float], None]
"""Told of a fold, from 0, a round of its fit, from 1, and the score on the inner slice after it."""


@dataclass(frozen=True)
class Trained:
    """The final model and its evidence.

    Attributes
    ----------
    model : fitted on all train eras.
    predictions : `id`, `era` (null for live), `split`, `prediction`: out-of-fold, validation and live.
    rounds : per fold, the trees or epochs that early stopping found, None where it found none; empty without early stopping.
    final_rounds : what the final model ran for by them; None without early stopping.
    dropped : training rows left out, since the model's target is missing there.
    """

    model: Fitted
    features: FeatureMap
    predictions: pd.DataFrame
    rounds: list[int | None]
    final_rounds: int | None
    dropped: int


@dataclass(frozen=True)
class Data:
    """What training needs of the workspace.

    Attributes
    ----------
    panel, live : the prepared rows of history and of the live era; None where that isn't predicted.
    plan : folds and purge for the model's horizon.
    fold_features, final_features : what was selected on each fold's training eras, and on all train eras.
    """

    panel: Panel
    live: Panel | None
    plan: splits.Plan
    fold_features: list[FeatureMap]
    final_features: FeatureMap


def train(
    kind: Kind,
    settings: Any,
    data: Data,
    *,
    inner_share: float,
    resources: Resources,
    log: Log = unheard,
    progress: Progress = SILENT,
    what: str = "",
) -> Trained:
    """Fit a model in each fold and once on all train eras, and predict.

    A fold's model never sees its test eras: where it stops early, it looks at the last `inner_share` of the fold's
    training eras, purged from the ones it is fitted on. The final model, which has no slice to look at, runs for the
    median of the folds' best rounds; a fold whose model never had a positive correlation there says nothing of them.
    `log` hears of every round of a fold that may stop early, `progress` of the steps of all fits, and `what` they are for.

    Raises
    ------
    InputError
        If the data lacks the model's target, or a fold is too small.
    """
    if len(data.fold_features) != len(data.plan.folds):
        raise InputError(
            f"features were selected for {len(data.fold_features)} folds and there are {len(data.plan.folds)}; select them again"
        )
    folds = range(len(data.plan.folds))
    at_once = kind.prepare(
        settings, [*(_views(kind, settings, data, k, inner_share) for k in folds), (_whole(settings, data), None)], resources
    )
    steps, unit = kind.steps(settings)
    with progress.counting(steps * (len(folds) + 1), unit, what, at_most=kind.stops_early(settings)) as count:
        fits = _fit_folds(kind, settings, data, folds, inner_share, resources, at_once, log, count)
        pieces, rounds = map(list, zip(*fits, strict=True))
        stops_early = kind.stops_early(settings)
        found = [number for number in rounds if number is not None]
        final_rounds = max(1, round(float(np.median(found or [1])))) if stops_early else None
        whole = _whole(settings, data)
        with count.share(steps) as step:
            final = kind.fit(settings, whole, None, final_rounds, replace(resources, step=step))
    pieces.append(predict(final, data.panel, data.plan.validation, data.final_features, VALIDATION))
    if data.live is not None:
        pieces.append(predict(final, data.live, data.live.eras, data.final_features, LIVE))
    return Trained(
        final, data.final_features, pd.concat(pieces, ignore_index=True), rounds if stops_early else [], final_rounds, whole.dropped
    )


def refit(
    kind: Kind, settings: Any, train: View, rounds: int | None, resources: Resources, progress: Progress = SILENT, what: str = ""
) -> Fitted:
    """Fit a model once more, on other rows, for the rounds that its final fit had; None where it has none by early stopping.

    `progress` and `what` are as in `train`.

    Raises
    ------
    InputError
        If there is no row, or the fit needs more memory than it may have.
    """
    kind.prepare(settings, [(train, None)], resources)
    steps, unit = kind.steps(settings)
    with progress.counting(steps, unit, what) as count, count.share(steps) as step:
        return kind.fit(settings, train, None, rounds, replace(resources, step=step))


def out_of_fold(
    kind: Kind, settings: Any, data: Data, numbers: Sequence[int], *, inner_share: float, resources: Resources
) -> list[pd.DataFrame]:
    """Fit a model in some folds, and predict their test eras: a table for each, with the columns of `Trained.predictions`."""
    at_once = kind.prepare(settings, [_views(kind, settings, data, k, inner_share) for k in numbers], resources)
    return [piece for piece, _ in _fit_folds(kind, settings, data, numbers, inner_share, resources, at_once, unheard, UNCOUNTED)]


def predict(model: Fitted, panel: Panel, eras: NDArray[np.int64], features: FeatureMap, split: str) -> pd.DataFrame:
    """Predict the rows of some eras: the columns of `Trained.predictions`."""
    view = View(panel, eras, features)
    values = [model.predict(block) for block in view.blocks()]
    era = pd.array(view.era, dtype="Int64")
    era[view.era == LIVE_ERA] = pd.NA
    return pd.DataFrame(
        {
            ID: panel.index[ID].iloc[view.rows].to_numpy(),
            ERA: era,
            SPLIT: split,
            PREDICTION: np.concatenate(values) if values else np.empty(0),
        }
    )


def blended(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The blend, of equal weights, of several models' predictions of the same rows, as `ensemble.blend` has it; one alone as it is.

    That isn't called, since the stages that train would hang on the code of the scores, and be run again for an edit there.
    """
    if len(parts) == 1:
        return parts[0]
    era = parts[0][ERA].fillna(LIVE_ERA).to_numpy(np.int64)
    total = sum(ndtri(_ranks(part[PREDICTION], era)) for part in parts)
    return parts[0].assign(**{PREDICTION: _ranks(pd.Series(total), era)})


def _ranks(values: pd.Series, era: NDArray[np.int64]) -> NDArray[np.float64]:
    """Ranks within each era, in (0, 1): `(average rank - 0.5) / rows`."""
    grouped = pd.Series(values.to_numpy()).groupby(era)
    ranks: NDArray[np.float64] = ((grouped.rank() - 0.5) / grouped.transform("size")).to_numpy()
    return ranks


def tuned(settings: Any, found: dict[str, Any], path: Path) -> Any:
    """The settings of a model with those of a search in their place.

    Parameters
    ----------
    settings : of the model.
    found : `settings`, by name; none where nothing was looked for.
    path : of the file that has them.

    Raises
    ------
    InputError
        If the kind has no such settings.
    """
    try:
        return type(settings).model_validate(settings.model_dump(exclude_unset=True) | found.get("settings", {}))
    except ValueError as error:
        raise InputError(f"{path}: it has settings that are none of a model of the kind {settings.kind}: {error}") from None


def check_target(panel: Panel, target: str, setting: str) -> None:
    """Check that the data has the target that a setting names.

    Raises
    ------
    InputError
        With the setting's path and the targets that there are.
    """
    if target not in panel.index:
        raise InputError(f"{setting}: the data has no target {target!r}; its targets are {', '.join(panel.targets)}")


def importance_table(trained: Sequence[Trained]) -> pd.DataFrame:
    """`feature` and `importance` (a share of 1, the mean of the models), the most important first, ties in the features' order."""
    shares = np.mean([one.model.importance() for one in trained], axis=0)
    table = pd.DataFrame({"feature": trained[0].features.names, "importance": shares})
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def _fit_folds(
    kind: Kind,
    settings: Any,
    data: Data,
    numbers: Sequence[int],
    inner_share: float,
    resources: Resources,
    at_once: int,
    log: Log,
    count: Count,
) -> list[tuple[pd.DataFrame, int | None]]:
    """Predictions of each fold's test eras, and the rounds that early stopping found."""

    def fit_and_predict(number: int) -> tuple[pd.DataFrame, int | None]:
        with count.share(kind.steps(settings)[0]) as step:
            share = replace(resources.shared(at_once), log=partial(log, number), step=step)
            model = kind.fit(settings, *_views(kind, settings, data, number, inner_share), None, share)
        return predict(model, data.panel, data.plan.folds[number].test, data.fold_features[number], CV), model.rounds

    with ThreadPoolExecutor(at_once) as pool:
        run = pool.map if at_once > 1 else map
        return list(run(fit_and_predict, numbers))


def _views(kind: Kind, settings: Any, data: Data, number: int, inner_share: float) -> tuple[View, View | None]:
    """The rows that a fold's model is fitted on, and the inner slice on which it stops."""
    fold, features = data.plan.folds[number], data.fold_features[number]
    if not kind.stops_early(settings):
        return View(data.panel, fold.train, features, settings.target), None
    fitted, inner = splits.inner_slice(fold.train, inner_share, data.plan.weeks)
    return View(data.panel, fitted, features, settings.target), View(data.panel, inner, features, settings.target)


def _whole(settings: Any, data: Data) -> View:
    return View(data.panel, data.plan.train, data.final_features, settings.target)
