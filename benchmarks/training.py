"""LightGBM from data on disk to a fitted model: `LGBMRegressor.fit` on pandas, and the binned files.

`python -m benchmarks.training` prints the table. Every run is a separate process.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import lightgbm as official
import numpy as np
import pandas as pd

from benchmarks import full_size, measure
from erawise.models.lightgbm import model as lightgbm
from erawise.models.lightgbm.settings import LightGBM
from erawise.models.shared.protocol import GIB, Resources
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.preparation import preparation

ERAS, ROWS, FEATURES = 100, 5_000, 705
TREES = 60
THREADS = 2
SETTINGS = LightGBM(
    kind="lightgbm",
    target="target",
    trees=TREES,
    learning_rate=0.01,
    max_depth=5,
    leaves=31,
    feature_share=0.1,
    min_rows_leaf=20,
    l2=0.0,
    early_stopping=100,
    seed=1,
)


def set_up(directory: Path) -> None:
    """Draw the data and prepare it on disk for both ways."""
    raw, prepared = directory / "raw", directory / "prepared"
    raw.mkdir()
    prepared.mkdir()
    full_size.draw(full_size.Size(ERAS, 1, ROWS, ROWS, ROWS, FEATURES), raw)
    preparation.prepare(raw, prepared, preparation.Wanted("all", "target", every=1, demean=False, derived=[]))


def theirs(directory: str, trees: str) -> None:
    """Fit the official way: the Parquet file into pandas, and `LGBMRegressor.fit`."""
    names = full_size.feature_names(full_size.Size(ERAS, 1, ROWS, ROWS, ROWS, FEATURES))
    data = pd.read_parquet(Path(directory) / "raw" / "train.parquet", columns=["target", *names])
    model = official.LGBMRegressor(
        n_estimators=int(trees),
        learning_rate=SETTINGS.learning_rate,
        max_depth=SETTINGS.max_depth,
        num_leaves=SETTINGS.leaves,
        colsample_bytree=SETTINGS.feature_share,
        min_child_samples=SETTINGS.min_rows_leaf,
        random_state=SETTINGS.seed,
        n_jobs=THREADS,
        verbosity=-1,
    ).fit(data[names], data["target"])
    np.save(Path(directory) / "theirs.npy", model.booster_.predict(data[names].iloc[:ROWS]))


def ours(directory: str, trees: str) -> None:
    """Fit on the prepared panel and binned files, which are written if they are missing."""
    panel = Panel(Path(directory) / "prepared" / "panel", ["target"])
    train = View(panel, np.arange(1, ERAS + 1), FeatureMap(panel.names), "target")
    resources = Resources(THREADS, 8 * GIB, Path(directory) / "scratch")
    model = lightgbm.fit(SETTINGS, train, None, int(trees), resources)
    np.save(Path(directory) / "ours.npy", model.predict(panel.block(1)))


def rows(repeats: int = measure.REPEATS) -> list[measure.Row]:
    """Return three lines: up to the first tree without binned files, the same with them, and a fit of `TREES` trees."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        set_up(directory)
        size = f"{ERAS * ROWS:,} x {FEATURES}"
        return [
            _row(f"LightGBM up to the first tree, first time, {size}", directory, 1, repeats, 2.0, 2.5, fresh=True),
            _row(f"LightGBM up to the first tree, after that, {size}", directory, 1, repeats, 25.0, 6.0, fresh=False),
            _row(f"LightGBM, {TREES} trees, after that, {size}", directory, TREES, repeats, 1.0, 6.0, fresh=False),
        ]


def _row(name: str, directory: Path, trees: int, repeats: int, must: float, peak_must: float, *, fresh: bool) -> measure.Row:
    runs: dict[str, list[measure.Run]] = {"theirs": [], "ours": []}
    difference = 0.0
    for _ in range(repeats):
        if fresh:
            shutil.rmtree(directory / "scratch", ignore_errors=True)
        for way, found in runs.items():
            found.append(measure.in_process("training", way, directory, trees))
        difference = float(np.maximum(difference, np.abs(np.load(directory / "theirs.npy") - np.load(directory / "ours.npy")).max()))
    seconds = {way: [run.seconds for run in found] for way, found in runs.items()}
    peaks = {way: int(statistics.median(run.peak for run in found)) for way, found in runs.items()}
    return measure.Row(
        name,
        statistics.median(seconds["theirs"]),
        statistics.median(seconds["ours"]),
        must,
        difference,
        1e-15,
        peaks["theirs"],
        peaks["ours"],
        peak_must,
        (min(seconds["theirs"]), max(seconds["theirs"])),
        (min(seconds["ours"]), max(seconds["ours"])),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=measure.REPEATS)
    print(measure.table(rows(parser.parse_args().repeats)))


if __name__ == "__main__":
    main()
