"""What the grid of models of Numerai's v5.2 would take on many machines: laws of what was measured, their simulation, tables and picture.

Everything follows from benchmarks/scaling.json, which `python -m benchmarks.scaling --write` measures.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from benchmarks import full_size, grid
from erawise import charts, splits
from erawise.models import lightgbm
from erawise.models.lightgbm import binary
from erawise.models.protocol import LIBRARY_BYTES, ROW_BYTES

Measured = Mapping[str, Any]

V52 = full_size.Size(train_eras=574, validation_eras=620, train_rows=4_784, validation_rows=6_290, live_rows=6_000, features=2_748)
INNER_SHARE = 0.2
CODE_BYTES = 0.5
"""Of a value in a binned file."""

LEAVES, BINS = 31, 5
TOLERANCE = 0.05
"""Share of the measured time by which a simulation with the seconds of the same fits may miss, in the median of the runs."""

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ONE, MODEL, IN_TURN, FOUR, AT_ONCE = "one model", "40 targets × 5 seeds", "grid, in turn", "grid, 4 at once", "grid, all at once"
TOGETHER = {ONE: 1, MODEL: 1, IN_TURN: 1, FOUR: 4, AT_ONCE: None}
"""Shapes of work: how many models are trained at the same time, None for all."""

GB, HOUR, DAY = 1e9, 3600, 86400


@dataclass(frozen=True)
class Assumptions:
    """What isn't measured.

    Parameters
    ----------
    models, targets, seeds, folds : of the grid.
    trees : that a fit grows on average, those without progress before it stops included.
    cores, memory, spare : of a machine, in bytes, and the share of its memory that is left to the system.
    link, remote, disk : bytes/s into the driver, from the remote to all machines together, and of the disk of each machine.
    dispatch : how many times as long as measured the scheduler takes for a task.
    alike : whether all folds take the same time, and all final fits.
    """

    models: int = 30
    targets: int = 40
    seeds: int = 5
    folds: int = 5
    trees: int = 2_000
    cores: int = 16
    memory: float = 64 * GB
    spare: float = 0.1
    link: float = 1.25 * GB
    remote: float = 1.25 * GB
    disk: float = 0.5 * GB
    dispatch: float = 1.0
    alike: bool = False


@dataclass(frozen=True)
class Full:
    """A fit of v5.2 by the laws: what is measured a row, a tree or a byte, times how many there are."""

    given: Assumptions
    measured: Measured

    @cached_property
    def rows(self) -> dict[str, int]:
        """Rows of the mean fold that a fit is grown on, stops by and predicts, of the final fit, and of all predictions of a member."""
        first = V52.train_eras + 1
        train, validation = np.arange(1, first), np.arange(first, first + V52.validation_eras)
        plan = splits.plan(train, validation, 20, method="purged_kfold", folds=self.given.folds, chunk=156, window=None)
        slices = [splits.inner_slice(fold.train, INNER_SHARE, plan.weeks) for fold in plan.folds]
        late = len(plan.validation) * V52.validation_rows + V52.live_rows
        return {
            "fold": int(np.mean([len(fitted) for fitted, _ in slices]) * V52.train_rows),
            "inner": int(np.mean([len(inner) for _, inner in slices]) * V52.train_rows),
            "test": int(np.mean([len(fold.test) for fold in plan.folds]) * V52.train_rows),
            "final": len(plan.train) * V52.train_rows,
            "late": late,
            "predicted": len(plan.train) * V52.train_rows + late,
        }

    @property
    def task_bytes(self) -> int:
        """Memory of the largest task, as the stage reckons it."""
        rows = self.rows["final"]
        files = [int(rows * min(binary.PART, V52.features - k) * CODE_BYTES) for k in range(0, V52.features, binary.PART)]
        all_rows = V52.int8_bytes // V52.features
        return lightgbm.required_bytes(files, rows, V52.features, LEAVES, BINS) + LIBRARY_BYTES + all_rows * ROW_BYTES

    @property
    def per_host(self) -> int:
        """Workers of a machine, by its cores and by its memory."""
        by_memory = int(self.given.memory * (1 - self.given.spare) // self.task_bytes)
        return min(self.given.cores, by_memory)

    @property
    def seconds(self) -> tuple[float, float]:
        """Of a fit of a fold and of a final one: growing trees, predicting, and reading its files and, at last, the validation eras."""
        tree, walk = self.measured["tree"], self.measured["driver"]["predict"]
        disk = self.given.disk / self.per_host
        rows, trees = self.rows, self.given.trees
        read_fold = (rows["fold"] + rows["inner"]) * V52.features * CODE_BYTES + rows["test"] * V52.features
        read_final = rows["final"] * V52.features * CODE_BYTES + rows["late"] * V52.features
        fold = trees * (tree["fold"] * rows["fold"] + walk * rows["test"]) + read_fold / disk
        return fold, trees * (tree["final"] * rows["final"] + walk * rows["late"]) + read_final / disk

    @property
    def costs(self) -> grid.Costs:
        """Of all that isn't a fit."""
        driver, rows, given = self.measured["driver"], self.rows, self.given
        binning = self.measured["tree"]["binning"] * V52.features * CODE_BYTES
        runs = self.measured["runs"]["2"]
        return grid.Costs(
            start=statistics.median(run["start"] + run["first"] for run in runs),
            prepare=driver["prepare"] * rows["predicted"],
            collect=driver["collect"] * rows["predicted"],
            blend=driver["blend"] * rows["predicted"],
            dispatch=given.dispatch * statistics.median(run["empty"] for run in runs),
            result_fold=8.0 * rows["test"],
            result_final=8.0 * rows["late"] + driver["tree_bytes"] * given.trees,
            link=min(given.link, statistics.median(run["transfer"] for run in runs)),
            fetch_fold=float(V52.train_eras * V52.train_rows * V52.features),
            fetch_final=float(rows["late"] * V52.features),
            remote=given.remote,
            bin_fold=binning * (rows["fold"] + rows["inner"]),
            bin_final=binning * rows["final"],
        )

    @property
    def spread(self) -> list[float]:
        """Seconds of the measured fits as multiples of the mean of their kind."""
        return [1.0] if self.given.alike else spread(self.measured)


