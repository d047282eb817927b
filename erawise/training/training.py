"""Training, the same for every kind of model: fits in the folds, out-of-fold predictions, and the final fit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base import files
from erawise.base.schema import CV, ERA, ID, LIVE, LIVE_ERA, PREDICTION, SPLIT, VALIDATION
from erawise.folds import splits
from erawise.models.shared.protocol import Fitted, Kind, Resources, ignore
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.predictions import Blend, numbers
from erawise.running.errors import InputError
from erawise.running.progress import UNCOUNTED
from erawise.training import own_files
from erawise.training.fits import Fits, How, Task, predicted
from erawise.training.jobs import Log, TrainingData
from erawise.training.kept import Fit, Question


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
    served : fitted on every resolved era, and predicts live; None if models are not retrained.
    """

    model: Fitted
    values: NDArray[np.float64]
    data: TrainingData
    rounds: list[int | None]
    final_rounds: int | None
    dropped: int
    served: Fitted | None = None

    @property
    def predictions(self) -> pd.DataFrame:
        """`id`, `era` (null for live), `split`, `prediction`: out-of-fold, validation and live."""
        return labels(self.data).assign(**{PREDICTION: self.values})


def train(kind: Kind, settings: Any, data: TrainingData, inner_share: float, how: How, log: Log = ignore) -> Trained:
    """Fit a model in each fold and once on all train eras, and predict.

    A fold's model never sees its test eras. If it stops early, it looks at its inner slice: the last `inner_share` of the fold's
    training eras, purged from the eras that it is fitted on. The final model has no inner slice, and runs for the median of the folds'
    best rounds. A fold without a positive correlation on its inner slice isn't counted.

    If the plan has blocks, the model is retrained. Each block after the first is predicted by a model that is fitted, for the same rounds,
    on the eras that the block may learn from. A model that is fitted on all eras predicts live. `data` then holds the targets of all eras.

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
    plan = data.plan
    folds = [_fold_task(data, k, inner_share) for k in range(len(plan.folds))]
    fits = Fits(kind, settings, data, how)
    found = fits.known(folds)
    missing = [k for k in range(len(folds)) if k not in found]
    if missing:
        views = [*(_views(kind, settings, data, k, inner_share) for k in missing), (_view(settings, data, plan.train), None)]
        at_once, needed = fits.prepare(views)
        del views  # frees the rows of all fits
        made = fits.run([folds[k] for k in missing], at_once, needed, lambda number, *score: log(missing[number], *score))
        found |= dict(zip(missing, made, strict=True))
    for k in sorted(set(found) - set(missing)):
        for number, score in found[k].curve:
            log(k, number, score)
    stops_early = kind.stops_early(settings)
    rounds = [found[k].rounds for k in range(len(folds))]
    best = [number for number in rounds if number is not None]
    final_rounds = max(1, round(float(np.median(best or [1])))) if stops_early else None
    tested = plan.blocks[0].test if plan.blocks else plan.validation
    final_task = task_again("the final fit", Question(plan.train, tested, data.final_features, final_rounds), with_model=True)
    final = fits.known([final_task]).get(0)
    if final is None:
        if not missing:
            _, needed = fits.prepare([(_view(settings, data, plan.train), None)])
        [final] = fits.run([final_task], 1, needed[-1:])
    assert final.model is not None
    later, served = _retrained(fits, final_rounds) if plan.blocks else ([], None)
    newest = served or final.model
    live = [] if data.live is None else [predicted(newest, data.live, data.live.eras, data.final_features)]
    values = np.concatenate([*(found[k].values for k in range(len(folds))), final.values, *later, *live])
    return Trained(final.model, values, data, rounds if stops_early else [], final_rounds, final.dropped, served)


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
    return kind.steps(settings)[0] * (len(data.plan.folds) + 1 + len(data.plan.blocks))


def refit(kind: Kind, settings: Any, data: TrainingData, eras: NDArray[np.int64], rounds: int | None, how: How) -> Fitted:
    """Fit a model once more, on other eras, for the rounds of its final fit; `rounds` is None without early stopping.

    Raises
    ------
    InputError
        If there is no row, or the fit needs more memory than it may have.
    """
    fits = Fits(kind, settings, data, how)
    _, needed = fits.prepare([(_view(settings, data, eras), None)])
    [found] = fits.run([task_again("the fit", Question(eras, eras[:0], data.final_features, rounds), with_model=True)], 1, needed)
    assert found.model is not None
    return found.model


def out_of_fold(kind: Kind, settings: Any, data: TrainingData, numbers: Sequence[int], inner_share: float, how: How) -> list[pd.DataFrame]:
    """Fit a model in some folds, and predict their test eras: a table for each, with the columns of `Trained.predictions`."""
    fits = Fits(kind, settings, data, replace(how, count=UNCOUNTED))
    at_once, needed = fits.prepare([_views(kind, settings, data, k, inner_share) for k in numbers])
    found = fits.run([_fold_task(data, k, inner_share) for k in numbers], at_once, needed)
    return [_table(data.panel, data.plan.folds[k].test, CV, fold.values) for k, fold in zip(numbers, found, strict=True)]


def predict(model: Fitted, panel: Panel, eras: NDArray[np.int64], features: FeatureMap, split: str) -> pd.DataFrame:
    """Predict the rows of some eras: the columns of `Trained.predictions`."""
    return _table(panel, eras, split, predicted(model, panel, eras, features))


def blended(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the blend, of equal weights, of several models' predictions of the same rows; a single one is returned as it is."""
    if len(parts) == 1:
        return parts[0]
    blend = Blend(numbers(parts[0][ERA]).to_numpy())
    for part in parts:
        blend.add(part[PREDICTION].to_numpy())
    return parts[0].assign(**{PREDICTION: blend.values()})


