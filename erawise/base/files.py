"""Files that are there whole or not at all: written under a temporary name, sent to the disk, then renamed.

A temporary name belongs to one process, and a file in it stays locked until that process ends. So two writers never meet. Files that a
killed process has left are recognized, and removed.
"""

import codecs
import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from erawise.running.errors import WORLD, InputError

if sys.platform != "win32":  # there `errors` has ended the process
    import fcntl

HELD, OLD = ".held", ".old"
"""Names in a temporary directory: the file that is locked while its process lives, and the old result until the new one is in place."""

LEFT = re.compile(r"\.(?P<name>.+)\.\w{8}\.partial|scratch_\w{8}")
"""The name of a temporary directory."""

OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR}
"""Errors of a rename onto a directory that isn't empty, or between a file and a directory."""

UNABLE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV}
"""Errors of a system or a file system that lacks a function."""

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of a lock on a file system that has none."""

TRIES = 10
"""How often a process tries to remove its temporary directory, since a sweep may do so at the same time; a later sweep removes the rest."""

HERE, EXCHANGE, SWAP = -100, 2, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or a directory, which takes the place of `path` on success and is removed on failure.

    At every moment the old one or the new one is there. If the file system can't exchange two directories, there is neither between two
    renames. After a kill at that moment, `sweep` puts the old one back.

    Raises
    ------
    InputError
        If the disk is full, or may not be written to.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _held(path.parent, f".{path.name}.", ".partial") as directory:
            temporary = directory / path.name
            yield temporary
            _sync_all(temporary)
            _put(temporary, path, directory / OLD)
            sync(path.parent)


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Yield a new empty directory below `parent`, and remove it in the end; if this process is killed, `sweep` removes it."""
    parent.mkdir(parents=True, exist_ok=True)
    with _held(parent, "scratch_") as directory:
        made = directory / "files"
        made.mkdir()
        yield made


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the disk, if it concerns `path` or names no file, into an `InputError` that names `path`.

    Raises
    ------
    InputError
        If the disk is full, or may not be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in WORLD or not _is_of(error.filename, path):
            raise
        raise InputError(f"{final(path)}: cannot be written ({os.strerror(error.errno)}); check free space and permissions") from error


def final(path: Path) -> Path:
    """Return the final path of a file that is being written below the temporary path of `replacing`."""
    return Path(*(part for part in path.parts if not (part.endswith(".partial") and LEFT.fullmatch(part))))


def sweep(parent: Path) -> None:
    """Remove the files that killed processes have left in a directory; a result that one had moved aside is first put back."""
    for entry in os.scandir(parent):
        if LEFT.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            with suppress(OSError):
                _sweep_one(Path(entry.path))


def sweep_below(top: Path) -> None:
    """Call `sweep` for a directory and all directories below it."""
    for parent, _, _ in os.walk(top):
        with suppress(FileNotFoundError):  # a killed process has left this directory: it is already swept
            sweep(Path(parent))


