"""Where `make repro` spends its time: each stage on its own in a fresh clone, then DVC over all of them.

`python -m benchmarks.repro` prints the table; `--write` puts it into docs/scale.md.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dvc.repo import Repo
from dvc.stage import PipelineStage

from benchmarks import measure

PAGE = measure.ROOT / "docs" / "scale.md"
IMPORT_REPEATS = 3


@dataclass(frozen=True)
class Spent:
    """Seconds that a command took, those of all its processors together, and those of what it imports."""

    name: str
    seconds: float
    processor: float
    imports: float | None = None


def commands(directory: Path) -> dict[str, list[str]]:
    """The command of each stage, by its name, in the order of dvc.yaml."""
    return {stage.name: shlex.split(str(stage.cmd)) for stage in Repo(directory).index.stages if isinstance(stage, PipelineStage)}


def run(name: str, command: list[str], directory: Path, imports: float | None = None) -> Spent:
    """Run a command to its end, what it prints hidden.

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


def seconds_to_import(module: str, directory: Path) -> float:
    """The least of some processes that import a module and do nothing else."""
    return min(run(module, [sys.executable, "-c", f"import {module}"], directory).seconds for _ in range(IMPORT_REPEATS))


def measured() -> list[Spent]:
    """Every stage, their sum, and DVC in a clone without data, then with nothing to do."""
    with tempfile.TemporaryDirectory() as scratch:
        alone, whole = Path(scratch) / "alone", Path(scratch) / "whole"
        for clone in (alone, whole):
            subprocess.run(["git", "clone", "--quiet", measure.ROOT, clone], check=True)
        found = []
        for name, command in commands(alone).items():
            module = command[command.index("-m") + 1]
            found.append(run(name, command, alone, seconds_to_import(module, alone)))
            print(line(found[-1]), file=sys.stderr, flush=True)
        total = Spent("all stages", sum(s.seconds for s in found), sum(s.processor for s in found), sum(s.imports or 0.0 for s in found))
        everything = run("`dvc repro` in a clone without data", ["dvc", "repro", "--force"], whole)
        return [*found, total, everything, run("`dvc repro` with nothing to do", ["dvc", "repro"], whole)]


def line(spent: Spent) -> str:
    imports = "" if spent.imports is None else f"{spent.imports:.1f}"
    return f"| {spent.name} | {spent.seconds:.1f} | {spent.processor:.1f} | {imports} |"


def table(found: list[Spent]) -> str:
    return "\n".join(["| | seconds | of processors | of imports |", "|---|---|---|---|", *map(line, found)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/scale.md")
    text = table(measured())
    if parser.parse_args().write:
        machine = measure.machine()
        measure.put(PAGE, "repro", f"Machine: {machine['cpu']}, {machine['cores']} cores.\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
