"""`erawise score` on four million rows and ten predictions: seconds, processor seconds and peak memory of the command.

`python -m benchmarks.score_files` draws the data in a temporary directory, scores it with two cores, and prints the figures.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ERAS, ROWS, PREDICTIONS = 650, 6154, 10
FIRST_ERA, META_ERAS = 575, 100
CORES = 2
GIB = 2**30
SHARES = (0.05, 0.2, 0.5, 0.2, 0.05)
"""Shares of the five bins of a target."""


def draw(directory: Path, eras: int, rows: int, predictions: int) -> tuple[Path, Path]:
    """Write a validation file without features, a benchmark model, a meta model and a file of predictions.

    Returns
    -------
    The directory of the data, and the file of predictions.
    """
    data = directory / "data"
    data.mkdir()
    given = directory / "predictions.parquet"
    writers: dict[Path, pq.ParquetWriter] = {}
    rng = np.random.default_rng(0)
    for era in range(FIRST_ERA, FIRST_ERA + eras):
        keys: dict[str, Any] = {"id": [f"n{value:015x}" for value in rng.integers(0, 2**60, rows)], "era": [f"{era:04d}"] * rows}
        target = rng.choice(np.linspace(0, 1, 5, dtype=np.float32), rows, p=SHARES)
        names = ("target", "target_ender_60", "target_ender_20")
        targets = {name: target if name != names[2] else rng.permutation(target) for name in names}
        others: dict[str, Any] = {"v53_lgbm_ender60": _like(target, rng)}
        tables: dict[Path, dict[str, Any]] = {data / "validation.parquet": {"data_type": ["validation"] * rows, **targets}}
        tables[data / "validation_benchmark_models.parquet"] = others
        tables[given] = {f"model_{k}": _like(target, rng) for k in range(predictions)}
        if era >= FIRST_ERA + eras - META_ERAS:
            tables[data / "meta_model.parquet"] = {"numerai_meta_model": _like(target, rng)}
        for path, columns in tables.items():
            table = pa.table(keys | columns)
            if path not in writers:
                writers[path] = pq.ParquetWriter(path, table.schema)
            writers[path].write_table(table)
    for writer in writers.values():
        writer.close()
    return data, given


def _like(target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a prediction between 0 and 1 that knows a little of the target."""
    values = 0.03 * target + rng.normal(size=len(target))
    return (np.argsort(np.argsort(values)) + 0.5) / len(values)


def measure(words: Sequence[str], expected: int = 0) -> tuple[float, float, float]:
    """Run `erawise score` on two cores; return its seconds, its processor seconds, and its peak of resident memory in GiB.

    `expected` is its exit code.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "erawise", "score", *words], stdout=subprocess.DEVNULL, preexec_fn=lambda: _use_cores(CORES)
    )
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != expected:
        raise SystemExit("erawise score ended otherwise than expected")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / GIB


def _use_cores(count: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def main() -> None:
    parser = argparse.ArgumentParser(description="time and memory of erawise score")
    for name, default in (("eras", ERAS), ("rows", ROWS), ("predictions", PREDICTIONS)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with TemporaryDirectory() as directory:
        data, predicted = draw(Path(directory), given.eras, given.rows, given.predictions)
        size = f"{given.eras * given.rows:,} rows x {given.predictions} predictions"
        for what, more in (("all scores but FNC", []), ("a wrong column", ["--columns", "model_0", "modle_1"])):
            seconds, busy, peak = measure([str(predicted), "--data", str(data), *more], expected=int(bool(more)))
            print(f"{size}, {what}: {seconds:.1f} s, of processors {busy:.1f} s, {peak:.2f} GiB")


if __name__ == "__main__":
    main()
