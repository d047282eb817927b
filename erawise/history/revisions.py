"""The measurements of a revision: its settings, the data that it ran on and its scores, read through DVC and never checked out.

A revision is a Git commit, branch or tag, the name of a DVC experiment, or None: the workspace as it is. The project may be a
subdirectory of a larger Git repository; paths are from the project's directory.
"""

import hashlib
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc_data.index import DataIndexDirError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from scmrepo.exceptions import SCMError

from erawise.base.schema import CV, VALIDATION, named_horizon
from erawise.evaluation.evaluation import DESCRIPTION
from erawise.running import paths
from erawise.running.errors import InputError

WORKSPACE = "the workspace"

STAGES = "dvc.yaml"
"""A larger repository may have others, in other directories."""

Found = TypeVar("Found")

Content = Callable[[str], bytes]
"""Reads a file, by its path from the project's directory; raises FileNotFoundError if there is none."""


@dataclass(frozen=True)
class Revision:
    """A run that a revision holds.

    Attributes
    ----------
    name : as messages call it.
    settings : the content of its params.yaml.
    target : the main one, which every score is against.
    days : trading days that it looks ahead.
    data : the digest of its raw files, None if its dvc.lock has none.
    scores : the long table of `score_eras`, by split.
    predictions : the digest of each prediction that was scored, by name.
    validation : the digest of the validation targets, None if they weren't asked for.
    equal : the named target that the bare one equals, None if that isn't on record.
    early : the target of 20 days that one more figure of the scores is against, None if that isn't on record.
    metrics : the content of `data/scores/<split>.json`, by split; empty if it isn't on record.
    """

    name: str
    settings: dict[str, Any]
    target: str
    days: int
    data: str | None
    scores: dict[str, pd.DataFrame]
    predictions: dict[str, str] = field(default_factory=dict)
    validation: str | None = None
    equal: str | None = None
    early: str | None = None
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)


def read(directory: Path, revision: str | None, *, raw: Path, scores: Path, targets: Path | None = None) -> Revision:
    """Read a revision of the project that lies in a directory.

    Parameters
    ----------
    directory : of the project.
    revision : see above.
    raw : directory of the raw files, from the project's directory.
    scores : directory of the tables of scores, from the project's directory.
    targets : the file of the validation targets, if their digest and the digests of the predictions are wanted.

    Raises
    ------
    InputError
        If there is no such revision, it is from before there were scores, its scores are not in the cache or damaged there, or Git
        doesn't open the repository.
    """
    name = revision or WORKSPACE
    try:
        with _opened(directory, revision) as content:
            settings, lock = (_yaml(content, name, path) for path in ("params.yaml", "dvc.lock"))
            tables = {split: _scores(content, name, revision, f"{scores.as_posix()}/{split}.parquet") for split in (CV, VALIDATION)}
            target, days, equal, early = _target(content, name, settings, scores)
            counted = _counted(content, lock, scores, targets) if targets else ({}, None)
            metrics = {split: _metrics(content, f"{scores.as_posix()}/{split}.json") for split in tables}
    except InputError:
        raise
    except Exception as error:  # Git is read by three libraries, each of which has errors of its own
        raise _unreadable(name, error) from None
    return Revision(name, settings, target, days, _digest(lock, raw), tables, *counted, equal, early, metrics)


def incomparable(before: Revision, after: Revision, shown: Callable[[str], str] = str) -> str:
    """Return why two runs can't be compared; empty if they can.

    Parameters
    ----------
    before, after : what is compared; their names are taken as they are.
    shown : writes the name of a target, which is any text of a params.yaml.
    """
    if (before.target, before.days) != (after.target, after.days):
        targets = [shown(run.target) + (f" of {run.days} days" if before.target == after.target else "") for run in (before, after)]
        return f"{before.name} is scored against {targets[0]} and {after.name} against {targets[1]}: the difference would be theirs"
    if before.data != after.data:
        return f"{before.name} and {after.name} ran on different raw data (data/raw in dvc.lock)"
    return ""


def kept(directory: Path) -> list[tuple[str, str]]:
    """Return the path and the digest of each out of the workspace that DVC's cache keeps: none if DVC can't tell."""
    own = directory.resolve() / STAGES

    def look(found: Repo) -> list[tuple[str, str]]:
        stages = [stage for stage in found.index.stages if isinstance(stage, PipelineStage) and stage.path == str(own)]
        return [(str(out.def_path), str(out.hash_info.value)) for stage in stages for out in stage.outs if out.use_cache and out.hash_info]

    return _told(directory, look, [])


