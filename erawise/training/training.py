"""Training, the same for every kind of model: fits in the folds, out-of-fold predictions, and the final fit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import CV, ERA, ID, LIVE, LIVE_ERA, PREDICTION, SPLIT, VALIDATION
from erawise.folds import splits
from erawise.models.shared.protocol import Fitted, Kind, Resources, ignore
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.predictions import Blend, numbers
from erawise.running.errors import InputError
from erawise.running.progress import UNCOUNTED, StepCounter
from erawise.training.jobs import HERE, Engine, Job, Log, TrainingData


@dataclass(frozen=True)
class Trained:
    """The final model and its evidence.

    Attributes
    ----------
    model : fitted on all train eras.
    values : (n,) the predictions, out-of-fold, of validation and of live, along the rows of `labels`.
    data : the data that it was fitted on.
    rounds : per fold, the trees or epochs that early stopping found, None if it found none; empty without early stopping.
    final_rounds : the rounds of the final model that follow from them; None without early stopping.
    dropped : training rows left out, since the model's target is missing there.
    """

    model: Fitted
    values: NDArray[np.float64]
    data: TrainingData
    rounds: list[int | None]
    final_rounds: int | None
    dropped: int

    @property
    def predictions(self) -> pd.DataFrame:
        """`id`, `era` (null for live), `split`, `prediction`: out-of-fold, validation and live."""
        return labels(self.data).assign(**{PREDICTION: self.values})


@dataclass(frozen=True)
class _Fold:
    """The predictions of a fold's test eras, and the rounds that early stopping found."""

    values: NDArray[np.float64]
    rounds: int | None


@dataclass(frozen=True)
class _Final:
    """The final model, its predictions of the validation eras and of the live era, and the number of training rows without a target."""

    model: Fitted
    validation: NDArray[np.float64]
    live: NDArray[np.float64] | None
    dropped: int


@dataclass(frozen=True)
class How:
    """The way to do fits; of it only the number of threads can change a result.

    Parameters
    ----------
    resources : resources of the fits.
    engine : does the fits.
    count : told of the steps of all fits.
    """

    resources: Resources
    engine: Engine = HERE
    count: StepCounter = UNCOUNTED


def train(kind: Kind, settings: Any, data: TrainingData, inner_share: float, how: How, log: Log = ignore) -> Trained:
    """Fit a model in each fold and once on all train eras, and predict.

    A fold's model never sees its test eras. If it stops early, it looks at its inner slice: the last `inner_share` of the fold's
    training eras, purged from the eras that it is fitted on. The final model has no inner slice, and runs for the median of the folds'
    best rounds. A fold without a positive correlation on its inner slice isn't counted.

    Parameters
    ----------
    inner_share : share of a fold's training eras on which it stops early.
    how : the way to do the fits; its `count` is told of `train_steps` steps.
    log : told of every round of a fold that may stop early.

    Raises
    ------
    InputError
        If the data lacks the model's target, or a fold is too small.
    """
    if len(data.fold_features) != len(data.plan.folds):
        raise InputError(
            f"features were selected for {len(data.fold_features)} folds and there are {len(data.plan.folds)}; select them again"
        )
    numbers = range(len(data.plan.folds))
    with how.engine.one_at_a_time():
        fits = [*(_views(kind, settings, data, k, inner_share) for k in numbers), (_whole(settings, data), None)]
        at_once, needed = _prepared(kind, settings, fits, how)
        del fits  # frees the rows of all fits
    jobs = _fold_jobs(kind, settings, data, numbers, inner_share, needed)
    found = how.engine.run(jobs, data, how.resources, at_once, how.count, log)
    stops_early = kind.stops_early(settings)
    rounds = [fold.rounds for fold in found]
    best = [number for number in rounds if number is not None]
    final_rounds = max(1, round(float(np.median(best or [1])))) if stops_early else None
    job = Job("the final fit", partial(_fit_final, kind, settings, final_rounds), needed[-1], kind.steps(settings)[0])
    [final] = how.engine.run([job], data, how.resources, 1, how.count, ignore)
    live = [] if final.live is None else [final.live]
    values = np.concatenate([*(fold.values for fold in found), final.validation, *live])
    return Trained(final.model, values, data, rounds if stops_early else [], final_rounds, final.dropped)


