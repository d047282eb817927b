"""The check before a run: params.yaml, dvc.lock, and what killed runs have left."""

from pathlib import Path

from erawise import params
from erawise.base import files
from erawise.history import lockfile
from erawise.running import paths
from erawise.running.errors import InputError


def check() -> None:
    """Check params.yaml, mend a dvc.lock that was cut off, and remove what killed runs have left.

    Raises
    ------
    InputError
        If a setting is unknown or out of its range, or `data.local.path` is no directory.
    """
    p = params.load(paths.PARAMS)
    if not Path(p.data.local.path).is_dir():
        raise InputError(f"data.local.path: there is no directory {p.data.local.path}; DVC needs one there whatever the source")
    for line in lockfile.mended(Path()):
        print(line)
    files.sweep(Path())
    for top in (paths.DATA, paths.METRICS, paths.PLOTS):
        files.sweep_below(top)
    models = ", ".join(p.models)
    print(f"{paths.PARAMS}: all is well: every setting is known and in its range; models {models}; data.local.path {p.data.local.path}")