def stale(directory: Path) -> list[str]:
    """Return the stages of the workspace that would run again for a change, in the order of their names; none if DVC can't tell.

    The file of `check` is in no cache. If only that is absent, as after `dvc checkout` in a clone, nothing has changed.
    """

    def look(found: Repo) -> list[str]:
        status: dict[str, list[str | dict[str, dict[str, Any]]]] = found.status(targets=[str(directory / STAGES)])
        absent = {paths.SOURCE.as_posix(): "deleted"}
        return sorted(
            name
            for name, changes in status.items()
            if any(isinstance(change, str) or any(named != absent for named in change.values()) for change in changes)
        )

    return _told(directory, look, [])


def _told(directory: Path, look: Callable[[Repo], Found], otherwise: Found) -> Found:
    try:
        with Repo(str(directory)) as found:
            return look(found)
    except Exception:  # DVC isn't set up, or Git refuses the repository: `read` says why
        return otherwise


@contextmanager
def _opened(directory: Path, revision: str | None) -> Iterator[Content]:
    """Yield a function that reads a file of the project as a revision has it."""
    top = directory.resolve()
    with Repo(str(top)) as repo:
        below = Path("/") / top.relative_to(repo.root_dir)
        with nullcontext() if revision is None else repo.switch(revision):
            files = DVCFileSystem(repo)
            yield lambda path: files.read_bytes((below / path).as_posix())


def _unreadable(name: str, error: Exception) -> InputError:
    said = " ".join(str(error).split()).rstrip(".")
    if not_ours := re.search(r"repository path '(.+)' is not owned by current user", said):
        return InputError(
            f"{name}: Git doesn't open {not_ours[1]}, since it belongs to another user; if you trust who can write there, "
            f"`git config --global --add safe.directory {shlex.quote(not_ours[1])}`"
        )
    if isinstance(error, DvcException | SCMError):
        return InputError(f"{name}: {said}; expected a Git revision or the name of an experiment that `dvc exp show` lists")
    return InputError(f"{name}: the repository can't be read ({type(error).__name__}: {said}); `git status` and `git fsck` may say why")


def _yaml(read: Content, name: str, path: str) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(read(path).decode("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{name}: it has no {path}: it is from before there were scores to compare") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: {path} can't be read: {' '.join(str(error).split())}") from None
    return content if isinstance(content, dict) else {}


def _target(read: Content, name: str, settings: dict[str, Any], scores: Path) -> tuple[str, int, str | None, str | None]:
    """Return the main target, its horizon (by its name, its settings, or the note of `evaluate`), its equal and the early target."""
    try:
        target = str(settings["data"]["target"])
        days = named_horizon(target) or settings["data"]["target_horizon"]
        try:
            noted = json.loads(read(f"{scores.as_posix()}/{DESCRIPTION}"))
        except (FileNotFoundError, DvcException, DataIndexDirError):
            if not days:
                raise
            noted = {}
        return target, int(days or noted["days"]), noted.get("equal"), noted.get("early")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{name}: its params.yaml has no data.target with a data.target_horizon in trading days") from None
    except (FileNotFoundError, DvcException, DataIndexDirError):
        raise InputError(f"{name}: {scores / DESCRIPTION} is neither there nor in the cache; run `dvc repro evaluate` there") from None


def _scores(read: Content, name: str, revision: str | None, path: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(read(path)))
    except (FileNotFoundError, DvcException, DataIndexDirError):
        raise InputError(f"{name}: {path} is neither there nor in the cache; {_remedy(revision)}") from None
    except (pa.ArrowInvalid, OSError):
        raise InputError(f"{name}: {path} is damaged, no Parquet file; remove it from DVC's cache, then {_remedy(revision)}") from None


def _metrics(read: Content, path: str) -> dict[str, Any]:
    try:
        content = json.loads(read(path))
    except (FileNotFoundError, DvcException, DataIndexDirError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _counted(read: Content, lock: dict[str, Any], scores: Path, targets: Path) -> tuple[dict[str, str], str | None]:
    """Return the digests by which looks at the validation eras are counted: of the predictions, and of the targets."""
    try:
        predictions = json.loads(read(f"{scores.as_posix()}/{DESCRIPTION}")).get("predictions", {})
    except (FileNotFoundError, DvcException, DataIndexDirError, ValueError):
        predictions = {}
    try:
        return predictions, hashlib.sha256(read(targets.as_posix())).hexdigest()
    except (FileNotFoundError, DvcException, DataIndexDirError):
        return predictions, _digest(lock, targets)


def _remedy(revision: str | None) -> str:
    if revision is None:
        return "run `dvc repro evaluate`"
    return f"fetch it with `git checkout {revision} && dvc pull evaluate`, or run `dvc repro evaluate` there"


def _digest(lock: dict[str, Any], path: Path) -> str | None:
    for stage in lock.get("stages", {}).values():
        for out in stage.get("outs", []):
            if out.get("path") == path.as_posix():
                return str(out.get("md5"))
    return None
