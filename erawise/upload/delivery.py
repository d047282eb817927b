"""The pickle for Numerai's model upload: built, proven with Numerai's packages, and sent."""

import hashlib
import os
import tempfile
from pathlib import Path

import pandas as pd

from erawise import params
from erawise.base import files
from erawise.base.schema import ID, PREDICTION
from erawise.live import journal, keys, promises, served, serving
from erawise.live.account import MODEL, Account
from erawise.panel.panel import Panel
from erawise.preparation import preparation
from erawise.running import errors, paths
from erawise.sources.numerai import fetching
from erawise.upload import build, proof

CHECK = "check.json"
"""What was found of the pickle beside it; absent where it isn't checked, or fails."""


@files.exclusive_lock(paths.UPLOAD, "upload")
def deliver(live: Path, model: str | None, minutes: float, *, check: bool) -> None:
    """Build the pickle of `upload.prediction`, check it and send it.

    Parameters
    ----------
    live : live file whose rows the check predicts.
    model : of the account, for which it is sent; None if it isn't to be sent.
    minutes : how long Numerai may take to try it.
    check : whether it is run as Numerai would run it; one that is sent always is.

    Raises
    ------
    InputError
        If something must be mended first; its kinds `Unconfirmed` and `Unavailable` if Numerai refuses it or can't be reached.
    """
    p = params.load(paths.PARAMS)
    name = p.upload.prediction
    account = Account(key=keys.read(os.environ, paths.ENVIRONMENT)) if model else None
    ids = account.models([model]) if account and model else {}
    found = served.read(p, [name])
    pipeline, path = found.pipeline, paths.UPLOAD / f"{name}.pkl"
    files.remove(paths.UPLOAD / CHECK)
    size = build.write(build.content(pipeline, name, found.live), path, p.upload.max_megabytes)
    print(f"{path}: {name}, {size / build.MEGABYTE:.1f} MB")
    if not check:
        print("not checked: --no-check")
        return
    _check(pipeline, name, path, live, p.resources.threads)
    if account and model:
        promises.keep(found.digests[name], found.scores[name])
        _send(account, model, ids[model], path, found.digests[name], p.data.version, 60 * minutes)


def _send(account: Account, model: str, number: str, path: Path, digest: str, version: str, patience: float) -> None:
    """Send the pickle, and wait until Numerai has tried it."""
    chosen = account.surroundings(version, proof.PYTHON)
    if "dockerImageId" not in chosen:
        print(f"{model}: Numerai names no Python {proof.PYTHON}; it chooses one itself")
    entry = {"model": model, "prediction": path.stem, "digest": digest, "pickle": path.name, "sha256": fetching.digest(path)}
    try:
        with errors.about(model):
            sent = account.send(MODEL, path.name, path.read_bytes(), number, **chosen)
        entry["upload"] = sent
        journal.note(entry | {"outcome": journal.WAITING})
        print(f"{model}: {path.name} is sent as {sent}; Numerai tries it", flush=True)
        status = account.tried(model, sent, patience)
    except errors.InputError as error:
        journal.note(entry | {"outcome": journal.FAILED, "problem": str(error)})
        raise
    journal.note(entry | {"outcome": status})
    print(f"{model}: Numerai says {status}")


def _check(pipeline: serving.Pipeline, name: str, path: Path, live: Path, threads: int) -> None:
    """Run the pickle as Numerai does, compare, and write down what was found."""
    expected = _expected(pipeline, name, live, threads)
    benchmarks = live.with_name("live_benchmark_models.parquet")
    found = proof.run(proof.environment(paths.UPLOAD / "environment"), path, live, benchmarks if benchmarks.exists() else None)
    largest = proof.difference(found.predictions, expected)
    content = {
        "prediction": name,
        "pickle": {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        "rows": len(expected),
        "largest_difference": largest,
        "seconds": found.seconds,
        "peak_megabytes": round(found.peak_bytes / build.MEGABYTE, 1),
        "versions": found.versions,
    }
    files.write_json(content, paths.UPLOAD / CHECK)
    print(
        f"checked with Numerai's packages on {len(expected):,} rows of {live}: differs by at most {largest:.1g} from the pipeline, "
        f"{found.seconds:.1f} of {proof.SECONDS} s, {found.peak_bytes / 2**30:.2f} of {proof.MEMORY / 2**30:g} GiB"
    )


def _expected(pipeline: serving.Pipeline, name: str, live: Path, threads: int) -> pd.DataFrame:
    """The pipeline's own prediction: `id` and `prediction`."""
    with tempfile.TemporaryDirectory() as scratch:
        preparation.prepare_live(live, Path(scratch), Panel(paths.LIVE, []), threads)
        return pipeline.predict(Panel(Path(scratch), []), [name], threads).rename(columns={name: PREDICTION})[[ID, PREDICTION]]
