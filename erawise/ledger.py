"""The record of what was evaluated: a line of JSON for each run, added and never changed.

Who looks at a validation set often enough finds something there. The ledger counts the looks, so that a figure can be read
against what luck alone would have shown by now.
"""

from pathlib import Path
from typing import Any

import numpy as np

from erawise import files, significance
from erawise.schema import VALIDATION

NAME = "ledger.jsonl"

Entry = dict[str, Any]


def read(path: Path) -> tuple[list[Entry], int]:
    """The entries in the order of their time, and the number of lines that are none: cut short by a kill, or edited."""
    found, broken = files.read_lines(path)
    entries = [entry for entry in found if {"time", "data", "target", "settings", "scores"} <= set(entry)]
    return sorted(entries, key=lambda entry: str(entry["time"])), broken + len(found) - len(entries)


def flat(settings: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Settings by their path such as `models.ridge.l2`."""
    out: dict[str, Any] = {}
    for key, value in settings.items():
        place = f"{path}.{key}" if path else str(key)
        out |= flat(value, place) if isinstance(value, dict) and value else {place: value}
    return out


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    """Of `flat` settings those that differ, with both values, None where there is none."""
    return {path: [before.get(path), after.get(path)] for path in {**before, **after} if before.get(path) != after.get(path)}


def looks(entries: list[Entry], data: str | None, target: str) -> list[Entry]:
    """Those that have looked at the validation eras of this data, or of any where None, scored against this target."""
    return [entry for entry in entries if data in (None, entry["data"]) and entry["target"] == target and entry["scores"].get(VALIDATION)]


def trial_sharpes(entries: list[Entry], prediction: str) -> list[float]:
    """The validation Sharpe of the CORR of a prediction in each of the entries that have one."""
    found = (entry["scores"].get(VALIDATION, {}).get(prediction, {}).get("corr", {}).get("sharpe") for entry in entries)
    return [float(value) for value in found if value is not None]


def deflated(entries: list[Entry], prediction: str, series: np.ndarray, overlap: int) -> float:
    """`significance.deflated_sharpe` of a prediction's (eras,) validation scores, by the spread of all looks so far."""
    return significance.deflated_sharpe(series, trial_sharpes(entries, prediction), overlap=overlap)
