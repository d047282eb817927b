"""The network fed from the mapped matrix, compared with the same network fed from memory, in rows a second.

`python -m benchmarks.network` prints the table. Both ways train one epoch of the same steps, in turn, in one process.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import full_size, measure
from erawise.models.neural_network import batches, engine
from erawise.models.neural_network import model as neural_network
from erawise.models.neural_network.settings import NeuralNetwork
from erawise.models.shared import common
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.preparation import preparation

ERAS, ROWS = 40, 2_500
FEATURES = (300, 2_376)
POOLS = 4
"""Number of pools that the data fills: enough to stream the matrix, and small enough for a benchmark."""

MUST = 0.9
SETTINGS = NeuralNetwork(
    kind="neural_network",
    target="target",
    layers=[256, 128, 64],
    dropout=0.0,
    learning_rate=0.001,
    l2=0.0,
    batch_rows=1024,
    epochs=1,
    early_stopping=1,
    seed=1,
)


def opened(directory: Path, features: int) -> View:
    """Draw and prepare the data, and open its train eras."""
    raw, prepared = directory / "raw", directory / "prepared"
    raw.mkdir()
    prepared.mkdir()
    full_size.draw(full_size.Size(ERAS, 1, ROWS, ROWS, ROWS, features), raw)
    preparation.prepare(raw, prepared, preparation.Wanted("all", "target", every=1, demean=False, derived=[]))
    panel = Panel(prepared / "panel", ["target"])
    return View(panel, np.arange(1, ERAS + 1), FeatureMap(panel.names), "target")


def from_memory(x: NDArray, target: NDArray[np.float32], rng: np.random.Generator) -> Iterator[batches.Batch]:
    """Yield one epoch of batches from an array in memory, each gathered when it is asked for."""
    for chosen in common.chunks(rng.permutation(len(x)), SETTINGS.batch_rows):
        yield x[chosen], target[chosen]


def row(features: int, repeats: int, threads: int) -> measure.Row:
    """Measure an epoch with a number of features, as one line."""
    engine.settle(threads)
    with tempfile.TemporaryDirectory() as scratch:
        view = opened(Path(scratch), features)
        streamed = batches.ViewRows(view, view.n_rows * features // POOLS)
        if streamed.held is not None:
            raise RuntimeError("the data fits the pool: nothing would be streamed")
        model = neural_network.build(SETTINGS, *streamed.standardisation(), 0.5)
        step = neural_network.compiled_step(model, SETTINGS.learning_rate, streamed.dtype)
        held, rng = view.matrix(), np.random.default_rng(SETTINGS.seed)
        epochs = batches.epochs(streamed, SETTINGS.target, SETTINGS.batch_rows, SETTINGS.seed)
        return measure.row(
            f"network 256-128-64, an epoch of {view.n_rows:,} x {features:,}: from memory, from the mapped matrix",
            _epoch(lambda: from_memory(held, view.target, rng), step),
            _epoch(lambda: next(epochs), step),
            must=MUST,
            repeats=repeats,
        )


def _epoch(order: Callable[[], Iterator[batches.Batch]], step: neural_network.Step) -> Callable[[], None]:
    def epoch() -> None:
        for features, wanted in order():
            step(features, wanted)

    return epoch


def rows(repeats: int = measure.REPEATS, threads: int = 2) -> list[measure.Row]:
    """Return a line for each number of features."""
    return [row(features, repeats, threads) for features in FEATURES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=measure.REPEATS)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    found = rows(given.repeats, given.threads)
    print(measure.table(found))
    for line in found:
        print(f"{line.name}: {ERAS * ROWS / line.theirs:,.0f} and {ERAS * ROWS / line.ours:,.0f} rows/s")


if __name__ == "__main__":
    main()
