"""What a revision has measured: its settings, the data that it ran on and its scores, read through DVC and never checked out.

A revision is a Git commit, branch or tag, the name of a DVC experiment, or None: the workspace as it is.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise.errors import InputError
from erawise.schema import CV, VALIDATION

WORKSPACE = "the workspace"
RAW = "data/raw"


@dataclass(frozen=True)
class Revision:
    """A run that a revision holds.

    Attributes
    ----------
    name : as messages call it.
    settings : the content of its params.yaml.
    data : the digest of its raw files, None where its dvc.lock has none.
    scores : the long table of `score_eras`, by split.
    """

    name: str
    settings: dict[str, Any]
    data: str | None
    scores: dict[str, pd.DataFrame]

    @property
    def target(self) -> str:
        """The main target, which every score is against."""
        return str(self.settings.get("data", {}).get("target"))

    @property
    def horizon(self) -> int:
        """Trading days that a target without a suffix looks ahead."""
        return int(self.settings.get("data", {}).get("target_horizon", 20))


def read(repository: Path, revision: str | None) -> Revision:
    """Read a revision of the repository that lies in a directory.

    Raises
    ------
    InputError
        If there is no such revision, it is from before there were scores, or its scores are not in the cache.
    """
    name = revision or WORKSPACE
    try:
        files = DVCFileSystem(str(repository), rev=revision)
        settings, lock = (_yaml(files, name, path) for path in ("params.yaml", "dvc.lock"))
    except DvcException as error:
        raise InputError(f"{name}: {error}; expected a Git revision or the name of an experiment that `dvc exp show` lists") from None
    scores = {split: _scores(files, name, revision, f"data/scores/{split}.parquet") for split in (CV, VALIDATION)}
    return Revision(name, settings, _digest(lock, RAW), scores)


def _yaml(files: DVCFileSystem, name: str, path: str) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(files.read_text(path))
    except FileNotFoundError:
        raise InputError(f"{name}: it has no {path}: it is from before there were scores to compare") from None
    except YAMLError as error:
        raise InputError(f"{name}: {path} can't be read: {' '.join(str(error).split())}") from None
    return content if isinstance(content, dict) else {}


def _scores(files: DVCFileSystem, name: str, revision: str | None, path: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(files.read_bytes(path)))
    except (FileNotFoundError, DvcException):
        raise InputError(f"{name}: {path} is neither there nor in the cache; {_remedy(revision)}") from None


def _remedy(revision: str | None) -> str:
    if revision is None:
        return "run `dvc repro evaluate`"
    return f"fetch it with `git checkout {revision} && dvc pull evaluate`, or run `dvc repro evaluate` there"


def _digest(lock: dict[str, Any], path: str) -> str | None:
    for stage in lock.get("stages", {}).values():
        for out in stage.get("outs", []):
            if out.get("path") == path:
                return str(out.get("md5"))
    return None
