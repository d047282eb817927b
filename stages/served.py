"""What the commands of the live tournament share: the trained pipeline, proven on the rows that it has predicted before."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise import files, params, predictions, serving, tabular
from erawise.errors import InputError
from erawise.live import submission
from erawise.models import stored
from erawise.panel import Panel
from erawise.schema import ID, LIVE, PREDICTION, SPLIT
from stages import paths

SAME = 1e-9
"""Predictions that differ by less are the same."""


def read(wanted: Sequence[str]) -> serving.Pipeline:
    """The pipeline that makes some predictions of live rows, by the final models.

    With the models that validation scores, which are the final ones unless those are fitted on more, it is checked to give, on the live
    rows of the last `dvc repro`, what that has given. The predictions of models that are fitted on more must resemble these.

    Raises
    ------
    InputError
        If something is missing or broken, or it gives something else.
    """
    p = params.load(paths.PARAMS)
    threads = p.resources.threads
    _require_version(p.data.version)
    members, weights = _models(), _weights()
    blending = bool({serving.ENSEMBLE, serving.NEUTRALIZED} & set(wanted))
    needed = [name for name in members if name in wanted or (blending and weights.get(name, 0) > 0)]
    fitted_on = [stored.describe(paths.FINAL / name).eras for name in needed]
    again = [eras != stored.describe(paths.MODELS / name).eras for name, eras in zip(needed, fitted_on, strict=True)]
    if again != [p.final.fit_on == "all"] * len(again):
        raise InputError(f"{paths.FINAL}: its models aren't fitted as final.fit_on, {p.final.fit_on}, says; run dvc repro, then again")
    print(f"models: {', '.join(needed)}, fitted on the eras {min(first for first, _ in fitted_on)} to {max(last for _, last in fitted_on)}")
    final, live = _stored(paths.FINAL, needed), Panel(paths.LIVE, [])
    trained = final if p.final.fit_on == "train" else _stored(paths.MODELS, needed)
    found = trained.predict(live, wanted, threads)
    for name in wanted:
        table = tabular.read_parquet(path(name))
        [given] = predictions.along(live.index, table[table[SPLIT] == LIVE], [PREDICTION]).T
        if not np.allclose(found[name], given, rtol=0, atol=SAME):
            raise InputError(f"{path(name)}: the stored models give other live predictions than these; run dvc repro, then again")
    if trained is not final:
        _compare(found, final.predict(live, wanted, threads), wanted, p.submit.min_earlier_corr)
    return final


def _stored(models: Path, names: Sequence[str]) -> serving.Pipeline:
    return serving.read({name: models / name for name in names}, paths.FEATURES, paths.WEIGHTS, paths.NEUTRALIZED_TO)


def _compare(trained: pd.DataFrame, final: pd.DataFrame, names: Sequence[str], least: float) -> None:
    """Show how alike two sets of models are, and refuse those that aren't."""
    for name in names:
        corr, _ = submission.rank_correlation(*(one[[ID, name]].rename(columns={name: PREDICTION}) for one in (trained, final)))
        print(f"{name}: rank correlation {corr:.3f} of the models fitted on all eras with those that validation scores")
        if not corr >= least:
            raise InputError(
                f"submit.min_earlier_corr: {name} has a rank correlation of {corr:.3f} with the models that validation scores, less than "
                f"{least}; see what changed, or set another bound"
            )


def names() -> list[str]:
    """The predictions that the pipeline makes."""
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
    """Raise `InputError` where the data version was changed since the pipeline ran: names of features are the same in several."""
    try:
        ran = YAML(typ="safe").load(paths.LOCK.read_text(encoding="utf-8"))["stages"]["download"]["params"]["params.yaml"]["data.version"]
    except (FileNotFoundError, KeyError, TypeError, YAMLError):
        return
    if ran != version:
        raise InputError(f"data.version: it is {version}, and the last dvc repro ran with {ran}; run dvc repro, then again")


def path(name: str) -> Path:
    """The file of a prediction."""
    blended = {serving.ENSEMBLE: paths.ENSEMBLE, serving.NEUTRALIZED: paths.NEUTRALIZED}
    return blended.get(name, paths.MODEL_PREDICTIONS / f"{name}.parquet")
