"""The checkout of the pipeline in which a command runs."""

from pathlib import Path

import erawise
from erawise.running.errors import InputError

MARK = "params.yaml"
"""The file at the top of every checkout."""


def top() -> Path:
    """Return the top of the checkout that the current directory is in.

    Raises
    ------
    InputError
        If it is in none, or in one whose code isn't the code that runs: a clone, a worktree, or an experiment's directory.
    """
    here = Path.cwd()
    found = next((place for place in (here, *here.parents) if (place / MARK).is_file()), None)
    if found is None:
        raise InputError(f"{here}: no checkout of the pipeline, there is no {MARK} here or above; change to a directory of one")
    theirs, ours = found / "erawise", Path(erawise.__file__).resolve().parent
    if (theirs / "__init__.py").exists() and theirs.resolve() != ours:
        raise InputError(
            f"this checkout has its own code, {theirs}, and the command that was called is that of {ours}; "
            f"run `python -m erawise` in {found}, or make its own environment there by `make .venv/runtime`"
        )
    return found
