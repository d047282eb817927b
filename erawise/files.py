"""Files that are there whole or not at all: written under a temporary name, then renamed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from erawise.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, file or directory; rename it on success, remove it on failure.

    What a killed run has left under that name is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    remove(temporary)
    try:
        yield temporary
        if path.is_dir():
            remove(path)
        temporary.replace(path)
    finally:
        remove(temporary)


def place(source: Path, path: Path) -> None:
    """Have a file at another place too: linked where the disk allows it, else copied. Neither may be written into."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def append_line(entry: dict[str, Any], path: Path) -> None:
    """Add a line of JSON: whole or not at all, however many processes write at once, and after one that was cut short by a kill."""
    line = (json.dumps(entry, sort_keys=True, allow_nan=False) + "\n").encode("utf-8")
    with locked(path) as descriptor:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        _write_whole(descriptor, b"\n" + line if torn else line)
        os.fsync(descriptor)


@contextmanager
def locked(path: Path, waits: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold the lock of a file, one process at a time, and yield its descriptor for reading and appending.

    Parameters
    ----------
    path : of the file, which is made if it isn't there, and stays.
    waits : is called if another process holds the lock, before waiting for it.
    """
    import fcntl  # a Windows hasn't it: `errors` says so

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The entries that `append_line` has written, and the number of lines that are none: cut short by a kill, or edited."""
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


def remove(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(content: Any, path: Path) -> None:
    """Write readable JSON; NaN and infinities are refused, since JSON has none."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises
    ------
    InputError
        If the file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing") from None
    except ValueError as error:
        raise InputError(f"{path}: not a readable JSON file ({error}); it may be cut short, fetch it again") from None


def _write_whole(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
