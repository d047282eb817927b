"""The files of the user's own of which models are made: the content that `tune` records is the content that a model is fitted with."""

from pathlib import Path
from typing import Any, TypeVar

from erawise.base import files
from erawise.models.shared.settings import Entry
from erawise.running.errors import InputError

Settings = TypeVar("Settings", bound=Entry)

KEY = "file"
"""The key of the own file in the file that `tune` writes for a model. A change of the file so runs `train` again for this model only."""


def bound(settings: Settings) -> Settings:
    """Return the settings of a model bound to the content of its own file; a model without one stays as it is.

    Raises
    ------
    InputError
        If the file is missing.
    """
    if settings.own_file is None:
        return settings
    path = Path(settings.own_file)
    if not path.exists():
        raise InputError(
            f"{path}: the model's file is missing; put it there, and `git add` it if it is in plugins/: an experiment sees no others"
        )
    return settings.made_of(path, files.digest(path))


def recorded(settings: Entry) -> dict[str, dict[str, str]]:
    """Return the path and SHA-256 of the own file of bound settings, for the file that `tune` writes; empty without one."""
    return {} if settings.own_file is None else {KEY: {"path": settings.own_file, "sha256": settings.digest}}


def require_recorded(settings: Entry, found: dict[str, Any], path: Path) -> None:
    """Check that a model's own file is as `tune` has found it.

    Parameters
    ----------
    settings : bound settings.
    found, path : the content and the path of the file that `tune` has written.

    Raises
    ------
    InputError
        If the file has changed since, or another one is recorded.
    """
    if recorded(settings).get(KEY) != found.get(KEY):
        raise InputError(f"{settings.own_file or path}: has changed since `tune`; run `dvc repro`")
