"""The rows of the data that the ids of other files belong to, and the count of rows that belong to none."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from erawise.base.schema import LIVE_ERA
from erawise.models.predictions.prediction_files import Floats, Predicted
from erawise.panel.panel import Index, era_slices
from erawise.running.errors import InputError

NOWHERE = -1
"""Position of a row that the data lacks."""


@dataclass(frozen=True)
class Coverage:
    """Counts of one prediction against the data.

    Attributes
    ----------
    rows, live, other_eras, unknown : rows of the file; of these live rows, rows of eras that the data lacks, and rows in eras of the data
        whose ids it lacks. A file without eras has all rows without a match among the last.
    duplicates, conflicts : rows whose id was there before; ids that have different predictions, which count as missing.
    expected, missing : rows with a target in the eras that the file covers; of these rows without a prediction.
    eras, partial : eras that the file covers, and how many of these lack a prediction of some row.
    constant : eras in which the prediction has one value; their rows count as missing.
    outside : predictions below 0 or above 1.
    """

    rows: int
    live: int
    other_eras: int
    unknown: int
    duplicates: int
    conflicts: int
    expected: int
    missing: int
    eras: int
    partial: int
    constant: int
    outside: int

    @property
    def told(self) -> list[str]:
        """The counts above 0, in words."""
        parts = {
            "ids that the data lacks": self.unknown,
            "rows of eras that the data lacks": self.other_eras,
            "live rows": self.live,
            "rows of an id that was there before": self.duplicates,
            "ids with several different predictions, left out": self.conflicts,
            "rows without a prediction": self.missing,
            "eras covered in part": self.partial,
            "eras with one value, without scores": self.constant,
            "values outside 0 to 1 (scores use ranks; Numerai refuses them)": self.outside,
        }
        return [f"{count:,} {what}" for what, count in parts.items() if count]

    def require_within(self, budget: float, name: str, source: object, option: str) -> None:
        """Raise `InputError` if ids that the data lacks, or rows without a prediction, have a larger share than the budget.

        `name`, `source` and `option` name the prediction, the data and the setting of the budget in messages.
        """
        if self.unknown_share > budget:
            raise InputError(
                f"{name}: {self.unknown:,} of its {self.rows:,} ids ({self.unknown_share:.1%}) aren't in {source}, more than "
                f"{budget:.1%}; take the data version of the predictions, add a column 'era' if the data has only some eras, "
                f"or raise {option}"
            )
        if self.missing_share > budget:
            raise InputError(
                f"{name}: {self.missing:,} of {self.expected:,} rows of its {self.eras} eras ({self.missing_share:.1%}) have no "
                f"prediction, more than {budget:.1%} ({self.partial} eras in part, {self.constant} with one value, {self.conflicts:,} ids "
                f"with several); predict the missing rows, or raise {option}"
            )

    @property
    def unknown_share(self) -> float:
        """The share of unknown ids among the rows that could match."""
        return self.unknown / max(self.rows - self.live - self.other_eras, 1)

    @property
    def missing_share(self) -> float:
        """The share of the expected rows without a prediction."""
        return self.missing / max(self.expected, 1)


def positions(ids: pa.Array, era: NDArray[np.int64] | None, index: Index) -> NDArray[np.int64]:
    """Return the positions (rows,) in the index of some ids; `NOWHERE` for a row that it lacks.

    Parameters
    ----------
    ids : (rows,) large_string.
    era : (rows,); None if it isn't known. Then an id must be in one era of the index only.

    Raises
    ------
    InputError
        If the era isn't known, and an id of the index is in several eras.
    """
    if era is None:
        known = index.ids.unique()
        if len(known) < len(index.ids):
            raise InputError("some ids are in several eras of the data; add a column 'era' to the file")
        return _found(ids, index.ids)
    order = None if (np.diff(era) >= 0).all() else np.argsort(era, kind="stable")
    own_era, own_ids = (era, ids) if order is None else (era[order], ids.take(pa.array(order)))
    found = np.full(len(era), NOWHERE, np.int64)
    starts = {int(index.era[start]): k for k, start in enumerate(index.starts[:-1])}
    for rows in era_slices(own_era):
        k = starts.get(int(own_era[rows.start]))
        if k is not None:
            start, stop = int(index.starts[k]), int(index.starts[k + 1])
            within = _found(own_ids[rows], index.ids[start:stop])
            found[rows] = np.where(within == NOWHERE, NOWHERE, within + start)
    if order is None:
        return found
    back = np.empty_like(found)
    back[order] = found
    return back


def _found(ids: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    """Return the position of each id among others, `NOWHERE` if it isn't there."""
    found: NDArray[np.int64] = pc.index_in(ids, value_set=among).cast(pa.int64()).fill_null(NOWHERE).to_numpy()
    return found