def labels(data: TrainingData) -> pd.DataFrame:
    """Return `id`, `era` (null for live) and `split` of every row that is predicted: out-of-fold, validation and live."""
    pieces = [_labels(data.panel, fold.test, CV) for fold in data.plan.folds]
    pieces.append(_labels(data.panel, data.plan.validation, VALIDATION))
    if data.live is not None:
        pieces.append(_labels(data.live, data.live.eras, LIVE))
    return pd.concat(pieces, ignore_index=True)


def messages(name: str, trained: Trained, target: str) -> list[str]:
    """Return lines that tell the rounds of the folds, and the number of rows without a target."""
    lines = []
    if trained.rounds:
        rounds = ", ".join("none" if number is None else str(number) for number in trained.rounds)
        lines.append(f"{name}: best rounds of the folds: {rounds}; the final model has {trained.final_rounds}")
    if trained.dropped:
        lines.append(f"{name}: {trained.dropped:,} training rows without {target} left out")
    return lines


def train_steps(kind: Kind, settings: Any, data: TrainingData) -> int:
    """Return the number of steps that `train` has at most."""
    return kind.steps(settings)[0] * (len(data.plan.folds) + 1)


def refit(kind: Kind, settings: Any, data: TrainingData, eras: NDArray[np.int64], rounds: int | None, how: How) -> Fitted:
    """Fit a model once more, on other eras, for the rounds of its final fit; `rounds` is None without early stopping.

    Raises
    ------
    InputError
        If there is no row, or the fit needs more memory than it may have.
    """
    with how.engine.one_at_a_time():
        _, needed = _prepared(kind, settings, [(View(data.panel, eras, data.final_features, settings.target), None)], how)
    job = Job("the fit", partial(_fit_again, kind, settings, eras, rounds), needed[0], kind.steps(settings)[0])
    fitted: Fitted = how.engine.run([job], data, how.resources, 1, how.count, ignore)[0]
    return fitted


def out_of_fold(kind: Kind, settings: Any, data: TrainingData, numbers: Sequence[int], inner_share: float, how: How) -> list[pd.DataFrame]:
    """Fit a model in some folds, and predict their test eras: a table for each, with the columns of `Trained.predictions`."""
    with how.engine.one_at_a_time():
        at_once, needed = _prepared(kind, settings, [_views(kind, settings, data, k, inner_share) for k in numbers], how)
    jobs = _fold_jobs(kind, settings, data, numbers, inner_share, needed)
    found = how.engine.run(jobs, data, how.resources, at_once, UNCOUNTED, ignore)
    return [_table(data.panel, data.plan.folds[k].test, CV, fold.values) for k, fold in zip(numbers, found, strict=True)]


def predict(model: Fitted, panel: Panel, eras: NDArray[np.int64], features: FeatureMap, split: str) -> pd.DataFrame:
    """Predict the rows of some eras: the columns of `Trained.predictions`."""
    return _table(panel, eras, split, _values(model, panel, eras, features))


