"""Seconds and peak memory of the stage `explain@<model>` for each kind of model, at the size of Numerai's data.

`python -m benchmarks.explain --features 780` prints the table. Every run is a separate process; the fits before it are not counted.
"""

import argparse
import importlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import full_size, measure
from erawise import params
from erawise.base.schema import VALIDATION
from erawise.explanation import explanation
from erawise.folds import splits
from erawise.models.shared import stored
from erawise.models.shared.protocol import GIB, Resources
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.preparation import preparation

TRAIN_ERAS, ERAS, ROWS, THREADS = 4, 40, 5_000, 2
TARGET = "target"
SETTINGS: dict[str, dict[str, Any]] = {
    "ridge": {"l2": 1000.0},
    "logistic": {"l2": 100.0, "max_iterations": 200, "max_rows": 20_000, "seed": 1},
    "lightgbm": {
        "trees": 1000,
        "learning_rate": 0.01,
        "max_depth": 5,
        "leaves": 31,
        "feature_share": 0.1,
        "min_rows_leaf": 20,
        "l2": 0.0,
        "early_stopping": None,
        "seed": 1,
    },
    "random_forest": {
        "trees": 100,
        "max_depth": 10,
        "feature_share": 0.05,
        "min_rows_leaf": 5,
        "row_share": 0.3,
        "max_rows": 20_000,
        "seed": 1,
    },
    "neural_network": {
        "layers": [128, 32],
        "dropout": 0.7,
        "learning_rate": 0.001,
        "l2": 0.0001,
        "batch_rows": 2048,
        "epochs": 1,
        "early_stopping": None,
        "seed": 1,
    },
}
"""Models as large as in params.yaml, or as Numerai's examples. They are fitted on few rows, which makes no difference here."""


def set_up(features: str, directory: str) -> None:
    """Draw the data and prepare it."""
    raw, prepared = Path(directory) / "raw", Path(directory) / "prepared"
    raw.mkdir()
    prepared.mkdir()
    full_size.draw(full_size.Size(TRAIN_ERAS, ERAS, ROWS, ROWS, ROWS, int(features)), raw)
    preparation.prepare(raw, prepared, preparation.Wanted("all", TARGET, every=1, demean=False, derived=[]))


def fit(kind: str, directory: str) -> None:
    """Fit a model and write it."""
    panel = Panel(Path(directory) / "prepared" / "panel", [TARGET])
    settings = params.KINDS[kind].model_validate({"kind": kind, "target": TARGET, **SETTINGS[kind]})
    train = View(panel, panel.eras[:TRAIN_ERAS], FeatureMap(panel.names), TARGET)
    resources = Resources(THREADS, 8 * GIB, Path(directory) / "scratch")
    model = importlib.import_module(f"erawise.models.{kind}.model").fit(settings, train, None, None, resources)
    own = Path(directory) / kind
    own.mkdir()
    writer = stored.Writer(kind, own, several=False)
    writer.add("", model, None)
    writer.close(panel.eras[:TRAIN_ERAS])


def explain(kind: str, directory: str) -> dict[str, float]:
    """Explain a model as the stage does, with the settings of params.yaml."""
    settings = params.load(measure.ROOT / "params.yaml").explain
    panel = Panel(Path(directory) / "prepared" / "panel", [TARGET])
    rng = np.random.default_rng(1)
    hidden = (panel.index["data_type"] == VALIDATION).to_numpy()
    panel.index.loc[hidden, TARGET] = rng.integers(0, 5, hidden.sum()).astype(np.float32) / 4
    models = stored.load(Path(directory) / kind)
    train, unseen = panel.eras[:TRAIN_ERAS], panel.eras[TRAIN_ERAS:]
    plan = splits.Plan(8, [], train, unseen, unseen[:0])
    data = explanation.Evidence(panel, FeatureMap(panel.names), plan, TARGET)
    found = explanation.explain(models, data, settings, THREADS)
    return {"rows": found.sample.rows, "permuted": len(found.permutation)}


def table(features: int, kinds: list[str]) -> str:
    """Return the table, with a line for each kind."""
    lines = ["| kind | features | rows | shuffles | seconds | peak memory |", "|---|---:|---:|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as directory:
        measure.in_process("explain", "set_up", features, directory)
        for kind in kinds:
            measure.in_process("explain", "fit", kind, directory)
            run = measure.in_process("explain", "explain", kind, directory)
            size = f"{run.found['rows']:,} | {run.found['permuted']:,}"
            lines.append(f"| {kind} | {features:,} | {size} | {run.seconds:.1f} | {run.peak / GIB:.2f} GiB |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=780)
    parser.add_argument("--kinds", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    given = parser.parse_args()
    print(table(given.features, given.kinds))


if __name__ == "__main__":
    main()
