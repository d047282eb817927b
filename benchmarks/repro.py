"""The time that DVC and process starts add to the stages, and what `erawise --help` costs: `python -m benchmarks.repro`.

In one clone of the working tree the stages run one after the other without DVC, each a separate process. In another clone, without
data and with an empty cache, `dvc repro` runs all of them, and then has nothing to do. Two tables are printed: the stages, and the
ratios with their limits. `--write` puts both into docs/speed.md. `--small` uses the sizes of tests/small.py.
"""

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dvc.repo import Repo
from dvc.stage import PipelineStage

from benchmarks import measure
from erawise.running import paths

PAGE = measure.ROOT / "docs" / "speed.md"
IMPORT_REPEATS, NOTHING_REPEATS, HELP_REPEATS = 3, 15, 15
RATIOS = {"everything": 1.4, "nothing": 10.0, "help": 12.0}
LINES = {"dvc.yaml": 400, "dvc.lock": 2300}
"""Upper limits of ratios and numbers of lines."""

COPIES = {"copy_scores"}
"""Stages whose outs have the bytes of another stage's outs: DVC takes these from its cache, and doesn't run the stage."""


@dataclass(frozen=True)
class Spent:
    """The seconds of a command: elapsed, of all processors together, and of its imports."""

    name: str
    seconds: float
    processor: float
    imports: float | None = None


@dataclass(frozen=True)
class Checked:
    """A number and the number that it is compared with, as texts, and the demanded ratio or number."""

    name: str
    found: str
    against: str
    value: float
    most: float

    @property
    def holds(self) -> bool:
        return self.value <= self.most


def clone_of_working_tree(directory: Path, *, small: bool) -> Path:
    """Copy the checkout with its uncommitted changes, without anything that a stage writes, into a clone, and compile its modules."""
    subprocess.run(["git", "clone", "--quiet", measure.ROOT, directory], check=True)
    listed = ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"]
    changed = subprocess.run(listed, cwd=measure.ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, changed.stdout.split("\0")):
        (directory / name).unlink(missing_ok=True)
        if (measure.ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(measure.ROOT / name, directory / name)
    for path in (*(directory / paths.METRICS).glob("*.json"), directory / paths.TABLES, directory / paths.PICTURES):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run("compile", [sys.executable, "-m", "compileall", "-q", "erawise", "stages"], directory)
    if small:
        run("shrink", [sys.executable, "tests/small.py", "params.yaml"], directory)
    return directory


def commands(directory: Path) -> dict[str, list[str]]:
    """Return the command of each stage, by its name, in the order of dvc.yaml."""
    return {stage.name: shlex.split(str(stage.cmd)) for stage in Repo(directory).index.stages if isinstance(stage, PipelineStage)}


def run(name: str, command: Sequence[str], directory: Path, imports: float | None = None) -> Spent:
    """Run a command to its end, and hide its output.

    Raises
    ------
    SystemExit
        If it fails.
    """
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stderr}")
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return Spent(name, seconds, processor, imports)


@cache
def seconds_to_import(module: str, directory: Path) -> float:
    """Return the least seconds of some processes that only import a module."""
    return min(run(module, [sys.executable, "-c", f"import {module}"], directory).seconds for _ in range(IMPORT_REPEATS))


def in_turn(first: list[str], second: list[str], directory: Path, repeats: int) -> tuple[float, float]:
    """Return the median seconds of two commands, run in turn."""
    seconds = [[run(command[-1], command, directory).seconds for command in (first, second)] for _ in range(repeats)]
    return statistics.median(pair[0] for pair in seconds), statistics.median(pair[1] for pair in seconds)


def stages_alone(directory: Path) -> list[Spent]:
    """Run every stage without DVC, and return the time of each and their sum."""
    found = []
    for name, command in commands(directory).items():
        module = command[command.index("-m") + 1]
        found.append(run(name, command, directory, seconds_to_import(module, directory)))
        print(line(found[-1]), file=sys.stderr, flush=True)
    total = Spent("all stages", sum(s.seconds for s in found), sum(s.processor for s in found), sum(s.imports or 0.0 for s in found))
    return [*found, total]


def everything(directory: Path) -> Spent:
    """Run `dvc repro` in a clone without data.

    Raises
    ------
    SystemExit
        If it has skipped a stage.
    """
    spent = run("`dvc repro` without data, the cache empty", [sys.executable, "-m", "dvc", "repro"], directory)
    missing = [name for name in commands(directory).keys() - COPIES if not (directory / paths.RUNS / f"{name}.json").is_file()]
    if missing:
        raise SystemExit(f"`dvc repro` has not run {', '.join(missing)}: the comparison would not be fair")
    return spent


def measured(*, small: bool) -> tuple[list[Spent], list[Checked]]:
    """Measure the stages, DVC and the command line."""
    python = sys.executable
    with tempfile.TemporaryDirectory() as scratch:
        alone, whole = (clone_of_working_tree(Path(scratch) / name, small=small) for name in ("alone", "whole"))
        stages = stages_alone(alone)
        repro = everything(whole)
        nothing, version = in_turn([python, "-m", "dvc", "repro"], [python, "-m", "dvc", "--version"], whole, NOTHING_REPEATS)
        shown, json = in_turn([python, "-m", "erawise", "--help"], [python, "-c", "import json"], whole, HELP_REPEATS)
        lines = {name: len((whole / name).read_text(encoding="utf-8").splitlines()) for name in LINES}
    checked = [
        compared(repro.name, repro.seconds, stages[-1].name, stages[-1].seconds, RATIOS["everything"]),
        compared("`dvc repro` with nothing to do", nothing, "`dvc --version`", version, RATIOS["nothing"]),
        compared("`erawise --help`", shown, "`python -c 'import json'`", json, RATIOS["help"]),
        *(Checked(f"lines of {name}", f"{count:,}", "", count, LINES[name]) for name, count in lines.items()),
    ]
    return [*stages, repro], checked


def compared(name: str, seconds: float, other: str, others: float, most: float) -> Checked:
    return Checked(name, f"{seconds:.2f} s", f"{other}: {others:.2f} s", seconds / others, most)


def line(spent: Spent) -> str:
    imports = "" if spent.imports is None else f"{spent.imports:.1f}"
    return f"| {spent.name} | {spent.seconds:.1f} | {spent.processor:.1f} | {imports} |"


def table(found: list[Spent]) -> str:
    return "\n".join(["| | seconds | of processors | of imports |", "|---|---|---|---|", *map(line, found)])


def demands(found: list[Checked]) -> str:
    """Return the ratios and numbers of lines, as Markdown."""
    lines = ["| | | against | ratio | at most | holds |", "|---|---:|---|---:|---:|---|"]
    for one in found:
        ratio = f"{one.value:.2f}" if one.against else ""
        lines.append(f"| {one.name} | {one.found} | {one.against} | {ratio} | {one.most:,g} | {'yes' if one.holds else '**no**'} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="take the sizes of tests/small.py, to try this script")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/speed.md")
    given = parser.parse_args()
    if given.small and given.write:
        parser.error("--write puts the pipeline as it is in params.yaml into the page; leave out --small")
    spent, checked = measured(small=given.small)
    text = f"{table(spent)}\n\n{demands(checked)}"
    if given.write:
        machine = measure.machine()
        measure.put(PAGE, "repro", f"Machine: {machine['cpu']}, {machine['cores']} cores.\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
