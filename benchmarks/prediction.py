"""Prediction of LightGBM's trees for int8 features: `Booster.predict` and our scorer, both with two threads, with equal bits.

`python -m benchmarks.prediction` prints the table. For more than 32 leaves a tree ours must only be no slower.
"""

import lightgbm
import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Agreement, Row, row, table
from erawise.models.lightgbm.scorer import Scorer

ROWS, FEATURES, FIT_ROWS, THREADS = 100_000, 705, 20_000, 2
SIZES: tuple[tuple[str, dict[str, float], int, float], ...] = (
    ("400 trees", {"num_leaves": 31, "max_depth": 5}, 400, 8.0),
    ("2,000 trees", {"num_leaves": 31, "max_depth": 5, "feature_fraction": 0.1}, 2_000, 8.0),
    ("100 trees of 64 leaves", {"num_leaves": 64, "feature_fraction": 0.1}, 100, 1.0),
    ("100 trees of 256 leaves", {"num_leaves": 256, "feature_fraction": 0.1}, 100, 1.0),
)
"""Name, options of the trees, their number, and the least ratio."""


def rows() -> list[Row]:
    rng = np.random.default_rng(1)
    fitted_on = rng.integers(0, 5, (FIT_ROWS, FEATURES), dtype=np.int8)
    signal = fitted_on[:, :50].astype(np.float32) @ rng.normal(size=50).astype(np.float32)
    target = 0.02 * signal + rng.normal(size=FIT_ROWS)
    data = lightgbm.Dataset(fitted_on.astype(np.float32), target, params={"max_bin": 5, "verbosity": -1}).construct()
    x = rng.integers(0, 5, (ROWS, FEATURES), dtype=np.int8)
    return [
        _row(f"LightGBM prediction, {name}, {ROWS:,} x {FEATURES}", _fit(data, options, trees), x, must)
        for name, options, trees, must in SIZES
    ]


def _fit(data: lightgbm.Dataset, options: dict[str, float], trees: int) -> str:
    common = {"objective": "regression", "learning_rate": 0.01, "max_bin": 5, "seed": 1, "num_threads": THREADS, "verbosity": -1}
    return lightgbm.train({**common, **options}, data, trees).model_to_string()


def _row(name: str, text: str, x: NDArray[np.int8], must: float) -> Row:
    booster, ours = lightgbm.Booster(model_str=text), Scorer.from_text(text)
    return row(
        name,
        lambda: booster.predict(x, num_threads=THREADS),
        lambda: ours.predict(x, THREADS),
        must=must,
        agreement=Agreement(_difference, 0.0),
    )


def _difference(theirs: NDArray[np.float64], ours: NDArray[np.float64]) -> float:
    """Return the largest difference; NaN if the bits differ in another way."""
    same = np.array_equal(theirs.view(np.int64), ours.view(np.int64))
    return 0.0 if same else float(np.abs(theirs - ours).max()) or np.nan


if __name__ == "__main__":
    print(table(rows()))