def spread(measured: Measured) -> list[float]:
    """Seconds of the fits of one worker, as multiples of the mean of the folds, or of the final fits, of the same run."""
    found = []
    for run in measured["runs"]["1"]:
        for final in (False, True):
            seconds = [taken for name, taken in run["tasks"].items() if ("final" in name) == final]
            found += [taken / statistics.mean(seconds) for taken in seconds]
    return found


@dataclass(frozen=True)
class Point:
    """A shape of work on so many workers: its fits, and seconds in all."""

    fits: int
    seconds: float
    workers: int


def groups(full: Full, shape: str) -> list[grid.Floats]:
    """Seconds of the fits of a shape of work, for `grid.simulate`: an array for each group of models that are trained at the same time."""
    given, (fold, final) = full.given, full.seconds
    models, members = (1, 1) if shape == ONE else (1 if shape == MODEL else given.models, given.targets * given.seeds)
    fits = grid.drawn((models, members, given.folds), fold, final, full.spread, seed=1)
    together = TOGETHER[shape] or models
    return [fits[first : first + together] for first in range(0, models, together)]


def simulated(full: Full, shape: str, workers: int) -> Point:
    """How long a shape of work takes."""
    fits = groups(full, shape)
    # machines keep data and binned files from the first group on
    costs = [full.costs] + [full.costs.kept()] * (len(fits) - 1)
    seconds = sum(grid.simulate(own, cost, workers, full.per_host).seconds for own, cost in zip(fits, costs, strict=True))
    return Point(sum(own.size for own in fits), seconds, workers)


