"""The comparison of intervals of retraining on the workspace's data, for its models and their ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import DATA_TYPE, ERA, ID, META_MODEL, TRAIN, purge_weeks
from erawise.blend import blending
from erawise.cluster import engines
from erawise.evaluation import evaluation
from erawise.lab import cadence
from erawise.lab.cadence import Timeline
from erawise.models.shared import kinds, stored
from erawise.panel.panel import FeatureMap, days_ahead
from erawise.regimes import regimes
from erawise.running import paths
from erawise.running.errors import InputError
from erawise.running.progress import Progress
from erawise.running.terminal import Sheet
from erawise.scores.eras import Known, score_eras
from erawise.training import inputs, training
from erawise.training.fits import Fits, How
from erawise.training.inputs import ModelInputs
from erawise.training.kept import Store

FITS = Path("fits")
"""Directory of the kept fits, below the directory of the result."""


@dataclass(frozen=True)
class Asked:
    """The models and intervals to compare.

    Attributes
    ----------
    models : names of models, whose ensemble is compared; empty for all models with a weight in the ensemble.
    weeks : the intervals.
    first : the first era that is predicted; None for the middle of the eras that may be learned from.
    """

    models: Sequence[str]
    weeks: Sequence[int]
    first: int | None = None


def measure(asked: Asked, out: Path, progress: Progress) -> list[str | Sheet]:
    """Compare intervals of retraining, store the tables, and return the answer and the tables as a person reads them.

    Raises
    ------
    InputError
        If something is missing or broken, a model is unknown, or the eras are too few or too far apart.
    """
    p = params.load(paths.PARAMS)
    weights = _weights(p, asked.models)
    intervals: list[int | None] = [None, *sorted(set(asked.weeks), reverse=True)]
    work = {name: inputs.read(name, p.models[name], p.data.target, p.resources, live=False) for name in weights}
    panel = next(iter(work.values())).data.panel
    longest = max(one.source.days for one in work.values())
    time = Timeline.of(_learned(panel.index), purge_weeks(longest), asked.first)
    counts = {cadence.named(every): len(time.blocks(every)) for every in intervals}
    out.mkdir(parents=True, exist_ok=True)
    scratch = replace(next(iter(work.values())).resources, scratch=paths.SCRATCH / "cadence")
    with files.in_use(paths.SCRATCH), threadpool_limits(p.resources.threads, user_api="blas"):
        features = cadence.select(panel, time, p.data.target, p.select_features, scratch)
        parts = {
            name: _predicted(p, name, replace(one, resources=scratch), (time, intervals, features), out, progress)
            for name, one in work.items()
        }
    rows = panel.row_numbers(time.tested)
    era = panel.row_eras[rows]
    values = pd.DataFrame(
        {
            column: blending.blend(pd.DataFrame({name: part[column] for name, part in parts.items()}), era, weights)
            if len(parts) > 1
            else next(iter(parts.values()))[column]
            for column in counts
        }
    )
    target = panel.index[p.data.target].to_numpy(np.float64)[rows]
    known, sums = _others(p, panel.index.iloc[rows]), regimes.load(p.payout.regimes).named(p.payout.regime).sums()
    scores = score_eras(values, target, era, known, sums=sums, threads=p.resources.threads)
    table = cadence.compare(scores, days_ahead(paths.PANEL, p.data.target))
    tabular.write_csv(scores, out / "eras.csv")
    tabular.write_csv(table, out / "cadence.csv")
    return [cadence.answer(table, str(table["score"].iloc[-1])), *cadence.sheets(table, counts)]


def _weights(p: params.Params, models: Sequence[str]) -> dict[str, float]:
    """Return the models and their weights in the ensemble; equal weights for models that are named and have none there."""
    given = files.read_json(paths.WEIGHTS)
    names = list(models) or [name for name, weight in given.items() if weight > 0]
    for name in names:
        params.model(p, name)
    found = {name: float(given.get(name, 0)) for name in names}
    return found if all(weight > 0 for weight in found.values()) else dict.fromkeys(names, 1.0)


def _learned(index: pd.DataFrame) -> NDArray[np.int64]:
    eras: NDArray[np.int64] = np.unique(index.loc[index[DATA_TYPE] == TRAIN, ERA].to_numpy(np.int64))
    return eras


def _predicted(
    p: params.Params,
    name: str,
    work: ModelInputs,
    how: tuple[Timeline, Sequence[int | None], FeatureMap],
    out: Path,
    progress: Progress,
) -> pd.DataFrame:
    """Return a model's predictions by each interval: with several variants, the blend of theirs."""
    time, intervals, features = how
    kind, found = kinds.load(work.settings.kind), paths.TUNING / f"{name}.json"
    variants = training.tuned(work.settings, files.read_json(found), found).variants
    if not (paths.MODELS / name).exists():
        raise InputError(f"{paths.MODELS / name}: the model is missing, whose rounds are needed; run dvc repro train@{name}")
    rounds = [variant.rounds for variant in stored.describe(paths.MODELS / name).variants]
    steps, unit = kind.steps(work.settings)
    total = steps * len(variants) * len(cadence.fits(time, intervals))
    store = Store(out / FITS / name, kind, work.resources)
    parts = []
    with (
        inputs.naming(name),
        engines.engine(p.execution, work.source, work.resources) as engine,
        progress.counting(total, unit, name, at_most=kind.stops_early(work.settings)) as count,
    ):
        for own, number in zip(variants.values(), rounds, strict=True):
            fits = Fits(kind, own, work.data, How(work.resources, engine, count, store))
            parts.append(cadence.predict(fits, time, intervals, features, number))
    store.prune()
    if len(parts) == 1:
        return parts[0]
    era = work.data.panel.row_eras[work.data.panel.row_numbers(time.tested)]
    blends = {column: predictions.Blend(era) for column in parts[0]}
    for part in parts:
        for column, blend in blends.items():
            blend.add(part[column].to_numpy())
    return pd.DataFrame({column: blend.values() for column, blend in blends.items()})


def _others(p: params.Params, rows: pd.DataFrame) -> Known:
    """Return the meta model's and the benchmark model's predictions of some rows."""
    references = tabular.read_parquet(paths.REFERENCES)
    benchmark = evaluation.benchmark_of(paths.PANEL, references, p.evaluate.benchmark, p.data.target)
    found = {
        name: predictions.along(rows[[ID, ERA]], references, [name])[:, 0]
        for name in (META_MODEL, benchmark)
        if name and name in references
    }
    return Known(found.get(META_MODEL), found.get(str(benchmark)))