def blended(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the blend, of equal weights, of several models' predictions of the same rows; a single one is returned as it is."""
    if len(parts) == 1:
        return parts[0]
    blend = Blend(numbers(parts[0][ERA]).to_numpy())
    for part in parts:
        blend.add(part[PREDICTION].to_numpy())
    return parts[0].assign(**{PREDICTION: blend.values()})


def tuned(settings: Any, found: dict[str, Any], path: Path) -> Any:
    """Return the settings of a model with the settings that a search has found.

    Parameters
    ----------
    settings : settings of the model.
    found : `settings`, by name; nothing if there was no search.
    path : path of the file that has them.

    Raises
    ------
    InputError
        If the kind has no such settings.
    """
    try:
        return type(settings).model_validate(settings.model_dump(exclude_unset=True) | found.get("settings", {}))
    except ValueError as error:
        raise InputError(f"{path}: it has settings that a model of the kind {settings.kind} doesn't have: {error}") from None


def check_target(panel: Panel, target: str, setting: str) -> None:
    """Check that the data has the target that a setting names.

    Raises
    ------
    InputError
        If it hasn't; the message has the setting's path and the targets of the data.
    """
    if target not in panel.index:
        raise InputError(f"{setting}: the data has no target {target!r}; its targets are {', '.join(panel.targets)}")


def importance_table(features: Sequence[str], shares: Sequence[NDArray[np.float64]]) -> pd.DataFrame:
    """Return `feature` and `importance` (a share of 1, the mean of the variants), the largest first, ties in the features' order."""
    table = pd.DataFrame({"feature": features, "importance": np.mean(shares, axis=0)})
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def _prepared(kind: Kind, settings: Any, fits: Sequence[tuple[View, View | None]], how: How) -> tuple[int, list[int]]:
    """Return how many fits may run at once here, and the bytes that each needs if they run elsewhere."""
    resources, elsewhere = how.resources, how.engine.elsewhere
    needed = kind.needs(settings, fits, resources) if elsewhere else [0] * len(fits)
    quiet = replace(resources, notify=ignore) if elsewhere else resources
    return kind.prepare(settings, fits, quiet) if how.engine.scratch_is_seen else 1, needed


def _fold_jobs(
    kind: Kind, settings: Any, data: TrainingData, numbers: Sequence[int], inner_share: float, needed: Sequence[int]
) -> list[Job]:
    steps = kind.steps(settings)[0]
    return [
        Job(f"fold {k + 1}", partial(_fit_fold, kind, settings, k, inner_share), bytes_needed, steps)
        for k, bytes_needed in zip(numbers, needed, strict=False)
    ]


def _fit_fold(kind: Kind, settings: Any, number: int, inner_share: float, data: TrainingData, resources: Resources) -> _Fold:
    model = kind.fit(settings, *_views(kind, settings, data, number, inner_share), None, resources)
    return _Fold(_values(model, data.panel, data.plan.folds[number].test, data.fold_features[number]), model.rounds)


def _fit_final(kind: Kind, settings: Any, rounds: int | None, data: TrainingData, resources: Resources) -> _Final:
    whole = _whole(settings, data)
    model = kind.fit(settings, whole, None, rounds, resources)
    validation = _values(model, data.panel, data.plan.validation, data.final_features)
    live = None if data.live is None else _values(model, data.live, data.live.eras, data.final_features)
    return _Final(model, validation, live, whole.dropped)


def _fit_again(kind: Kind, settings: Any, eras: NDArray[np.int64], rounds: int | None, data: TrainingData, resources: Resources) -> Fitted:
    return kind.fit(settings, View(data.panel, eras, data.final_features, settings.target), None, rounds, resources)


def _values(model: Fitted, panel: Panel, eras: NDArray[np.int64], features: FeatureMap) -> NDArray[np.float64]:
    """Return the predictions (rows,) of some eras."""
    found = [model.predict(block) for block in View(panel, eras, features).blocks()]
    return np.concatenate(found) if found else np.empty(0)


def _table(panel: Panel, eras: NDArray[np.int64], split: str, values: NDArray[np.float64]) -> pd.DataFrame:
    """Return the predictions of some eras with the columns of `Trained.predictions`."""
    return _labels(panel, eras, split).assign(**{PREDICTION: values})


def _labels(panel: Panel, eras: NDArray[np.int64], split: str) -> pd.DataFrame:
    """Return the columns of `labels` for the rows of some eras."""
    rows = panel.row_numbers(eras)
    numbers = panel.row_eras[rows]
    era = pd.array(numbers, dtype="Int64")
    era[numbers == LIVE_ERA] = pd.NA
    return pd.DataFrame({ID: panel.index[ID].iloc[rows].to_numpy(), ERA: era, SPLIT: split})


def _views(kind: Kind, settings: Any, data: TrainingData, number: int, inner_share: float) -> tuple[View, View | None]:
    """Return the rows that a fold's model is fitted on, and the inner slice on which it stops."""
    train, features = data.plan.folds[number].train, data.fold_features[number]
    if not kind.stops_early(settings):
        return View(data.panel, train, features, settings.target), None
    fitted, inner = splits.inner_slice(train, inner_share, data.plan.weeks)
    return View(data.panel, fitted, features, settings.target), View(data.panel, inner, features, settings.target)


def _whole(settings: Any, data: TrainingData) -> View:
    return View(data.panel, data.plan.train, data.final_features, settings.target)
