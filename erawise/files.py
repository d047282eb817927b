"""Files that are there whole or not at all: written under a temporary name, then renamed."""

import codecs
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
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
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        _write_whole(descriptor, b"\n" + line if torn else line)
        os.fsync(descriptor)
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


def digest(*paths: Path) -> str:
    """Return the SHA-256 of files: of their names and contents, for a directory of all below it by their paths there.

    Raises
    ------
    InputError
        If one is missing.
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
    """Remove a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(content: Any, path: Path) -> None:
    """Write readable JSON; NaN and infinities are refused, since JSON has none."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def require_file(path: Path, advice: str = "") -> None:
    """Raise the `InputError` of a path that is no file: there is nothing, a dead link or a directory, for which `advice` is given."""
    if path.is_dir():
        raise InputError(f"{path}: it is a directory; expected one file{advice}")
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path}: it is a link to {path.readlink()}, which isn't there; mend the link, or put the file there")
    if not path.exists():
        raise InputError(f"{path}: the file is missing")


def read_text(path: Path) -> str:
    """Read a text of UTF-8, without the byte order mark that editors of Windows put in front.

    Raises
    ------
    InputError
        If there is no such file, or it is no UTF-8.
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
        If the file is missing or is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{path}: not a readable JSON file ({error}); it may be cut short, fetch it again") from None


def _write_whole(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
