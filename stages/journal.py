"""The record of what was sent to Numerai from this checkout: a line of JSON for each attempt."""

import time
from datetime import UTC, datetime
from typing import Any

from erawise import files
from stages import paths

FAILED = "failed"
"""The outcome of an attempt that came to nothing."""


def note(entry: dict[str, Any]) -> None:
    """Add a line, with the time."""
    now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    files.append_line({"time": now, **entry}, paths.JOURNAL)


def read() -> list[dict[str, Any]]:
    """The entries, the first one first."""
    return files.read_lines(paths.JOURNAL)[0]


def since(model: str, prediction: str) -> str | None:
    """The UTC date from which a model has been given this prediction and no other, handed in or uploaded; None where it isn't given it.

    A model that was uploaded, and of which nothing good was heard, may still be the one that predicts.
    """
    start = None
    for entry in read():
        if entry.get("model") == model and "prediction" in entry and "diagnostics" not in entry:
            failed = entry.get("outcome") == FAILED
            if entry["prediction"] != prediction and (not failed or "upload" in entry):
                start = None
            elif start is None and not failed:
                start = str(entry.get("time", ""))[:10]
    return start
