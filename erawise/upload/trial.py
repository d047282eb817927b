"""Run a pickle as Numerai runs it: `python -I trial.py PICKLE FEATURES BENCHMARKS OUT BYTES`.

A script that the Python of another environment runs, and imports nothing of ours. On one core, within so many bytes of memory and
without sockets, it reads the pickle, calls its function on the files of live data, and writes `predictions.parquet` and `trial.json`
into the existing directory OUT.
"""

import inspect
import json
import os
import platform
import resource
import socket
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PARAMETERS = 2
"""Of the function: live features, and live benchmark models."""

PACKAGES = ("numpy", "pandas", "scipy", "lightgbm", "pyarrow")
KIB = 1024


def main() -> None:
    start = time.perf_counter()
    path, features, benchmarks, out = (Path(argument) for argument in sys.argv[1:5])
    confine(int(sys.argv[5]))
    import pandas as pd

    function: Any = pd.read_pickle(path)
    found = len(inspect.signature(function).parameters)
    if found != PARAMETERS:
        raise SystemExit(f"the pickle's function takes {found} arguments; expected {PARAMETERS}")
    frames = [pd.read_parquet(file) for file in (features, benchmarks)]
    predictions = function(*(frame if frame.index.name == "id" else frame.set_index("id") for frame in frames))
    seconds = time.perf_counter() - start
    predictions.to_parquet(out / "predictions.parquet")
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}
    told = {"seconds": round(seconds, 2), "peak_bytes": peak_bytes(), "versions": versions}
    (out / "trial.json").write_text(json.dumps(told), encoding="utf-8")


def confine(memory: int) -> None:
    """Leave this process one core, so many bytes of address space, and no socket."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    socket.socket = Refused  # type: ignore[misc]


class Refused(socket.socket):
    """What others make their sockets of."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        raise OSError("there is no network where a model runs")


def peak_bytes() -> int:
    """The most memory that this program had at once; what the one that started it had doesn't count, where the system tells them apart."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