def place(file: Predicted, index: Index, target: Floats) -> tuple[dict[str, Floats], dict[str, Coverage]]:
    """Place the predictions of a file along the rows of the data, and count what doesn't fit.

    Parameters
    ----------
    index : the rows of the data.
    target : (rows,), NaN if unknown.

    Returns
    -------
    For each column its values (rows of the data,), NaN without a prediction, and its counts.

    Raises
    ------
    InputError
        If not a single id matches.
    """
    position = positions(file.ids, file.era, index)
    matched = position != NOWHERE
    live = np.zeros(len(matched), bool) if file.era is None else file.era == LIVE_ERA
    elsewhere = np.zeros(len(matched), bool) if file.era is None else ~live & ~np.isin(file.era, index.eras)
    unknown = ~matched & ~live & ~elsewhere
    if not matched.any():
        raise _nothing_matches(file, index, unknown)
    counts = np.bincount(position[matched], minlength=len(index.era))
    touched = np.add.reduceat(counts, index.starts[:-1]) > 0
    in_file = np.repeat(touched, np.diff(index.starts))
    repeated = counts > 1
    expected = in_file & ~np.isnan(target)
    found, coverage = {}, {}
    for name, values in file.values.items():
        placed = np.full(len(index.era), np.nan)
        placed[position[matched]] = values[matched]
        conflicts = _conflicting(position, values, placed, repeated, matched)
        placed[conflicts] = np.nan
        constant = _constant_eras(placed, index.starts) & touched
        lacking = expected & (np.isnan(placed) | np.repeat(constant, np.diff(index.starts)))
        outside = int(((values < 0) | (values > 1)).sum())
        found[name] = placed
        coverage[name] = Coverage(
            rows=len(matched),
            live=int(live.sum()),
            other_eras=int(elsewhere.sum()),
            unknown=int(unknown.sum()),
            duplicates=int((counts[repeated] - 1).sum()),
            conflicts=len(conflicts),
            expected=int(expected.sum()),
            missing=int(lacking.sum()),
            eras=int(touched.sum()),
            partial=int((np.add.reduceat(in_file & np.isnan(placed), index.starts[:-1]) > 0).sum()),
            constant=int(constant.sum()),
            outside=outside,
        )
    return found, coverage


def _conflicting(
    position: NDArray[np.int64], values: Floats, placed: Floats, repeated: NDArray[np.bool_], matched: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the positions of ids that a file has several times with different predictions."""
    if not repeated.any():
        return np.empty(0, np.int64)
    own = np.flatnonzero(matched)[repeated[position[matched]]]
    last = placed[position[own]]
    differs = (values[own] != last) & ~(np.isnan(values[own]) & np.isnan(last))
    return np.unique(position[own][differs])


def _constant_eras(placed: Floats, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (eras,) whether all predictions of an era, of which there are two or more, have one value."""
    missing = np.isnan(placed)
    low = np.minimum.reduceat(np.where(missing, np.inf, placed), starts[:-1])
    high = np.maximum.reduceat(np.where(missing, -np.inf, placed), starts[:-1])
    return (low == high) & (np.add.reduceat(~missing, starts[:-1]) > 1)


def _nothing_matches(file: Predicted, index: Index, unknown: NDArray[np.bool_]) -> InputError:
    """Return the error of a file without any id of the data."""
    if file.era is not None and not unknown.any():
        eras = np.unique(file.era[file.era != LIVE_ERA])
        own = f"eras {eras.min()} to {eras.max()}" if len(eras) else "the live era"
        return InputError(
            f"{file.path}: it has rows of {own} only, and the data has eras {index.eras.min()} to {index.eras.max()}; "
            "give predictions of eras that the data has"
        )
    first, known = file.ids[int(unknown.argmax())].as_py(), index.ids[0].as_py()
    if file.era is not None and bool(pc.any(pc.is_in(file.ids, value_set=index.ids)).as_py()):
        return InputError(f"{file.path}: its ids are in other eras of the data than its column 'era' says; mend or remove that column")
    return InputError(
        f"{file.path}: not one of its {len(file.ids):,} ids is in the data: they are like {first!r}, the data's like {known!r}; "
        "write the ids of the data's rows as the column 'id'"
    )
