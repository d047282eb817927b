"""Processes that run a module as `python -m` does: forks of a process with loaded packages. Loading them would take most of the time.

Nothing of this project is loaded before the fork.
"""

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import sys
import sysconfig
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

import dask

PACKAGES = (
    *("dask.__main__", "distributed.cli.dask_scheduler", "distributed.cli.dask_worker", "distributed.dashboard.scheduler"),
    *("lightgbm", "numba", "pandas", "pyarrow.parquet", "pydantic", "rich.console", "ruamel.yaml", "scipy.stats", "sklearn.tree"),
)
"""Packages that are loaded before the first fork; a module loads others itself."""

DASK = "DASK_DISTRIBUTED__WORKER__"
METHOD = {f"{DASK}MULTIPROCESSING_METHOD": "forkserver"}
"""The variable by which the workers that Dask starts in a module are forks too."""

UNPROFILED = {f"{DASK}PROFILE__ENABLED": "False"}
"""The variable without which workers of Dask look at their stacks 100 times a second."""

ENVIRONMENT = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
"""The environment in which packages are loaded, before any test has changed it, and without a thread that a fork would lose."""

INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


@cache
def server() -> ForkServerContext:
    """Return the context whose new processes are forks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PACKAGES])
    with mock.patch.dict(os.environ, ENVIRONMENT, clear=True):
        forkserver.ensure_running()
    return context


def start(command: Sequence[str], at: Path, log: Path, variables: Mapping[str, str]) -> BaseProcess:
    """Start a module with its arguments in a directory, in its own session; its output goes to a file."""
    process = server().Process(target=_run, args=(list(command), str(at), str(log), dict(variables)))
    process.start()
    return process


def _run(command: list[str], at: str, log: str, variables: dict[str, str]) -> None:
    gc.freeze()
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a command in the background of a shell ignores it
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(at)
    os.environ.clear()
    os.environ.update(variables | UNPROFILED)
    sys.argv = command
    sys.path = [at, *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep)), *(at for at in sys.path if at.startswith(INSTALLED))]
    dask.config.refresh()
    forkserver._forkserver.ensure_running = resource_tracker.ensure_running  # type: ignore[method-assign]  # else a fork would start another server
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    finally:  # as Python ends; a fork of this server would leave it out
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
