"""Rates at which `erawise audit` flags classic mistakes, and the same recipes made right.

`python -m benchmarks.audit --seeds 100 --write` makes the table in docs/audit.md. Each audit draws data of its own.
"""

import argparse
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import measure
from erawise.folds import splits
from erawise.lab import auditing
from erawise.lab.auditing import Shape
from erawise.lab.called import Function
from erawise.lab.verdicts import NOT_TESTED, Audit
from erawise.scores.kernels import Floats

PAGE = measure.ROOT / "docs" / "audit.md"

SHAPE = Shape(rows=60, eras=100, features=20)
CHOSEN, FOLDS, TESTED = 8, 5, 20
PURGE, SHORT = 16, 4
PENALTY = 100.0

Rows = NDArray[np.bool_]
Folds = Iterator[tuple[Rows, Rows]]


@dataclass(frozen=True)
class Recipe:
    """A way to make predictions, whether it leaks, and what it does."""

    about: str
    leaks: bool
    function: Function


def kfold(eras: pd.Series, purge: int) -> Folds:
    """Yield training and test rows of contiguous blocks of eras with a purge."""
    for fold in splits.purged_kfold(np.unique(eras), FOLDS, purge):
        yield eras.isin(fold.train).to_numpy(), eras.isin(fold.test).to_numpy()


def last_eras(eras: pd.Series, purge: int) -> Folds:
    """Yield the training rows of all eras that are more than `purge` weeks before the last 20, and the rows of these."""
    yield (eras < eras.max() - TESTED + 1 - purge).to_numpy(), (eras > eras.max() - TESTED).to_numpy()


def best(x: Floats, y: Floats) -> NDArray[np.int64]:
    """Return the columns with the largest absolute correlation with the target."""
    return np.argsort(-np.abs(np.corrcoef(x, y, rowvar=False)[-1, :-1]))[:CHOSEN]


def ridge(x: Floats, y: Floats, test: Floats) -> Floats:
    """Fit a ridge regression and predict."""
    centre = x.mean(axis=0)
    weights = np.linalg.solve((x - centre).T @ (x - centre) + PENALTY * np.eye(x.shape[1]), (x - centre).T @ (y - y.mean()))
    return np.asarray((test - centre) @ weights)


def folded(folds: Callable[[pd.Series, int], Folds], purge: int, select: str = "none", scale: str = "none") -> Function:
    """Make a recipe of a ridge regression: features are chosen, or scaled, on `training`, `test` or `all` eras, or not at all."""

    def predict(features: pd.DataFrame, target: pd.Series, eras: pd.Series) -> pd.Series:
        x, y, out = features.to_numpy(np.float64), target.to_numpy(np.float64), np.full(len(target), np.nan)
        for train, test in folds(eras, purge):
            rows = {"training": train, "test": test, "all": np.ones(len(y), bool)}
            columns = np.arange(x.shape[1]) if select == "none" else best(x[rows[select]], y[rows[select]])
            spread = np.ones(x.shape[1]) if scale == "none" else x[rows[scale]].std(axis=0) ** 2
            scaled = (x / spread)[:, columns]
            out[test] = ridge(scaled[train], y[train], scaled[test])
        return pd.Series(out, index=features.index)

    return predict


def over_rows(features: pd.DataFrame, target: pd.Series, eras: pd.Series) -> pd.Series:
    """Predict by a k-fold over shuffled rows."""
    x, y, out = features.to_numpy(np.float64), target.to_numpy(np.float64), np.full(len(target), np.nan)
    fold = np.random.default_rng(0).integers(FOLDS, size=len(y))
    for number in range(FOLDS):
        out[fold == number] = ridge(x[fold != number], y[fold != number], x[fold == number])
    return pd.Series(out, index=features.index)


def encoded(everywhere: bool) -> Function:
    """Make a recipe that replaces each feature's value by the mean target of the value, over all eras or over the training eras."""

    def predict(features: pd.DataFrame, target: pd.Series, eras: pd.Series) -> pd.Series:
        x, y, out = features.to_numpy(), target.to_numpy(np.float64), np.full(len(target), np.nan)
        for train, test in kfold(eras, PURGE):
            rows = np.ones(len(y), bool) if everywhere else train
            means = np.empty(x.shape)
            for column in range(x.shape[1]):
                values, codes = np.unique(x[:, column], return_inverse=True)
                counts = np.bincount(codes[rows], minlength=len(values))
                sums = np.bincount(codes[rows], y[rows], minlength=len(values))
                means[:, column] = (sums / np.maximum(counts, 1))[codes]
            out[test] = ridge(100 * means[train], y[train], 100 * means[test])
        return pd.Series(out, index=features.index)

    return predict