def scaled(full: Full) -> pd.DataFrame:
    """Each shape on each number of workers: `shape`, `fits`, `workers`, `hosts`, `seconds`, `speed_up`, `efficiency`."""
    lines = []
    for shape in TOGETHER:
        points = [simulated(full, shape, workers) for workers in WORKERS]
        for point in points:
            speed_up = points[0].seconds / point.seconds
            hosts = -(-point.workers // full.per_host)
            lines.append((shape, point.fits, point.workers, hosts, point.seconds, speed_up, speed_up / point.workers))
    return pd.DataFrame(lines, columns=["shape", "fits", "workers", "hosts", "seconds", "speed_up", "efficiency"])


def validation(measured: Measured) -> pd.DataFrame:
    """The simulation of each run that was measured, by how much of its time it misses it: `workers`, `seconds`, `own`, `ahead`.

    `own` has the seconds of the fits of the same run, so that it misses by what is not a fit; `ahead` has the ones of the run with one
    worker beside it, so that it misses as well by how much slower fits are side by side.
    """
    size, driver, lines = measured["size"], measured["driver"], []
    predicted = size["train_eras"] * size["train_rows"] + size["validation_eras"] * size["validation_rows"] + size["live_rows"]
    for workers in (1, 2):
        for run, alone in zip(measured["runs"][str(workers)], measured["runs"]["1"], strict=True):
            costs = grid.Costs(
                prepare=driver["prepare"] * predicted,
                collect=driver["collect"] * predicted,
                dispatch=run["empty"],
                result_fold=1e3 * _received(run, final=False),
                result_final=1e3 * _received(run, final=True),
                link=run["transfer"],
            )
            own, ahead = (grid.simulate(fits_of(one["tasks"]), costs, workers, workers).seconds / run["train"] - 1 for one in (run, alone))
            lines.append((workers, run["train"], own, ahead))
    return pd.DataFrame(lines, columns=["workers", "seconds", "own", "ahead"])


def fits_of(tasks: Mapping[str, float]) -> grid.Floats:
    """(1, members, folds + 1) seconds of the fits of a run, by their names: members in the order in which they were handed in."""
    members: dict[str, dict[str, float]] = {}
    for name, seconds in tasks.items():
        member, _, what = name.rpartition(", ")
        members.setdefault(member, {})[what] = seconds
    # "fold 1", "fold 2", ..., "the final fit"
    return np.array([[[found[what] for what in sorted(found)] for found in members.values()]])


def full_size_stage(measured: Measured) -> float:
    """Seconds that the laws give for `train_lightgbm` of `benchmarks.full_size`: 4 folds of 5 trees, one fit after the other.

    Binned files come first. The laws have one thread, and that stage had two.
    """
    full = Full(Assumptions(folds=4, trees=5, cores=1), measured)
    (fold, final), costs = full.seconds, full.costs
    return 4 * (fold + costs.bin_fold) + final + costs.bin_final


def bounds(full: Full, shape: str, workers: int) -> dict[str, float]:
    """Seconds below which a shape of work can't come on so many workers, each by what would be its only delay."""
    fits, costs, given = groups(full, shape), full.costs, full.given
    models, members = sum(len(own) for own in fits), fits[0].shape[1]
    chains = [(own[:, :, :-1].max(axis=2) + own[:, :, -1]).max() for own in fits]
    driver = members * (costs.prepare + costs.collect + costs.blend)
    results = given.folds * costs.result_fold + costs.result_final
    hosts = -(-workers // full.per_host)
    return {
        "the fits, shared by all workers": float(sum(own.sum() for own in fits)) / workers,
        "the slowest fold of a member and its final fit": float(sum(chains)),
        "the driver: before and after the fits of a model": driver * len(fits),
        "the scheduler": models * members * (given.folds + 1) * costs.dispatch,
        "results over the driver's link": models * members * results / costs.link,
        "data from the remote, for all machines": hosts * (costs.fetch_fold + costs.fetch_final) / costs.remote,
        "binned files, on each machine": given.folds * costs.bin_fold + costs.bin_final,
    }


def scaled_table(table: pd.DataFrame) -> str:
    """`scaled`, a line for each number of workers: time, speed-up and efficiency of each shape."""
    shapes = list(dict.fromkeys(table["shape"]))
    lines = ["| workers | machines | " + " | ".join(shapes) + " |", "|---:|---:|" + "---:|" * len(shapes)]
    for (workers, hosts), rows in table.groupby(["workers", "hosts"]):
        found = rows.set_index("shape").loc[shapes]
        cells = [f"{_long(row.seconds)}, {row.speed_up:,.1f}×, {row.efficiency:.0%}" for row in found.itertuples()]
        lines.append(f"| {workers} | {hosts} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def bounds_table(full: Full, workers: int) -> str:
    """`bounds` of each shape; the largest of each is what it stops at."""
    found = {shape: bounds(full, shape, workers) for shape in TOGETHER}
    lines = [f"| {workers} workers can't be faster than | " + " | ".join(found) + " |", "|---|" + "---:|" * len(found)]
    for name in found[ONE]:
        cells = [f"**{_long(each[name])}**" if each[name] == max(each.values()) else _long(each[name]) for each in found.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def assumptions_table(full: Full) -> str:
    """What the simulation takes, where from, and what the grid leaves behind."""
    given, costs, rows, (fold, final) = full.given, full.costs, full.rows, full.seconds
    driver, tree = full.measured["driver"], full.measured["tree"]
    members = given.targets * given.seeds
    by_memory = int(given.memory * (1 - given.spare) // full.task_bytes)
    written, text = driver["written_bytes"] * rows["predicted"], driver["tree_bytes"] * given.trees
    known = {
        "trees of a fit": (f"{given.trees:,}", "assumed; 31 leaves, a tenth of the features each"),
        "rows of a fit": (f"{rows['fold']:,} in a fold, {rows['final']:,} in the final one", "574 eras of 4,784 rows, 5 folds, purged"),
        "a tree on 2,748 features, one thread": (
            f"{tree['fold'] * 1e6:.2f} s per million rows in a fold, {tree['final'] * 1e6:.2f} in a final fit",
            "processor's time, measured on 300,000 rows, taken in proportion to the rows",
        ),
        "a fit, all told": (f"{_long(fold)} of a fold, {_long(final)} of the final model", "from that, with predicting and reading files"),
        "spread of the fits": (
            f"{min(full.spread):.2f} to {max(full.spread):.2f} of their mean",
            "measured, in a run: early stopping, and the machine",
        ),
        "memory of a fit": (f"{full.task_bytes / GB:.1f} GB", "what the stage reckons"),
        "workers of a machine": (
            f"{full.per_host}",
            f"{given.cores} cores, a worker has one thread; {given.memory / GB:.0f} GB less {given.spare:.0%} hold {by_memory}",
        ),
        "a machine fetches, once": (
            f"{(costs.fetch_fold + costs.fetch_final) / GB:.1f} GB",
            "int8 rows of train and validation eras",
        ),
        "a machine writes, once": (
            f"{(given.folds * (rows['fold'] + rows['inner']) + rows['final']) * V52.features * CODE_BYTES / GB:.1f} GB in "
            f"{_long(given.folds * costs.bin_fold + costs.bin_final)}",
            "binned files of the folds and the final fit, shared by all members and models on the same rows and features",
        ),
        "a task sends and returns": (
            f"{_sent(full.measured) / 1e3:.1f} kB; {costs.result_fold / 1e6:.1f} MB of a fold, "
            f"{costs.result_final / 1e6:.1f} MB of a final fit",
            "measured; 8 bytes a row, and the model's text",
        ),
        "the scheduler": (f"{costs.dispatch * 1e3:.1f} ms a task", "measured with jobs that do nothing"),
        "the driver": (
            f"{costs.prepare:.1f} s before and {costs.collect:.1f} s after the fits of a member, {costs.blend:.1f} s to blend it",
            "measured, in proportion to the rows of its predictions",
        ),
        "links": (
            f"{costs.link / 1e6:,.0f} MB/s into the driver, {given.remote / 1e6:,.0f} MB/s from the remote to all machines, "
            f"disks of {given.disk / 1e6:,.0f} MB/s",
            "the driver's is the lower of 10 Gbit/s and what was measured over loopback; the others are assumed",
        ),
        "memory of the driver": (
            f"{driver['held_bytes'] * rows['predicted'] * members / GB:.0f} GB for each entry that is trained",
            f"at most, for {members} members: {driver['held_bytes']:.0f} bytes a row of each that waits for those before it to be blended",
        ),
        "predictions on disk": (
            f"{written * given.models / GB:.1f} GB",
            f"{given.models} files of {written / 1e6:.0f} MB; each member as a model of its own: "
            f"{written * given.models * members / GB:,.0f} GB",
        ),
        "models on disk": (f"{text * given.models * members / GB:.0f} GB", f"{driver['tree_bytes'] / 1e3:.1f} kB a tree"),
    }
    lines = ["| | | from |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} | {where} |" for name, (value, where) in known.items())])


VARIED: dict[str, dict[str, float]] = {
    "as above": {},
    "1,000 trees": {"trees": 1_000},
    "5,000 trees": {"trees": 5_000},
    "machines of 128 GB": {"memory": 128 * GB},
    "machines of 32 GB": {"memory": 32 * GB},
    "all folds alike, and all final fits": {"alike": True},
    "a remote of 125 MB/s": {"remote": 0.125 * GB},
    "a scheduler that takes ten times as long": {"dispatch": 10.0},
}


def varied_table(measured: Measured, workers: int) -> str:
    """What the whole grid takes where one assumption is another."""
    lines = [
        f"| on {workers} workers | a machine has | models in turn | machine hours | 4 at once | machine hours |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, change in VARIED.items():
        full = Full(replace(Assumptions(), **change), measured)  # type: ignore[arg-type]
        hosts = -(-workers // full.per_host)
        cells = []
        for shape in (IN_TURN, FOUR):
            seconds = simulated(full, shape, workers).seconds
            cells += [_long(seconds), f"{hosts * seconds / HOUR:,.0f}"]
        lines.append(f"| {name} | {full.per_host} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figure(table: pd.DataFrame) -> Figure:
    """Speed-up and efficiency against workers, a line for each shape, from `scaled`."""
    most = table["workers"].max()
    last = table[table["workers"] == most].set_index("shape")["speed_up"]
    headline = f"Simulated: {most} workers do the grid {last[FOUR]:,.0f} times as fast as one (4 at once), one model {last[ONE]:,.1f} times"
    with matplotlib.rc_context(charts.STYLE):
        drawn = Figure(figsize=(charts.WIDTH, 4.0), dpi=charts.POINTS_AN_INCH, layout="constrained")
        drawn.suptitle(headline, x=0.01, ha="left", fontsize=11, color=charts.INK)
        left, right = drawn.subplots(1, 2)
        left.plot(WORKERS, WORKERS, color=charts.PALE, linewidth=4, alpha=0.6, label="as many times as workers")
        for style, (shape, rows) in zip((":", "-.", "--", (0, (5, 1)), "-"), table.groupby("shape", sort=False), strict=True):
            label = f"{shape}: {rows['fits'].iloc[0]:,} fits"
            left.plot(rows["workers"], rows["speed_up"], linestyle=style, marker="o", markersize=4, label=label)
            right.plot(rows["workers"], rows["efficiency"], linestyle=style, marker="o", markersize=4, label=label)
        left.set_title("speed-up: times as fast as one worker")
        right.set_title("efficiency: speed-up for each worker")
        left.set_yscale("log", base=2)
        right.set_ylim(0, 1.05)
        right.yaxis.set_major_formatter(PercentFormatter(1))
        for axes in (left, right):
            axes.set_xscale("log", base=2)
            axes.set_xlabel("workers of one thread")
        for axis in (left.xaxis, left.yaxis, right.xaxis):
            axis.set_major_locator(FixedLocator(WORKERS))
            axis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
            axis.set_minor_locator(NullLocator())
        left.legend(loc="upper left")
    return drawn


LINES: dict[str, tuple[Callable[[Mapping[str, Any]], float], str]] = {
    "a training, without what starts and ends": (lambda run: run["train"], ".1f s"),
    "processor time of the workers meanwhile": (lambda run: run["processors"], ".1f s"),
    "a fit, median": (lambda run: statistics.median(run["tasks"].values()), ".1f s"),
    "a fit, 95th percentile": (lambda run: float(np.quantile(list(run["tasks"].values()), 0.95)), ".1f s"),
    "share of the workers' time in which they fit": (lambda run: busy(run), ".0% "),
    "starting scheduler and workers": (lambda run: run["start"], ".1f s"),
    "the first jobs, which import and open the data": (lambda run: run["first"], ".1f s"),
    "a job that does nothing": (lambda run: 1e3 * run["empty"], ".1f ms"),
    "sent for a task": (lambda run: statistics.median(run["sent"].values()) / 1e3, ".1f kB"),
    "returned by a fold": (lambda run: _received(run, final=False), ".0f kB"),
    "returned by a final fit": (lambda run: _received(run, final=True), ".0f kB"),
    "large results over loopback": (lambda run: run["transfer"] / 1e6, ".0f MB/s"),
    "load of the machine after the run": (lambda run: run["load"], ".1f "),
}
"""What is told of a run of Dask, and how."""

LOCAL = ("a training, without what starts and ends", "load of the machine after the run")
"""What of it there is without Dask."""


def measured_table(measured: Measured) -> str:
    """What was measured, medians of the runs with the lowest and the highest."""
    ways = {"local": "this process", "1": "Dask, 1 worker", "2": "Dask, 2 workers"}
    lines = ["| | " + " | ".join(ways.values()) + " |", "|---|" + "---:|" * len(ways)]
    for name, (value, form) in LINES.items():
        shown = [way for way in ways if way != "local" or name in LOCAL]
        cells = [_spread([value(run) for run in measured["runs"][way]], form) if way in shown else "" for way in ways]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def validation_table(measured: Measured) -> str:
    """`validation`, medians of the runs with the lowest and the highest."""
    lines = [
        "| workers | measured | the simulation, with the seconds of the same fits, misses by | with those of one worker, by |",
        "|---:|---:|---:|---:|",
    ]
    for workers, rows in validation(measured).groupby("workers"):
        misses = " | ".join(_spread((100 * rows[way]).tolist(), "+.1f %") for way in ("own", "ahead"))
        lines.append(f"| {workers} | {_spread(rows['seconds'].tolist(), '.1f s')} | {misses} |")
    return "\n".join(lines)


def efficiency(measured: Measured) -> float:
    """t1 / (2 t2), the median over the pairs of runs."""
    runs = measured["runs"]
    return statistics.median(one["train"] / (2 * two["train"]) for one, two in zip(runs["1"], runs["2"], strict=True))


def slower(measured: Measured) -> tuple[float, float]:
    """How many times as long fits take side by side as alone, by the clock and by the processors' time: medians over the pairs of runs."""
    pairs = list(zip(measured["runs"]["1"], measured["runs"]["2"], strict=True))
    clock = [sum(two["tasks"].values()) / sum(one["tasks"].values()) for one, two in pairs]
    return statistics.median(clock), statistics.median(two["processors"] / one["processors"] for one, two in pairs)


def busy(run: Mapping[str, Any]) -> float:
    """Share of the workers' time in which they fit."""
    return float(sum(run["tasks"].values()) / run["workers"] / run["train"])


def equal(measured: Measured) -> bool:
    """Whether all runs of all engines gave the same bits."""
    return len({run["digest"] for runs in measured["runs"].values() for run in runs}) == 1


def _received(run: Mapping[str, Any], final: bool) -> float:
    """Median kB."""
    return statistics.median(size for name, size in run["received"].items() if ("final" in name) == final) / 1e3


def _sent(measured: Measured) -> float:
    return statistics.median(size for run in measured["runs"]["2"] for size in run["sent"].values())


def _spread(values: Sequence[float], form: str) -> str:
    digits, _, unit = form.partition(" ")
    middle, low, high = (f"{value:{digits}}" for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} {unit} ({low} to {high})".replace("  ", " ")


def _long(seconds: float) -> str:
    """Seconds in a unit that a person reads."""
    for unit, name in ((DAY, "days"), (HOUR, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.1f} s"


def blocks(measured: Measured) -> tuple[dict[str, str], pd.DataFrame]:
    """The blocks of docs/scale.md by their names, and what the picture is drawn from."""
    full = Full(Assumptions(), measured)
    machine, size, runs = measured["machine"], measured["size"], measured["runs"]
    count = len(runs["2"][0]["tasks"])
    clock, processors = slower(measured)
    alone = statistics.median(busy(run) for run in runs["2"]) / processors
    features = f"{size['train_eras']} train eras of {size['train_rows']:,} rows and {size['features']} features"
    same = "The predictions and models of all runs were the same, bit by bit." if equal(measured) else "**The results of the runs differ.**"
    found = scaled(full)
    return {
        "workers": f"""Machine: {machine["cpu"]}, {machine["cores"]} cores, which other work used at the same time.
Medians of {len(runs["2"])} runs, in turn, with the lowest and the highest. {count} fits of LightGBM with early stopping
(2 targets × 2 seeds × 3 folds and their final fits) on {features}, one thread each.

{measured_table(measured)}

Two workers have an efficiency, t₁ / (2 t₂), of {efficiency(measured):.0%} (median over the pairs of runs).
Fits took {clock:.2f} times as long side by side as alone by the clock, and {processors:.2f} times the processors' time: what other
work took of the second core is most of it. On cores of their own it would be about {alone:.0%}: the share of their time in which they
fit, over what fits cost each other in processor time.
{same}""",
        "workers validated": validation_table(measured),
        "workers full size": "By the same laws, with one thread, the stage `train_lightgbm` of the full size above takes "
        f"{full_size_stage(measured):.0f} s; the table there has what it took with two.",
        "workers simulated": scaled_table(found),
        "workers bounds": bounds_table(full, WORKERS[-1]),
        "workers assumptions": assumptions_table(full),
        "workers varied": varied_table(measured, WORKERS[-1]),
    }, found
