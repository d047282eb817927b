"""The check before a run: params.yaml, dvc.lock, and the files that killed runs have left."""

from pathlib import Path

import erawise
from erawise import params
from erawise.base import files
from erawise.history import ledger, lockfile
from erawise.running import paths, workplace


def check() -> None:
    """Check params.yaml, mend a dvc.lock that was cut off, and remove the files that killed runs have left.

    Raises
    ------
    InputError
        If a setting is unknown or out of its range, an estimator or a plug-in can't be used, or `data.local.path` is no directory.
    """
    p = params.load(paths.PARAMS)
    workplace.bring(Path(p.data.local.path))
    workplace.bring(paths.LOCAL, required=False)
    params.require_usable(p.models)
    for line in lockfile.mended(Path()):
        print(line)
    files.sweep(Path())
    for top in (paths.DATA, paths.METRICS, paths.PLOTS):
        files.sweep_below(top)
    models = ", ".join(p.models)
    print(f"{paths.PARAMS}: all is well: every setting is known and in its range; models {models}; data.local.path {p.data.local.path}")


def is_shown(page: Path) -> bool:
    """Return whether a page of the report is newer than the settings, results, ledger and commit that it shows, and than its code."""
    code = [path for path in Path(erawise.__file__).parent.rglob("*") if path.suffix in (".py", ".css", ".js")]
    run = [paths.PARAMS, paths.LOCK, *paths.METRICS.glob("*.json"), paths.main_checkout(Path.cwd()) / ledger.NAME]
    commit = lockfile.git(Path(), "rev-parse", "--git-path", "logs/HEAD").decode().strip()
    known = [path for path in (*code, *run, Path(commit)) if path.is_file()]
    return page.is_file() and max(path.stat().st_mtime_ns for path in known) < page.stat().st_mtime_ns
