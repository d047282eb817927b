"""The looks at the validation eras: their number, and the evaluations on record."""

import hashlib
import subprocess
from pathlib import Path

import numpy as np

from erawise import params
from erawise.base import tabular
from erawise.base.schema import ERA, PREDICTION, VALIDATION, spanned_eras, spanned_weeks
from erawise.evaluation import evaluation, significance
from erawise.history import comparison, ledger
from erawise.running import paths, terminal
from erawise.running.terminal import Form


def count(p: params.Params, prediction: str) -> tuple[int, float]:
    """Count the looks on record in this checkout.

    Returns
    -------
    The number of looks, 0 if there is no record or no score; and the probability that the Sharpe of a prediction is above the best that
    luck shows in so many looks, NaN if the eras are too few to tell.
    """
    scores = paths.SCORES / f"{VALIDATION}.parquet"
    if not (paths.VALIDATION_TARGETS.exists() and scores.exists() and (entries := ledger.looks(read(), data_digest(), p.data.target))):
        return 0, np.nan
    table = tabular.read_parquet(scores, [ERA, PREDICTION, "corr"])
    own = table.loc[table[PREDICTION] == prediction, "corr"].to_numpy()
    overlap = spanned_eras(table[ERA].to_numpy(), spanned_weeks(evaluation.evaluated(paths.SCORES).days))
    return len(entries), significance.deflated_sharpe(own, ledger.trial_sharpes(entries, prediction), overlap=overlap)


def data_digest() -> str:
    """Return the digest of the validation targets: scores against the same ones are looks at the same data."""
    with paths.VALIDATION_TARGETS.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def commit() -> str | None:
    """Return the commit that is checked out, with `+` if tracked files differ from it; None without a Git repository.

    The shared ledger doesn't count.
    """
    found = git("rev-parse", "HEAD")
    differs = git("status", "--porcelain", "--untracked-files=no", "--", ":/", f":(exclude){ledger.SHARED}")
    return None if found is None else found.strip() + ("+" if (differs or "").strip() else "")


def git(*arguments: str) -> str | None:
    """Return the output of a command of Git; None if it fails."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def ledger_path(name: str = ledger.NAME) -> Path:
    """Return the place of the main checkout's ledger, or of the shared one."""
    return paths.main_checkout(Path.cwd()) / name


def read() -> list[ledger.Entry]:
    """Return the entries of the main checkout's ledger and of the shared one."""
    return ledger.read(ledger_path(), ledger_path(ledger.SHARED))


def show(form: Form) -> None:
    """Print the evaluations that are on record, and which target was the main one."""
    entries = read()
    hint = "Nothing was evaluated in this checkout yet: `dvc repro evaluate` does that; `erawise history --record` adds a restored result."
    known = [] if entries else [hint]
    terminal.write([*known, comparison.history(entries), *comparison.standings(entries)], form)
