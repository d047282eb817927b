"""The eras of the run before: models that are retrained were fitted on them, so that they may not change or disappear."""

import json
from pathlib import Path
from typing import Any

from erawise.base import files
from erawise.running.errors import InputError

SHOWN = 5
"""Eras that a message names at most."""


def require_kept(eras: dict[str, str], drawn_from: list[dict[str, Any]], path: Path) -> None:
    """Check that all eras of the run before are there with the same content, and record the eras of this run.

    Parameters
    ----------
    eras : the digest of each era, by its number.
    drawn_from : what says which data it is; for other data a new record begins.
    path : of the record, in JSON.

    Raises
    ------
    InputError
        If an era is missing, or has other rows, features or targets. The record then stays as it was.
    """
    basis = json.dumps(drawn_from, sort_keys=True)
    before: dict[str, Any] = files.read_json(path) if path.exists() else {"eras": {}, "drawn_from": basis}
    if before["drawn_from"] == basis:
        gone = [era for era in before["eras"] if era not in eras]
        changed = [era for era, digest in before["eras"].items() if eras.get(era, digest) != digest]
        found = [f"{what}: {_listed(which)}" for what, which in (("missing", gone), ("with other values", changed)) if which]
        if found:
            raise InputError(
                f"data: eras that were there in the last run are {' and '.join(found)}; models are fitted on them again and again "
                f"(final.retrain_every), so that the data may only grow. Fetch it again; if the change is meant, remove {path}"
            )
    files.write_json({"drawn_from": basis, "eras": eras}, path)


def _listed(eras: list[str]) -> str:
    more = f" and {len(eras) - SHOWN} more" if len(eras) > SHOWN else ""
    return ", ".join(eras[:SHOWN]) + more