@contextmanager
def exclusive_lock(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of a path: a file in the same directory, which stays; see `lock_file`."""
    with lock_file(path.with_name(f".{path.name}.lock"), what):
        yield


@contextmanager
def lock_file(path: Path, what: str = "") -> Iterator[None]:
    """Hold the lock of a file, which is created if need be.

    If another process holds the lock, wait for it, and print a line that names `what`, unless that is empty.
    """
    with _opened(path) as descriptor:
        try:
            _lock(descriptor, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if what:
                print(f"{what}: another process works on it; waiting for its end", file=sys.stderr, flush=True)
            _lock(descriptor, path, fcntl.LOCK_EX)
        yield


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Keep `remove_unused` from removing a path."""
    with _opened(path.with_name(f".{path.name}.lock")) as descriptor:
        _lock(descriptor, path, fcntl.LOCK_SH)
        yield


def remove_unused(path: Path) -> None:
    """Remove a file or a directory if it exists and no process uses it."""
    with _opened(path.with_name(f".{path.name}.lock")) as descriptor, suppress(BlockingIOError):
        _lock(descriptor, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(path)


def link_or_copy(source: Path, path: Path) -> None:
    """Link a file to a second path, or copy it if the disk allows no link. Neither file may be changed later."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def append_line(entry: dict[str, Any], path: Path) -> None:
    """Add a line of JSON, whole or not at all.

    Several processes may write at once. If a kill has cut the last line short, the new line begins after it.

    Raises
    ------
    InputError
        If the disk is full, or may not be written to.
    """
    line = (json.dumps(entry, sort_keys=True, allow_nan=False) + "\n").encode("utf-8")
    with writing(path), _opened(path, os.O_APPEND) as descriptor:
        _lock(descriptor, path, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        try:
            _write_whole(descriptor, b"\n" + line if torn else line)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    sync(path.parent)


def read_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the entries that `append_line` has written, and the number of broken lines: cut short by a kill, or edited."""
    if not path.exists():
        return [], 0
    entries, broken = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if isinstance(found, dict):
            entries.append(found)
        elif line:
            broken += 1
    return entries, broken


def digest(*paths: Path) -> str:
    """Return the SHA-256 of the names and contents of files; a directory counts with all files below it, by their relative paths.

    Raises
    ------
    InputError
        If a path is missing.
    """
    found = hashlib.sha256()
    for top in paths:
        if not top.exists():
            raise InputError(f"{top}: missing; run dvc repro, or dvc checkout to restore it")
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file():
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                found.update(f"{path.relative_to(top.parent).as_posix()}\0{content}\n".encode())
    return found.hexdigest()


def remove(path: Path) -> None:
    """Remove a file or a directory if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(content: Any, path: Path) -> None:
    """Write indented JSON; NaN and infinity are refused, since JSON has neither."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def require_file(path: Path, advice: str = "") -> None:
    """Raise `InputError` if a path is missing, a dead link or a directory; for a directory the message ends with `advice`."""
    if path.is_dir():
        raise InputError(f"{path}: it is a directory; expected one file{advice}")
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path}: it is a link to {path.readlink()}, which isn't there; mend the link, or put the file there")
    if not path.exists():
        raise InputError(f"{path}: the file is missing")


def read_text(path: Path) -> str:
    """Read a UTF-8 text, without the byte order mark that some Windows editors write.

    Raises
    ------
    InputError
        If the file is missing, or isn't UTF-8.
    """
    require_file(path)
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or content[:2].count(0) == 1:
        raise InputError(f"{path}: its text is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: its text isn't UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from None


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises
    ------
    InputError
        If the file is missing or isn't JSON.
    """
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{path}: not a readable JSON file ({error}); it may be cut short, fetch it again") from None


def _write_whole(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _is_of(name: Any, path: Path) -> bool:
    """Return whether an error names no file, `path` or a file below it, or a file in a temporary directory."""
    found = path if name is None else Path(os.fsdecode(name))
    return found.is_relative_to(path) or any(LEFT.fullmatch(part) for part in found.parts)


@contextmanager
def _opened(path: Path, flags: int = 0) -> Iterator[int]:
    """Yield the descriptor of a file; the file and its directory are created if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _held(parent: Path, prefix: str, suffix: str = "") -> Iterator[Path]:
    """Yield a new directory that no sweep removes while this process lives, and remove it in the end."""
    sweep(parent)
    while True:
        directory = Path(tempfile.mkdtemp(suffix, prefix, parent))
        try:
            descriptor = _claimed(directory, os.O_CREAT)
        except InputError:
            shutil.rmtree(directory)
            raise
        if descriptor is not None:  # else a sweep has removed the directory
            break
    try:
        yield directory
    finally:
        os.close(descriptor)  # before the file is removed: NFS keeps a name for a file that is open
        for _ in range(TRIES):
            with suppress(OSError):  # at the same time a sweep may lock or remove the directory
                _remove_temporary(directory)
            if not directory.exists():
                break


def _claimed(directory: Path, flags: int) -> int | None:
    """Lock a temporary directory, and return the descriptor of the lock; None if another process holds it or there is no lock file."""
    path = directory / HELD
    try:
        descriptor = os.open(path, os.O_RDWR | flags, 0o600)
    except FileNotFoundError:
        return None
    held = False
    try:
        _lock(descriptor, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        pass
    finally:
        if not held:
            os.close(descriptor)
    return descriptor if held else None


def _lock(descriptor: int, path: Path, how: int) -> None:
    """Lock an open file.

    Raises
    ------
    InputError
        If the file system has no locks.
    BlockingIOError
        If another process holds the lock, and `how` has `LOCK_NB`.
    """
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise InputError(
            f"{path.parent}: its file system has no file locks ({os.strerror(error.errno)}); put the project on another one"
        ) from None


def _sweep_one(directory: Path) -> None:
    """Remove a temporary directory if its process is gone; a directory of scratch files only if it has a lock file."""
    if (descriptor := _claimed(directory, os.O_CREAT if directory.suffix == ".partial" else 0)) is not None:
        try:
            _remove_temporary(directory)
        finally:
            os.close(descriptor)


def _remove_temporary(directory: Path) -> None:
    """Remove a temporary directory; first put back an old result that is nowhere else."""
    found = LEFT.fullmatch(directory.name)
    if found and found["name"] and os.path.lexists(directory / OLD) and not os.path.lexists(directory.with_name(found["name"])):
        with suppress(FileNotFoundError):
            (directory / OLD).replace(directory.with_name(found["name"]))
    shutil.rmtree(directory)


def _put(new: Path, path: Path, aside: Path) -> None:
    """Put `new` in the place of `path`; an old directory is then at `new` or at `aside`."""
    while True:
        try:
            new.replace(path)
            return
        except OSError as error:
            if error.errno not in OCCUPIED:
                raise
        if _exchanged(new, path):
            return
        remove(aside)
        with suppress(FileNotFoundError):
            shutil.move(path, aside)  # copies if the file system can't rename a directory of a container's image


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; return whether the system and the file system can do so."""
    library, names = ctypes.CDLL(None, use_errno=True), (os.fsencode(one), os.fsencode(other))
    if hasattr(library, "renameat2"):
        failed = library.renameat2(HERE, names[0], HERE, names[1], EXCHANGE)
    elif hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, SWAP)
    else:
        return False
    if failed and (number := ctypes.get_errno()) not in UNABLE | {errno.ENOENT}:
        raise OSError(number, os.strerror(number), str(other))
    return not failed


def _sync_all(path: Path) -> None:
    """Send a file, or a directory with all files below it, to the disk."""
    if not path.is_dir():
        sync(path)
        return
    for parent, _, names in os.walk(path):
        for name in names:
            sync(Path(parent, name))
        sync(Path(parent))


def sync(path: Path) -> None:
    """Send a file, or a directory's list of names, to the disk; do nothing if the file system can't do so."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNABLE:
            raise
    finally:
        os.close(descriptor)
