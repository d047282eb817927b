"""The trained pipeline for the commands of the live tournament, and the proof that its predictions were scored."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import ID, LIVE, PREDICTION, SPLIT
from erawise.evaluation import evaluation
from erawise.live import promises, serving, submission
from erawise.models.shared import kinds, stored
from erawise.panel import maps
from erawise.panel.panel import Panel
from erawise.running import paths
from erawise.running.errors import InputError
from erawise.training import basis

SAME = 1e-9
"""Predictions that differ by less are the same."""


@dataclass(frozen=True)
class Served:
    """The trained pipeline, its digests and its validation scores.

    Attributes
    ----------
    pipeline : predicts by the final models.
    live : the live rows of the last `dvc repro`.
    digests : the digest of each prediction's trained models, weights and neutralization, as validation has scored them.
    scores : the validation scores of each prediction, for each horizon.
    """

    pipeline: serving.Pipeline
    live: Panel
    digests: dict[str, str]
    scores: dict[str, promises.Scores]


def read(p: params.Params, wanted: Sequence[str]) -> Served:
    """Read the pipeline of some predictions, and prove that these predictions were scored.

    - On the live rows of the last `dvc repro`, the trained models must give the predictions that `dvc repro` has written.
    - The digests of these predictions must be in the scores.
    - The final models must be the trained ones, or the same fits repeated on every resolved era that is prepared. If models are retrained,
      these predict the live rows of the last `dvc repro` too.

    Raises
    ------
    InputError
        If something is missing or broken, or a proof fails; the message names the stage to run.
    """
    threads = p.resources.threads
    _require_version(p.data.version)
    members, weights = _models(), _weights()
    blended = [name for name in members if weights.get(name, 0) > 0]
    used = {name: blended if name in (serving.ENSEMBLE, serving.NEUTRALIZED) else [name] for name in wanted}
    needed = [name for name in members if any(name in own for own in used.values())]
    features, retrained = maps.read(paths.FEATURES)[1].digest, p.final.retrain_every is not None
    of_files = [name for name in needed if stored.describe(paths.MODELS / name).kind == kinds.GIVEN]
    refitted = [name for name in needed if name not in of_files and (retrained or name in p.final.refit)]
    places = {name: paths.MODELS / name for name in needed}
    for name in needed:
        _require_trained(name, features)
    if refitted:
        data = basis.of_prepared(paths.RELEASED if retrained else paths.VALIDATION_TARGETS)
        places |= {name: paths.MODELS / name / stored.SERVED if retrained else paths.FINAL / name for name in refitted}
        for name in refitted:
            _require_refitted(name, places[name], data)
    fitted_on = [stored.describe(place).eras for name, place in places.items() if name not in of_files]
    told = "from files of predictions"
    if fitted_on:
        told = f"fitted on the eras {min(first for first, _ in fitted_on)} to {max(last for _, last in fitted_on)}"
    print(f"models: {', '.join(needed)}, {told}")
    final, live = _stored(places), Panel(paths.LIVE, [])
    trained = _stored({name: paths.MODELS / name for name in needed}) if refitted and not retrained else final
    found, scores = trained.predict(live, wanted, threads), {}
    for name in wanted:
        path = paths.prediction(name)
        table = tabular.read_parquet(path)
        [given] = predictions.along(live.index, table[table[SPLIT] == LIVE], [PREDICTION]).T
        if not np.allclose(found[name], given, rtol=0, atol=SAME, equal_nan=name in of_files):
            raise InputError(f"{path}: the stored models give other live predictions than this file has; run dvc repro, then again")
        require_scored(name, table)
        scores[name] = promises.scored(name, table, threads)
    if trained is not final:
        _compare(found, final.predict(live, wanted, threads), [name for name in wanted if name not in of_files], p.submit.min_earlier_corr)
    digests = {name: _digest(name, used[name], weights) for name in wanted}
    return Served(final, live, digests, scores)


def require_scored(name: str, table: pd.DataFrame) -> None:
    """Raise `InputError` if another table was scored under this name."""
    if evaluation.evaluated(paths.SCORES).predictions.get(name) != predictions.digest(table):
        path = paths.prediction(name)
        raise InputError(f"{paths.SCORES}: {name} was scored when {path} was another one; run dvc repro evaluate, then again")


def _digest(name: str, used: Sequence[str], weights: dict[str, float]) -> str:
    """Return the digest of a prediction's trained models, weights and neutralization."""
    content: list[Any] = [[model, stored.digest(paths.MODELS / model)] for model in used]
    if name in (serving.ENSEMBLE, serving.NEUTRALIZED):
        content.append([weights[model] for model in used])
    if name == serving.NEUTRALIZED:
        content.append(files.read_json(paths.NEUTRALIZED_TO))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _require_trained(name: str, features: str) -> None:
    """Raise `InputError` if a model isn't trained on the features that are selected now; `features` is their digest."""
    path = paths.MODELS / name
    trained = stored.describe(path)
    if trained.kind == kinds.GIVEN:
        return
    if trained.basis is None:
        raise InputError(f"{path}: it doesn't say what it was fitted on; run dvc repro train@{name}, then again")
    if trained.basis.features != features:
        raise InputError(f"{path}: it was fitted with other features than {paths.FEATURES} holds; run dvc repro, then again")


