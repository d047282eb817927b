"""Training on workers of Dask: measured with one and two workers on this machine, simulated with up to 256.

`python -m benchmarks.scaling --write` measures, writes benchmarks/scaling.json, and puts the tables and the picture into docs/scale.md;
`--simulate` reckons with what an earlier run has measured. Each run is a process of its own, the engines in turn.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from distributed.protocol import pickle
from numpy.typing import NDArray

from benchmarks import full_size, measure, workers
from erawise import charts, cluster, files, params, preparation, sites, splits, tabular, training
from erawise.features import maps
from erawise.jobs import HERE, Data, Engine, Here, Job, Log, Source
from erawise.models import lightgbm
from erawise.models.protocol import GIB, Resources, held_by
from erawise.panel import FeatureMap, Panel, View
from erawise.progress import UNCOUNTED, Count

RESULTS = measure.ROOT / "benchmarks" / "scaling.json"
PAGE = measure.ROOT / "docs" / "scale.md"
PICTURE = measure.ROOT / "docs" / "workers.svg"

SIZE = full_size.Size(train_eras=60, validation_eras=30, train_rows=2_000, validation_rows=2_000, live_rows=2_000, features=400)
FULL = full_size.Size(train_eras=60, validation_eras=1, train_rows=5_000, validation_rows=100, live_rows=100, features=2_748)
"""What the trainings are measured on, and what a tree on all features of v5.2 is."""

TARGETS, SEEDS, FOLDS = ("target", "target_jasper_20"), (1, 2), 3
INNER_SHARE = 0.2
TREES, FEW_TREES, BINNINGS = 120, 4, 3
MEMORY = 8 * GIB
EMPTY, PAYLOAD, PAYLOADS = 300, 2**26, 6
"""Jobs of a run that do nothing, and the bytes of a large result and how many of them."""


def settings(target: str, seed: int, trees: int, *, early_stopping: int | None = 40) -> params.LightGBM:
    """Those of `params.yaml` but for the number of trees and what a run of some minutes allows."""
    return params.LightGBM(
        kind="lightgbm",
        target=target,
        trees=trees,
        learning_rate=0.02,
        max_depth=5,
        leaves=31,
        feature_share=0.1,
        min_rows_leaf=100,
        l2=0.0,
        early_stopping=early_stopping,
        seed=seed,
    )


def set_up(directory: Path, size: full_size.Size) -> None:
    """Draw data, and do what the stages before training do."""
    raw, prepared, features = (directory / name for name in ("raw", "prepared", "features"))
    for path in (raw, prepared, features):
        path.mkdir(parents=True)
    full_size.draw(size, raw)
    preparation.prepare(raw, prepared, feature_set="all", target="target", every=1, demean=False, derived_names=[])
    first = size.train_eras + 1
    train, validation = np.arange(1, first), np.arange(first, first + size.validation_eras)
    plan = splits.plan(train, validation, 20, method="purged_kfold", folds=FOLDS, chunk=156, window=None)
    files.write_json(splits.to_json({20: plan}), directory / "folds.json")
    names = Panel(prepared, []).names
    maps.write([FeatureMap(names)] * (FOLDS + 1), features)


def source() -> Source:
    """Where `set_up` has written, from there."""
    live = Path("prepared/live")
    return Source(Path("prepared"), live, Path("folds.json"), Path("features"), TARGETS, 20)


@dataclass
class Replay(Here):
    """An engine that does each job once, and after that knows its result: what a training takes then is the driver's own.

    Attributes
    ----------
    asked : when jobs were handed in, by the clock of `time.perf_counter`.
    """

    elsewhere = True
    known: dict[str, Any] = field(default_factory=dict)
    asked: list[float] = field(default_factory=list)

    def run(self, jobs: Sequence[Job], data: Data, resources: Resources, at_once: int, count: Count, log: Log) -> list[Any]:
        self.asked.append(time.perf_counter())
        missing = [job for job in jobs if job.what not in self.known]
        found = HERE.run(missing, data, resources, at_once, count, log)
        self.known |= {job.what: value for job, value in zip(missing, found, strict=True)}
        return [self.known[job.what] for job in jobs]


@contextlib.contextmanager
def opened(directory: str) -> Iterator[tuple[Data, Resources]]:
    """The data of `set_up`, and what a fit may use, with its directory as the one of this process."""
    with contextlib.chdir(directory):
        where = source()
        panel = where.panel()
        yield where.around(panel), Resources(1, MEMORY, Path("scratch"), held=held_by(panel))


def members() -> list[params.LightGBM]:
    return [settings(target, seed, TREES) for target, seed in itertools.product(TARGETS, SEEDS)]


def train_all(data: Data, resources: Resources, engine: Engine) -> list[training.Trained]:
    """Train all members, as the stage does."""
    train = partial(training.train, lightgbm, data=data, inner_share=INNER_SHARE, resources=resources, engine=engine)
    return list(engine.side_by_side([partial(train, one) for one in members()]))


def run_local(directory: str) -> dict[str, Any]:
    """A training in this process."""
    with opened(directory) as (data, resources):
        started = time.perf_counter()
        trained = train_all(data, resources, HERE)
        return {"train": time.perf_counter() - started, "digest": digest(trained)}


def run_dask(directory: str, count: str) -> dict[str, Any]:
    """A training on workers of Dask; what they take to start, and for jobs that do nothing, and for large results."""
    with opened(directory) as (data, resources):
        marks = [time.perf_counter()]
        with cluster.engine(sites.survey(source()), None, int(count), resources) as engine:
            marks.append(time.perf_counter())
            run_jobs(engine, data, resources, nothing, 4 * int(count))  # imports what tasks import, and opens the data
            marks.append(time.perf_counter())
            engine.outcomes = []
            before = sum(engine.client.run(time.process_time).values())
            marks.append(time.perf_counter())
            trained = train_all(data, resources, engine)
            marks.append(time.perf_counter())
            fitting = sum(engine.client.run(time.process_time).values()) - before
            done = list(engine.outcomes)
            marks.append(time.perf_counter())
            list(engine.side_by_side([partial(run_jobs, engine, data, resources, nothing, FOLDS)] * (EMPTY // FOLDS)))
            empty = (time.perf_counter() - marks[-1]) / (EMPTY // FOLDS * FOLDS)
            received = [len(pickle.dumps(outcome)) for _, outcome in done]
            sent = [len(pickle.dumps((engine.site, job))) for job, _ in done]
            names = [named(job) for job, _ in done]
            engine.outcomes = []
            begin = time.perf_counter()
            run_jobs(engine, data, resources, large, PAYLOADS)
            payload = time.perf_counter() - begin
            ended = time.perf_counter()
        return {
            "start": marks[1] - marks[0],
            "first": marks[2] - marks[1],
            "workers": int(count),
            "train": marks[4] - marks[3],
            "processors": fitting,
            "end": time.perf_counter() - ended,
            "tasks": {name: outcome.seconds for name, (_, outcome) in zip(names, done, strict=True)},
            "sent": dict(zip(names, sent, strict=True)),
            "received": dict(zip(names, received, strict=True)),
            "empty": empty,
            "transfer": PAYLOAD * PAYLOADS / payload,
            "digest": digest(trained),
        }


def run_jobs(engine: Engine, data: Data, resources: Resources, call: Callable[[Data, Resources], Any], count: int) -> list[Any]:
    """Run a call so many times."""
    jobs = [Job("nothing", call, data.plan.train, 0, 1)] * count
    return engine.run(jobs, data, resources, 1, UNCOUNTED, lambda number, round_, score: None)


def nothing(data: Data, resources: Resources) -> None:
    """Do nothing."""


def large(data: Data, resources: Resources) -> NDArray[np.float64]:
    """A large result."""
    return np.zeros(PAYLOAD // 8)


def named(job: Job) -> str:
    """Which fit of which member a job is."""
    call: Any = job.call
    own = next(argument for argument in call.args if isinstance(argument, params.LightGBM))
    return f"{own.target}, {own.seed}, {job.what}"


def digest(trained: Sequence[training.Trained]) -> str:
    """Of all predictions and models."""
    found = hashlib.sha256()
    for one in trained:
        found.update(one.predictions["prediction"].to_numpy().tobytes())
        found.update(one.model.text.encode() if isinstance(one.model, lightgbm.Trees) else b"")
    return found.hexdigest()


def run_driver(directory: str) -> dict[str, float]:
    """Of the driver, by the rows of a member's predictions: seconds before and after its fits and for blending, bytes held and written.

    And what a tree has: bytes of text, and seconds in which it predicts a row.
    """
    with opened(directory) as (data, resources):
        replay = Replay()
        train = partial(training.train, lightgbm, members()[0], data, inner_share=INNER_SHARE, resources=resources, engine=replay)
        trained = train()
        before, after = [], []
        for _ in range(measure.REPEATS):
            replay.asked.clear()
            begin = time.perf_counter()
            train()
            before.append(replay.asked[0] - begin)
            after.append(time.perf_counter() - replay.asked[1])
        rows = len(trained.predictions)
        blend = timed(lambda: training.blended([trained.predictions] * len(members()))) / len(members())
        path = Path("predictions.parquet")
        tabular.write_parquet(trained.predictions, path)
        model: Any = trained.model
        late = np.concatenate([data.panel.block(int(era)) for era in data.plan.validation])  # as many walks as an era of v5.2 has
        predict = timed(lambda: model.predict(late))
        return {
            "prepare": statistics.median(before) / rows,
            "collect": statistics.median(after) / rows,
            "blend": blend / rows,
            "held_bytes": trained.values.nbytes / rows,
            "written_bytes": path.stat().st_size / rows,
            "tree_bytes": len(model.text) / model.rounds,
            "predict": predict / len(late) / model.rounds,
        }


def timed(call: Callable[[], Any]) -> float:
    """Median seconds of a call, after a first one."""
    call()
    seconds = []
    for _ in range(measure.REPEATS):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def run_tree(directory: str) -> dict[str, float]:
    """Seconds of a tree, by the rows that it is grown on, in a fold, which is scored after each, and in a final fit.

    And of binning, by the bytes of its files. The least of several, in turn, of the processor's time and of the clock's, since other work
    on the machine slows the rest down.
    """
    with opened(directory) as (data, resources):
        plan, features = data.plan, data.final_features
        fitted, inner = splits.inner_slice(plan.folds[0].train, INNER_SHARE, plan.weeks)
        rows, slice_, whole = (View(data.panel, eras, features, "target") for eras in (fitted, inner, plan.train))
        fits: dict[str, tuple[View, View | None]] = {"fold": (rows, slice_), "final": (whole, None)}
        binning = []
        for _ in range(BINNINGS):
            shutil.rmtree(resources.scratch, ignore_errors=True)
            begin = time.perf_counter()
            lightgbm.prepare(settings("target", 1, 1), list(fits.values()), resources)
            binning.append(time.perf_counter() - begin)
        found = {"binning": min(binning) / sum(path.stat().st_size for path in resources.scratch.rglob("*") if path.is_file())}
        sizes, seconds = (FEW_TREES, 4 * FEW_TREES), defaultdict[tuple[str, int], list[float]](list)
        for _, name, trees in itertools.product(range(measure.REPEATS), fits, sizes):
            begin = time.process_time()  # of one thread, so that it is the same on an idle machine
            lightgbm.fit(settings("target", 1, trees, early_stopping=trees), *fits[name], None, resources)
            seconds[name, trees].append(time.process_time() - begin)
        for name, (grown, _) in fits.items():
            few, more = (min(seconds[name, trees]) for trees in sizes)
            found[name] = (more - few) / (sizes[1] - sizes[0]) / grown.n_rows
        return found


def measured(repeats: int) -> dict[str, Any]:
    """Measure everything, the engines in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        small, full = Path(scratch) / "small", Path(scratch) / "full"
        set_up(small, SIZE)
        measure.in_process("scaling", "run_local", small)  # writes the binned features
        runs: dict[str, list[dict[str, Any]]] = {"local": [], "1": [], "2": []}
        found = {"machine": measure.machine(), "size": asdict(SIZE), "full": asdict(FULL), "runs": runs}
        for _ in range(repeats):
            for way, done in runs.items():
                what: list[Any] = ["run_local", small] if way == "local" else ["run_dask", small, way]
                done.append(measure.in_process("scaling", *what).found | {"load": os.getloadavg()[0]})
        found["driver"] = measure.in_process("scaling", "run_driver", small).found
        set_up(full, FULL)
        found["tree"] = measure.in_process("scaling", "run_tree", full).found
    return found


def measured_again() -> dict[str, Any]:
    """What was measured, with what the driver does measured anew."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        set_up(Path(scratch) / "small", SIZE)
        found["driver"] = measure.in_process("scaling", "run_driver", Path(scratch) / "small").found
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=measure.REPEATS)
    parser.add_argument("--simulate", action="store_true", help="measure nothing, take what benchmarks/scaling.json has")
    parser.add_argument("--driver", action="store_true", help="measure what the driver does alone, take the rest from there")
    parser.add_argument("--write", action="store_true", help="put tables and picture into docs/, and keep what was measured")
    given = parser.parse_args()
    if given.simulate:
        found = json.loads(RESULTS.read_text(encoding="utf-8"))
    else:
        found = measured_again() if given.driver else measured(given.repeats)
    if given.write and not given.simulate:
        files.write_json(found, RESULTS)
    texts, table = workers.blocks(found)
    measure.publish(texts, PAGE, write=given.write)
    if given.write:
        tabular.write_csv(table, PICTURE.with_suffix(".csv"))
        charts.write(workers.figure(table), PICTURE)


if __name__ == "__main__":
    main()
