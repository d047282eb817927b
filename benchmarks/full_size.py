"""The whole DAG on data of Numerai v5.3's size: `python -m benchmarks.full_size DIRECTORY [--trees N] [--write docs/scale.md]`.

It draws files in Numerai's layout into DIRECTORY, era by era, and runs the stages there with the LightGBM models of `params.yaml`.
Each stage is a process that may not allocate more than a bound (`RLIMIT_DATA`; mapped files don't count). For each stage it prints
seconds, rows/s, the peaks of anonymous and of mapped memory, the bytes written and the disk used. `--from STAGE` continues an earlier
run.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy.stats import rankdata

from benchmarks import measure
from erawise.base import files, jit

ROOT = Path(__file__).parents[1]
DRAW = "draw"
SELECT_NONE = "select_features none"
"""The settings to select all features: few trees would select few, and the models need all."""

BEFORE_TRAINING = ("preprocess", "explore", "split", "select_features", SELECT_NONE, "tune")
AFTER_TRAINING = ("ensemble", "neutralize", "evaluate", "plot")
NOTHING = "dvc repro with nothing to do"
GROUP_ROWS = 50_000
GROUPS = ("intelligence", "charisma", "strength", "dexterity", "constitution", "wisdom", "agility", "serenity")
FACTORS = 40
FROM_FACTOR = 64
"""Number of the 256 values of a byte that give a feature its factor's bin: a quarter of its values."""

BINS = np.array([0, 1, 2, 3, 4] * 51 + [2], np.int8)
TARGETS = [
    "agnes",
    "alpha",
    "bravo",
    "caroline",
    "charlie",
    "claudia",
    "cyrusd",
    "delta",
    "echo",
    "ender",
    "jasper",
    "jeremy",
    "ralph",
    "rowan",
    "sam",
    "teager2b",
    "tyler",
    "victor",
    "waldo",
    "xerxes",
]
MAIN = "target_ender_60"
"""The target that the bare `target` equals."""

SHARES = np.array([0.05, 0.25, 0.75, 0.95])
"""Ranks at which a target changes its value: shares of 5, 20, 50, 20 and 5 %."""

SIGNAL, PREDICTIVE = 0.01, 60
BENCHMARKS = ("v53_lgbm_ender20", "v53_lgbm_ender60")
UNRESOLVED = {20: 5, 60: 13}
"""Number of last validation eras without an outcome yet, by the days of the target."""

POLL_SECONDS, DISK_POLLS = 0.02, 100
GIB = 2**30


@dataclass(frozen=True)
class Size:
    """The size of the drawn data: eras, rows of each, features, and the rows of the live era."""

    train_eras: int
    validation_eras: int
    train_rows: int
    validation_rows: int
    live_rows: int
    features: int

    @property
    def int8_bytes(self) -> int:
        """The bytes of all features as int8."""
        rows = self.train_eras * self.train_rows + self.validation_eras * self.validation_rows + self.live_rows
        return rows * self.features


@dataclass(frozen=True)
class Result:
    """A stage: its seconds, the prepared rows a second, peaks and amounts in bytes."""

    stage: str
    seconds: float
    rows_a_second: float
    peak_anonymous: int
    peak_mapped: int
    written: int
    scratch: int


@jit.compiled()
def _draw_features(out, factors, bins, seed):  # type: ignore[no-untyped-def]
    """Fill (features, rows): a value is the row's bin of the feature's factor, or its own bin, from the bytes of splitmix64."""
    width, rows = out.shape
    state = np.uint64(seed)
    for k in range(width):
        factor = factors[k % len(factors)]
        for left in range(0, rows, 8):
            state += np.uint64(0x9E3779B97F4A7C15)
            word = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            word ^= word >> np.uint64(31)
            for r in range(left, min(left + 8, rows)):
                byte = word & np.uint64(255)
                word >>= np.uint64(8)
                out[k, r] = factor[r] if byte < FROM_FACTOR else bins[byte]


def feature_names(size: Size) -> list[str]:
    return [f"feature_{k:04d}" for k in range(size.features)]


def target_names() -> list[str]:
    return ["target", *(f"target_{name}_{days}" for days in (20, 60) for name in TARGETS)]


def days_of(target: str) -> int:
    """Return the trading days that a target looks ahead."""
    return int((MAIN if target == "target" else target).rpartition("_")[2])


