"""One fit of LightGBM over several processes, each with its part of the rows: `protocol.Together` by its data-parallel learner.

The processes exchange sums of histograms over LightGBM's own sockets, which is what `lightgbm.dask` sets up too. Here each reads its
rows from the same binary files as a fit of one process does, with the bins that such a fit has, found once from a sample of all
rows: so no process holds its part as it is stored, and the model differs from that of one process by how sums are rounded alone.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from erawise import params
from erawise.errors import InputError
from erawise.models import common
from erawise.models import lightgbm as single
from erawise.models.lightgbm import binary, store
from erawise.models.protocol import Resources, Ring
from erawise.panel import View

LISTEN_MINUTES = 2
"""How long a process waits for the others to connect."""

CHECK_ROUNDS = 10
"""How many trees are grown between two looks at whether to stop."""

BUFFERS = 2
"""Histograms of all features that are sent and received, beside those of the leaves."""

_OF_NETWORK = re.compile(r"^\[(machines|local_listen_port|time_out): .*\]\n", re.MULTILINE)
"""What differs between runs in the text of a model."""


@dataclass(frozen=True)
class Piece:
    """What a process has of the fit.

    Attributes
    ----------
    text : of the model with all trees that were grown, of the first process alone.
    totals : (trees,) after each tree the sum over the eras of its part of the inner slice of the correlation; empty without one.
    eras : how many eras that are.
    """

    text: str
    totals: list[float]
    eras: int


def sampled_eras(train: View) -> NDArray[np.int64]:
    """The eras from which the bins are found."""
    return store.sampled_eras(train)


def survey_bytes(train: View) -> int:
    """Bytes that the sample takes, as it is and cut into parts, and an era."""
    largest = int(np.unique(train.era, return_counts=True)[1].max(initial=0))
    return (2 * store.sampled_rows(train) + largest) * len(train.names) * train.dtype.itemsize


def survey(train: View, resources: Resources) -> Sequence[binary.Layout]:
    """The bins, found as for a fit of one process."""
    return single._store(resources).layouts(train)


def needs(settings: params.LightGBM, known: Sequence[binary.Layout], part: View, inner: View | None) -> int:
    """Bytes that a process takes with its part of the rows."""
    views = [part] if inner is None else [part, inner]
    sizes = [layout.size(view.n_rows) for view in views for layout in known]
    features, bins = len(part.names), single._bins(part.dtype)
    rows = sum(view.n_rows for view in views)
    return single.required_bytes(sizes, rows, features, settings.leaves + BUFFERS, bins)


def write(known: Sequence[binary.Layout], train: View, part: View, inner: View | None, resources: Resources) -> None:
    """Write the binned features of a part of the rows, where they aren't there yet.

    Raises
    ------
    InputError
        If the disk hasn't the space.
    """
    own = single._store(resources)
    own.write(own.plan_parts(train, known, [part] if inner is None else [part, inner])[1])


def grow(
    settings: params.LightGBM,
    known: Sequence[binary.Layout],
    train: View,
    part: View,
    inner: View | None,
    early: bool,
    rounds: int | None,
    ring: Ring,
    resources: Resources,
) -> Piece:
    """Boost trees on the squared error, together with the others: `rounds` of them, or `settings.trees`, or fewer where they stop early.

    Every few trees they exchange the scores of their parts of the inner slice, so that all of them stop after the same tree.
    In a thread of its own, since LightGBM keeps a connection for each thread, also one that has failed.

    Raises
    ------
    InputError
        If LightGBM fails, as it does where another process is gone.
    """
    write(known, train, part, inner, resources)
    views = [part] if inner is None else [part, inner]
    places = single._store(resources).plan_parts(train, known, views)[0]
    trees = settings.trees if rounds is None else rounds
    options = {
        **single._options_of(settings, resources),
        "tree_learner": "data",
        "num_machines": len(ring.machines),
        "machines": ",".join(f"{host}:{port}" for host, port in ring.machines),
        "local_listen_port": ring.machines[ring.rank][1],
        "time_out": LISTEN_MINUTES,
    }
    common.give_back()
    with ThreadPoolExecutor(1) as alone, _quiet():
        try:
            patience = settings.early_stopping if early else None
            return alone.submit(_grown, options, places, views, trees, patience, ring, resources).result()
        except lightgbm.basic.LightGBMError as error:
            raise InputError(f"LightGBM: {error}; the processes of a fit reach each other at any port, see docs/scale.md") from None


def joined(settings: params.LightGBM, pieces: Sequence[Piece], rounds: int | None, resources: Resources) -> single.Trees:
    """The model of the first process, up to the best round on the inner slice where there is one.

    The rule is that of a fit of one process: the round with the best mean per-era correlation before the first that comes
    `early_stopping` rounds after it.
    """
    text, trees = pieces[0].text, settings.trees if rounds is None else rounds
    eras = sum(piece.eras for piece in pieces)
    if settings.early_stopping is None or not eras:
        return single.Trees(text, trees, resources.threads, len(pieces))
    scores = _scores([piece.totals for piece in pieces], [piece.eras for piece in pieces])
    best, seen = best_round(scores, settings.early_stopping)
    for number, score in enumerate(scores[:seen].tolist(), start=1):
        resources.log(number, score)
    cut = lightgbm.Booster(model_str=text).model_to_string(num_iteration=best, importance_type="gain")
    return single.Trees(cut, best if scores[best - 1] > 0 else None, resources.threads, len(pieces))


def best_round(scores: NDArray[np.float64], patience: int) -> tuple[int, int]:
    """The round, from 1, that early stopping keeps, and how many rounds it looks at.

    Parameters
    ----------
    scores : (rounds,) after each round, without NaN.
    patience : rounds without a better score after which no further one is looked at.
    """
    best = 0
    for number, score in enumerate(scores):
        if score > scores[best]:
            best = number
        elif number - best >= patience:
            return best + 1, number + 1
    return best + 1, len(scores)


def _grown(
    options: dict[str, Any],
    places: Sequence[Path],
    views: Sequence[View],
    trees: int,
    patience: int | None,
    ring: Ring,
    resources: Resources,
) -> Piece:
    shape = {**options, **single._of_dataset(views[0].dtype)}
    data, *rest = places
    train = single._load(data, views[0], shape)
    seen = [single._load(place, view, shape, train) for place, view in zip(rest, views[1:], strict=True)]
    score = common.EraCorrelation.of(views[1]) if rest else None
    totals: list[float] = []

    def note(prediction: NDArray, _: lightgbm.Dataset) -> tuple[str, float, bool]:
        if score is not None:
            totals.append(score.total(prediction))
        return single.SCORE, 0.0, True

    eras = 0 if score is None else score.eras

    def count(state: lightgbm.callback.CallbackEnv) -> None:
        resources.step()
        number = state.iteration + 1
        if patience is not None and number % CHECK_ROUNDS == 0:
            told = ring.exchange([float(eras), *totals])
            scores = _scores([found[1:] for found in told], [int(found[0]) for found in told])
            if best_round(scores, patience)[1] < number:
                raise lightgbm.callback.EarlyStopException(number - 1, [])

    ring.ready()
    booster = lightgbm.train(
        options,
        train,
        trees,
        valid_sets=seen,
        feval=note,
        callbacks=[count],
        keep_training_booster=True,
    )
    try:
        text = _settled(booster.model_to_string(num_iteration=-1, importance_type="gain")) if ring.rank == 0 else ""
    finally:
        booster.free_network()
    return Piece(text, totals, eras)


def _scores(totals: Sequence[Sequence[float]], eras: Sequence[int]) -> NDArray[np.float64]:
    """(rounds,) the mean over all eras, from the sums of parts; those without an era have none."""
    found: NDArray[np.float64] = np.sum([own for own, count in zip(totals, eras, strict=True) if count], axis=0) / sum(eras)
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what this process prints: LightGBM's thread that listens tells of it, whatever the verbosity."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _settled(text: str) -> str:
    """A model's text without the addresses of the processes that have made it."""
    return _OF_NETWORK.sub("", text)
