"""The journal: a line of JSON for each attempt to send something to Numerai from this checkout."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from erawise.base import files
from erawise.live.submission import HELD
from erawise.running import paths

FAILED = "failed"
"""The outcome of an attempt that failed."""

WAITING = "sent"
"""The outcome of a pickle until Numerai has tried it; a second line has the final outcome."""


@dataclass(frozen=True)
class Sent:
    """A prediction that was sent for a model.

    Attributes
    ----------
    prediction : its name in the pipeline.
    digest : of the models that made it, see `served.Served`; empty in entries that are older than digests.
    """

    prediction: str
    digest: str


class Given:
    """The predictions that were sent for a model in each round, by the journal.

    A submission counts for its round. An upload predicts every round that closes on a later day, until something else is sent. An upload
    that failed after it was sent, or whose outcome is unknown, may predict or not: from then on the prediction is unknown.
    """

    def __init__(self, model: str) -> None:
        self._rounds: dict[int, Sent] = {}
        self._uploads: list[tuple[str, Sent | None]] = []
        self.last: Sent | None = None
        for entry in read():
            if entry.get("model") == model and "prediction" in entry and "diagnostics" not in entry:
                self._add(entry)

    def in_round(self, number: int, closed: str) -> Sent | None:
        """Return the prediction that was sent for a round that closed on a UTC date; None if none was sent from here."""
        if number in self._rounds:
            return self._rounds[number]
        before = [sent for day, sent in self._uploads if day < closed]
        return before[-1] if before else None

    def _add(self, entry: dict[str, Any]) -> None:
        sent = Sent(str(entry["prediction"]), str(entry.get("digest", "")))
        outcome, day = entry.get("outcome"), str(entry.get("time", ""))[:10]
        if isinstance(entry.get("round"), int) and outcome in HELD:
            self._rounds[entry["round"]] = self.last = sent
            self._uploads.append((day, None))
        elif "pickle" in entry and (outcome != FAILED or "upload" in entry):
            self.last = None if outcome in (FAILED, WAITING) else sent
            self._uploads.append((day, self.last))


def note(entry: dict[str, Any]) -> None:
    """Add a line, with the time."""
    now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    files.append_line({"time": now, **entry}, paths.JOURNAL)


def read() -> list[dict[str, Any]]:
    """Return the entries, the oldest first."""
    return files.read_lines(paths.JOURNAL)[0]
