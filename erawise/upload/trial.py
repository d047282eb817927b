"""A script that runs a pickle as Numerai does: `python -I trial.py PICKLE FEATURES BENCHMARKS OUT BYTES`.

The Python of another environment runs it, so it imports nothing from erawise. It uses one core, BYTES of memory and no sockets. It reads
the pickle, calls its function on the files of live data, and writes `predictions.parquet` and `trial.json` into the existing directory OUT.
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
"""Number of the function's parameters: live features, and live benchmark models."""

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
    report = {"seconds": round(seconds, 2), "peak_bytes": peak_bytes(), "versions": versions}
    (out / "trial.json").write_text(json.dumps(report), encoding="utf-8")


def confine(memory: int) -> None:
    """Leave this process one core, `memory` bytes of address space, and no socket."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    socket.socket = Refused  # type: ignore[misc]


class Refused(socket.socket):
    """A socket that raises an error when it is made."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        raise OSError("a model runs without a network")


def peak_bytes() -> int:
    """Return the most bytes of memory that this program had at once, on Linux without the memory of the program that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
