"""The whole job on the same data with the same model: as the official notebooks do it, and as this project does it.

It goes from Parquet files to a fitted model of 2,000 trees, its validation predictions, and CORR, MMC, FNC and the largest exposure of
each validation era, on all features. `python -m benchmarks.whole_job` prints the table. Every run is a separate process.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightgbm as official
import numpy as np
import pandas as pd
from numerai_tools.scoring import correlation_contribution, feature_neutral_corr, numerai_corr

from benchmarks import full_size, measure
from benchmarks.training import SETTINGS, THREADS
from erawise import predictions
from erawise.base import tabular
from erawise.base.schema import ERA, ID, META_MODEL, VALIDATION
from erawise.models.lightgbm import model as lightgbm
from erawise.models.shared.protocol import GIB, Resources
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.preparation import preparation
from erawise.scores.eras import Known, score_eras

SIZE = full_size.Size(train_eras=50, validation_eras=48, train_rows=5_000, validation_rows=5_000, live_rows=100, features=780)
TREES = 2_000
TARGET = "target"
SCORES = ("corr", "mmc", "fnc", "exposure_max")


@contextmanager
def growing() -> Iterator[list[float]]:
    """Yield a list of one number: the seconds that LightGBM needs to grow trees meanwhile."""
    spent, update = [0.0], official.Booster.update

    def timed(self: official.Booster, *arguments: Any, **named: Any) -> bool:
        start = time.perf_counter()
        try:
            return update(self, *arguments, **named)
        finally:
            spent[0] += time.perf_counter() - start

    official.Booster.update = timed
    try:
        yield spent
    finally:
        official.Booster.update = update


def theirs(directory: str) -> float:
    """Run pandas, `LGBMRegressor`, and numerai-tools era by era; write the scores, and return the seconds of growing trees."""
    raw, names = Path(directory) / "raw", full_size.feature_names(SIZE)
    train = pd.read_parquet(raw / "train.parquet", columns=["era", TARGET, *names])
    model = official.LGBMRegressor(
        n_estimators=TREES,
        learning_rate=SETTINGS.learning_rate,
        max_depth=SETTINGS.max_depth,
        num_leaves=SETTINGS.leaves,
        colsample_bytree=SETTINGS.feature_share,
        min_child_samples=SETTINGS.min_rows_leaf,
        random_state=SETTINGS.seed,
        n_jobs=THREADS,
        verbosity=-1,
    )
    with growing() as spent:
        model.fit(train[names], train[TARGET])
    validation = pd.read_parquet(raw / "validation.parquet", columns=["id", "era", TARGET, *names]).set_index("id")
    validation[META_MODEL] = pd.read_parquet(raw / "meta_model.parquet", columns=["id", META_MODEL]).set_index("id")[META_MODEL]
    validation["prediction"] = model.predict(validation[names])
    scores = [_official_scores(frame, names) for _, frame in validation.groupby("era")]
    np.save(Path(directory) / "theirs.npy", scores)
    return spent[0]


def _official_scores(frame: pd.DataFrame, names: list[str]) -> list[float]:
    prediction, target = frame[["prediction"]], frame[TARGET].astype(np.float64)
    return [
        numerai_corr(prediction, target).iloc[0],
        correlation_contribution(prediction, frame[META_MODEL], target).iloc[0],
        feature_neutral_corr(prediction, frame[names], target).iloc[0],
        frame[names].corrwith(frame["prediction"]).abs().max(),
    ]


def ours(directory: str) -> float:
    """Run this project's way, with the preparation of the data; write the scores, and return the seconds of growing trees."""
    prepared = Path(directory) / "prepared"
    prepared.mkdir()
    raw = Path(directory) / "raw"
    preparation.prepare(raw, prepared, preparation.Wanted("all", TARGET, every=1, demean=False, derived=[]), threads=THREADS)
    panel = Panel(prepared / "panel", [TARGET])
    features, last = FeatureMap(panel.names), SIZE.train_eras
    train = View(panel, np.arange(1, last + 1), features, TARGET)
    with growing() as spent:
        model = lightgbm.fit(SETTINGS, train, None, TREES, Resources(THREADS, 8 * GIB, Path(directory) / "scratch"))
    test = View(panel, panel.eras[panel.eras > last], features)
    known = predictions.known_targets(panel, tabular.read_parquet(prepared / "validation_targets.parquet", [ID, ERA, TARGET]), TARGET)
    references = tabular.read_parquet(prepared / "references.parquet", [META_MODEL])
    table = score_eras(
        pd.DataFrame({VALIDATION: np.concatenate([model.predict(block) for block in test.blocks()])}),
        known[test.rows],
        test.era,
        Known(meta_model=references[META_MODEL].to_numpy()[test.rows], features=panel.block),
        threads=THREADS,
    )
    np.save(Path(directory) / "ours.npy", table[list(SCORES)].to_numpy())
    return spent[0]


def rows(repeats: int = measure.REPEATS) -> list[measure.Row]:
    """Return two lines: everything except growing the trees, and all of it."""
    runs: dict[str, list[measure.Run]] = {"theirs": [], "ours": []}
    difference = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        (directory / "raw").mkdir()
        full_size.draw(SIZE, directory / "raw")
        for _ in range(repeats):
            for way, found in runs.items():
                for left in ("prepared", "scratch"):
                    shutil.rmtree(directory / left, ignore_errors=True)
                found.append(measure.in_process("whole_job", way, directory))
            difference = float(np.maximum(difference, np.abs(np.load(directory / "theirs.npy") - np.load(directory / "ours.npy")).max()))
    peaks = {way: int(statistics.median(run.peak for run in found)) for way, found in runs.items()}
    beside = {way: [run.seconds - run.found for run in found] for way, found in runs.items()}
    whole = {way: [run.seconds for run in found] for way, found in runs.items()}
    size = f"{SIZE.features} features, {TREES:,} trees, {len(SCORES)} scores"
    return [
        _row(f"whole job but growing the trees, {size}", beside, 10.0, difference, peaks),
        _row(f"whole job, {size}", whole, 1.5, difference, peaks),
    ]


def _row(name: str, seconds: dict[str, list[float]], must: float, difference: float, peaks: dict[str, int]) -> measure.Row:
    theirs, ours = seconds["theirs"], seconds["ours"]
    return measure.Row(
        name,
        statistics.median(theirs),
        statistics.median(ours),
        must,
        difference,
        1e-9,
        peaks["theirs"],
        peaks["ours"],
        6.0,
        spread_theirs=(min(theirs), max(theirs)),
        spread_ours=(min(ours), max(ours)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=measure.REPEATS)
    print(measure.table(rows(parser.parse_args().repeats)))


if __name__ == "__main__":
    main()
