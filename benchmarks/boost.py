"""One fit of LightGBM over two workers of Dask: `lightgbm.dask` against the spread fit of this project, and one process.

`python -m benchmarks.boost` prints the table, `--write` puts it into docs/scale.md. All grow the same number of trees with the same
options on the same rows, with a thread for each process, without early stopping. Every run is a process of its own with workers of
its own; what is timed goes from data on the disk to a model in the process that asks for it, without the start of the workers.
"""

import argparse
import importlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import dask.array
import lightgbm as official
import numpy as np
from dask.delayed import delayed
from distributed import Client, LocalCluster
from numpy.typing import NDArray

from benchmarks import full_size, measure
from benchmarks.training import SETTINGS as USUAL
from erawise import cluster, files, jobs, params, preparation, sites, splits, spread, training
from erawise.features import maps
from erawise.models import lightgbm
from erawise.models.protocol import GIB, Resources, held_by
from erawise.panel import FeatureMap, Panel
from erawise.progress import UNCOUNTED

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # so that a worker imports what a function takes, and not this module

ERAS, ROWS, FEATURES = 60, 5_000, 705
WORKERS, THREADS = 2, 1
MEMORY = 8 * GIB
REPEATS = 3
SETTINGS = USUAL.model_copy(update={"trees": 100, "early_stopping": None, "distributed": True})
PAGE = measure.ROOT / "docs" / "scale.md"
SOURCE = jobs.Source(Path("prepared"), None, Path("folds.json"), Path("features"), ("target",), 20)
SCRATCH = Path("scratch")
SEEN = "seen.npy"
"""The features on which models are compared."""

OWN_CODE = ("erawise/spread.py", "erawise/cluster_ring.py", "erawise/models/lightgbm/ring.py")


@dataclass(frozen=True)
class Way:
    """What is measured: a function of this module, how many trees it grows, and whether binned files are removed before."""

    name: str
    function: str
    trees: int = SETTINGS.trees
    fresh: bool = True


THEIRS, OURS, ALONE = Way("`lightgbm.dask`, 2 workers", "theirs"), Way("ours, 2 workers", "ours"), Way("one process", "alone")
THEIR_FIRST = Way("`lightgbm.dask`, 2 workers, up to the first tree", "theirs", 1)
OUR_FIRST = Way("ours, 2 workers, up to the first tree", "ours", 1)
WAYS = (THEIRS, OURS, Way("ours, 2 workers, binned files there", "ours", fresh=False), ALONE, THEIR_FIRST, OUR_FIRST)


def set_up(directory: Path) -> None:
    """Draw the data, prepare it, and write what each way takes."""
    raw = directory / "raw"
    raw.mkdir()
    (directory / SOURCE.prepared).mkdir()
    full_size.draw(full_size.Size(ERAS, 1, ROWS, ROWS, ROWS, FEATURES), raw)
    preparation.prepare(raw, directory / SOURCE.prepared, feature_set="all", target="target", every=1, demean=False, derived_names=[])
    shutil.rmtree(raw)
    source = SOURCE.below(directory)
    panel = source.panel()
    plan = splits.plan(panel.eras[:ERAS], panel.eras[ERAS:], SOURCE.days, method="purged_kfold", folds=2, chunk=10, window=None)
    files.write_json(splits.to_json({SOURCE.days: plan}), source.folds)
    source.features.mkdir()
    maps.write([FeatureMap(panel.names)] * (len(plan.folds) + 1), source.features)
    write_parts(directory, source.around(panel), WORKERS)
    np.save(directory / SEEN, panel.block(ERAS + 1))


def write_parts(directory: Path, data: jobs.Data, workers: int) -> None:
    """Write the rows and targets that each worker has of a spread final fit, for `theirs`."""
    rows = spread.Rows("target", None, data.plan.train, None)
    for rank in range(workers):
        view = rows.part(data, rank, workers).views(data)[0]
        np.save(directory / f"rows{rank}.npy", view.rows)
        np.save(directory / f"target{rank}.npy", view.target)