def stopped(on_test: bool) -> Function:
    """Make a recipe of boosted trees whose number is chosen on the test eras, or on the last of the training eras."""

    def predict(features: pd.DataFrame, target: pd.Series, eras: pd.Series) -> pd.Series:
        x, y, out = features.to_numpy(np.float64), target.to_numpy(np.float64), np.full(len(target), np.nan)
        settings = {"objective": "l2", "num_leaves": 4, "learning_rate": 0.1, "verbose": -1, "num_threads": 1, "seed": 0}
        for train, test in kfold(eras, PURGE):
            late = eras > np.quantile(eras[train], 0.8)
            learned = train if on_test else train & ~late.to_numpy()
            checked = test if on_test else train & late.to_numpy()
            data = lightgbm.Dataset(x[learned], y[learned])
            stop = lightgbm.early_stopping(5, verbose=False)
            model = lightgbm.train(
                settings, data, 40, valid_sets=[lightgbm.Dataset(x[checked], y[checked], reference=data)], callbacks=[stop]
            )
            out[test] = model.predict(x[test])
        return pd.Series(out, index=features.index)

    return predict


RECIPES = [
    Recipe("60 days, a purge of 4, features ranked on the last 20 eras, which are the test", True, folded(last_eras, SHORT, "test")),
    Recipe("the same with a purge of 16, features ranked on training eras", False, folded(last_eras, PURGE, "training")),
    Recipe("k-fold with a purge of 4", True, folded(kfold, SHORT)),
    Recipe("k-fold with a purge of 10, two weeks short", True, folded(kfold, 10)),
    Recipe("k-fold with a purge of 16", False, folded(kfold, PURGE)),
    Recipe("k-fold over shuffled rows", True, over_rows),
    Recipe("features scaled over all eras", True, folded(kfold, PURGE, scale="all")),
    Recipe("features scaled over training eras", False, folded(kfold, PURGE, scale="training")),
    Recipe("target encoding over all eras", True, encoded(True)),
    Recipe("target encoding over training eras", False, encoded(False)),
    Recipe("early stopping on the test eras", True, stopped(True)),
    Recipe("early stopping on late training eras", False, stopped(False)),
    Recipe("features selected once for all folds", True, folded(kfold, PURGE, "all")),
    Recipe("features selected in each fold", False, folded(kfold, PURGE, "training")),
]


def one(task: tuple[int, int, Shape]) -> tuple[Audit, float]:
    """Return the audit of a recipe, by its number, with a seed, and its CPU seconds."""
    number, seed, shape = task
    recipe, start = RECIPES[number], time.process_time()
    return auditing.audit(recipe.function, shape=shape, seed=seed, name=recipe.about), time.process_time() - start


def line(recipe: Recipe, found: Sequence[Audit], seconds: Sequence[float]) -> str:
    """Return a line of the table."""
    flagged = [audit for audit in found if audit.verdict != "clean"]
    counts = Counter(test.name for audit in flagged for test in audit.tests if test.verdict not in ("clean", NOT_TESTED))
    by = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    missed = len(found) - len(flagged) if recipe.leaks else len(flagged)
    kind = "leaks" if recipe.leaks else "right"
    return f"| {recipe.about} | {kind} | {len(flagged)} of {len(found)} | {missed} | {by or '-'} | {max(seconds):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rows", type=int, default=SHAPE.rows, help="rows of an era")
    parser.add_argument("--only", default="", help="recipes whose line has these words")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    lines = ["| recipe | it | flagged | wrong verdicts | flagged by | most CPU seconds |", "|---|---|---:|---:|---|---:|"]
    print("\n".join(lines))
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        for number, recipe in enumerate(RECIPES):
            if given.only in recipe.about:
                tasks = [(number, seed, replace(SHAPE, rows=given.rows)) for seed in range(given.seeds)]
                found, seconds = zip(*pool.imap(one, tasks), strict=True)
                lines.append(line(recipe, found, seconds))
                print(lines[-1], flush=True)
    if given.write:
        measure.put(PAGE, "table of recipes", "\n".join(lines))


if __name__ == "__main__":
    main()
