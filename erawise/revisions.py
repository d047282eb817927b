"""What a revision has measured: its settings, the data that it ran on and its scores, read through DVC and never checked out.

A revision is a Git commit, branch or tag, the name of a DVC experiment, or None: the workspace as it is.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

from erawise.errors import InputError
from erawise.schema import CV, VALIDATION, horizon

WORKSPACE = "the workspace"


@dataclass(frozen=True)
class Revision:
    """A run that a revision holds.

    Attributes
    ----------
    name : as messages call it.
    settings : the content of its params.yaml.
    target : the main one, which every score is against.
    days : trading days that it looks ahead.
    data : the digest of its raw files, None where its dvc.lock has none.
    scores : the long table of `score_eras`, by split.
    """

    name: str
    settings: dict[str, Any]
    target: str
    days: int
    data: str | None
    scores: dict[str, pd.DataFrame]


def read(repository: Path, revision: str | None, *, raw: Path, scores: Path) -> Revision:
    """Read a revision of the repository that lies in a directory.

    Parameters
    ----------
    repository : its top.
    revision : see above.
    raw : directory of the raw files, from the top.
    scores : directory of the tables of scores, from the top.

    Raises
    ------
    InputError
        If there is no such revision, it is from before there were scores, or its scores are not in the cache or damaged there.
    """
    name = revision or WORKSPACE
    try:
        files = DVCFileSystem(str(repository), rev=revision)
        settings, lock = (_yaml(files, name, path) for path in ("params.yaml", "dvc.lock"))
    except (DvcException, SCMError) as error:
        raise InputError(f"{name}: {error}; expected a Git revision or the name of an experiment that `dvc exp show` lists") from None
    tables = {split: _scores(files, name, revision, f"{scores.as_posix()}/{split}.parquet") for split in (CV, VALIDATION)}
    target, days = _target(settings, name)
    return Revision(name, settings, target, days, _digest(lock, raw), tables)


def incomparable(before: Revision, after: Revision, shown: Callable[[str], str] = str) -> str:
    """Why the scores of two runs say nothing of each other; empty where they do.

    Parameters
    ----------
    before, after : what is compared; their names are taken as they are.
    shown : writes the name of a target, which is any text of a params.yaml.
    """
    if before.target != after.target:
        targets = shown(before.target), shown(after.target)
        return f"{before.name} is scored against {targets[0]} and {after.name} against {targets[1]}: the difference would be theirs"
    if before.data != after.data:
        return f"{before.name} and {after.name} ran on different raw data (data/raw in dvc.lock)"
    return ""


def pipeline(repository: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What DVC knows of the workspace: nothing where it isn't set up.

    Returns
    -------
    kept : path and digest of each out that its cache keeps.
    edges : pairs of stages of which the second takes what the first has made.
    """
    try:
        with Repo(str(repository)) as found:
            stages = [stage for stage in found.index.stages if isinstance(stage, PipelineStage)]
            kept = [out for stage in stages for out in stage.outs if out.use_cache and out.hash_info]
            edges = [(str(other.name), str(stage.name)) for stage, other in found.index.graph.edges]
            return [(str(out.def_path), str(out.hash_info.value)) for out in kept], edges
    except (DvcException, SCMError):
        return [], []


def stale(repository: Path) -> list[str]:
    """The stages of the workspace that would run again, in the order of their names; none where DVC can't tell."""
    try:
        with Repo(str(repository)) as found:
            return sorted(str(name) for name in found.status())
    except (DvcException, SCMError):
        return []


def _yaml(files: DVCFileSystem, name: str, path: str) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(files.read_text(path))
    except FileNotFoundError:
        raise InputError(f"{name}: it has no {path}: it is from before there were scores to compare") from None
    except YAMLError as error:
        raise InputError(f"{name}: {path} can't be read: {' '.join(str(error).split())}") from None
    return content if isinstance(content, dict) else {}


def _target(settings: dict[str, Any], name: str) -> tuple[str, int]:
    try:
        target = str(settings["data"]["target"])
        return target, horizon(target, int(settings["data"]["target_horizon"]))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{name}: its params.yaml has no data.target with a data.target_horizon in trading days") from None


def _scores(files: DVCFileSystem, name: str, revision: str | None, path: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(files.read_bytes(path)))
    except (FileNotFoundError, DvcException, DataIndexDirError):
        raise InputError(f"{name}: {path} is neither there nor in the cache; {_remedy(revision)}") from None
    except (pa.ArrowInvalid, OSError):
        raise InputError(f"{name}: {path} is damaged, no Parquet file; remove it from DVC's cache, then {_remedy(revision)}") from None


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
