"""How every stage of the DAG is run: its arguments, what it says as it goes, its last line, and the record of its run."""

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
from erawise.running.progress import SILENT, Above, Progress, Shown, duration

if sys.platform != "win32":  # there `errors` has ended the process
    import resource

QUIET = "ERAWISE_QUIET"
"""In the environment, other than 0, it makes every stage quiet; `dvc repro --quiet` silences DVC alone."""

GIB = 2**30
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
PACKAGES = ("dvc", "lightgbm", "numpy", "pandas", "pyarrow", "scikit-learn", "tensorflow-cpu")
LISTED = 4
"""Files that the last line names; more are counted by directory."""


@dataclass(frozen=True)
class Done:
    """What a stage has written.

    Attributes
    ----------
    wrote : files and directories.
    rows : of the data that it read or made; None where it looked at none.
    """

    wrote: Sequence[Path]
    rows: int | None = None


Work = Callable[[Progress], Done]
WorkOfModel = Callable[[str, Progress], Done]


def stage(name: str, then: str | None = None) -> Callable[[Work], Callable[[], None]]:
    """Make of a function the `main` of a stage of the DAG; its module's docstring is what `--help` says.

    `then` is a command line of `erawise` that is run after it, in a process of its own: no result of the stage depends on it, and its
    failure is none of the stage.
    """

    def decorate(work: Work) -> Callable[[], None]:
        @errors.reported
        def main() -> None:
            given = _parser(_documented(work)).parse_args()
            _run(name, name, work, given.quiet)
            if then is not None:
                _start(then, given.quiet)

        return main

    return decorate


def stage_of_model(name: str) -> Callable[[WorkOfModel], Callable[[], None]]:
    """Make of a function the `main` of a stage of the DAG that is run for the model that its command line names."""

    def decorate(work: WorkOfModel) -> Callable[[], None]:
        @errors.reported
        def main() -> None:
            parser = _parser(_documented(work))
            parser.add_argument("model", help="its name in params.yaml")
            given = parser.parse_args()
            _run(f"{name}@{given.model}", f"{name} {given.model}", lambda progress: work(given.model, progress), given.quiet)

        return main

    return decorate


def peak_bytes() -> int:
    """The most memory that this process has held, or the largest of those that it has started and seen end."""
    return MAXRSS_UNIT * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of those of some packages that are installed; by default of the ones that results depend on."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@contextmanager
def heard(label: str, quiet: bool) -> Iterator[Progress]:
    """What tells of the progress; while it does, stdout goes nowhere, or above the bar, or where it went before."""
    if quiet:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield SILENT
        return
    progress = Shown(label, sys.stderr, time.monotonic)
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield progress
        return
    above = Above(sys.stdout, sys.stderr)
    try:
        with redirect_stdout(above):
            yield progress
    finally:
        above.rest()


def warn(line: str) -> None:
    """Say something that nobody should miss, also where a stage is quiet."""
    print(f"warning: {line}", file=sys.stderr, flush=True)


def is_quiet() -> bool:
    """Whether the environment asks for quiet."""
    return os.environ.get(QUIET, "0") not in ("", "0")


def _parser(about: str) -> argparse.ArgumentParser:
    command = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m stages.{command}", description=about)
    parser.add_argument("--quiet", action="store_true", help=f"print nothing but warnings and errors, as with {QUIET}=1 in the environment")
    return parser


def _documented(work: Work | WorkOfModel) -> str:
    return sys.modules[work.__module__].__doc__ or ""


def _run(name: str, label: str, work: Work, quiet: bool) -> None:
    quiet = quiet or is_quiet()
    started, start = datetime.fromtimestamp(time.time(), UTC), time.perf_counter()
    with heard(label, quiet) as progress:
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
    """Run another command in a process of its own, where this process has its modules and its working directory."""
    sys.stdout.flush()
    modules = os.pathsep.join([str(Path(erawise.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = [sys.executable, "-m", "erawise", *command.split(), *(["--quiet"] if quiet else [])]
    done = subprocess.run(arguments, env=os.environ | {"PYTHONPATH": modules}, check=False)
    if done.returncode:
        print(f"warning: erawise {command} ended with {done.returncode}; run it again", file=sys.stderr)


def _record(content: dict[str, Any], path: Path) -> None:
    """Leave the record of a run; work that is done is no failure for want of it."""
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
