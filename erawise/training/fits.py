"""The fits of one model: prepared together, done by an engine, and kept for later runs if there is a store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erawise.models.shared.protocol import Fitted, Kind, Resources, ignore
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.running.progress import UNCOUNTED, StepCounter
from erawise.training.jobs import HERE, Engine, Job, Log, TrainingData
from erawise.training.kept import Fit, Question, Store


@dataclass(frozen=True)
class How:
    """The way to do fits; of it only the number of threads can change a result.

    Parameters
    ----------
    resources : resources of the fits.
    engine : does the fits.
    count : told of the steps of all fits.
    kept : the fits of earlier runs; None to keep none.
    """

    resources: Resources
    engine: Engine = HERE
    count: StepCounter = UNCOUNTED
    kept: Store | None = None


@dataclass(frozen=True)
class Task:
    """A fit to do.

    Parameters
    ----------
    what : its name in messages.
    question : what it depends on.
    fit : does it, from the kind, its settings, the question, the data and the resources.
    """

    what: str
    question: Question
    fit: Callable[[Kind, Any, Question, TrainingData, Resources], Fit]


@dataclass(frozen=True)
class Fits:
    """The fits of a kind of model with its settings, on some data."""

    kind: Kind
    settings: Any
    data: TrainingData
    how: How

    @property
    def steps(self) -> int:
        """The steps of a fit at most."""
        return self.kind.steps(self.settings)[0]

    def known(self, tasks: Sequence[Task]) -> dict[int, Fit]:
        """Return the fits that are kept, by their numbers among the tasks. A kept model predicts the eras that are new to it."""
        store, panel, found = self.how.kept, self.data.panel, {}
        for number, task in enumerate(tasks if store is not None else ()):
            assert store is not None
            question = task.question
            path, tested = store.path(self.settings, panel, question), panel.era_digests(question.test)
            fit = store.read(path)
            if fit is not None and fit.tested != tested and fit.model is not None:
                fit = replace(fit, values=predicted(fit.model, panel, question.test, question.features), tested=tested)
                store.keep(path, fit)
            if fit is not None and fit.tested == tested:
                found[number] = fit
                with self.how.count.share(self.steps):
                    pass
        return found

    def prepare(self, views: Sequence[tuple[View, View | None]]) -> tuple[int, list[int]]:
        """Write the data that some fits share.

        Parameters
        ----------
        views : the training rows and the inner slice of each fit.

        Returns
        -------
        at_once : how many of them may run at once here.
        needed : the bytes that each needs if it runs elsewhere.
        """
        engine, resources = self.how.engine, self.how.resources
        with engine.one_at_a_time():
            needed = self.kind.needs(self.settings, views, resources) if engine.elsewhere else [0] * len(views)
            quiet = replace(resources, notify=ignore) if engine.elsewhere else resources
            return self.kind.prepare(self.settings, views, quiet) if engine.scratch_is_seen else 1, needed

    def run(self, tasks: Sequence[Task], at_once: int, needed: Sequence[int], log: Log = ignore) -> list[Fit]:
        """Run some fits. If they are kept, few are done at a time, so that a run that is stopped loses little.

        Parameters
        ----------
        tasks : the fits.
        at_once, needed : of `prepare`.
        log : told of every round of a fit that may stop early.
        """
        size = len(tasks) if self.how.kept is None else max(at_once, self.how.engine.at_once)
        made: list[Fit] = []
        for start in range(0, len(tasks), max(size, 1)):
            batch = list(zip(tasks, needed, strict=False))[start : start + size]
            curves: list[list[tuple[int, float]]] = [[] for _ in batch]

            def note(number: int, round_: int, score: float, start: int = start, curves: list[list[tuple[int, float]]] = curves) -> None:
                curves[number].append((round_, score))
                log(start + number, round_, score)

            jobs = [Job(task.what, partial(task.fit, self.kind, self.settings, task.question), need, self.steps) for task, need in batch]
            found = self.how.engine.run(jobs, self.data, self.how.resources, at_once, self.how.count, note)
            made += [replace(fit, curve=curve) for fit, curve in zip(found, curves, strict=True)]
            if self.how.kept is not None:
                for (task, _), fit in zip(batch, made[start:], strict=True):
                    tested = self.data.panel.era_digests(task.question.test)
                    self.how.kept.keep(self.how.kept.path(self.settings, self.data.panel, task.question), replace(fit, tested=tested))
        return made


def predicted(model: Fitted, panel: Panel, eras: NDArray[np.int64], features: FeatureMap) -> NDArray[np.float64]:
    """Return a model's predictions (rows,) of some eras."""
    found = [model.predict(block) for block in View(panel, eras, features).blocks()]
    return np.concatenate(found) if found else np.empty(0)
