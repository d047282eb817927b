"""The proof that a pickle gives the pipeline's predictions under Numerai's conditions: its packages, one core, its limit of memory."""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base import files, tabular
from erawise.base.schema import ID, PREDICTION
from erawise.running.errors import InputError
from erawise.upload import trial

MEMORY, SECONDS = 4 * 2**30, 600
"""Bytes and seconds that Numerai gives a model."""

TOLERANCE = 1e-6
"""Largest allowed difference from the pipeline's prediction."""

TIE = 1e-9
"""Predictions this close have the same rank: only the last bits of an addition order them."""


@dataclass(frozen=True)
class Trial:
    """The result of a run of the pickle.

    Attributes
    ----------
    predictions : of the function: column `prediction`, indexed by `id`.
    seconds : to import pandas, read the pickle and the files of live data, and predict.
    peak_bytes : memory of the process.
    versions : of Python and its packages.
    """

    predictions: pd.DataFrame
    seconds: float
    peak_bytes: int
    versions: dict[str, str]


def run(python: Path, pickled: Path, live: Path, benchmarks: Path | None) -> Trial:
    """Run a pickle on files of live data in a new process, as Numerai would, without network.

    Parameters
    ----------
    python : interpreter of the environment.
    pickled : path of the pickle.
    live, benchmarks : Parquet files of live features and, if there are any, of benchmark models.

    Raises
    ------
    InputError
        If it needs more than `MEMORY` or `SECONDS`, or raises an error.
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
        report = files.read_json(out / "trial.json")
        predictions = pd.read_parquet(out / "predictions.parquet")
        return Trial(predictions, report["seconds"], report["peak_bytes"], report["versions"])


def _surroundings() -> dict[str, str]:
    """Return the environment variables of the process: what Python needs to start, no proxy, no key."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}


def _why(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode < 0:
        return f"it was ended by signal {-done.returncode}"
    return next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit code {done.returncode}")


def difference(found: pd.DataFrame, expected: pd.DataFrame) -> float:
    """Return the largest difference between the pickle's prediction and the pipeline's.

    Parameters
    ----------
    found : indexed by `id`, with only the column `prediction`.
    expected : `id` and `prediction`, in any order.

    Raises
    ------
    InputError
        If ids or columns differ, a value isn't finite, the difference is above `TOLERANCE`, or the ranks differ.
    """
    if list(found.columns) != [PREDICTION] or found.index.name != ID:
        raise InputError(f"upload: the pickle gives {list(found.columns)} by {found.index.name!r}; expected {PREDICTION!r} by {ID!r}")
    own = expected.set_index(ID)[PREDICTION]
    if len(found) != len(own) or set(found.index) != set(own.index):
        raise InputError(f"upload: the pickle gives {len(found)} rows, and not the {len(own)} ids of the live data once each")
    own = own.loc[found.index]
    largest = float(np.abs(found[PREDICTION] - own).max(skipna=False))
    if not largest <= TOLERANCE:
        raise InputError(
            f"upload: the pickle's predictions differ from the pipeline's by up to {largest:.2g}, more than {TOLERANCE:g}; don't upload it"
        )
    outside = int((~found[PREDICTION].between(0, 1)).sum())
    if outside:
        raise InputError(
            f"upload.prediction: {outside} predictions lie outside of 0 to 1, which Numerai accepts; choose ensemble or neutralized"
        )
    moved = int((ranks(found[PREDICTION].to_numpy()) != ranks(own.to_numpy())).sum())
    if moved:
        raise InputError(f"upload: the pickle ranks {moved} of {len(own)} rows otherwise than the pipeline; don't upload it")
    return largest


def ranks(predictions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the (rows,) ranks of finite predictions, from 0; neighbours within `TIE` have the same rank."""
    order = np.argsort(predictions, kind="stable")
    found = np.zeros(len(order), np.int64)
    found[order[1:]] = np.cumsum(np.diff(predictions[order]) > TIE)
    return found
