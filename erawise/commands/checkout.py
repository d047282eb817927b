"""The checkout of the pipeline in which a command runs."""

from pathlib import Path

import erawise
from erawise.running.errors import InputError

MARKS = "params.yaml", "dvc.yaml"
"""The files at the top of a checkout, of which one is enough: a command says of the other that it is missing."""


def top() -> Path:
    """Return the top of the checkout that the current directory is in.

    Raises
    ------
    InputError
        If it is in none, or in one whose code isn't the code that runs: a clone, a worktree, or an experiment's directory.
    """
    here = Path.cwd()
    found = next((place for place in (here, *here.parents) if any((place / mark).is_file() for mark in MARKS)), None)
    if found is None:
        raise InputError(f"{here}: no checkout of the pipeline, there is no {MARKS[0]} here or above; change to a directory of one")
    theirs, ours = found / "erawise", Path(erawise.__file__).resolve().parent
    if (theirs / "__init__.py").exists() and theirs.resolve() != ours:
        raise InputError(
            f"this checkout has its own code, {theirs}, and the command that was called is from {ours}; "
            f"run `python -m erawise` in {found}, or make its own environment there by `make .venv/runtime`"
        )
    return found
