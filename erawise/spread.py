"""One fit over several workers, each with its part of the eras: what training does where a model's settings are `distributed`."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erawise.errors import InputError
from erawise.jobs import Data, Engine, Job, Log
from erawise.models.common import CHUNK_ROWS
from erawise.models.protocol import Fitted, Kind, Resources, Ring, Spreadable, Together, unheard
from erawise.panel import FeatureMap, Panel, View
from erawise.progress import UNCOUNTED, Count

LIVE_ERAS = np.empty(0, np.int64)
"""Of the panel, what a job on the live era reads."""

FLOAT_BYTES = 8


@dataclass(frozen=True)
class Rows:
    """The rows of a fit, by what every process can find them by.

    Parameters
    ----------
    target : name of the target; rows without a value are left out.
    fold : number, from 0, of the fold whose features it has; None for those of the final model.
    eras, inner : eras that it is fitted on, and of the slice on which it stops, or None.
    """

    target: str
    fold: int | None
    eras: NDArray[np.int64]
    inner: NDArray[np.int64] | None

    def views(self, data: Data) -> tuple[View, View | None]:
        """The rows."""
        features = features_of(data, self.fold)
        inner = None if self.inner is None else View(data.panel, self.inner, features, self.target)
        return View(data.panel, self.eras, features, self.target), inner

    def part(self, data: Data, rank: int, parts: int) -> "Rows":
        """One of so many parts: every so many-th era, so that each part has early and late ones, and no era is torn.

        Eras without a row are in none; a part without an era of the inner slice has no such slice.
        """
        eras, inner = (np.empty(0, np.int64) if view is None else np.unique(view.era)[rank::parts] for view in self.views(data))
        return replace(self, eras=eras, inner=inner if len(inner) else None)


def of(kind: Kind, settings: Any) -> Together | None:
    """What spreads the fits of a model, None where each is that of one process."""
    return kind.together(settings) if isinstance(kind, Spreadable) else None


def side_by_side(kind: Kind, settings: Any, engine: Engine, calls: Sequence[Callable[[], Any]]) -> Generator[Any, None, None]:
    """Yield the results of functions that each make fits of a model: one after the other where a fit has all workers."""
    return engine.side_by_side(calls) if of(kind, settings) is None else (call() for call in calls)


def features_of(data: Data, fold: int | None) -> FeatureMap:
    """What was selected for a fold, or for the final model."""
    return data.final_features if fold is None else data.fold_features[fold]


def fit(
    together: Together,
    settings: Any,
    rows: Rows,
    rounds: int | None,
    data: Data,
    resources: Resources,
    engine: Engine,
    steps: int,
    count: Count,
    log: Log,
) -> Fitted:
    """Fit over all workers: the same bits from the same number of them.

    Parameters
    ----------
    together, settings, rounds : see `protocol.Together`.
    rows : of the fit.
    steps : that the fit has.
    engine, count, log : as in `training.train`.

    Raises
    ------
    InputError
        If there are no workers, fewer eras than workers, a worker has too little memory, or one dies in the middle twice.
    """
    where = "the final fit" if rows.fold is None else f"the fit of fold {rows.fold + 1}"
    train, inner = rows.views(data)
    if not train.n_rows or (inner is not None and not inner.n_rows):
        raise InputError(f"target {rows.target!r} has no value in the eras to fit on; choose another target for the model")
    survey = Job(f"the bins of {where}", partial(_survey, together, rows), together.sampled_eras(train), together.survey_bytes(train), 0)
    [known] = engine.run([survey], data, resources, 1, count, log)

    def parts(call: Any, has_steps: bool, workers: int) -> list[Job]:
        found = []
        for rank in range(workers):
            own = rows.part(data, rank, workers)
            if not len(own.eras):
                raise InputError(f"{where}: its {len(np.unique(train.era))} eras are too few for {workers} workers; start fewer")
            eras = own.eras if own.inner is None else np.concatenate([own.eras, own.inner])
            needed = together.needs(settings, known, *own.views(data))
            what = f"part {rank + 1} of {workers} of {where}"
            found.append(Job(what, partial(call, rows, own), eras, needed, steps if has_steps and rank == 0 else 0))
        return found

    engine.together(partial(parts, partial(_write, together, known), False), data, resources, count)
    pieces = engine.together(partial(parts, partial(_grow, together, settings, known, rounds), True), data, resources, count)
    return together.joined(settings, pieces, rounds, replace(resources, log=partial(log, rows.fold or 0)))


def predicted(
    model: Fitted, fold: int | None, eras: NDArray[np.int64], data: Data, resources: Resources, engine: Engine
) -> NDArray[np.float64]:
    """(rows,) the predictions of some eras, which workers share; `fold` is that whose features the model has, or None."""
    needed = _predicting_bytes(data.panel, features_of(data, fold))
    pieces = np.array_split(eras, max(1, min(engine.at_once, len(eras))))
    jobs = [Job("predictions", partial(_predicted, model, fold, piece), piece, needed, 0) for piece in pieces]
    return np.concatenate(engine.run(jobs, data, resources, 1, UNCOUNTED, unheard))


def predicted_live(model: Fitted, data: Data, resources: Resources, engine: Engine) -> NDArray[np.float64] | None:
    """(rows,) the predictions of the live era, None where that isn't to be predicted."""
    if data.live is None:
        return None
    needed = _predicting_bytes(data.live, data.final_features)
    job = Job("predictions of the live era", partial(_predicted_live, model), LIVE_ERAS, needed, 0)
    found: NDArray[np.float64] = engine.run([job], data, resources, 1, UNCOUNTED, unheard)[0]
    return found


def values(model: Fitted, panel: Panel, eras: NDArray[np.int64], features: FeatureMap) -> NDArray[np.float64]:
    """(rows,) the predictions of some eras."""
    found = [model.predict(block) for block in View(panel, eras, features).blocks()]
    return np.concatenate(found) if found else np.empty(0)


def _predicting_bytes(panel: Panel, features: FeatureMap) -> int:
    """Bytes of an era as it is stored and as floats, and of a chunk of its rows as LightGBM has it."""
    largest = int(np.diff(panel.starts).max(initial=0))
    return (2 * largest + CHUNK_ROWS) * len(features.columns) * FLOAT_BYTES


def _survey(together: Together, rows: Rows, data: Data, resources: Resources) -> Any:
    return together.survey(rows.views(data)[0], resources)


def _write(together: Together, known: Any, rows: Rows, own: Rows, ring: Ring, data: Data, resources: Resources) -> None:
    together.write(known, rows.views(data)[0], *own.views(data), resources)


def _grow(
    together: Together,
    settings: Any,
    known: Any,
    rounds: int | None,
    rows: Rows,
    own: Rows,
    ring: Ring,
    data: Data,
    resources: Resources,
) -> Any:
    return together.grow(settings, known, rows.views(data)[0], *own.views(data), rows.inner is not None, rounds, ring, resources)


def _predicted(model: Fitted, fold: int | None, eras: NDArray[np.int64], data: Data, resources: Resources) -> NDArray[np.float64]:
    return values(model, data.panel, eras, features_of(data, fold))


def _predicted_live(model: Fitted, data: Data, resources: Resources) -> NDArray[np.float64] | None:
    return None if data.live is None else values(model, data.live, data.live.eras, data.final_features)