def draw(size: Size, raw: Path, seed: int = 1) -> None:
    """Write a data version in Numerai's layout into an existing directory: train and validation in parallel, row group by row group."""
    names = feature_names(size)
    sets = {"small": names[:42], "medium": names[:780], "fncv3": names[:400], "quantum": names[2_748:], "all": names}
    sets |= {group: names[k::8] for k, group in enumerate(GROUPS)}
    files.write_json({"feature_sets": sets, "targets": target_names()}, raw / "features.json")
    train = range(1, size.train_eras + 1)
    validation = range(size.train_eras + 1, size.train_eras + size.validation_eras + 1)
    with ThreadPoolExecutor(2) as pool:
        waiting = [
            pool.submit(_write_split, raw, "train", train, size.train_rows, size, seed),
            pool.submit(_write_split, raw, "validation", validation, size.validation_rows, size, seed),
        ]
        for done in waiting:
            done.result()
    _write_split(raw, "live", range(1), size.live_rows, size, seed)
    (raw / "live_benchmark_models.parquet").unlink()


def _write_split(raw: Path, name: str, eras: range, rows: int, size: Size, seed: int) -> None:
    eras_a_group = max(1, GROUP_ROWS // rows)
    writers: dict[str, pq.ParquetWriter] = {}
    try:
        for start in range(0, len(eras), eras_a_group):
            for file, table in _draw_group(name, list(eras[start : start + eras_a_group]), rows, size, seed).items():
                if file not in writers:
                    writers[file] = pq.ParquetWriter(raw / f"{file}.parquet", table.schema, compression="lz4", write_statistics=False)
                writers[file].write_table(table, row_group_size=table.num_rows)
    finally:
        for writer in writers.values():
            writer.close()


def _draw_group(name: str, eras: list[int], rows: int, size: Size, seed: int) -> dict[str, pa.Table]:
    """Draw the tables of some eras of a split, by the name of their file."""
    count = rows * len(eras)
    values = np.empty((size.features, count), np.int8)
    targets = np.empty((len(target_names()), count), np.float32)
    predictions = np.empty((len(BENCHMARKS), count), np.float32)
    for k, era in enumerate(eras):
        rng = np.random.default_rng((seed, era))
        span = slice(k * rows, (k + 1) * rows)
        block = np.empty((size.features, rows), np.int8)
        _draw_features(block, BINS[rng.integers(0, 255, (FACTORS, rows))], BINS, int(rng.integers(2**63)))
        values[:, span] = block
        targets[:, span], predictions[:, span] = _draw_targets(block, rng)
        to_come = size.train_eras + size.validation_eras - era
        targets[[name == "validation" and to_come < UNRESOLVED[days_of(target)] for target in target_names()], span] = np.nan
    label = "X" if name == "live" else None
    identity = {
        "id": pa.array([f"n{(era * 2654435761 + row) % 2**60:015x}" for era in eras for row in range(rows)]),
        "era": pa.array([label or f"{era:04d}" for era in eras for _ in range(rows)]),
    }
    main = identity | {"data_type": pa.array([name] * count)}
    if name != "live":
        main |= {target: pa.array(column) for target, column in zip(target_names(), targets, strict=True)}
    main |= {feature: pa.array(column) for feature, column in zip(feature_names(size), values, strict=True)}
    found = {name: pa.table(main)}
    found[f"{name}_benchmark_models"] = pa.table(
        identity | {model: pa.array(column) for model, column in zip(BENCHMARKS, predictions, strict=True)}
    )
    if name == "validation":
        found["meta_model"] = pa.table(identity | {"numerai_meta_model": pa.array(predictions.mean(axis=0))})
    return found


def _draw_targets(block: NDArray[np.int8], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the (targets, rows) and (benchmarks, rows) of an era: a weak linear signal, noise in common, noise of their own."""
    rows = block.shape[1]
    predictive = block[:PREDICTIVE].astype(np.float64) - 2
    weights = np.cos(np.arange(len(predictive)))
    signal = weights @ predictive / np.sqrt(2 * np.square(weights).sum())
    common, scaled = rng.standard_normal(rows), np.sqrt(SIGNAL) * signal
    own = rng.standard_normal((2 * len(TARGETS), rows))
    scores = scaled + np.sqrt(0.75) * common + np.sqrt(0.25) * own
    binned = (np.searchsorted(SHARES, rankdata(scores, axis=1, method="ordinal") / rows) / 4).astype(np.float32)
    main = target_names().index(MAIN) - 1
    noisy = signal + rng.standard_normal((len(BENCHMARKS), rows))
    return np.vstack([binned[main], binned]), (rankdata(noisy, axis=1) / (rows + 1)).astype(np.float32)


def write_params(path: Path, trees: int | None, selection: str) -> list[str]:
    """Write the repository's `params.yaml` with only its LightGBM models, of at most `trees` trees; return the models' names."""
    yaml = YAML()
    content = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["data"].update(source="local", local={"path": "data/raw"}, feature_set="all")
    content["models"] = {name: model for name, model in content["models"].items() if model["kind"] == "lightgbm"}
    content["ensemble"]["weights"] = "equal"
    content["select_features"]["method"] = selection
    if trees is not None:
        for section in (content["select_features"], *content["models"].values()):
            section["trees"] = min(trees, section["trees"])
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    return list(content["models"])


def run_stage(stage: str, directory: Path, bound: int) -> Result:
    """Run one stage as a process in `directory`, and watch it.

    Raises
    ------
    SystemExit
        If the stage fails.
    """

    module, *arguments = stage.removesuffix(" none").split()
    return run_command(stage, [sys.executable, "-m", f"stages.{module}", *arguments], directory, bound)


def run_command(name: str, command: list[str], directory: Path, bound: int) -> Result:
    """Run a command in `directory`, and watch it."""

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=directory, env=environment, preexec_fn=bounded)
    watched = _watch(process, directory)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode} after {seconds:.0f} s, {_gib(watched['anonymous'])} of anonymous memory")
    return Result(
        name, seconds, prepared_rows(directory) / seconds, watched["anonymous"], watched["mapped"], watched["written"], watched["scratch"]
    )


def run_nothing(directory: Path, bound: int) -> Result:
    """Run `dvc repro` in a clone with all data and its record, after a first run; the data is moved there and back."""
    clone, dvc = directory / "clone", str(Path(sys.executable).parent / "dvc")
    shutil.rmtree(clone, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    for name in ("metrics", "plots"):
        shutil.copytree(directory / name, clone / name, dirs_exist_ok=True)
    settings = YAML()
    content = settings.load((directory / "params.yaml").read_text(encoding="utf-8"))
    content["data"]["local"]["path"] = "data/local"
    settings.dump(content, clone / "params.yaml")
    moved = [path for path in (directory / "data").iterdir() if path.name != "scratch"]
    for path in moved:
        path.rename(clone / "data" / path.name)
    try:
        for path in (clone / "data/raw").iterdir():
            (clone / "data/local" / path.name).hardlink_to(path)
        for command in (["commit", "--force", "--quiet"], ["repro", "--quiet"]):
            subprocess.run([dvc, *command], cwd=clone, check=True)
        return run_command(NOTHING, [dvc, "repro"], clone, bound)
    finally:
        for path in moved:
            (clone / "data" / path.name).rename(path)


def _watch(process: subprocess.Popen[bytes], directory: Path) -> dict[str, int]:
    """Watch a process and its children until it ends; return the peaks of memory of any of them, and of the scratch files."""
    peak = dict.fromkeys(("anonymous", "mapped", "written", "scratch"), 0)
    ended = threading.Event()

    def weigh() -> None:
        while not ended.wait(POLL_SECONDS * DISK_POLLS):
            peak["scratch"] = max(peak["scratch"], scratch_bytes(directory))

    weighing = threading.Thread(target=weigh, daemon=True)
    weighing.start()
    while process.poll() is None:
        for pid in _family(process.pid):
            for name, value in _memory(pid).items():
                peak[name] = max(peak[name], value)
        time.sleep(POLL_SECONDS)
    ended.set()
    weighing.join()
    peak["scratch"] = max(peak["scratch"], scratch_bytes(directory))
    return peak


def _family(pid: int) -> list[int]:
    """Return a process and all that it has started."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def _memory(pid: int) -> dict[str, int]:
    """Read the anonymous and mapped memory of a process, and the bytes that it has sent to the disk; zeros if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        written = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    except OSError:
        return {}
    values = dict(line.split(":", 1) for line in (status + written).splitlines())
    if "RssAnon" not in values:
        return {}
    anonymous, mapped = (int(values[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
    return {"anonymous": anonymous, "mapped": mapped, "written": int(values["write_bytes"])}


def scratch_bytes(directory: Path) -> int:
    """Count the bytes on disk below `data` that are no out of a stage: shared scratch files, and outs that are not whole yet."""
    total = 0
    for base, _, names in os.walk(directory / "data"):
        places = Path(base).relative_to(directory / "data").parts
        for name in names:
            if places[:1] == ("scratch",) or any(part.endswith(".partial") for part in (*places, name)):
                with suppress(FileNotFoundError):
                    total += (Path(base) / name).stat().st_blocks * 512
    return total


def prepared_rows(directory: Path) -> int:
    """Count the rows of train, validation and live in the prepared data."""
    counts = json.loads((directory / "metrics/data.json").read_text(encoding="utf-8"))
    return sum(int(counts[name]["rows"]) for name in ("train", "validation", "live"))


HEAD = "| stage | seconds | rows/s | peak anonymous | peak mapped | written | scratch disk |\n|---|---|---|---|---|---|---|"


def line(result: Result) -> str:
    sizes = " | ".join(_gib(size) for size in (result.peak_anonymous, result.peak_mapped, result.written, result.scratch))
    return f"| {result.stage} | {result.seconds:,.1f} | {result.rows_a_second:,.0f} | {sizes} |"


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"


def run_draw(size: Size, directory: Path) -> Result:
    """Draw the raw files, and measure it: rows a second, and the files' size as the bytes written."""
    raw = directory / "data/raw"
    raw.mkdir(parents=True, exist_ok=True)
    with measure.watched() as peak:
        start = time.perf_counter()
        draw(size, raw)
        seconds = time.perf_counter() - start
    written = sum(path.stat().st_size for path in raw.iterdir())
    return Result(DRAW, seconds, size.int8_bytes / size.features / seconds, peak[0], 0, written, 0)


def report(size: Size, results: list[Result], trees: int | None, bound: int) -> str:
    """Return the results as a table, with a description of the run."""
    rows = size.int8_bytes // size.features
    machine = measure.machine()
    limit = "as many trees as params.yaml says" if trees is None else f"at most {trees} trees"
    peak = max(result.peak_anonymous for result in results if result.stage not in (DRAW, NOTHING))
    scratch = max(result.scratch for result in results)
    table = "\n".join([HEAD, *map(line, results)])
    return f"""{rows:,} rows of {size.features:,} int8 features ({_gib(size.int8_bytes)}): {size.train_eras} train eras of
{size.train_rows:,} rows, {size.validation_eras} validation eras of {size.validation_rows:,}, a live era of {size.live_rows:,};
{len(target_names())} targets; LightGBM with {limit}. Machine: {machine["cpu"]}, {machine["cores"]} cores, {_gib(machine["memory"])}.

{table}

The bound on what a process may allocate (`RLIMIT_DATA`) was {_gib(bound)}; the highest peak of anonymous memory is {_gib(peak)}.
Scratch files, which no stage keeps, take {scratch / size.int8_bytes:.2f} times the features as int8 at their peak."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="where to draw and run; needs about 2.4 times the features as int8, 55 GiB")
    parser.add_argument("--train-eras", type=int, default=574)
    parser.add_argument("--validation-eras", type=int, default=658)
    parser.add_argument("--train-rows", type=int, default=4_784, help="rows of a train era")
    parser.add_argument("--validation-rows", type=int, default=6_243, help="rows of a validation era")
    parser.add_argument("--live-rows", type=int, default=6_000)
    parser.add_argument("--features", type=int, default=3_555)
    parser.add_argument("--trees", type=int, help="trees at most, of each model and of the selection")
    parser.add_argument("--bound", type=float, default=8.0, help="GiB that a stage may allocate")
    parser.add_argument(
        "--from",
        dest="first",
        default=DRAW,
        help="the stage to begin with, on what an earlier run has left; what isn't run again keeps its line",
    )
    parser.add_argument("--until", help="the last stage to run")
    parser.add_argument("--write", type=Path, help="page to put the results into")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    size = Size(**{field.name: getattr(given, field.name) for field in fields(Size)})
    directory, bound = given.directory.resolve(), int(given.bound * GIB)
    directory.mkdir(parents=True, exist_ok=True)
    models = write_params(directory / "params.yaml", given.trees, "importance")
    stages = [
        DRAW,
        *BEFORE_TRAINING,
        *(f"{do} {name}" for do in ("train", "explain") for name in models),
        *AFTER_TRAINING,
        NOTHING,
    ]
    first = next((k for k, stage in enumerate(stages) if given.first in (stage, stage.split()[0])), None)
    if first is None:
        raise SystemExit(f"--from {given.first}: no such stage; they are {', '.join(stages)}")
    record = directory / "full_size.json"
    before = json.loads(record.read_text(encoding="utf-8"))["results"] if first else []
    results = {found["stage"]: Result(**found) for found in before if found["stage"] in stages}
    print(HEAD)
    for number, stage in enumerate(stages[first:], first):
        write_params(directory / "params.yaml", given.trees, "none" if number >= stages.index(SELECT_NONE) else "importance")
        if stage == DRAW:
            results[stage] = run_draw(size, directory)
        elif stage == NOTHING:
            results[stage] = run_nothing(directory, bound)
        else:
            results[stage] = run_stage(stage, directory, bound)
        print(line(results[stage]), flush=True)
        ordered = [asdict(results[name]) for name in stages if name in results]
        found = {"machine": measure.machine(), "size": asdict(size), "trees": given.trees, "results": ordered}
        files.write_json(found, record)
        if given.until in (stage, stage.split()[0]):
            break
    if given.write is not None:
        measure.put(given.write, "full size", report(size, [results[name] for name in stages if name in results], given.trees, bound))


if __name__ == "__main__":
    main()
