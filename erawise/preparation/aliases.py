"""The horizon of each target: by its name, by the named target that it equals, such as the bare `target`, or by the settings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from erawise.base import tabular
from erawise.base.schema import horizon_line, named_horizon
from erawise.preparation import rawfiles
from erawise.preparation.chosen_columns import Columns
from erawise.preparation.rawrows import Rows
from erawise.running.errors import InputError

SETTING = "data.target_horizon"

BATCH_ROWS = 2**16
"""Rows of two targets or more that are held at a time."""


@dataclass(frozen=True)
class Horizons:
    """How far the targets look ahead.

    Attributes
    ----------
    days : by target, in trading days; a text says why that isn't known.
    equal : the named target that a target equals, by the latter.
    """

    days: dict[str, int | str]
    equal: dict[str, str]

    def lines(self) -> list[str]:
        """Return a line for each target whose name doesn't say how far it looks ahead."""
        found = {name: days for name, days in self.days.items() if not named_horizon(name)}
        return [horizon_line(name, days, self.equal.get(name)) if isinstance(days, int) else days for name, days in found.items()]


def find(parts: Sequence[Rows], columns: Columns, setting: int | None) -> Horizons:
    """Find out how far the targets look ahead.

    Parameters
    ----------
    parts : the rows of train and validation.
    columns : their targets, and which of them is the main one.
    setting : trading days that `data.target_horizon` gives a target without a horizon in its name, None if it is to be found out.

    Raises
    ------
    InputError
        If the main target's horizon can't be found out, or differs from the setting, or between the files.
    """
    days: dict[str, int | str] = {}
    equal: dict[str, str] = {}
    named = [target for target in columns.targets if named_horizon(target)]
    for target in columns.targets:
        days[target] = named_horizon(target) or ""
        if days[target]:
            continue
        try:
            same, days[target] = _same(parts, target, named, setting)
            equal |= {target: same} if same else {}
        except InputError as error:
            if target == columns.main:
                raise
            days[target] = str(error)
    return Horizons(days, equal)


def _same(parts: Sequence[Rows], target: str, named: Sequence[str], setting: int | None) -> tuple[str | None, int]:
    """Return the named target that a target equals in every file, None if there isn't exactly one, and its horizon."""
    found = {part.path: names for part in parts if (names := equals(part, target, named)) is not None}
    common = [name for name in named if found and all(name in names for names in found.values())]
    if len(found) > 1 and all(found.values()) and not common:
        told = " and ".join(f"{_named(names)} in {path}" for path, names in found.items())
        raise InputError(f"{target!r} equals {told}: the files have different targets of this name; fetch both anew, on the same day")
    like = {name for names in found.values() for name in names}
    fitting = [name for name in common if setting in (None, named_horizon(name))]
    if setting is not None and like and setting not in {named_horizon(name) for name in like}:
        equal = _named([name for name in named if name in like])
        raise InputError(
            f"{SETTING}: it says that {target!r} looks {setting} trading days ahead, and it equals {equal}; set it to null or as far"
        )
    if len(fitting) == 1 and (found_days := named_horizon(fitting[0])):
        return fitting[0], found_days
    if setting is not None:
        return None, setting
    several = f"several, {_named(common)}" if common else f"none of the named targets in {' and '.join(str(part.path) for part in parts)}"
    raise InputError(f"{SETTING}: {target!r} equals {several}: set the trading days that it looks ahead, such as 20 or 60")


def _named(names: Sequence[str]) -> str:
    return " and ".join(f"{name!r} ({named_horizon(name)} trading days)" for name in names)


def equals(part: Rows, target: str, names: Sequence[str]) -> list[str] | None:
    """Return the targets that equal another one in every row of a file, value and NaN; None if it has no value there."""
    present = part.file.schema_arrow.names
    if target not in present:
        return None
    left, known = [name for name in names if name in present], False
    for peek in (True, False):  # most differ in the first rows, and are not read to their end
        with tabular.reading(part.path):
            for batch in part.file.iter_batches(BATCH_ROWS, columns=[target, *left]):
                values = rawfiles.floats(batch.column(target), target, part.path)
                known |= not np.isnan(values).all()
                others = {name: rawfiles.floats(batch.column(name), name, part.path) for name in left}
                left = [name for name, other in others.items() if np.array_equal(values, other, equal_nan=True)]
                if peek or (known and not left):
                    break
    return left if known else None