def tuned(settings: Any, found: dict[str, Any], path: Path) -> Any:
    """Return the settings of a model with the settings that a search has found, bound to the model's own file.

    Parameters
    ----------
    settings : settings of the model.
    found : `settings`, by name; nothing if there was no search. `file` if the model has an own file.
    path : path of the file that has them.

    Raises
    ------
    InputError
        If the kind has no such settings, or the own file is missing or has changed since `tune`.
    """
    if not settings.digest:  # a search has bound them already
        settings = own_files.bound(settings)
        own_files.require_recorded(settings, found, path)
    try:
        return settings.changed(found.get("settings", {}))
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


def _fold_task(data: TrainingData, number: int, inner_share: float) -> Task:
    fold, stops_by = data.plan.folds[number], (inner_share, data.plan.weeks)
    question = Question(fold.train, fold.test, data.fold_features[number], None, stops_by)
    return Task(f"fold {number + 1}", question, partial(_fit_fold, number, inner_share))


def _retrained(fits: Fits, rounds: int | None) -> tuple[list[NDArray[np.float64]], Fitted]:
    """Return the predictions of each block after the first, and the model that is fitted on all eras.

    The last block's model is kept, for the eras that the block may get.
    """
    data, plan = fits.data, fits.data.plan
    last, features = len(plan.blocks), data.final_features
    tasks = [
        task_again(f"block {k}", Question(block.train, block.test, features, rounds), with_model=k == last)
        for k, block in enumerate(plan.blocks[1:], 2)
    ]
    everything = Question(data.panel.eras, plan.validation[:0], features, rounds)
    found = again(fits, tasks)
    [served] = again(fits, [task_again("the fit on all eras", everything, with_model=True)])
    assert served.model is not None
    return [fit.values for fit in found], served.model


def again(fits: Fits, tasks: Sequence[Task]) -> list[Fit]:
    """Run the fits of `task_again` that aren't kept.

    Few are prepared at a time: the prepared rows of all of them together may fill the disk.
    """
    how, found = fits.how, fits.known(tasks)
    missing, size = [k for k in range(len(tasks)) if k not in found], max(how.resources.threads, how.engine.at_once)
    for start in range(0, len(missing), size):
        batch = missing[start : start + size]
        with files.scratch(how.resources.scratch) as scratch:
            own = replace(fits, how=replace(how, resources=replace(how.resources, scratch=scratch, notify=ignore)))
            questions = [tasks[k].question for k in batch]
            views = [(View(fits.data.panel, asked.train, asked.features, fits.settings.target), None) for asked in questions]
            at_once, needed = own.prepare(views)
            del views  # frees their rows
            found |= dict(zip(batch, own.run([tasks[k] for k in batch], at_once, needed), strict=True))
    return [found[k] for k in range(len(tasks))]


def task_again(what: str, question: Question, *, with_model: bool = False) -> Task:
    """Return a fit with the settings and rounds that were found on cv; `with_model` says whether the model itself is wanted."""
    return Task(what, question, partial(_fit_again, with_model))


def _fit_fold(
    number: int, inner_share: float, kind: Kind, settings: Any, question: Question, data: TrainingData, resources: Resources
) -> Fit:
    model = kind.fit(settings, *_views(kind, settings, data, number, inner_share), None, resources)
    return Fit(predicted(model, data.panel, question.test, question.features), model.rounds)


def _fit_again(with_model: bool, kind: Kind, settings: Any, question: Question, data: TrainingData, resources: Resources) -> Fit:
    view = View(data.panel, question.train, question.features, settings.target)
    model = kind.fit(settings, view, None, question.rounds, resources)
    values = predicted(model, data.panel, question.test, question.features)
    return Fit(values, model=model if with_model else None, dropped=view.dropped)


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


def _view(settings: Any, data: TrainingData, eras: NDArray[np.int64]) -> View:
    return View(data.panel, eras, data.final_features, settings.target)
