"""The horizon of each target: from its name, from the named target that it equals (as the bare `target` does), or from the settings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from erawise.base import tabular
from erawise.base.schema import horizon_line, named_horizon
from erawise.panel import rawfiles
from erawise.preparation.chosen_columns import Columns
from erawise.preparation.rawrows import RawRows
from erawise.running.errors import InputError

SETTING = "data.target_horizon"

BATCH_ROWS = 2**16
"""Rows of targets that are held at a time, of two targets or more."""


@dataclass(frozen=True)
class Horizons:
    """The days that each target looks ahead.

    Attributes
    ----------
    days : trading days by target; a text says why they aren't known.
    equal : the named target that a target equals, by the name of the second.
    """

    days: dict[str, int | str]
    equal: dict[str, str]

    def lines(self) -> list[str]:
        """Return a line for each target whose name doesn't say how far it looks ahead."""
        found = {name: days for name, days in self.days.items() if not named_horizon(name)}
        return [horizon_line(name, days, self.equal.get(name)) if isinstance(days, int) else days for name, days in found.items()]


def find(parts: Sequence[RawRows], columns: Columns, setting: int | None) -> Horizons:
    """Find how far the targets look ahead.

    Parameters
    ----------
    parts : the rows of train and validation.
    columns : their targets, and the main one.
    setting : `data.target_horizon`: the trading days of a target whose name has no horizon; None to find them in the data.

    Raises
    ------
    InputError
        If the main target's horizon can't be found, differs from the setting, or differs between the files.
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


def _same(parts: Sequence[RawRows], target: str, named: Sequence[str], setting: int | None) -> tuple[str | None, int]:
    """Return the named target that a target equals in every file, and its horizon. The target is None if there isn't exactly one."""
    found = {part.path: names for part in parts if (names := equals(part, target, named)) is not None}
    common = [name for name in named if found and all(name in names for names in found.values())]
    if len(found) > 1 and all(found.values()) and not common:
        equal_targets = " and ".join(f"{_named(names)} in {path}" for path, names in found.items())
        raise InputError(
            f"{target!r} equals {equal_targets}: the files have different targets of this name; fetch both anew, on the same day"
        )
    like = {name for names in found.values() for name in names}
    fitting = [name for name in common if setting in (None, named_horizon(name))]
    if setting is not None and like and setting not in {named_horizon(name) for name in like}:
        equal = _named([name for name in named if name in like])
        raise InputError(
            f"{SETTING}: {target!r} looks {setting} trading days ahead by the setting, but it equals {equal}; set the same days, or null"
        )
    if len(fitting) == 1 and (found_days := named_horizon(fitting[0])):
        return fitting[0], found_days
    if setting is not None:
        return None, setting
    several = f"several, {_named(common)}" if common else f"no named target in {' and '.join(str(part.path) for part in parts)}"
    raise InputError(f"{SETTING}: {target!r} equals {several}: set the trading days that it looks ahead, such as 20 or 60")


def _named(names: Sequence[str]) -> str:
    return " and ".join(f"{name!r} ({named_horizon(name)} trading days)" for name in names)


def equals(part: RawRows, target: str, names: Sequence[str]) -> list[str] | None:
    """Return the names among `names` of the targets that equal `target` in every row of a file, also in NaN.

    None if `target` has no value in the file.
    """
    present = part.file.schema_arrow.names
    if target not in present:
        return None
    left, known = [name for name in names if name in present], False
    for peek in (True, False):  # most targets differ in the first rows, and the rest isn't read
        with tabular.reading(part.path):
            for batch in part.file.iter_batches(BATCH_ROWS, columns=[target, *left]):
                values = rawfiles.floats(batch.column(target), target, part.path)
                known |= not np.isnan(values).all()
                others = {name: rawfiles.floats(batch.column(name), name, part.path) for name in left}
                left = [name for name, other in others.items() if np.array_equal(values, other, equal_nan=True)]
                if peek or (known and not left):
                    break
    return left if known else None