def _require_refitted(name: str, path: Path, data: str) -> None:
    """Raise `InputError` if a final model isn't the trained model's fit, repeated on the resolved eras that are prepared now.

    `data` is the digest of the prepared data.
    """
    beside = paths.MODELS / name
    stage, why = ("train", "final.retrain_every asks for") if path.name == stored.SERVED else ("refit", "final.refit names")
    again = f"run dvc repro {stage}@{name}, then again"
    if not path.exists():
        raise InputError(f"{path}: there is no final model, and {why} it; {again}")
    final, trained = stored.describe(path), stored.describe(beside)
    if final.basis is None or trained.basis is None:
        raise InputError(f"{path}: it doesn't say what it was fitted on; {again}")
    for what in ("settings", "features"):
        if getattr(final.basis, what) != getattr(trained.basis, what):
            raise InputError(f"{path}: it was fitted with other {what} than {beside}; {again}")
    if final.trained != stored.digest(beside):
        raise InputError(f"{path}: it was made of another model than {beside}; {again}")
    if final.basis.data != data:
        raise InputError(f"{path}: it was fitted on other data than {paths.PANEL} holds; {again}")


def _stored(models: Mapping[str, Path]) -> serving.Pipeline:
    return serving.read(models, paths.FEATURES, paths.WEIGHTS, paths.NEUTRALIZED_TO)


def _compare(trained: pd.DataFrame, final: pd.DataFrame, names: Sequence[str], least: float) -> None:
    """Print how alike two sets of models are, and raise `InputError` if they aren't."""
    for name in names:
        corr, _ = submission.rank_correlation(*(one[[ID, name]].rename(columns={name: PREDICTION}) for one in (trained, final)))
        print(f"{name}: rank correlation {corr:.3f} of the models fitted on all eras with the models that validation scores")
        if not corr >= least:
            raise InputError(
                f"submit.min_earlier_corr: {name} has a rank correlation of {corr:.3f} with the models that validation scores, less than "
                f"{least}; see what changed, or set another bound"
            )


def names() -> list[str]:
    """Return the names of the pipeline's predictions."""
    return [*_models(), serving.ENSEMBLE, serving.NEUTRALIZED]


def _models() -> list[str]:
    content = files.read_json(paths.MEMBERS)
    if not isinstance(content, dict) or not isinstance(content.get("models"), list):
        raise InputError(f"{paths.MEMBERS}: it has no list of models; run dvc repro")
    return [str(name) for name in content["models"]]


def _weights() -> dict[str, float]:
    content = files.read_json(paths.WEIGHTS)
    if not isinstance(content, dict) or not all(isinstance(weight, int | float) for weight in content.values()):
        raise InputError(f"{paths.WEIGHTS}: it has no weight for each model; run dvc repro")
    return content


def _require_version(version: str) -> None:
    """Raise `InputError` if the data version has changed since the pipeline ran: several versions have the same feature names."""
    try:
        ran = YAML(typ="safe").load(paths.LOCK.read_text(encoding="utf-8"))["stages"]["download"]["params"]["params.yaml"]["data.version"]
    except (FileNotFoundError, KeyError, TypeError, YAMLError):
        return
    if ran != version:
        raise InputError(f"data.version: it is {version}, and the last dvc repro ran with {ran}; run dvc repro, then again")
