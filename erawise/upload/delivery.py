"""The pickle for Numerai's model upload: built, proven with Numerai's packages, and sent."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from erawise import params
from erawise.base import files
from erawise.base.schema import ID, PREDICTION
from erawise.live import journal, keys, promises, served, serving
from erawise.live.account import MODEL
from erawise.live.pickles import Pickles
from erawise.panel.panel import Panel
from erawise.preparation import preparation
from erawise.running import errors, paths
from erawise.sources.numerai import fetching
from erawise.upload import build, environments, proof

CHECK = "check.json"
"""The file with the results of the pickle's check; absent if the pickle isn't checked, or fails."""

EVERY = "all"
"""The name for all Pythons whose packages at Numerai are known."""


@dataclass(frozen=True)
class Goal:
    """The model of an account that will run the pickle.

    Attributes
    ----------
    account : the account.
    model, number : the model's name and id.
    wanted : ids of the wanted data version and image.
    python : of the image.
    """

    account: Pickles
    model: str
    number: str
    wanted: dict[str, str]
    python: str


@files.exclusive_lock(paths.UPLOAD, "upload")
def deliver(live: Path, model: str | None, minutes: float, python: str | None, *, check: bool) -> None:
    """Build the pickle of `upload.prediction`, check it and send it.

    Parameters
    ----------
    live : live file whose rows the check predicts.
    model : name of the account's model to send it for; None to send nothing.
    minutes : how long Numerai may take to try it.
    python : Python of the check and of the image, from `environments.PINS`; `EVERY` checks in all. None: the Python of Numerai's default
        image, or the newest if nothing is sent.
    check : whether to run it as Numerai would; a pickle that is sent is always checked.

    Raises
    ------
    InputError
        If something must be mended first. `Unconfirmed` or `Unavailable`, its subclasses, if Numerai refuses it or can't be reached.
    """
    p = params.load(paths.PARAMS)
    name = p.upload.prediction
    goal = _goal(model, p.data.version, python) if model else None
    found = served.read(p, [name])
    pipeline, path = found.pipeline, paths.UPLOAD / f"{name}.pkl"
    files.remove(paths.UPLOAD / CHECK)
    size = build.write(build.content(pipeline, name, found.live), path, p.upload.max_megabytes)
    print(f"{path}: {name}, {size / build.MEGABYTE:.1f} MB")
    if not check:
        print("not checked: --no-check")
        return
    pythons = list(environments.PINS) if python == EVERY else [goal.python if goal else python or environments.NEWEST]
    _check(path, live, _expected(pipeline, name, live, p.resources.threads), pythons)
    if goal:
        promises.keep(found.digests[name], found.scores[name])
        _send(goal, path, found.digests[name], 60 * minutes)


def _goal(model: str, version: str, python: str | None) -> Goal:
    account = Pickles(key=keys.read(os.environ, paths.ENVIRONMENT))
    number = account.models([model])[model]
    image, what = account.image(list(environments.PINS) if python in (None, EVERY) else [str(python)])
    print(f"{model}: asks for {what}")
    if image.tag != environments.COMMIT:
        tag = image.tag or "none"
        print(f"{model}: the check has the packages of {environments.COMMIT}; the image may have others, since its tag is {tag}")
    return Goal(account, model, number, {"dataVersionId": account.data_version(version), "dockerImageId": image.id}, image.python)


def _send(goal: Goal, path: Path, digest: str, patience: float) -> None:
    """Send the pickle, wait until Numerai has tried it, and assign it to the model."""
    account, model, number = goal.account, goal.model, goal.number
    entry = {"model": model, "prediction": path.stem, "digest": digest, "pickle": path.name, "sha256": fetching.digest(path)}
    try:
        with errors.about(model):
            sent = account.send(MODEL, path.name, path.read_bytes(), number, **goal.wanted)
        entry["upload"] = sent
        journal.note(entry | {"outcome": journal.WAITING})
        print(f"{model}: {path.name} is sent as {sent}; Numerai tries it", flush=True)
        try:
            status = account.validated(model, number, sent, patience)
            print(f"{model}: Numerai says {status}")
            how = account.assigned(model, number, sent, patience)
        except errors.Unconfirmed:
            _show_logs(goal, sent)
            raise
    except errors.InputError as error:
        journal.note(entry | {"outcome": journal.FAILED, "problem": str(error)})
        raise
    journal.note(entry | {"outcome": status})
    print(f"{model}: it runs {sent} from now on; {how}")


def _show_logs(goal: Goal, sent: str) -> None:
    """Print the server's logs of a pickle; if they can't be read, only say so."""
    lines = 0
    try:
        for line in goal.account.logs(goal.model, goal.number, sent):
            print(f"{goal.model}: Numerai's log: {line}")
            lines += 1
    except errors.InputError as problem:
        print(f"{goal.model}: Numerai's log can't be read: {problem}")
    else:
        if not lines:
            print(f"{goal.model}: Numerai has no log of it")


def _check(path: Path, live: Path, expected: pd.DataFrame, pythons: Sequence[str]) -> None:
    """Run the pickle as Numerai does, compare its predictions, and write the results.

    Parameters
    ----------
    path : the pickle.
    live : live file whose rows are predicted.
    expected : `id` and `prediction` of the same rows, by the pipeline.
    pythons : to run it in, each with Numerai's packages for it.
    """
    benchmarks = live.with_name("live_benchmark_models.parquet")
    found: dict[str, dict[str, Any]] = {}
    for python, interpreter in environments.interpreters(pythons).items():
        with errors.about(f"Python {python}"):
            ran = proof.run(interpreter, path, live, benchmarks if benchmarks.exists() else None)
            largest = proof.difference(ran.predictions, expected)
        peak = round(ran.peak_bytes / build.MEGABYTE, 1)
        found[python] = {"largest_difference": largest, "seconds": ran.seconds, "peak_megabytes": peak, "versions": ran.versions}
        print(
            f"checked with Numerai's packages of Python {python} on {len(expected):,} rows of {live}: the same ranks as the pipeline, "
            f"differs by at most {largest:.1g}, {ran.seconds:.1f} of {proof.SECONDS} s, {ran.peak_bytes / 2**30:.2f} of "
            f"{proof.MEMORY / 2**30:g} GiB"
        )
    pickled = {"bytes": path.stat().st_size, "sha256": fetching.digest(path)}
    files.write_json({"prediction": path.stem, "pickle": pickled, "rows": len(expected), "pythons": found}, paths.UPLOAD / CHECK)


def _expected(pipeline: serving.Pipeline, name: str, live: Path, threads: int) -> pd.DataFrame:
    """Return the pipeline's own prediction: `id` and `prediction`."""
    with tempfile.TemporaryDirectory() as scratch:
        preparation.prepare_live(live, Path(scratch), Panel(paths.LIVE, []), threads)
        return pipeline.predict(Panel(Path(scratch), []), [name], threads).rename(columns={name: PREDICTION})[[ID, PREDICTION]]
