"""The record of what was sent to Numerai from this checkout: a line of JSON for each attempt."""

import time
from datetime import UTC, datetime
from typing import Any

from erawise import files
from stages import paths


def note(entry: dict[str, Any]) -> None:
    """Add a line, with the time."""
    now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    files.append_line({"time": now, **entry}, paths.JOURNAL)


def read() -> list[dict[str, Any]]:
    """The entries, the first one first."""
    return files.read_lines(paths.JOURNAL)[0]
