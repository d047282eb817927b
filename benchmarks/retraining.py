"""The cost of retraining LightGBM through the whole history: fits of full size with few trees, and a formula for the rest.

`python -m benchmarks.retraining` draws v5.3's medium set with every 4th era, and prints the table. It fits on all of these eras and on half
of them, each with few and with more trees. `--write docs/howto/retrain.md` puts the table into the page.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import full_size, measure
from benchmarks.training import SETTINGS
from erawise.base.schema import purge_weeks
from erawise.folds import splits
from erawise.folds.settings import Split
from erawise.models.lightgbm import model as lightgbm
from erawise.models.lightgbm.settings import LightGBM
from erawise.models.shared.protocol import GIB, Resources, held_by
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.preparation import preparation

ERAS, TRAIN_ERAS, EVERY = 1_220, 574, 4
ROWS, FEATURES, TREES = 5_568, 780, 2_000
"""Rows of an era, the mean of v5.3; features of its medium set; trees of a model."""

FEW, MORE = 10, 60
"""Trees of the fits that are measured."""

THREADS, HOURS, MEMORY = 2, 10, 8
"""Cores; hours and GiB that the case of the first line may take."""

FOLDS = Split(method="purged_kfold", folds=4, chunk=52, window=None)


@dataclass(frozen=True)
class Cost:
    """Seconds of a fit, which grow with its rows and its trees.

    Attributes
    ----------
    row : seconds a row up to the first tree: bins, files, loading.
    tree : seconds a tree, and `tree_row` seconds a tree and a row.
    predict : seconds a predicted row and a tree.
    """

    row: float
    tree: float
    tree_row: float
    predict: float

    def seconds(self, rows: int, predicted: int, trees: int = TREES) -> float:
        """Return the seconds of a fit on so many rows, and of its predictions."""
        return rows * self.row + trees * (self.tree + rows * self.tree_row) + predicted * trees * self.predict


@dataclass(frozen=True)
class Case:
    """A way to retrain: an era every so many weeks, a fit every so many weeks, seeds, and workers of Dask with `THREADS` cores each."""

    every: int = EVERY
    weeks: int = 52
    seeds: int = 1
    workers: int = 1

    def fits(self) -> list[tuple[int, int]]:
        """Return the rows that each fit learns from and predicts: the folds of cv, and a model for each block and for live."""
        train, validation = np.arange(1, TRAIN_ERAS + 1, self.every), np.arange(TRAIN_ERAS + 1, ERAS + 1, self.every)
        plan = splits.plan(train, validation, 60, FOLDS, self.weeks)
        eras = [(len(fold.train), len(fold.test)) for fold in (*plan.folds, *plan.blocks)]
        return [(a * ROWS, b * ROWS) for a, b in [*eras, (len(train) + len(validation), 1)]] * self.seeds

    def hours(self, cost: Cost) -> float:
        """Return the hours of all fits: each worker takes the longest that is left, until none is."""
        busy = [0.0] * self.workers
        for seconds in sorted((cost.seconds(*fit) for fit in self.fits()), reverse=True):
            busy[busy.index(min(busy))] += seconds
        return max(busy) / 3600


CASES = {
    "every 4th era, a fit every 52 weeks": Case(),
    "a fit every 26 weeks": Case(weeks=26),
    "a fit every 13 weeks": Case(weeks=13),
    "a fit every 4 weeks": Case(weeks=4),
    "all eras, a fit every 52 weeks": Case(every=1),
    "all eras, a fit every 4 weeks": Case(every=1, weeks=4),
    "every 4th era, 52 weeks, 5 seeds": Case(seeds=5),
    "the same, 4 workers of Dask": Case(seeds=5, workers=4),
}


def fit(directory: str, share: str, trees: str) -> int:
    """Fit on the last eras, a share of all, on the prepared panel and fresh files of bins; return the rows."""
    panel = Panel(Path(directory) / "prepared" / "panel", ["target"])
    eras = panel.eras[-round(len(panel.eras) * float(share)) :]
    train = View(panel, eras, FeatureMap(panel.names), "target")
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        resources = Resources(THREADS, MEMORY * GIB, Path(scratch), held=held_by(panel))
        settings = settled()
        lightgbm.prepare(settings, [(train, None)], resources)
        model = lightgbm.fit(settings, train, None, int(trees), resources)
        model.save(Path(directory))
    return train.n_rows


def settled() -> LightGBM:
    """Return the settings without early stopping, as a model is retrained."""
    return SETTINGS.model_copy(update={"early_stopping": None, "trees": TREES})


def predict(directory: str) -> int:
    """Predict 40 eras by the model that was fitted last; return the rows."""
    panel = Panel(Path(directory) / "prepared" / "panel", ["target"])
    model = replace(lightgbm.load(Path(directory)), threads=THREADS)
    return sum(len(model.predict(block)) for block in View(panel, panel.eras[:40], FeatureMap(panel.names)).blocks())


def measured(directory: Path) -> tuple[Cost, int, list[str]]:
    """Return the cost of fits, the highest peak of a process in bytes, and a line for each measurement."""
    raw, prepared = directory / "raw", directory / "prepared"
    raw.mkdir()
    prepared.mkdir()
    eras = len(range(1, ERAS + 1, EVERY))
    full_size.draw(full_size.Size(eras - 1, 1, ROWS, ROWS, 100, FEATURES), raw)
    preparation.prepare(raw, prepared, preparation.Wanted("all", "target", every=1, demean=False, derived=[]))
    runs = {
        (share, trees): measure.in_process("retraining", "fit", directory, share, trees) for share in (0.5, 1.0) for trees in (FEW, MORE)
    }
    a_tree = {share: (runs[share, MORE].seconds - runs[share, FEW].seconds) / (MORE - FEW) for share in (0.5, 1.0)}
    rows = {share: runs[share, FEW].found for share in (0.5, 1.0)}
    tree_row = (a_tree[1.0] - a_tree[0.5]) / (rows[1.0] - rows[0.5])
    tree = max(0.0, a_tree[1.0] - tree_row * rows[1.0])
    row = (runs[1.0, FEW].seconds - FEW * a_tree[1.0]) / rows[1.0]
    predicted = measure.in_process("retraining", "predict", directory)
    cost = Cost(row, tree, tree_row, predicted.seconds / predicted.found / MORE)
    lines = ["| measured | rows | trees | seconds | peak memory |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| a fit | {run.found:,} | {trees} | {run.seconds:.1f} | {run.peak / GIB:.2f} GiB |" for (_, trees), run in sorted(runs.items())
    ]
    lines.append(f"| predictions | {predicted.found:,} | {MORE} | {predicted.seconds:.1f} | {predicted.peak / GIB:.2f} GiB |")
    return cost, max(run.peak for run in (*runs.values(), predicted)), lines


def report(cost: Cost, peak: int, lines: list[str]) -> str:
    """Return what was measured, the formula, and the table of hours."""
    hours = {name: case.hours(cost) for name, case in CASES.items()}
    first = next(iter(hours))
    met = hours[first] <= HOURS and peak <= MEMORY * GIB
    formula = (
        f"seconds of a fit = rows × {cost.row * 1e6:.1f} µs + trees × ({cost.tree * 1e3:.0f} ms + rows × {cost.tree_row * 1e9:.0f} ns) "
        f"+ predicted rows × trees × {cost.predict * 1e9:.1f} ns"
    )
    weeks = purge_weeks(60)
    table = ["| LightGBM, 2,000 trees, 780 features | fits | hours |", "|---|---:|---:|"]
    table += [f"| {name} | {len(CASES[name].fits())} | {spent:.1f} |" for name, spent in hours.items()]
    bound = f"{HOURS} hours and {MEMORY} GiB: {'met' if met else '**not met**'}, {hours[first]:.1f} hours and {peak / GIB:.1f} GiB"
    return "\n".join(
        [
            f"Machine: {measure.machine()['cpu']}, {THREADS} cores. {FEATURES} features, {ROWS:,} rows an era, eras 1 to {ERAS}, the first "
            f"{TRAIN_ERAS} of them train; four folds, a purge of {weeks} weeks.",
            "",
            *lines,
            "",
            f"`{formula}`",
            "",
            *table,
            "",
            f"The bound of the first line is {bound}. The other stages take minutes at this size.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="page whose block is replaced")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        text = report(*measured(Path(scratch)))
    measure.publish({"retraining": text}, given.write or Path(), write=given.write is not None)


if __name__ == "__main__":
    main()
