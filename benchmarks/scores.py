"""Scores, exposures and neutralization of eras of full size, compared with numerai-tools and pandas in one process.

`python -m benchmarks.scores` prints the table. `--scaling` prints the growth of time with rows, features, eras and predictions.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numerai_tools import scoring
from numpy.typing import NDArray

from benchmarks.measure import Agreement, Row, row, table
from erawise.blend.neutralization import neutralize_block
from erawise.scores import kernels
from erawise.scores.eras import Known, score_eras

THREADS = 2
ERAS, ROWS, PREDICTIONS, FEATURES = 200, 5000, 10, 2376
NEUTRAL_ERAS = 2
REPEATS = 3
SCALED = {"eras": 4, "rows": 2500, "predictions": 4, "features": 500}
"""The size from which each dimension is doubled, with the others fixed."""
DOUBLINGS = 3


def int8_features(rows: int, count: int, seed: int) -> NDArray[np.int8]:
    """Draw (rows, count) features in five bins, correlated in groups and with a common factor."""
    rng = np.random.default_rng(seed)
    groups = rng.normal(size=(rows, max(1, count // 20)))
    values = rng.normal(size=(rows, count)) + groups[:, rng.integers(0, groups.shape[1], count)] + 0.5 * rng.normal(size=(rows, 1))
    bins = np.argsort(np.argsort(values, axis=0), axis=0) * 5 // rows
    return bins.astype(np.int8)


def predicted_eras(eras: int, rows: int, predictions: int, seed: int) -> pd.DataFrame:
    """Draw `era`, `target`, `meta` and predictions `p0`, `p1`, ...; ids as the index, sorted in each era."""
    rng = np.random.default_rng(seed)
    total = eras * rows
    target = rng.choice([0, 0.25, 0.5, 0.75, 1], total, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    columns = {f"p{k}": rng.normal(size=total) + 0.05 * target for k in range(predictions)}
    index = [f"n{k:09d}" for k in range(total)]
    return pd.DataFrame(
        {"era": np.repeat(np.arange(1, eras + 1), rows), "target": target, "meta": rng.normal(size=total), **columns}, index
    )


def official_scores(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Compute (3, eras, predictions) CORR, Spearman and MMC, as users of numerai-tools do."""
    names = [name for name in frame if name.startswith("p")]

    def spearman(era: pd.DataFrame) -> pd.Series:
        return era[names].corrwith(era["target"], method="spearman")

    groups = frame.groupby("era")
    return np.array(
        [
            groups.apply(lambda era: scoring.numerai_corr(era[names], era["target"])).to_numpy(),
            groups.apply(spearman).to_numpy(),
            groups.apply(lambda era: scoring.correlation_contribution(era[names], era["meta"], era["target"])).to_numpy(),
        ]
    )


