"""The prepared data on another machine: where it is, that it is the same, and how a machine that doesn't see it gets it.

A machine that sees the same files maps them where they are. Another one pulls them by DVC, into the checkout in which its worker runs.
"""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from erawise.base import files
from erawise.running.errors import InputError
from erawise.training.jobs import Data, Source

LOCK = ".erawise_pull.lock"
"""The file that one worker of a machine locks while it pulls, beside DVC's own temporary files."""


@dataclass(frozen=True)
class Site:
    """The data of a model, as it is on the machine that hands out the work.

    Parameters
    ----------
    root : of its workspace.
    source : where the data lies, relative to that.
    digests : md5 of each file but the arrays, by its path relative to the root.
    sizes : bytes of each of the arrays, whose rows are checked against one of those files as they are read.
    """

    root: str
    source: Source
    digests: dict[str, str]
    sizes: dict[str, int]

    def is_seen(self) -> bool:
        """Return whether this machine sees the same files under the same path."""
        return self.differing(Path(self.root)) is None

    def differing(self, root: Path) -> str | None:
        """Return the first file that is missing or another one below a directory, None if there is none."""
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
        """Return what DVC is to pull: the directories and files of dvc.lock that have the data."""
        source = self.source
        return sorted(path.as_posix() for path in (source.prepared, source.live, source.folds, source.features) if path is not None)


@dataclass(frozen=True)
class Opened:
    """A site on this machine.

    Attributes
    ----------
    site : the one.
    root : where it lies.
    data : what is read there.
    numbers : of the files of its arrays in their file system, by which others are told that have taken their place.
    """

    site: Site
    root: Path
    data: Data
    numbers: list[int]


def survey(source: Source) -> Site:
    """Describe the data below the current directory, where `source` lies.

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
    return Site(str(Path.cwd()), source, digests, sizes)


def opened(site: Site) -> Opened:
    """Return the data of a site on this machine.

    Raises
    ------
    InputError
        If this machine neither sees the files nor can pull them.
    """
    if not (_last and _last[0].site == site and _numbers(site, _last[0].root) == _last[0].numbers):
        _last.clear()
        root = Path(site.root) if site.is_seen() else _pulled(site, Path.cwd())
        source = site.source.below(root)
        _last.append(Opened(site, root, source.around(source.panel()), _numbers(site, root)))
    return _last[0]


def md5(path: Path) -> str:
    """Return DVC's digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


_last: list[Opened] = []
"""What this process has opened last, if anything."""


def _numbers(site: Site, root: Path) -> list[int]:
    paths = [root / name for name in site.sizes]
    return [path.stat().st_ino if path.exists() else 0 for path in paths]


def _pulled(site: Site, here: Path) -> Path:
    """Have DVC pull the data into the checkout of this worker, unless another worker has done so."""
    machine = f"this worker, in {here} on {os.uname().nodename}, doesn't see the data in {site.root}"
    dvc = next((above / ".dvc" for above in (here, *here.parents) if (above / ".dvc").is_dir()), None)
    if dvc is None or not (here / "dvc.lock").is_file():
        raise InputError(
            f"{machine}, and can't pull it, since it wasn't started at the top of a checkout of the repository; start it there, "
            "or share the directory under the same path, see docs/machines.md"
        )
    (dvc / "tmp").mkdir(exist_ok=True)
    with files.lock_file(dvc / "tmp" / LOCK):
        said = "" if site.differing(here) is None else _pull(site.outs())
    differing = site.differing(here)
    if differing is not None:
        raise InputError(
            f"{machine}, and `dvc pull` doesn't give it the same {differing}{said}: its checkout is at another commit, or the data was "
            "not pushed; commit dvc.lock and run `dvc push` there, check out that commit here, and start the worker again"
        )
    return here


def _pull(outs: list[str]) -> str:
    """Run `dvc pull`; if it fails, return the line of `remote check` about the remote, in parentheses.

    DVC's own words are dropped: they may have a password of the remote's address, and `remote check` has none.
    """
    if not _ran("dvc", "pull", *outs).returncode:
        return ""
    found = _ran("erawise", "remote", "check")
    return f" ({' '.join((found.stderr or found.stdout).split()).removeprefix('error: ')})"


def _ran(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module by this Python, and keep what it prints from everybody."""
    return subprocess.run([sys.executable, "-m", module, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
