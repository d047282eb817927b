"""The run of a stage of the DAG: its arguments, its progress, its last line, and its record."""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import erawise
from erawise.base import files
from erawise.running import errors, paths
from erawise.running.progress import SILENT, ConsoleProgress, Progress, StdoutAboveBar, duration

if sys.platform != "win32":  # there `errors` has ended the process
    import resource

QUIET = "ERAWISE_QUIET"
"""A variable of the environment that makes every stage quiet, unless it is 0; `dvc repro --quiet` only silences DVC."""

GIB = 2**30
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
PACKAGES = ("dvc", "lightgbm", "numpy", "pandas", "pyarrow", "scikit-learn", "tensorflow-cpu")
LISTED = 4
"""Most files that the last line names; more are counted by directory."""


@dataclass(frozen=True)
class Done:
    """The result of a stage.

    Attributes
    ----------
    wrote : files and directories that it wrote.
    rows : number of rows that it read or made; None if there are none.
    """

    wrote: Sequence[Path]
    rows: int | None = None


StageFunction = Callable[[Progress], Done]
ModelStageFunction = Callable[[str, Progress], Done]


def stage(name: str, then: str | None = None) -> Callable[[StageFunction], Callable[[], None]]:
    """Turn a function into the `main` of a stage of the DAG; `--help` prints the docstring of its module.

    `then` is a command line of `erawise` that runs afterwards in another process. No result of the stage depends on it, and if it fails,
    the stage doesn't.
    """

    def decorate(work: StageFunction) -> Callable[[], None]:
        @errors.reported
        def main() -> None:
            given = _parser(_documented(work)).parse_args()
            _run(name, name, work, given.quiet)
            if then is not None:
                _start(then, given.quiet)

        return main

    return decorate


def stage_of_model(name: str) -> Callable[[ModelStageFunction], Callable[[], None]]:
    """Turn a function into the `main` of a stage of the DAG that runs for one model, which its command line names."""

    def decorate(work: ModelStageFunction) -> Callable[[], None]:
        @errors.reported
        def main() -> None:
            parser = _parser(_documented(work))
            parser.add_argument("model", help="its name in params.yaml")
            given = parser.parse_args()
            _run(f"{name}@{given.model}", f"{name} {given.model}", lambda progress: work(given.model, progress), given.quiet)

        return main

    return decorate


def peak_bytes() -> int:
    """Return the most bytes of memory that this process or one that it started, and that has ended, has held."""
    return MAXRSS_UNIT * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of installed packages; by default of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@contextmanager
def progress_for(label: str, quiet: bool) -> Iterator[Progress]:
    """Yield a receiver of the progress.

    Until the context ends, stdout is discarded (quiet), printed above the bar (terminal), or left as it is (otherwise).
    """
    if quiet:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield SILENT
        return
    progress = ConsoleProgress(label, sys.stderr, time.monotonic)
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield progress
        return
    above = StdoutAboveBar(sys.stdout, sys.stderr)
    try:
        with redirect_stdout(above):
            yield progress
    finally:
        above.rest()


def warn(line: str) -> None:
    """Print a warning on stderr, also if a stage is quiet."""
    print(f"warning: {line}", file=sys.stderr, flush=True)


def is_quiet() -> bool:
    """Return whether the environment asks for quiet."""
    return os.environ.get(QUIET, "0") not in ("", "0")


def _parser(about: str) -> argparse.ArgumentParser:
    command = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m stages.{command}", description=about)
    parser.add_argument("--quiet", action="store_true", help=f"print only warnings and errors, as with {QUIET}=1 in the environment")
    return parser


def _documented(work: StageFunction | ModelStageFunction) -> str:
    return sys.modules[work.__module__].__doc__ or ""


def _run(name: str, label: str, work: StageFunction, quiet: bool) -> None:
    quiet = quiet or is_quiet()
    started, start = datetime.fromtimestamp(time.time(), UTC), time.perf_counter()
    with progress_for(label, quiet) as progress:
        done = work(progress)
        seconds, peak = round(time.perf_counter() - start, 2), peak_bytes()
        _record(
            {
                "stage": name,
                "wrote": [path.as_posix() for path in done.wrote],
                "rows": done.rows,
                "seconds": seconds,
                "peak_bytes": peak,
                "started": started.isoformat(timespec="seconds"),
                "versions": versions(),
                "cpus": os.cpu_count(),
                "quiet": quiet,
            },
            paths.RUNS / f"{name}.json",
        )
        rows = "" if done.rows is None else f"{done.rows:,} rows, "
        print(f"{label}: wrote {_listed(done.wrote)}; {rows}{duration(seconds)}, {peak / GIB:.2f} GiB")


def _start(command: str, quiet: bool) -> None:
    """Run another command in a new process, with the modules and the working directory of this one."""
    sys.stdout.flush()
    modules = os.pathsep.join([str(Path(erawise.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = [sys.executable, "-m", "erawise", *command.split(), *(["--quiet"] if quiet else [])]
    done = subprocess.run(arguments, env=os.environ | {"PYTHONPATH": modules}, check=False)
    if done.returncode:
        print(f"warning: erawise {command} ended with {done.returncode}; run it again", file=sys.stderr)


def _record(content: dict[str, Any], path: Path) -> None:
    """Write the record of a run; if that fails, only warn."""
    try:
        files.write_json(content, path)
        return
    except OSError as error:
        reason = f"{path}: cannot be written ({error.strerror})"
    except errors.InputError as error:
        reason = str(error)
    warn(f"{reason}; this run has no record")


def _listed(wrote: Sequence[Path]) -> str:
    if len(wrote) <= LISTED:
        return ", ".join(path.as_posix() for path in wrote)
    directories = list(dict.fromkeys(path.parent for path in wrote))
    return ", ".join(f"{sum(path.parent == directory for path in wrote)} files in {directory.as_posix()}" for directory in directories)
