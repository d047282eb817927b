"""Look for one model's settings on the folds of `cv`."""

import functools
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import erawise
from erawise import params
from erawise.base import files
from erawise.base.schema import horizon, spanned_weeks
from erawise.cluster import engines
from erawise.evaluation import evaluation, significance
from erawise.models.shared.protocol import Kind, require_complete
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.training import inputs, training
from erawise.training.jobs import Engine
from erawise.tuning import search

CODE = (
    "blocks*.py",
    "evaluation.py",
    "features/maps.py",
    "groups.py",
    "jit.py",
    "models/common.py",
    "panel.py",
    "predictions.py",
    "schema.py",
    "scores/*.py",
    "splits.py",
    "tabular.py",
    "training.py",
    "tuning.py",
)
"""The code that makes a trial: what reads the data, fits, predicts, scores and draws. Whatever runs it, on which machine and with which
progress bar, or checks settings, or judges the trials in the end, is no part of it."""


def run(kind: Kind, name: str, progress: Progress) -> runner.Done:
    """Search, and write what was found."""
    require_complete(kind)
    p = params.load(paths.PARAMS)
    work = inputs.open_for(name, live=False)
    own = p.models[name]
    space = p.spaces[own.kind]
    index = work.data.panel.index
    resources = replace(work.resources, say=functools.cache(work.resources.say))  # what each trial would repeat is said once

    def attempt(engine: Engine, changes: dict[str, Any], numbers: Sequence[int]) -> list[search.Fold]:
        members = training.tuned(own, {"settings": changes}, paths.PARAMS).members.values()
        fit = partial(
            training.out_of_fold,
            kind,
            data=work.data,
            numbers=numbers,
            inner_share=p.training.inner_share,
            resources=resources,
            engine=engine,
        )
        pieces = list(engine.side_by_side([partial(fit, settings=settings) for settings in members]))
        return [evaluation.corr_by_era(training.blended(parts), index, p.data.target) for parts in zip(*pieces, strict=True)]

    identity = _identity(
        code(own.kind),
        own.model_dump(mode="json"),
        p.tuning.model_dump(mode="json", exclude={"models", "trials"}),
        {name: values.model_dump(mode="json") for name, values in space.items()},
        [p.data.target, p.data.target_horizon, p.training.inner_share],
    )
    with (
        inputs.naming(name),
        inputs.sharing_scratch(),
        threadpool_limits(p.resources.threads, user_api="blas"),
        engines.engine(work.source, resources) as engine,
    ):
        found = search.search(
            p.tuning,
            space,
            len(work.data.plan.folds),
            partial(attempt, engine),
            Path(os.path.relpath(paths.main_checkout(Path.cwd()) / paths.STUDIES / f"{name}.db")),
            identity,
            work.resources.say,
            progress,
            engine.side_by_side,
            engine.at_once,
        )
    overlap = significance.spanned_eras(work.data.plan.train, spanned_weeks(horizon(p.data.target, p.data.target_horizon)))
    content = search.result(found, p.tuning, overlap)
    files.write_json(content, paths.TUNING / f"{name}.json")
    work.resources.say(search.sentence(content))
    return runner.Done([paths.TUNING / f"{name}.json"], len(work.data.panel.row_numbers(work.data.plan.train)))


def code(kind: str) -> list[Path]:
    """Return the files of code by which the scores of a trial come about; what a kind of model has for itself is among them."""
    return sorted(path for pattern in (*CODE, f"models/{kind}/*.py") for path in Path(erawise.__file__).parent.glob(pattern))


def _identity(modules: Sequence[Path], *settings: Any) -> str:
    """Another one for other settings, data or code, so that a search takes up no trial that it would not make itself."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode("utf-8"))
    read = (paths.FOLDS, paths.PREPARED / "features.json", paths.PREPARED / "index.parquet", *sorted(paths.FEATURES.iterdir()))
    for path in (*read, *modules):
        digest.update(path.read_bytes())
    return digest.hexdigest()
