"""The location of the prepared data, and the same data on another machine.

A machine that sees the same files maps them. Any other machine pulls them by DVC into the checkout in which its worker runs.
"""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from erawise.base import files
from erawise.running.errors import InputError
from erawise.training.jobs import Source, TrainingData

LOCK = ".erawise_pull.lock"
"""The file, among DVC's temporary files, that one worker of a machine locks while it pulls."""


@dataclass(frozen=True)
class DataLocation:
    """The location of a model's data, and its state on the machine that sends the jobs.

    Parameters
    ----------
    root : directory of that machine's workspace.
    source : paths of the data, relative to `root`.
    digests : md5 of each file, except the files of arrays, by its path relative to `root`.
    sizes : bytes of each file of an array; its rows are checked against one of the other files when they are read.
    """

    root: str
    source: Source
    digests: dict[str, str]
    sizes: dict[str, int]

    def is_seen(self) -> bool:
        """Return whether this machine sees the same files under the same path."""
        return self.differing(Path(self.root)) is None

    def differing(self, root: Path) -> str | None:
        """Return the first file below a directory that is missing or differs; None if all are the same."""
        try:
            for name, size in self.sizes.items():
                if (root / name).stat().st_size != size:
                    return name
            for name, digest in self.digests.items():
                if md5(root / name) != digest:
                    return name
        except OSError:
            return name
        return None

    def outs(self) -> list[str]:
        """Return the outs that DVC must pull: directories and files of dvc.lock."""
        return sorted(path.as_posix() for path in self.source.outs())


@dataclass(frozen=True)
class Opened:
    """Data that is open on this machine.

    Attributes
    ----------
    location : of the data.
    root : its directory on this machine.
    data : the data.
    numbers : inode numbers of the arrays' files, which show whether other files have taken their place.
    """

    location: DataLocation
    root: Path
    data: TrainingData
    numbers: list[int]


def survey(source: Source) -> DataLocation:
    """Describe the files of a source below the current directory.

    Raises
    ------
    InputError
        If a file is missing.
    """
    small, arrays = source.listed()
    try:
        digests = {path.as_posix(): md5(path) for path in small}
        sizes = {path.as_posix(): path.stat().st_size for path in arrays}
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: the file is missing; run the stages before this one: `dvc repro`") from None
    return DataLocation(str(Path.cwd()), source, digests, sizes)


def opened(location: DataLocation) -> Opened:
    """Open the data of a location on this machine.

    Raises
    ------
    InputError
        If this machine neither sees the files nor can pull them.
    """
    if not (_last and _last[0].location == location and _numbers(location, _last[0].root) == _last[0].numbers):
        _last.clear()
        root = Path(location.root) if location.is_seen() else _pulled(location, Path.cwd())
        source = location.source.below(root)
        _last.append(Opened(location, root, source.around(source.panel()), _numbers(location, root)))
    return _last[0]


def md5(path: Path) -> str:
    """Return DVC's digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


_last: list[Opened] = []
"""The data that this process has opened last, if any."""


def _numbers(location: DataLocation, root: Path) -> list[int]:
    paths = [root / name for name in location.sizes]
    return [path.stat().st_ino if path.exists() else 0 for path in paths]


def _pulled(location: DataLocation, here: Path) -> Path:
    """Pull the data by DVC into the checkout of this worker, unless another worker has done so."""
    machine = f"this worker, in {here} on {os.uname().nodename}, doesn't see the data in {location.root}"
    dvc = next((above / ".dvc" for above in (here, *here.parents) if (above / ".dvc").is_dir()), None)
    if dvc is None or not (here / "dvc.lock").is_file():
        raise InputError(
            f"{machine}, and can't pull it, since it wasn't started at the top of a checkout of the repository. Start it there, "
            "or share the directory under the same path, see docs/machines.md"
        )
    (dvc / "tmp").mkdir(exist_ok=True)
    with files.lock_file(dvc / "tmp" / LOCK):
        said = "" if location.differing(here) is None else _pull(location.outs())
    differing = location.differing(here)
    if differing is not None:
        raise InputError(
            f"{machine}, and `dvc pull` doesn't give it the same {differing}{said}: its checkout is at another commit, or the data was "
            "not pushed. Commit dvc.lock and run `dvc push` there, check out that commit here, and start the worker again"
        )
    return here


def _pull(outs: list[str]) -> str:
    """Run `dvc pull`; if it fails, return the line of `remote check` in parentheses.

    DVC's message is dropped: it may hold a password of the remote's address. The line of `remote check` holds none.
    """
    if not _ran("dvc", "pull", *outs).returncode:
        return ""
    found = _ran("erawise", "remote", "check")
    return f" ({' '.join((found.stderr or found.stdout).split()).removeprefix('error: ')})"


def _ran(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module by this Python, and capture its output."""
    return subprocess.run([sys.executable, "-m", module, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
