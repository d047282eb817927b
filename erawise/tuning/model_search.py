"""The search for the settings of one model, on the folds of `cv`."""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import erawise
from erawise.base import tabular
from erawise.base.schema import ERA, spanned_eras, spanned_weeks
from erawise.cluster import engines
from erawise.cluster.settings import Execution
from erawise.evaluation import evaluation, objectives
from erawise.evaluation.objectives import Goal
from erawise.models.shared import kinds
from erawise.models.shared.settings import Entry
from erawise.panel.panel import days_ahead
from erawise.regimes.regimes import Regime
from erawise.running import paths
from erawise.running.progress import Progress
from erawise.training import inputs, training
from erawise.training.fits import How
from erawise.training.inputs import ModelInputs
from erawise.training.jobs import Engine
from erawise.tuning import search
from erawise.tuning.settings import Space, Tuning

ROOMS = ("base", "panel", "folds", "models/shared", "training", "tuning", "scores", "evaluation", "regimes")
"""The rooms that make a trial: they read the data, fit, predict, score and draw. Each search also depends on its kind's own room."""

OBJECTIVE = "tuning.objective"


@dataclass(frozen=True)
class Question:
    """The search for the settings of one model.

    Attributes
    ----------
    name, settings : name and settings of the model.
    tuning, space : how to search, and among which values.
    inner_share : share of a fold's training eras for early stopping.
    target : the target that trials are scored against.
    benchmark : the setting `evaluate.benchmark`.
    regime : the regime of the payout.
    """

    name: str
    settings: Entry
    tuning: Tuning
    space: Space
    inner_share: float
    target: str
    benchmark: str | None
    regime: Regime

    @property
    def kind(self) -> str:
        """The kind of the model."""
        return str(self.settings.model_dump()["kind"])

    @property
    def seeds(self) -> list[int]:
        """The seeds of a model that lists them; empty if it has one, or draws nothing."""
        return list(getattr(self.settings, "seeds", []))

    def identity(self) -> str:
        """Return the SHA-256 of what a trial depends on: its data, folds, settings, and the code of the rooms that make it."""
        asked = [
            self.settings.identity(),
            self.tuning.model_dump(mode="json", exclude={"models", "trials"}),
            {name: values.model_dump(mode="json") for name, values in self.space.items()},
            [self.target, self.inner_share],
        ]
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode("utf-8"))
        read = (paths.FOLDS, paths.PANEL / "features.json", paths.PANEL / "index.parquet", *sorted(paths.FEATURES.iterdir()))
        if objectives.needs_others(self.tuning.objective):
            digest.update(json.dumps([self.benchmark, self.regime.model_dump(mode="json")]).encode())
            read = (*read, paths.REFERENCES)
        for path in (*read, *code(self.kind)):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def digest(self) -> str:
        """Return the SHA-256 of the whole search: its identity, and the number of its trials."""
        return hashlib.sha256(f"{self.identity()} {self.tuning.trials}".encode()).hexdigest()


def code(kind: str) -> list[Path]:
    """Return the modules that make the trials of a kind of model."""
    top = Path(erawise.__file__).parent
    return sorted([*(path for room in (*ROOMS, f"models/{kind}") for path in (top / room).glob("*.py")), top / "predictions.py"])


def run(question: Question, work: ModelInputs, execution: Execution, storage: Path, progress: Progress) -> dict[str, Any]:
    """Search, and return the result, see `search.result`.

    Parameters
    ----------
    work : the data of the model, and the resources of its fits.
    execution : says whether this process or workers do the fits.
    storage : the file that keeps the trials.
    """
    kind = kinds.load(question.kind)
    goal = _goal(question, work)
    for line in objectives.lines(goal, OBJECTIVE):
        work.resources.notify(line)
    resources = replace(work.resources, notify=functools.cache(work.resources.notify))  # each line once, not once a trial

    own_seeds: dict[int, list[search.Fold]] = {}

    def attempt(engine: Engine, changes: dict[str, Any], numbers: Sequence[int]) -> list[search.Fold]:
        variants = training.tuned(question.settings, {"settings": changes}, paths.PARAMS).variants.values()
        how = How(resources, engine)
        fits = [partial(training.out_of_fold, kind, own, work.data, numbers, question.inner_share, how) for own in variants]
        pieces = list(engine.side_by_side(fits))
        if not changes and len(question.seeds) > 1:
            own_seeds.update(
                {seed: scored([part for own, part in zip(variants, pieces, strict=True) if own.seed == seed]) for seed in question.seeds}
            )
        return scored(pieces)

    def scored(pieces: Sequence[Sequence[pd.DataFrame]]) -> list[search.Fold]:
        return [objectives.by_era(training.blended(parts), work.data.panel.index, goal) for parts in zip(*pieces, strict=True)]

    with (
        inputs.naming(question.name),
        inputs.sharing_scratch(),
        threadpool_limits(resources.threads, user_api="blas"),
        engines.engine(execution, work.source, resources) as engine,
    ):
        asked = search.Search(
            question.tuning,
            question.space,
            len(work.data.plan.folds),
            partial(attempt, engine),
            work.resources.notify,
            progress,
            engine.side_by_side,
            engine.at_once,
        )
        found = search.search(asked, storage, question.identity())
        if len(question.seeds) > 1 and not own_seeds:  # the trials that are kept hold no seed of the model's own settings
            attempt(engine, {}, range(len(work.data.plan.folds)))
    overlap = spanned_eras(work.data.plan.train, spanned_weeks(days_ahead(paths.PANEL, question.target)))
    statistic = objectives.statistic(question.tuning.objective)
    return search.result(found, question.tuning, overlap) | search.seed_spread(list(own_seeds.values()), statistic)


def _goal(question: Question, work: ModelInputs) -> Goal:
    """Return the goal of the trials on the rows of the panel; only rows of the folds' test eras have a target."""
    index, name = work.data.panel.index, question.tuning.objective
    tested = index[ERA].isin(np.concatenate([fold.test for fold in work.data.plan.folds])).to_numpy()
    target = np.where(tested, index[question.target].to_numpy(np.float64), np.nan)
    others = {}
    if objectives.needs_others(name):
        references = tabular.read_parquet(paths.REFERENCES)
        benchmark = evaluation.benchmark_of(paths.PANEL, references, question.benchmark, question.target)
        others = objectives.others(index, references, benchmark)
    sums = dict if work.data.panel.own_score else question.regime.sums
    return objectives.goal(name, OBJECTIVE, index[ERA].to_numpy(np.int64), target, others, sums, work.data.panel.score)
