"""The proof that a pickle gives the pipeline's own predictions where Numerai runs it: with its packages, on one core, in its memory."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from erawise.base import files, tabular
from erawise.base.schema import ID, PREDICTION
from erawise.running.errors import InputError
from erawise.upload import trial

PYTHON = "3.11"
PACKAGES = ("numpy==2.1.3", "pandas==2.3.1", "scipy==1.16.0", "lightgbm==4.6.0", "pyarrow==26.0.1")
"""What Numerai has for that Python (docs.numer.ai, April 2026), as far as the pickle needs it; and pyarrow, to read live data."""

MEMORY, SECONDS = 4 * 2**30, 600
"""Bytes and seconds that Numerai gives a model."""

TOLERANCE = 1e-6
"""By which a prediction may differ from the pipeline's."""

COMPLETE = "packages.json"
"""What the environment holds, written once all of it is there."""


@dataclass(frozen=True)
class Trial:
    """How the pickle ran.

    Attributes
    ----------
    predictions : indexed by `id`, with the column `prediction`, as the function gave them.
    seconds : to import pandas, read the pickle and the files of live data, and predict.
    peak_bytes : memory of the process.
    versions : of Python and its packages.
    """

    predictions: pd.DataFrame
    seconds: float
    peak_bytes: int
    versions: dict[str, str]


def environment(directory: Path) -> Path:
    """The Python of an environment with Numerai's versions; set up once, and again where it isn't whole.

    Raises
    ------
    InputError
        If there is no Python of that version, or a package can't be had.
    """
    python, complete = directory / "bin" / "python", directory / COMPLETE
    if complete.exists() and python.exists() and _packages(complete) == list(PACKAGES):
        return python
    files.remove(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    interpreter = sys.executable if sys.version.startswith(f"{PYTHON}.") else shutil.which(f"python{PYTHON}")
    if interpreter is None:
        raise InputError(f"upload: the check runs with Python {PYTHON}, whose packages at Numerai are known, and there is none; install it")
    # this environment's own pip installs, since one more pip takes longer than all else
    command = [interpreter, "-m", "venv", "--without-pip", str(directory)]
    _run(command, f"an environment of Python {PYTHON} can't be made; its module venv is needed")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *PACKAGES]
    _run(command, "the packages that Numerai has can't be installed")
    files.write_json(PACKAGES, complete)
    return python


def _packages(complete: Path) -> object:
    try:
        return json.loads(complete.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        absent = re.search(r"No matching distribution found for (\S+)", done.stderr)
        why = f"there is no {absent[1]}" if absent else f"exit code {done.returncode}"
        raise InputError(f"upload: {failure} ({why}); check that pip reaches a package index, or skip the check with --no-check")


def run(python: Path, pickled: Path, live: Path, benchmarks: Path | None) -> Trial:
    """Run a pickle on files of live data in a process of its own, as Numerai would, without network.

    Parameters
    ----------
    python : of the environment to run in.
    pickled : the file.
    live, benchmarks : Parquet files of live features and, where there are any, of benchmark models.

    Raises
    ------
    InputError
        If it takes more than `MEMORY` or `SECONDS`, or raises an error.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        if benchmarks is None:
            benchmarks = out / "benchmarks.parquet"
            tabular.read_parquet(live, [ID]).to_parquet(benchmarks)
        places = [str(path.resolve()) for path in (pickled, live, benchmarks, out)]
        command = [str(python.absolute()), "-I", trial.__file__, *places, str(MEMORY)]
        try:
            done = subprocess.run(command, cwd=out, env=_surroundings(), capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise InputError(f"{pickled}: it takes more than {SECONDS} s, which is what Numerai gives it; choose a smaller model") from None
        if done.returncode:
            raise InputError(f"{pickled}: it fails in {MEMORY / 2**30:g} GiB of memory with Numerai's packages: {_why(done)}")
        told = files.read_json(out / "trial.json")
        predictions = pd.read_parquet(out / "predictions.parquet")
        return Trial(predictions, told["seconds"], told["peak_bytes"], told["versions"])


def _surroundings() -> dict[str, str]:
    """The environment variables of the process: what Python needs to start, no proxy, no key."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}


def _why(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode < 0:
        return f"it was ended by signal {-done.returncode}"
    return next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit code {done.returncode}")


def difference(found: pd.DataFrame, expected: pd.DataFrame) -> float:
    """The largest difference of what the pickle gave from the pipeline's own prediction.

    Parameters
    ----------
    found : indexed by `id`, with the column `prediction` alone.
    expected : `id` and `prediction`, in any order.

    Raises
    ------
    InputError
        If the ids or columns are others, a value isn't finite, or the difference is above `TOLERANCE`.
    """
    if list(found.columns) != [PREDICTION] or found.index.name != ID:
        raise InputError(f"upload: the pickle gives {list(found.columns)} by {found.index.name!r}; expected {PREDICTION!r} by {ID!r}")
    own = expected.set_index(ID)[PREDICTION]
    if len(found) != len(own) or set(found.index) != set(own.index):
        raise InputError(f"upload: the pickle gives {len(found)} rows, and not the {len(own)} ids of the live data once each")
    largest = float(np.abs(found[PREDICTION] - own.loc[found.index]).max(skipna=False))
    if not largest <= TOLERANCE:
        raise InputError(
            f"upload: the pickle's predictions differ from the pipeline's by up to {largest:.2g}, more than {TOLERANCE:g}; don't upload it"
        )
    outside = int((~found[PREDICTION].between(0, 1)).sum())
    if outside:
        raise InputError(
            f"upload.prediction: {outside} predictions lie outside of 0 to 1, where Numerai takes them; choose ensemble or neutralized"
        )
    return largest
