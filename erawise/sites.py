"""The prepared data on another machine: where it is, that it is the same, and how a machine that can't see it fetches its part.

A machine that sees the same directory maps the files there. Another one fetches them, by their digests, from where DVC has pushed
them: small ones whole, and of the arrays the eras that it reads, into a file of the same length that is empty elsewhere.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from numpy.typing import NDArray

from erawise import blocks, files
from erawise.errors import InputError
from erawise.jobs import Data, Source
from erawise.panel import DESCRIPTION

CACHE = "ERAWISE_CACHE"
"""In the environment, the directory in which a machine keeps what it has fetched; else `erawise` in that of the user's caches."""

BOOT = Path("/proc/sys/kernel/random/boot_id")
HEADER_BYTES = 4096
AT_ONCE, PIECE_BYTES = 8, 2**25
"""Requests at once, and bytes of one at most, where it isn't one era that has more."""

SSH, LOCAL = "ssh", "local"


@dataclass(frozen=True)
class Remote:
    """Where files lie by their digests.

    Parameters
    ----------
    url : to be told, without secrets.
    protocol, options : what `fsspec` opens it by; keys and passwords come from the environment of the machine that does.
    objects : for each file of a site, relative to its top, the object that holds it.
    """

    url: str
    protocol: str
    options: dict[str, Any]
    objects: dict[str, str]

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """The bytes of a file, or some of them.

        Raises
        ------
        InputError
            If it isn't there, or can't be read.
        """
        place = self.objects[name]
        try:
            content: bytes = _file_system(self.protocol, json.dumps(self.options)).cat_file(place, start=start, end=end)
        except FileNotFoundError:
            raise InputError(f"{self.url}: it has no {place}, which is {name}; run `dvc push` where that was made") from None
        except Exception as error:  # each file system has errors of its own
            raise InputError(
                f"{self.url}: {name} can't be read ({type(error).__name__}: {' '.join(str(error).split())}); check that this machine "
                "reaches it, and has the rights to read it, see docs/remote.md"
            ) from None
        return content


@dataclass(frozen=True)
class Site:
    """The data of a model, as it is on the machine that hands out the work.

    Parameters
    ----------
    root : of its workspace.
    source : where the data lies, relative to that.
    digests : md5 of each file but the arrays, by its path relative to the root.
    sizes : bytes of each of the arrays.
    remote : where DVC has pushed them; None where it has nowhere.
    """

    root: str
    source: Source
    digests: dict[str, str]
    sizes: dict[str, int]
    remote: Remote | None = None

    @property
    def key(self) -> str:
        """Another one for other files."""
        return hashlib.sha256(json.dumps([self.digests, self.sizes], sort_keys=True).encode()).hexdigest()[:32]

    def is_seen(self) -> bool:
        """Whether this machine sees the same files under the same path."""
        root = Path(self.root)
        try:
            sizes = {name: (root / name).stat().st_size for name in self.sizes}
            return sizes == self.sizes and all(md5(root / name) == digest for name, digest in self.digests.items())
        except OSError:
            return False

    def described(self) -> str:
        """The description of the prepared rows, relative to the root."""
        return (self.source.prepared / DESCRIPTION).as_posix()


@dataclass(frozen=True)
class Opened:
    """A site on this machine.

    Attributes
    ----------
    root : where it lies.
    work : where files may be written that several fits share.
    data : what is read there.
    numbers : of the files of its arrays in their file system, so that others that have taken their place are told.
    """

    root: Path
    work: Path
    data: Data
    numbers: list[int]


def survey(source: Source, remote: Callable[[dict[str, str], Sequence[str]], Remote | None]) -> Site:
    """Describe the data below the current directory.

    Parameters
    ----------
    source : where it lies, relative to that.
    remote : says where it is pushed, given the digests of the small files, and the paths of the arrays.

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
    return Site(str(Path.cwd()), source, digests, sizes, remote(digests, list(sizes)))


def opened(site: Site, eras: NDArray[np.int64]) -> Opened:
    """The data of a site on this machine, of which some eras are to be read.

    Raises
    ------
    InputError
        If this machine neither sees the files nor can fetch them.
    """
    here = _opened(site)
    if here.root != Path(site.root):
        _fetch_eras(site, here, eras)
    return here


def cache() -> Path:
    """The directory in which this machine keeps what it has fetched."""
    given = os.environ.get(CACHE)
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "erawise"


def md5(path: Path) -> str:
    """DVC's digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


_last: dict[tuple[str, str, Source], Opened] = {}
"""What this process has opened last."""


def _opened(site: Site) -> Opened:
    key = site.key, site.root, site.source
    last = _last.get(key)
    if last is None or _numbers(site, last.root) != last.numbers:
        _last.clear()
        seen = site.is_seen()
        root = Path(site.root) if seen else _fetched(site)
        source = site.source.below(root)
        data = source.around(source.panel(growing=not seen))
        _last[key] = Opened(root, root if seen else _rows_of(site), data, _numbers(site, root))
    return _last[key]


def _numbers(site: Site, root: Path) -> list[int]:
    paths = [root / name for name in site.sizes]
    return [path.stat().st_ino if path.exists() else 0 for path in paths]


def _rows_of(site: Site) -> Path:
    """Where the arrays of a site are kept on this machine, for all that have the same: their description has the digest of each era."""
    return cache() / "rows" / site.digests[site.described()]


