"""Processes of Python that start at once: forks of one that has loaded the packages that stages, commands and DVC import."""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from closure import ROOT

SECONDS = 900
"""At most for a process."""

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["preloaded"])
STAGE = ["python", "-m"]


def run(words: Sequence[str], directory: Path, environment: Mapping[str, str]) -> tuple[int | None, str, str]:
    """Run `python -m` with some words in a directory; return its exit code and all that it has written to stdout and to stderr."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(Path(__file__).parent)]))
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        forkserver.ensure_running()
    with tempfile.TemporaryDirectory() as said:
        places = [Path(said, name) for name in ("out", "err")]
        process = SERVER.Process(target=_run, args=(words, directory, environment, places))
        process.start()
        try:
            process.join(SECONDS)
        finally:
            process.kill()  # where it, or the test, has taken too long
            process.join()
        out, err = (place.read_text(encoding="utf-8") for place in places)
        return process.exitcode, out, err


def _run(words: Sequence[str], directory: Path, environment: Mapping[str, str], places: Sequence[Path]) -> NoReturn:
    """Be a process with files for stdout and stderr."""
    for number, place in enumerate(places, 1):
        file = os.open(place, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    _become(words, directory, environment)


def _become(words: Sequence[str], directory: Path | str, environment: Mapping[str, str]) -> NoReturn:
    """Be the process that `python -m` with some words starts in a directory, whose exit code is the fork's."""
    atexit._clear()
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    aside = {str(ROOT), str(Path(__file__).parent)}
    sys.path[:] = [str(directory), *(path for path in sys.path if path not in aside)]
    module, *arguments = words
    sys.argv = [module, *arguments]
    if module == "dvc":
        import dvc.stage.run

        dvc.stage.run.subprocess = SimpleNamespace(Popen=_stage)
    code: Any = None
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _stage(command: Sequence[str] | str, *, cwd: str, env: Mapping[str, str], **others: Any) -> Any:
    """Start a command of a stage as DVC does: in a fork where it is `python -m stages.…`."""
    words = (command if isinstance(command, str) else command[-1]).split()
    if words[:2] != STAGE:
        return subprocess.Popen(command, cwd=cwd, env=env, **others)
    return _Forked(words[2:], cwd, env)


class _Forked:
    """A part of `subprocess.Popen` that DVC calls, for a fork."""

    returncode: int

    def __init__(self, words: Sequence[str], directory: str, environment: Mapping[str, str]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _become(words, directory, environment)

    def communicate(self) -> None:
        """Wait for its end."""
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
