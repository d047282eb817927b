"""The record of what was evaluated: a line of JSON for each evaluation, added and never changed.

Whoever looks at a validation set often enough finds something there. The ledger counts the looks, by the digests of the predictions.
So a figure can be compared with the best that luck shows in so many looks.

Each machine has a ledger of its own, which Git ignores: DVC puts files that Git keeps back when it applies an experiment, and lines would
be lost. A copy of the lines, which Git keeps and merges line by line (`.gitattributes`), carries them to other machines.
"""

import json
from pathlib import Path
from typing import Any

from erawise.base.schema import VALIDATION
from erawise.running.errors import InputError

NAME, SHARED = "ledger.jsonl", "ledger.shared.jsonl"
"""This machine's ledger, and the file through which machines share their lines."""

Entry = dict[str, Any]


NEEDED = ("time", "data", "target", "settings", "scores")
"""Keys of every entry."""

IDENTITY = ("data", "target", "predictions", "settings", "scores")
"""Keys that two records of the same evaluation have in common, whenever and wherever they were made."""


def read(*files: Path) -> list[Entry]:
    """Return the entries of some files in the order of their time, and only the earliest of equal evaluations.

    A file that doesn't exist has none.

    Raises
    ------
    InputError
        If a line is no entry: the number of looks would be too low.
    """
    entries = [
        _entry(line, f"{path.name}, line {number}")
        for path in files
        if path.exists()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1)
        if line.strip()
    ]
    first: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda entry: str(entry["time"])):
        first.setdefault(_identity(entry), entry)
    return list(first.values())


def lines(entries: list[Entry]) -> str:
    """Return entries as a file has them, each as `files.append_line` writes it: so Git sees that lines of two machines are the same."""
    return "".join(json.dumps(entry, sort_keys=True, allow_nan=False) + "\n" for entry in entries)


def _entry(line: str, place: str) -> Entry:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not set(NEEDED) <= set(found):
        raise InputError(
            f"{place}: it is no evaluation: cut short by a kill, edited, or left by a merge; expected one JSON object; remove this line, "
            "and the looks are counted without it"
        )
    return found


def _identity(entry: Entry) -> str:
    return json.dumps([entry.get(key) for key in IDENTITY], sort_keys=True)


def flat(settings: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Return settings by their path such as `models.ridge.l2`."""
    out: dict[str, Any] = {}
    for key, value in settings.items():
        place = f"{path}.{key}" if path else str(key)
        out |= flat(value, place) if isinstance(value, dict) and value else {place: value}
    return out


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the `flat` settings that differ, with both values; None for a value that is absent."""
    return {path: [before.get(path), after.get(path)] for path in {**before, **after} if before.get(path) != after.get(path)}


def same(entry: Entry, other: Entry) -> bool:
    """Return whether two evaluations are of the same predictions of the same data, with the same settings and scores."""
    return all(entry.get(key) == other.get(key) for key in IDENTITY)


def looks(entries: list[Entry], data: str | None, target: str) -> list[Entry]:
    """Return the entries that were looks: each that scored a prediction on the validation eras of some data which none before it had.

    To evaluate the same predictions again, or some of them, shows nothing new. An entry without their digests is a look of its own.

    Parameters
    ----------
    data : digest of the data; None for all.
    target : that was scored against.
    """
    seen = [entry for entry in entries if data in (None, entry["data"]) and entry["target"] == target and entry["scores"].get(VALIDATION)]
    found, known = list[Entry](), set[tuple[Any, str]]()
    for entry in seen:
        digests = entry.get("predictions")
        scored = {(entry["data"], digest) for digest in digests.values()} if isinstance(digests, dict) else None
        if scored is None or not scored <= known:
            found.append(entry)
            known |= scored or set()
    return found


def trial_sharpes(entries: list[Entry], prediction: str) -> list[float]:
    """Return the validation Sharpe of the CORR of a prediction, once for each of its digests, and of each entry that has no digests."""
    first: dict[Any, Entry] = {}
    for number, entry in enumerate(entries):
        digests = entry.get("predictions")
        first.setdefault((entry["data"], digests.get(prediction)) if isinstance(digests, dict) else number, entry)
    sharpes = (entry["scores"].get(VALIDATION, {}).get(prediction, {}).get("corr", {}).get("sharpe") for entry in first.values())
    return [float(value) for value in sharpes if value is not None]
