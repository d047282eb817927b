"""What `evaluate` adds to the ledger: which run this was, what it found, and what it took."""

import hashlib
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from erawise import errors, files, ledger, params, tracking
from stages import curves, paths, running


def evaluated(target: str, metrics: dict[str, dict[str, Any]], seconds: float) -> int:
    """Add this evaluation to the ledger of the main checkout; gives the number of looks at this validation data by now.

    All settings are noted, also those that the evaluation doesn't hang on.
    """
    path = paths.main_checkout(Path.cwd()) / ledger.NAME
    with files.exclusive_lock(path, ledger.NAME):
        return _added(path, target, metrics, seconds)


def _added(path: Path, target: str, metrics: dict[str, dict[str, Any]], seconds: float) -> int:
    entries, _ = ledger.read(path)
    settings = ledger.flat(params.load(paths.PARAMS).model_dump(mode="json", exclude_unset=True))
    data = data_digest()
    entry = {
        "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "data": data,
        "target": target,
        "params": hashlib.sha256(json.dumps(settings, sort_keys=True).encode("utf-8")).hexdigest(),
        "settings": settings,
        "changed": ledger.changes(entries[-1]["settings"], settings) if entries else {},
        "scores": metrics,
        "seconds": round(seconds, 1),
        "peak_bytes": running.peak_bytes(),
        "versions": running.versions(),
    }
    files.append_line(entry, path)
    return len(ledger.looks([*entries, entry], data, target))


def track(mode: Literal["offline", "online"], metrics: dict[str, dict[str, Any]]) -> None:
    """Add this evaluation to Weights & Biases; where that fails, say why and go on, since all of it is on the disk."""
    name = os.environ.get("DVC_EXP_NAME") or commit()
    settings = params.load(paths.PARAMS).model_dump(mode="json", exclude_unset=True)
    try:
        tracking.log_run(mode, paths.main_checkout(Path.cwd()), name, settings, metrics, curves.read(paths.CURVES))
    except errors.InputError as error:
        print(f"warning: {error}; the run is not in Weights & Biases", file=sys.stderr)


def data_digest() -> str:
    """Of the validation targets: whoever scores against the same ones looks at the same data."""
    with paths.VALIDATION_TARGETS.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def commit() -> str | None:
    """The commit that is checked out, with `+` where tracked files differ from it; None where there is no Git repository."""
    found = _git("rev-parse", "HEAD")
    return None if found is None else found + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def read() -> list[ledger.Entry]:
    """The entries of the main checkout's ledger."""
    return ledger.read(paths.main_checkout(Path.cwd()) / ledger.NAME)[0]


def looked_at(target: str) -> list[ledger.Entry]:
    """The entries that have looked at the validation eras of the data that is prepared."""
    return ledger.looks(read(), data_digest(), target) if paths.VALIDATION_TARGETS.exists() else []