def _fetched(site: Site) -> Path:
    """Fetch the small files of a site, and make room for its arrays."""
    if site.remote is None:
        raise InputError(
            f"{site.root}: this machine ({os.uname().nodename}) doesn't see the prepared data there, and DVC has no remote to fetch it "
            "from; share the directory under the same path, or `dvc remote add --default` one and `dvc push`, see docs/remote.md"
        )
    root, rows = cache() / site.key, _rows_of(site)
    with _locked(root), _locked(rows):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(partial(_fetch_whole, site.remote, root), *zip(*site.digests.items(), strict=True)))
        for name, size in site.sizes.items():
            array = rows / Path(name).name
            if not array.exists():
                with files.replacing(array) as temporary, temporary.open("wb") as file:
                    file.write(site.remote.read(name, 0, min(size, HEADER_BYTES)))
                    file.truncate(size)
            if not (root / name).is_symlink():
                (root / name).symlink_to(array)
    return root


def _fetch_whole(remote: Remote, root: Path, name: str, digest: str) -> None:
    """Fetch a file, once more where it isn't what its digest says."""
    if (root / name).exists() and md5(root / name) == digest:
        return
    for _ in range(2):
        content = remote.read(name)
        if hashlib.md5(content, usedforsecurity=False).hexdigest() == digest:
            with files.replacing(root / name) as temporary:
                temporary.write_bytes(content)
            return
    raise _damaged(remote, name, f"its digest is not {digest}")


def _fetch_eras(site: Site, here: Opened, eras: NDArray[np.int64]) -> None:
    """Fetch the rows of those eras that aren't here yet, of every array."""
    remote, panel = site.remote, here.data.panel
    wanted = np.searchsorted(panel.eras, np.unique(eras))
    if remote is None:
        return
    for name in site.sizes:
        record = files.read_json(here.root / site.described())["stored"][Path(name).name]["eras"]
        path = here.work / Path(name).name
        with _locked(here.work):
            known = _Known(path, len(panel.eras))
            array = np.load(path, mmap_mode="r", allow_pickle=False) if site.sizes[name] > HEADER_BYTES else None
            if array is None or not array.size:
                continue
            missing = wanted[~known.present[wanted]]
            offset, row_bytes = site.sizes[name] - array.nbytes, array.nbytes // len(array)
            fetch = partial(_fetch_piece, remote, name, path, panel.starts * row_bytes + offset, record, array[:0])
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for piece in pool.map(fetch, _pieces(missing, np.diff(panel.starts) * row_bytes)):
                    known.add(piece)


def _pieces(eras: NDArray[np.int64], sizes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Runs of adjacent eras, by position, of not more than `PIECE_BYTES` where they are several."""
    begin = 0
    for k in range(1, len(eras) + 1):
        if k == len(eras) or eras[k] != eras[k - 1] + 1 or sizes[eras[begin] : eras[k] + 1].sum() > PIECE_BYTES:
            yield eras[begin:k]
            begin = k


def _fetch_piece(
    remote: Remote, name: str, path: Path, offsets: NDArray[np.int64], record: Sequence[str], like: NDArray, eras: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Fetch adjacent eras, by position, and write them to their place; once more where one isn't what its digest says."""
    start, end = int(offsets[eras[0]]), int(offsets[eras[-1] + 1])
    for _ in range(2):
        content = remote.read(name, start, end)
        if len(content) == end - start and all(
            f"{blocks.digest(_rows(content, int(offsets[k]) - start, int(offsets[k + 1]) - start, like)):016x}" == record[k] for k in eras
        ):
            with path.open("r+b") as file:
                file.seek(start)
                file.write(content)
            return eras
    raise _damaged(remote, name, f"its bytes {start:,} to {end:,} are others than those that preprocess wrote")


def _rows(content: bytes, start: int, end: int, like: NDArray) -> NDArray:
    return np.frombuffer(content[start:end], like.dtype).reshape(-1, like.shape[1])


class _Known:
    """Which eras of an array are here, kept beside it until the machine starts anew."""

    def __init__(self, path: Path, eras: int) -> None:
        self._path = path.with_name(f".{path.name}.eras")
        self._boot = BOOT.read_text() if BOOT.exists() else ""
        self.present = np.zeros(eras, bool)
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if content["boot"] == self._boot:
            self.present[content["eras"]] = True

    def add(self, eras: NDArray[np.int64]) -> None:
        self.present[eras] = True
        with files.replacing(self._path) as temporary:
            temporary.write_text(json.dumps({"boot": self._boot, "eras": np.flatnonzero(self.present).tolist()}), encoding="utf-8")


def _damaged(remote: Remote, name: str, reason: str) -> InputError:
    return InputError(
        f"{remote.url}: {remote.objects[name]}, which is {name}, is damaged: {reason}, also when fetched again; "
        "delete that object, and run `dvc push` where the file was made"
    )


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One process at a time."""
    root.mkdir(parents=True, exist_ok=True)
    with files.lock_file(root / ".lock"):
        yield


@lru_cache
def _file_system(protocol: str, options: str) -> fsspec.AbstractFileSystem:
    if protocol == SSH:
        from sshfs import SSHFileSystem

        return SSHFileSystem(**json.loads(options))
    return fsspec.filesystem("file" if protocol == LOCAL else protocol, **json.loads(options))