def our_scores(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Compute the same by `score_eras`, which also returns AUC, MSE and the correlation with the meta model."""
    names = [name for name in frame if name.startswith("p")]
    target, meta, era = (frame[name].to_numpy() for name in ("target", "meta", "era"))
    scores = score_eras(frame[names], target, era, Known(meta_model=meta), threads=THREADS)
    return np.array([scores[name].to_numpy().reshape(-1, len(names)) for name in ("corr", "spearman", "mmc")])


def difference(theirs: NDArray, ours: NDArray) -> float:
    return float(np.abs(np.asarray(theirs) - np.asarray(ours)).max())


def rank_scores_row() -> Row:
    """Measure CORR, Spearman and MMC from a pandas frame."""
    frame = predicted_eras(ERAS, ROWS, PREDICTIONS, 0)
    return row(
        f"CORR + Spearman + MMC, {ERAS} eras x {ROWS:,} x {PREDICTIONS}",
        lambda: official_scores(frame),
        lambda: our_scores(frame),
        must=40,
        agreement=Agreement(difference, 1e-12),
    )


def exposure_row(predictions: int, must: float) -> Row:
    """Measure the Pearson correlations of each feature with each prediction."""
    block = int8_features(ROWS, FEATURES, 1)
    frame = pd.DataFrame(block)
    values = np.random.default_rng(2).normal(size=(ROWS, predictions)) + 0.1 * block[:, :predictions]
    return row(
        f"exposure, {ROWS:,} x {FEATURES:,}, {_counted(predictions)}",
        lambda: np.array([frame.corrwith(pd.Series(column)) for column in values.T]),
        lambda: kernels.exposures(values, block, THREADS),
        must=must,
        agreement=Agreement(difference, 1e-12),
    )


def neutralize_row(predictions: int, must: float, rows: int = ROWS, *, collinear: bool = False) -> Row:
    """Measure the residuals of one era. If `collinear`, a constant and 20 duplicated features are among the features."""
    block = int8_features(rows, FEATURES, 3)
    if collinear:
        block[:, -20:] = block[:, :20]
        block[:, 100] = 2
    frame = pd.DataFrame(block)
    values = pd.DataFrame(np.random.default_rng(4).normal(size=(rows, predictions)) + 0.1 * block[:, :predictions])
    return row(
        f"neutralize, {rows:,} x {FEATURES:,}, {_counted(predictions)}" + (", collinear" if collinear else ""),
        lambda: scoring.neutralize(values, frame).to_numpy(),
        lambda: neutralize_block(values.to_numpy(), block, 1.0, THREADS),
        must=must,
        agreement=Agreement(difference, 1e-10),
    )


def neutral_corr_row(predictions: int, must: float) -> Row:
    """Measure the FNC of eras from a pandas frame; ours computes all other scores too."""
    block = int8_features(ROWS, FEATURES, 5)
    frame, all_features = predicted_eras(NEUTRAL_ERAS, ROWS, predictions, 6), pd.DataFrame(block)
    names = [f"p{k}" for k in range(predictions)]
    target, numbers, known = frame["target"].to_numpy(), frame["era"].to_numpy(), Known(features=lambda _: block)

    def official(era: pd.DataFrame) -> pd.Series:
        return scoring.feature_neutral_corr(era[names], all_features.set_axis(era.index), era["target"])

    return row(
        f"FNC, {NEUTRAL_ERAS} eras x {ROWS:,} x {FEATURES:,}, {_counted(predictions)}",
        lambda: frame.groupby("era").apply(official).to_numpy().ravel(),
        lambda: score_eras(frame[names], target, numbers, known, threads=THREADS)["fnc"].to_numpy(),
        must=must,
        agreement=Agreement(difference, 1e-10),
    )


def rows() -> list[Row]:
    """Return every comparison of the scores."""
    return [
        rank_scores_row(),
        exposure_row(1, 100),
        exposure_row(10, 250),
        neutralize_row(1, 10),
        neutralize_row(10, 8),
        neutralize_row(1, 10, collinear=True),
        neutralize_row(1, 10, rows=2000),
        neutral_corr_row(1, 10),
        neutral_corr_row(10, 8),
    ]


def scaling() -> pd.DataFrame:
    """Measure all scores of `score_eras` while each dimension is doubled: `dimension`, `size`, `seconds`."""
    found = []
    _score_all(**SCALED)
    for dimension, start in SCALED.items():
        for doubling in range(DOUBLINGS + 1):
            size = start * 2**doubling
            found.append((dimension, size, _score_all(**{**SCALED, dimension: size})))
    return pd.DataFrame(found, columns=["dimension", "size", "seconds"])


def _score_all(eras: int, rows: int, predictions: int, features: int) -> float:
    """Return the least seconds of three runs, over data drawn before."""
    frame = predicted_eras(eras, rows, predictions, 5)
    block = int8_features(rows, features, 6)
    names = [name for name in frame if name.startswith("p")]
    target, era, meta = (frame[name].to_numpy() for name in ("target", "era", "meta"))
    known = Known(meta_model=meta, features=lambda _: block)
    return _least(lambda: score_eras(frame[names], target, era, known, threads=THREADS))


def _least(call: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _counted(predictions: int) -> str:
    return f"{predictions} prediction" + "s" * (predictions > 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="scores against numerai-tools and pandas")
    parser.add_argument("--scaling", action="store_true", help="print cost against size instead")
    print(scaling().to_string(index=False) if parser.parse_args().scaling else table(rows()))


if __name__ == "__main__":
    main()