def theirs(directory: str, settings: str) -> dict[str, Any]:
    """`DaskLGBMRegressor` on a block of int8 for each worker, which loads it itself from the mapped matrix.

    Writes `theirs.npy`, what the model predicts for `SEEN`.
    """
    place, wanted = Path(directory), params.LightGBM.model_validate_json(settings)
    width = np.load(place / SEEN, mmap_mode="r").shape[1]
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=THREADS, memory_limit=0, dashboard_address="127.0.0.1:0") as own,
        Client(own) as client,
    ):
        processes = client.run(_imported, "lightgbm.dask")

        def fitted() -> official.Booster:
            blocks, targets = [], []
            for rank, address in enumerate(processes):
                rows = len(np.load(place / f"rows{rank}.npy", mmap_mode="r"))
                x = dask.array.from_delayed(delayed(_block)(place, rank), (rows, width), np.int8)
                y = dask.array.from_delayed(delayed(_target)(place, rank), (rows,), np.float32)
                x, y = client.persist([x, y], workers=[address])
                blocks.append(x)
                targets.append(y)
            model = official.DaskLGBMRegressor(client=client, **_their_options(wanted))
            model.fit(dask.array.concatenate(blocks), dask.array.concatenate(targets))
            return model.to_local().booster_

        return _measured(fitted, list(processes.values()), place, "theirs")


def ours(directory: str, settings: str) -> dict[str, Any]:
    """The final fit of a model that is `distributed`; binned files that are there are used. Writes `ours.npy`."""
    place, wanted = Path(directory), params.LightGBM.model_validate_json(settings)
    os.chdir(place)
    data, resources = _opened()
    site = sites.survey(SOURCE)
    with cluster.engine(site, None, WORKERS, resources, say=lambda line: None) as engine:
        processes = list(engine.client.run(_imported, "erawise.models.lightgbm.ring").values())
        return _measured(
            lambda: training.refit(lightgbm, wanted, data, data.plan.train, None, resources, UNCOUNTED, engine), processes, place, "ours"
        )


def alone(directory: str, settings: str) -> dict[str, Any]:
    """The same fit in this process. Writes `alone.npy`."""
    place = Path(directory)
    wanted = params.LightGBM.model_validate_json(settings).model_copy(update={"distributed": False})
    os.chdir(place)
    data, resources = _opened()
    train = spread.Rows("target", None, data.plan.train, None).views(data)[0]
    return _measured(lambda: lightgbm.fit(wanted, train, None, None, resources), [os.getpid()], place, "alone")


def _opened() -> tuple[jobs.Data, Resources]:
    panel: Panel = SOURCE.panel()
    return SOURCE.around(panel), Resources(THREADS, MEMORY, SCRATCH, held=held_by(panel))


def _imported(module: str) -> int:
    """The process of a worker, which has imported what it needs."""
    importlib.import_module(module)
    return os.getpid()


def _block(directory: Path, rank: int) -> NDArray[np.int8]:
    found: NDArray[np.int8] = np.load(directory / "prepared/features.npy", mmap_mode="r")[np.load(directory / f"rows{rank}.npy")]
    return found


def _target(directory: Path, rank: int) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.load(directory / f"target{rank}.npy").astype(np.float32)
    return found


def _their_options(settings: params.LightGBM) -> dict[str, Any]:
    """The options of a fit of one process on int8, those of them that scikit-learn's interface names by its names."""
    names = {
        "num_leaves": "num_leaves",
        "learning_rate": "learning_rate",
        "seed": "random_state",
        "max_depth": "max_depth",
        "feature_fraction": "colsample_bytree",
        "min_data_in_leaf": "min_child_samples",
        "lambda_l2": "reg_lambda",
        "bin_construct_sample_cnt": "subsample_for_bin",
    }
    options = {**lightgbm._options_of(settings, Resources(THREADS, MEMORY, SCRATCH)), **lightgbm._of_dataset(np.dtype(np.int8))}
    del options["num_threads"]  # Dask's, of the worker
    return {names.get(name, name): value for name, value in options.items()} | {"n_estimators": settings.trees}


