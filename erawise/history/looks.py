"""How often the validation eras were looked at, for the commands that say so."""

import hashlib
import subprocess
from pathlib import Path

import numpy as np

from erawise import params
from erawise.base import tabular
from erawise.base.schema import ERA, PREDICTION, VALIDATION, spanned_eras, spanned_weeks
from erawise.evaluation import evaluation, significance
from erawise.history import comparison, ledger
from erawise.running import paths


def at(p: params.Params, prediction: str) -> tuple[int, float]:
    """The looks on record in this checkout, and the probability that a prediction's Sharpe is above what luck shows in so many.

    It is 0 where there is no record or no score, and NaN where the eras are too few to tell.
    """
    scores = paths.SCORES / f"{VALIDATION}.parquet"
    if not (paths.VALIDATION_TARGETS.exists() and scores.exists() and (entries := ledger.looks(read(), data_digest(), p.data.target))):
        return 0, np.nan
    table = tabular.read_parquet(scores, [ERA, PREDICTION, "corr"])
    own = table.loc[table[PREDICTION] == prediction, "corr"].to_numpy()
    overlap = spanned_eras(table[ERA].to_numpy(), spanned_weeks(evaluation.evaluated(paths.SCORES).days))
    return len(entries), significance.deflated_sharpe(own, ledger.trial_sharpes(entries, prediction), overlap=overlap)


def data_digest() -> str:
    """Return the digest of the validation targets: whoever scores against the same ones looks at the same data."""
    with paths.VALIDATION_TARGETS.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def commit() -> str | None:
    """Return the commit that is checked out, with `+` if tracked files differ from it; None without a Git repository."""
    found = _git("rev-parse", "HEAD")
    return None if found is None else found + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def ledger_path() -> Path:
    """Return the place of the main checkout's ledger."""
    return paths.main_checkout(Path.cwd()) / ledger.NAME


def read() -> list[ledger.Entry]:
    """Return the entries of the main checkout's ledger."""
    return ledger.read(ledger_path())[0]


def show() -> None:
    """Print what was evaluated in this checkout, and which target was the main one."""
    entries = read()
    print("\n".join([comparison.history(entries), *([""] if entries else []), *comparison.standings(entries)]))
