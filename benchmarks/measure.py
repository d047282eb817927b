"""Two ways to do the same work, measured in turn, several times: medians with their spread.

`python -m benchmarks.measure MODULE FUNCTION [ARGUMENT ...]` is one run in a separate process. It prints seconds and peak memory.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from erawise.base import files

REPEATS = 5
POLL_SECONDS = 0.005
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Run:
    """One run: seconds, the peak of the process's anonymous memory in bytes (without mapped files), and its result."""

    seconds: float
    peak: int
    found: Any = None


@dataclass(frozen=True)
class Row:
    """A line of the result.

    Parameters
    ----------
    name : the work and its size.
    theirs, ours : median seconds of the peer's way and of this project's.
    ratio, must : `theirs / ours`, and its lower limit.
    max_difference, tolerance : largest absolute difference of the results, and its upper limit.
    peak_theirs, peak_ours, peak_must : bytes, and the lower limit of their ratio, if memory is measured.
    spread_theirs, spread_ours : (lowest, highest) seconds.
    note : the reason if a limit isn't met.
    """

    name: str
    theirs: float
    ours: float
    must: float
    max_difference: float | None = None
    tolerance: float | None = None
    peak_theirs: int | None = None
    peak_ours: int | None = None
    peak_must: float | None = None
    spread_theirs: tuple[float, float] | None = None
    spread_ours: tuple[float, float] | None = None
    note: str = ""
    ratio: float = field(init=False)
    holds: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", self.theirs / self.ours)
        fast = self.ratio >= self.must
        exact = self.tolerance is None or (self.max_difference is not None and self.max_difference <= self.tolerance)
        small = self.peak_must is None or bool(self.peak_theirs and self.peak_ours and self.peak_theirs / self.peak_ours >= self.peak_must)
        object.__setattr__(self, "holds", fast and exact and small)


@dataclass(frozen=True)
class Agreement:
    """A way to compare two results: their largest absolute difference, and its upper limit."""

    difference: Callable[[Any, Any], float]
    tolerance: float


def alternately(theirs: Callable[[], Any], ours: Callable[[], Any], repeats: int = REPEATS) -> tuple[list[float], list[float], Any, Any]:
    """Call both in turn in this process, after one call of ours to compile; return their seconds, ours, and the last results."""
    ours()
    seconds: tuple[list[float], list[float]] = ([], [])
    results: list[Any] = [None, None]
    for _ in range(repeats):
        for side, call in enumerate((theirs, ours)):
            start = time.perf_counter()
            results[side] = call()
            seconds[side].append(time.perf_counter() - start)
    return *seconds, *results


def row(
    name: str,
    theirs: Callable[[], Any],
    ours: Callable[[], Any],
    *,
    must: float,
    agreement: Agreement | None = None,
    repeats: int = REPEATS,
    note: str = "",
) -> Row:
    """Measure two callables in this process. Without an agreement, their results aren't compared."""
    a, b, result_a, result_b = alternately(theirs, ours, repeats)
    return Row(
        name,
        statistics.median(a),
        statistics.median(b),
        must,
        None if agreement is None else float(agreement.difference(result_a, result_b)),
        None if agreement is None else agreement.tolerance,
        spread_theirs=(min(a), max(a)),
        spread_ours=(min(b), max(b)),
        note=note,
    )


def in_process(module: str, function: str, *arguments: object) -> Run:
    """Run `benchmarks.<module>.<function>(*arguments)`, given as texts, in a fresh process.

    Only the call is timed, not the imports before it. Its result must be JSON.
    """
    command = [sys.executable, "-m", "benchmarks.measure", module, function, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def anonymous_bytes(process: int | None = None) -> int:
    """Read the anonymous memory of a process (by default this one) now, without mapped files."""
    status = Path(f"/proc/{process or 'self'}/status")
    for line in status.read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{status} has no RssAnon: memory is measured on Linux alone")


@contextmanager
def watched(processes: Sequence[int | None] = (None,)) -> Iterator[list[int]]:
    """Yield a list whose one number becomes the peak of `anonymous_bytes` meanwhile, of the process with the most."""
    peak, done = [max(map(anonymous_bytes, processes))], threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            peak[0] = max(peak[0], *map(anonymous_bytes, processes))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak[0] = max(peak[0], *map(anonymous_bytes, processes))


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    head = "| work | theirs | ours | ratio | must | difference | memory, theirs : ours | holds |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        exact = "" if r.max_difference is None else f"{r.max_difference:.1g}" + ("" if r.tolerance is None else f" (≤ {r.tolerance:g})")
        memory = ""
        if r.peak_theirs and r.peak_ours:
            memory = f"{r.peak_theirs / 2**20:,.0f} : {r.peak_ours / 2**20:,.0f} MiB = {r.peak_theirs / r.peak_ours:.1f}"
            memory += f" (≥ {r.peak_must:g})" if r.peak_must else ""
        times = f"{_seconds(r.theirs, r.spread_theirs)} | {_seconds(r.ours, r.spread_ours)}"
        name = f"{r.name} ({r.note})" if r.note else r.name
        lines.append(f"| {name} | {times} | {r.ratio:.1f} | {r.must:g} | {exact} | {memory} | {'yes' if r.holds else '**no**'} |")
    return "\n".join(lines)


def _seconds(median: float, spread: tuple[float, float] | None) -> str:
    return f"{median:.3g} s" + (f" ({spread[0]:.3g}–{spread[1]:.3g})" if spread else "")


def machine() -> dict[str, Any]:
    """Describe the machine and the versions."""
    model = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    memory = next((int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    packages = ("numpy", "pandas", "pyarrow", "numba", "scipy", "lightgbm", "numerai-tools")
    versions = {name: metadata.version(name) for name in packages}
    return {"cpu": model, "cores": os.cpu_count(), "memory": memory, "python": platform.python_version(), **versions}


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def put(path: Path, block: str, text: str) -> None:
    """Replace the text between the two marks of a block."""
    begin, end = f"<!-- {block} -->", f"<!-- end of {block} -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{path}: the marks {begin} and {end} are missing")
    with files.replacing(path) as temporary:
        temporary.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def publish(blocks: dict[str, str], page: Path, *, write: bool) -> None:
    """Print blocks by their names, and put them into a page if asked to."""
    for name, text in blocks.items():
        print(f"{name}\n\n{text}\n")
        if write:
            put(page, name, text)


def main() -> None:
    parser = argparse.ArgumentParser(description="run one function of a benchmark in this process")
    parser.add_argument("module", help="a module of benchmarks")
    parser.add_argument("function", help="a function of it")
    parser.add_argument("arguments", nargs="*", help="what to call it with, as texts")
    given = parser.parse_args()
    function = getattr(importlib.import_module(f"benchmarks.{given.module}"), given.function)
    with watched() as peak:
        start = time.perf_counter()
        found = function(*given.arguments)
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": peak[0], "found": found}))


if __name__ == "__main__":
    main()