def _measured(fitted: Callable[[], Any], processes: Sequence[int], place: Path, name: str) -> dict[str, Any]:
    """Seconds of a fit, the peak of the largest of its processes and what it leaves on the disk in bytes; predictions are written."""
    with measure.watched(processes) as peak:
        start = time.perf_counter()
        model = fitted()
        seconds = time.perf_counter() - start
    np.save(place / f"{name}.npy", model.predict(np.load(place / SEEN)))
    written = sum(path.stat().st_size for path in (place / SCRATCH).rglob("*") if path.is_file())
    return {"seconds": seconds, "peak": peak[0], "written": written}


@dataclass(frozen=True)
class Line:
    """A way: its runs' seconds, peaks in bytes, bytes of binned files, and its predictions, (rows,)."""

    seconds: list[float]
    peaks: list[int]
    written: int
    predictions: NDArray[np.float64]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def peak(self) -> float:
        return statistics.median(self.peaks)


def lines(directory: Path, repeats: int) -> dict[Way, Line]:
    """Run every way in turn, several times."""
    runs: dict[Way, list[dict[str, Any]]] = {way: [] for way in WAYS}
    predictions: dict[Way, NDArray[np.float64]] = {}
    for _ in range(repeats):
        for way, found in runs.items():
            if way.fresh:
                shutil.rmtree(directory / SCRATCH, ignore_errors=True)
            settings = SETTINGS.model_copy(update={"trees": way.trees}).model_dump_json(exclude_unset=True)
            found.append(measure.in_process("boost", way.function, directory, settings).found)
            predictions[way] = np.load(directory / f"{way.function}.npy")
    return {
        way: Line([run["seconds"] for run in found], [run["peak"] for run in found], found[-1]["written"], predictions[way])
        for way, found in runs.items()
    }


def text(found: dict[Way, Line], load: float) -> str:
    """The table, and what it was measured on."""
    machine, theirs, one = measure.machine(), found[THEIRS], found[ALONE].predictions
    table = [
        f"{ERAS * ROWS:,} rows of {FEATURES} int8 features ({ERAS * ROWS * FEATURES / GIB:.2f} GiB), {SETTINGS.trees} trees, "
        f"{THREADS} thread a process, no early stopping; median of {len(theirs.seconds)} runs in turn, with the lowest and the highest.",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory'] / GIB:.1f} GiB, load {load:.1f} before the first run; "
        f"LightGBM {machine['lightgbm']}.",
        "",
        "| | seconds | theirs : this | memory of the largest process | theirs : this | correlation with one process | largest difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, line in found.items():
        peer = found[THEIR_FIRST if way.trees == 1 else THEIRS]
        same = ("", "")
        if way.trees == SETTINGS.trees:
            same = (f"{np.corrcoef(line.predictions, one)[0, 1]:.7f}", f"{np.abs(line.predictions - one).max():.1g}")
        table.append(
            f"| {way.name} | {line.median:.1f} ({min(line.seconds):.1f}–{max(line.seconds):.1f}) | {peer.median / line.median:.2f} "
            f"| {line.peak / 2**20:,.0f} MiB | {peer.peak / line.peak:.2f} | {same[0]} | {same[1]} |"
        )
    apart = np.abs(found[OURS].predictions - theirs.predictions).max()
    further = [
        (found[way].median - found[first].median) / (SETTINGS.trees - 1) for way, first in ((THEIRS, THEIR_FIRST), (OURS, OUR_FIRST))
    ]
    own = sum(len((measure.ROOT / name).read_text(encoding="utf-8").splitlines()) for name in OWN_CODE)
    table += [
        "",
        f"Between ours and `lightgbm.dask` the largest difference is {apart:.1g}; predictions have a standard deviation of "
        f"{one.std():.1g}. A tree after the first takes `lightgbm.dask` {further[0]:.3f} s and ours {further[1]:.3f} s.",
        f"Ours writes {found[OURS].written / 2**20:,.0f} MiB of binned files, and has {own:,} lines of code for it "
        f"({', '.join(OWN_CODE)}).",
    ]
    return "\n".join(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--write", action="store_true", help="put the table into docs/scale.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory, load = Path(scratch), os.getloadavg()[0]
        set_up(directory)
        found = lines(directory, given.repeats)
    measure.publish({"boost": text(found, load)}, PAGE, write=given.write)


if __name__ == "__main__":
    main()
