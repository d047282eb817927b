"""The lock file of DVC: whether it is whole, and the last one that was.

DVC writes `dvc.lock` in place, for a second or two after each stage. What a kill leaves in that time no command of DVC can read. So a
copy is kept of each lock that was found whole.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from erawise.base import files
from erawise.running.errors import InputError

NAME = "dvc.lock"
DVC = ".dvc"
"""DVC's own directory, in the project's directory or above it; Git and DVC ignore other files in its `tmp`."""

STAGE = re.compile(rb"^  ([^ ].*?):\r?$", re.MULTILINE)
CONFLICT = re.compile(rb"^(<{7}|>{7}) ", re.MULTILINE)


def mended(root: Path) -> list[str]:
    """Put the last whole lock of a repository in the place of one that was cut off, or keep a copy of one that is whole.

    Returns
    -------
    list of str
        A sentence for each file that was mended.

    Raises
    ------
    InputError
        If the lock has Git's conflict markers: it isn't cut off, and nobody but its owner can say what to keep.
    """
    top = root.resolve()
    for place in (top, *top.parents):
        if (place / DVC).is_dir():
            temporary = place / DVC / "tmp"
            kept = temporary / "erawise" / top.relative_to(place) / NAME
            return [*_mended_rwlock(temporary / "rwlock"), *_mended_lock(root, temporary / "lock", kept)]
    return []


def _mended_lock(root: Path, held: Path, kept: Path) -> list[str]:
    """Restore the lock file of a project; `held` is the file that DVC locks while it writes, and `kept` the copy of the last whole one."""
    if not (root / NAME).exists() or not _keep_if_whole(root, kept):
        return []
    with files.lock_file(held, NAME):
        reason = _keep_if_whole(root, kept)
        if not reason:
            return []
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / NAME, kept.with_name(f"{NAME}.broken"))
        for _, content, origin in sorted(_earlier(root, kept), reverse=True):
            if not _reason(content):
                with files.replacing(root / NAME) as temporary:
                    temporary.write_bytes(content)
                return [f"{NAME}: it isn't whole ({reason}); {origin} is back, and what has ended since is in DVC's run cache"]
        files.remove(root / NAME)
    return [f"{NAME}: it isn't whole ({reason}), and there is no whole one; it is removed, and what has ended is in DVC's run cache"]


def _mended_rwlock(path: Path) -> list[str]:
    """Remove DVC's list of the files in use, which is written in place as well, if it was cut off."""
    if not path.exists():
        return []
    with files.lock_file(path.with_name("rwlock.lock"), str(path)):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            files.remove(path)
            return [f"{path}: DVC's list of the files in use was cut off; it is removed"]
        except FileNotFoundError:
            pass
    return []


def _keep_if_whole(root: Path, kept: Path) -> str:
    """Keep a copy of the lock if it is whole; else return the reason why it isn't.

    Raises
    ------
    InputError
        If it has Git's conflict markers.
    """
    content, before = (root / NAME).read_bytes(), kept.read_bytes() if kept.exists() else b""
    is_kept = kept.exists() and content == before
    if CONFLICT.search(content):
        raise InputError(
            f"{NAME}: a merge has left a conflict in it, and nothing was changed; docs/howto/recover.md says how to resolve it"
        )
    if not is_kept and (reason := _reason(content) or _shortened(content, _committed(root) or before)):
        return reason
    try:
        if is_kept:
            kept.touch()
        else:
            with files.replacing(kept) as temporary:
                temporary.write_bytes(content)
    except (InputError, OSError) as error:
        print(f"warning: {kept}: no copy of {NAME} could be kept ({error})", file=sys.stderr)
    return ""


def _reason(content: bytes) -> str:
    """Return why DVC can't read a lock of this content; nothing if it can."""
    from dvc.exceptions import DvcException
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import parse_yaml
    from dvc.utils.strictyaml import validate

    try:
        validate(parse_yaml(content.decode("utf-8"), NAME), COMPILED_LOCKFILE_SCHEMA, path=NAME)
    except UnicodeDecodeError:
        return "it isn't text"
    except DvcException as error:
        return str(error.__cause__ or error).splitlines()[0]
    return ""


def _shortened(content: bytes, committed: bytes) -> str:
    """Return why a lock that DVC can read is only the beginning of one; nothing if it is whole."""
    if content == committed:
        return ""
    if not content.endswith(b"\n"):
        return "its last line has no end"
    names, known = STAGE.findall(content), STAGE.findall(committed)
    return f"it ends before {known[len(names)].decode()}" if len(names) < len(known) and known[: len(names)] == names else ""


def _earlier(root: Path, kept: Path) -> Iterator[tuple[float, bytes, str]]:
    """Yield the locks that there were: the time of each, its content, and its name."""
    committed = git(root, "log", "-1", "--format=%ct", "--", NAME)
    if kept.exists():
        yield kept.stat().st_mtime, kept.read_bytes(), "the one of the last check"
    if committed.strip():
        yield float(committed), _committed(root), "the one of HEAD"


def _committed(root: Path) -> bytes:
    """Return the lock of HEAD; nothing if it has none."""
    return git(root, "show", f"HEAD:./{NAME}")


def git(root: Path, *arguments: str) -> bytes:
    """Return the output of Git, nothing if it fails."""
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""
