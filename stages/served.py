"""What the commands of the live tournament share: the trained pipeline, proven on the rows that it has predicted before."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from erawise import files, predictions, serving, tabular
from erawise.errors import InputError
from erawise.panel import Panel
from erawise.schema import LIVE, PREDICTION, SPLIT
from stages import paths

SAME = 1e-9
"""Predictions that differ by less are the same."""


def read(names: Sequence[str], threads: int, models: Path = paths.MODELS) -> serving.Pipeline:
    """The pipeline that makes some predictions: checked to give, on the live rows of the last `dvc repro`, what that has given.

    Raises
    ------
    InputError
        If something is missing or broken, or it gives something else.
    """
    members, weights = files.read_json(paths.MEMBERS)["models"], files.read_json(paths.WEIGHTS)
    blending = bool({serving.ENSEMBLE, serving.NEUTRALIZED} & set(names))
    needed = [name for name in members if name in names or (blending and weights.get(name, 0) > 0)]
    pipeline = serving.read({name: models / name for name in needed}, paths.FEATURES, paths.WEIGHTS, paths.NEUTRALIZED_TO)
    live = Panel(paths.LIVE, [])
    found = pipeline.predict(live, names, threads)
    for name in names:
        stored = tabular.read_parquet(_path(name))
        [given] = predictions.along(live.index, stored[stored[SPLIT] == LIVE], [PREDICTION]).T
        if not np.allclose(found[name], given, rtol=0, atol=SAME):
            raise InputError(f"{_path(name)}: the stored models give other live predictions than these; run dvc repro, then again")
    return pipeline


def _path(name: str) -> Path:
    blended = {serving.ENSEMBLE: paths.ENSEMBLE, serving.NEUTRALIZED: paths.NEUTRALIZED}
    return blended.get(name, paths.MODEL_PREDICTIONS / f"{name}.parquet")
