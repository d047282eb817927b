"""The rows of raw files: their ids and eras, which rows are kept, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from erawise.base.schema import DATA_TYPE, ERA, ID, LIVE, LIVE_ERA
from erawise.panel import rawfiles
from erawise.panel.panel import Index, era_slices
from erawise.preparation.chosen_columns import Columns
from erawise.preparation.matrix import Counts, Part
from erawise.running.errors import InputError

UNRESOLVED = "test"


@dataclass(frozen=True)
class RawRows:
    """The rows of one raw file, in the file's order.

    Attributes
    ----------
    path, file : the raw file, open.
    ids : (rows,) large_string.
    era : (rows,) int64.
    order : (rows,) row numbers sorted by era, then id.
    known : (rows,) whether the row has the main target and isn't of the type `test`.
    has_target : (rows,) whether the row has the main target.
    """

    path: Path
    file: pq.ParquetFile
    ids: pa.Array
    era: NDArray[np.int64]
    order: NDArray[np.int64]
    known: NDArray[np.bool_]
    has_target: NDArray[np.bool_]


@dataclass(frozen=True)
class Selection:
    """The kept rows of raw files, one file after the other.

    Attributes
    ----------
    parts : the rows of each file.
    orders : the numbers of the kept rows of each file, in their new order.
    index : all kept rows.
    """

    parts: Sequence[RawRows]
    orders: Sequence[NDArray[np.int64]]
    index: Index

    @classmethod
    def select_rows(cls, parts: Sequence[RawRows], orders: Sequence[NDArray[np.int64]]) -> Self:
        """Select the rows of some files by their numbers."""
        ids = pa.concat_arrays([rows.ids.take(pa.array(order)) for rows, order in zip(parts, orders, strict=True)])
        era = np.concatenate([rows.era[order] for rows, order in zip(parts, orders, strict=True)])
        starts = np.array([rows.start for rows in era_slices(era)] + [len(era)], np.int64)
        return cls(parts, orders, Index(ids, era, starts))

    def with_positions(self) -> list[Part]:
        """Return each file with the position of each of its rows in the matrix."""
        start, found = 0, []
        for rows, order in zip(self.parts, self.orders, strict=True):
            position = np.full(len(rows.era), -1, np.int64)
            position[order] = np.arange(start, start + len(order))
            start += len(order)
            found.append(Part(rows.path, rows.file, position))
        return found


def read(path: Path, columns: Columns, counts: Counts, *, live: bool) -> RawRows:
    """Read the ids and eras of a raw file, and which rows have a target. `counts` notes a file whose eras are out of order.

    Raises
    ------
    InputError
        If there are no rows, an id is missing or repeated, an era is unreadable, or a file of other eras has live rows.
    """
    file = rawfiles.open_file(path, (ID, ERA, *columns.features))
    present = file.schema_arrow.names
    if not file.metadata.num_rows:
        raise InputError(f"{path}: there are no rows")
    era = rawfiles.read_eras(file, path)
    wrong = (era == LIVE_ERA) != live
    if wrong.any() and not live:
        raise InputError(f"{path}: row {int(np.argmax(wrong))} is of the live era; expected numbered eras")
    if live:
        _require_one_era(file, era, path)
        era = np.full_like(era, LIVE_ERA)
    ids = rawfiles.read_ids(file, path)
    order = rawfiles.sort_rows(era, ids, path)
    has_target = np.zeros(len(era), bool)
    if columns.main in present and not live:
        has_target = ~np.isnan(rawfiles.read_floats(file, columns.main, path))
    known = has_target.copy()
    if DATA_TYPE in present:
        of_type = pc.equal(rawfiles.read_texts(file, DATA_TYPE, path), UNRESOLVED).fill_null(False)
        known &= ~of_type.to_numpy(zero_copy_only=False)
    if (np.diff(era) < 0).any():
        counts.unsorted.append(path.name)
    return RawRows(path, file, ids, era, order, known, has_target)


def _require_one_era(file: pq.ParquetFile, era: NDArray[np.int64], path: Path) -> None:
    """Raise `InputError` if live rows are of several eras, or rows of another type are among them."""
    if era.min() != era.max():
        raise InputError(f"{path}: its rows are of {len(np.unique(era))} eras; expected only rows of the live era")
    if DATA_TYPE in file.schema_arrow.names:
        kinds = set(rawfiles.read_texts(file, DATA_TYPE, path).unique().to_pylist())
        if kinds != {LIVE}:
            raise InputError(f"{path}: rows of the type {min(map(str, kinds - {LIVE}))!r} are among them; expected only {LIVE!r}")


def resolved(validation: RawRows, counts: Counts) -> NDArray[np.bool_]:
    """Return the validation rows with a known target. Whole eras without one count as unresolved, single rows as dropped."""
    in_known_era = np.isin(validation.era, validation.era[validation.known])
    counts.unresolved = int((~in_known_era).sum())
    return validation.known


def of_every(era: NDArray[np.int64], every: int, among: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Return whether each row (rows,) is of every n-th era. Eras are counted among the rows `among` if given."""
    eras = np.unique(era if among is None else era[among])
    return np.isin(era, eras[::every])


def check_eras(train: RawRows, validation: RawRows, kept: NDArray[np.bool_]) -> None:
    """Raise `InputError` if a kept validation row doesn't come after train."""
    last, eras = train.era.max(), validation.era[kept]
    if len(eras) and eras.min() <= last:
        raise InputError(f"{validation.path}: era {eras.min()} doesn't come after the last train era, {last}; they overlap")
