"""The era-sorted table of features, targets and ids on disk, read in blocks of eras.

The matrix stays on disk and is mapped; no float copy of all of it is made. It is stored in chunks of eras, a file each, so that new eras
change the last file only. It is checked before it is read:

- each file's size when it is opened,
- its size and time before each block,
- an era's digest when the era is first read.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from erawise.base import files, tabular
from erawise.base.schema import DATA_TYPE, ERA, ID, LIVE_ERA, era_name, named_horizon
from erawise.base.settings import Score
from erawise.panel import blocks
from erawise.running.errors import InputError

FEATURES, DERIVED = "features", "derived"
"""The directories of the arrays that have a row for each row of the index; each holds a file for each chunk of eras."""

CHUNK_ERAS = 52
"""Consecutive numbers of eras that share a chunk. They are counted from 0, so that an era's chunk never depends on other eras."""

ERA_MEANS = "era_means.npy"
"""The array that has a row for each era, or no row."""

DESCRIPTION, INDEX = "features.json", "index.parquet"
OWN_SCORE = "own_score"
"""The key of the description that says how a score is made; a panel in Numerai's layout has none."""


@dataclass(frozen=True)
class FeatureMap:
    """The features that a model gets: some of the panel's columns, or their projection if `components` is given.

    Parameters
    ----------
    columns : names of panel columns.
    mean : (columns,) float64, subtracted before the projection, or None.
    components : (columns, k) float64, or None for the columns as they are.
    """

    columns: tuple[str, ...]
    mean: NDArray[np.float64] | None = None
    components: NDArray[np.float64] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features that `apply` returns."""
        if self.components is None:
            return self.columns
        return tuple(f"component_{k + 1}" for k in range(self.components.shape[1]))

    @property
    def digest(self) -> str:
        """The SHA-256 of the columns and their projection."""
        found = hashlib.sha256(json.dumps(self.columns).encode())
        for part in (self.mean, self.components):
            found.update(b"none" if part is None else np.ascontiguousarray(part, np.float64).tobytes())
        return found.hexdigest()

    def apply(self, block: NDArray) -> NDArray:
        """Map (rows, columns) to (rows, features): the block itself, or its projection as float32."""
        if self.components is None or self.mean is None:
            return block
        return ((block - self.mean) @ self.components).astype(np.float32)


def days_ahead(directory: Path, target: str) -> int:
    """Return the trading days that a target looks ahead, as preprocess has found.

    Raises
    ------
    InputError
        If they aren't known, with the reason.
    """
    content = files.read_json(directory / DESCRIPTION)
    found = named_horizon(target) or content.get("horizons", {}).get(target)
    if isinstance(found, int):
        return found
    if target not in content["targets"]:
        raise _no_target(target, content["targets"])
    raise InputError(found or f"{directory / DESCRIPTION}: it doesn't say how far {target!r} looks ahead; run preprocess again")


def own_score(directory: Path) -> Score | None:
    """Return the correlation that stands for CORR if the user's schema says so, and the panel isn't Numerai's; else None."""
    found: Score | None = files.read_json(directory / DESCRIPTION).get(OWN_SCORE)
    return found


def chunks(eras: NDArray[np.int64]) -> list[tuple[str, slice]]:
    """Return the chunks of some eras (eras,), sorted and unique: the name of each file, and the positions of its eras.

    A file has the name of the first number of its chunk, such as `0104.npy` for the eras 104 to 155, or `live.npy`.
    """
    return [(_chunk_name(int(eras[span.start])), span) for span in era_slices(eras // CHUNK_ERAS)]


def _chunk_name(era: int) -> str:
    return "live.npy" if era == LIVE_ERA else f"{era // CHUNK_ERAS * CHUNK_ERAS:04d}.npy"


def stored_files(directory: Path) -> list[Path]:
    """Return the files of the arrays that have a row for each row of the index, by the record of preprocess."""
    stored = files.read_json(directory / DESCRIPTION).get("stored", {})
    return [directory / name for name in stored if name != ERA_MEANS]


def _no_target(target: str, targets: Sequence[str]) -> InputError:
    return InputError(f"the data has no target {target!r}; its targets are {', '.join(targets)}")


class _Stored:
    """A mapped array on disk, with rows by era, checked against the record of preprocess.

    Parameters
    ----------
    path : a `.npy` file.
    record : `bytes` of the file, and `eras`, the digest of each era's rows (`blocks.digest`) in hexadecimal digits.
    eras, starts : (eras,), and (eras + 1,) the row numbers at which each era begins.

    Raises
    ------
    InputError
        If the file is missing, is no array, has another length than its header and the record say, or other rows than the eras.
    """

    def __init__(self, path: Path, record: dict[str, Any], eras: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        self._path, self._digests, self._eras, self._starts = path, record["eras"], eras, starts
        self.array, self._file = _map(path, record["bytes"])
        if len(self.array) != starts[-1] or (self._digests and len(self._digests) != len(eras)):
            raise InputError(f"{path}: it has {len(self.array)} rows and {INDEX} {starts[-1]} in {len(eras)} eras; run preprocess again")
        self._checked = np.full(len(eras), not self._digests)
        self._state = self._found()

    def rows(self, k: int) -> NDArray:
        """Return the rows of the era at position k, mapped.

        Raises
        ------
        InputError
            If the file was changed since it was opened, or preprocess wrote other rows.
        """
        found = self._found()
        if found != self._state:
            raise InputError(
                f"{self._path}: the file was changed while it was read, from {self._state[0]:,} to {found[0]:,} bytes; run preprocess again"
            )
        block = self.array[self._starts[k] : self._starts[k + 1]]
        if not self._checked[k]:
            if f"{blocks.digest(block):016x}" != self._digests[k]:
                raise InputError(
                    f"{self._path}: preprocess wrote other rows of {era_name(int(self._eras[k]))}: the file is damaged or was changed; "
                    "run preprocess again"
                )
            self._checked[k] = True
        return block

    def digest(self, k: int) -> str:
        """Return the digest of the era at position k; empty if the array has no row of it."""
        return self._digests[k] if k < len(self._digests) else ""

    def _found(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


class _Chunks:
    """An array of a prepared directory: a mapped file for each chunk of its eras.

    Parameters
    ----------
    directory, content : the prepared directory, and its description.
    name : name of the array.
    eras, starts : (eras,), and (eras + 1,) the row numbers at which each era begins.

    Raises
    ------
    InputError
        If a file has no record, or isn't as its record says; or if there is a record of a chunk without eras.
    """

    def __init__(self, directory: Path, content: dict[str, Any], name: str, eras: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        spans = {f"{name}/{chunk}": span for chunk, span in chunks(eras)}
        surplus = [path for path in content.get("stored", {}) if path.startswith(f"{name}/") and path not in spans]
        if surplus:
            raise InputError(f"{directory / surplus[0]}: {INDEX} has no rows of its eras; run preprocess again")
        self._era = [(chunk, k - span.start) for chunk, span in enumerate(spans.values()) for k in range(span.start, span.stop)]
        self._files = []
        for path, span in spans.items():
            own = starts[span.start : span.stop + 1]
            self._files.append(_Stored(directory / path, _record(content, directory, path), eras[span], own - own[0]))

    @property
    def dtype(self) -> np.dtype:
        return self._files[0].array.dtype

    def rows(self, k: int) -> NDArray:
        """Return the rows of the era at position k, mapped and checked."""
        chunk, position = self._era[k]
        return self._files[chunk].rows(position)

    def digest(self, k: int) -> str:
        """Return the digest of the era at position k; empty if the array has no row of it."""
        if k >= len(self._era):
            return ""
        chunk, position = self._era[k]
        return self._files[chunk].digest(position)


class Panel:
    """The prepared rows of one directory, sorted by era, then id.

    Attributes
    ----------
    names : tuple of str, the columns in order: the features of the matrix, then the derived ones.
    n_matrix : int, how many of them are features of the matrix.
    own_score : see `own_score`.
    index : DataFrame (rows), `id`, `era` (int64, `LIVE_ERA` for live), `data_type` and the targets that the directory holds.
    eras : (eras,) int64, sorted and unique.
    starts : (eras + 1,) int64, the row numbers at which each era begins.
    """

    def __init__(self, directory: Path, columns: Sequence[str] | None = None) -> None:
        """Open `directory`; `columns` limits the targets that are read."""
        content = files.read_json(directory / DESCRIPTION)
        self.feature_sets: dict[str, list[str]] = content["feature_sets"]
        self.targets: list[str] = content["targets"]
        self.set_sizes: dict[str, int] = content.get("set_sizes", {})
        self.equal: dict[str, str] = content.get("equal", {})
        self.own_score: Score | None = content.get(OWN_SCORE)
        self.names: tuple[str, ...] = (*content["features"], *content["derived"])
        self.n_matrix = len(content["features"])
        self.index = _read_index(directory / INDEX, columns)
        self.row_eras = self.index[ERA].to_numpy(np.int64)
        self.eras, starts = np.unique(self.row_eras, return_index=True)
        self.starts = np.append(starts, len(self.index)).astype(np.int64)
        self._position = {name: k for k, name in enumerate(self.names)}
        self._era_position = {int(era): k for k, era in enumerate(self.eras)}
        self._features = _Chunks(directory, content, FEATURES, self.eras, self.starts)
        self._derived = _Chunks(directory, content, DERIVED, self.eras if content["derived"] else self.eras[:0], self.starts)
        means = _record(content, directory, ERA_MEANS)
        demeaned = self.eras[: len(means["eras"])]
        self._means = _Stored(directory / ERA_MEANS, means, demeaned, np.arange(len(demeaned) + 1))
        self.era_means = self._means.array
        self._digests: dict[tuple[int, str | None], str] = {}

    def era_digests(self, eras: NDArray[np.int64], target: str | None = None) -> list[str]:
        """Return the SHA-256 of each era's content: number, ids, features, and the values of a target if one is given."""
        numbers = [self._era_position[int(era)] for era in eras]
        values = None if target is None else _target(self, target)
        for k in numbers:
            if (k, target) not in self._digests:
                self._digests[k, target] = self._era_digest(k, values)
        return [self._digests[k, target] for k in numbers]

    def _era_digest(self, k: int, values: NDArray[np.float32] | None) -> str:
        rows = slice(int(self.starts[k]), int(self.starts[k + 1]))
        found = hashlib.sha256(json.dumps([int(self.eras[k]), *self._stored_digests(k)]).encode())
        found.update("\n".join(self.index[ID].iloc[rows]).encode())
        found.update(b"" if values is None else values[rows].tobytes())
        return found.hexdigest()

    def feature_digests(self, era: int) -> list[str]:
        """Return the digests of one era's rows of the matrix, of its derived features and of its means; empty if there are none."""
        return self._stored_digests(self._era_position[int(era)])

    def _stored_digests(self, k: int) -> list[str]:
        return [part.digest(k) for part in (self._features, self._derived, self._means)]

    @property
    def score(self) -> Score:
        """The correlation that is called CORR."""
        return self.own_score or "numerai"

    @property
    def dtype(self) -> np.dtype:
        """The type of the matrix as it is stored: int8 or float32."""
        return self._features.dtype

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features of the matrix, without the derived ones."""
        return self.names[: self.n_matrix]

    @property
    def n_rows(self) -> int:
        return len(self.index)

    def rows(self, era: int) -> slice:
        """Return the slice of an era's rows.

        Raises
        ------
        KeyError
            If the panel has no such era.
        """
        k = self._era_position[int(era)]
        return slice(int(self.starts[k]), int(self.starts[k + 1]))

    def row_numbers(self, eras: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of all rows of some eras, in the order of `eras`."""
        pieces = [np.arange(rows.start, rows.stop) for rows in map(self.rows, eras)]
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)

    def columns(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the positions of columns by their names.

        Raises
        ------
        InputError
            If there is no column of a name.
        """
        unknown = [name for name in names if name not in self._position]
        if unknown:
            raise InputError(f"the prepared data has no feature {unknown[0]!r}; run preprocess again with a feature set that has it")
        return np.array([self._position[name] for name in names], np.int64)

    def stored(self, era: int) -> NDArray:
        """Return one era's features of the matrix as they are stored, (rows, n_matrix), mapped and checked.

        Raises
        ------
        InputError
            If the file was changed or is damaged.
        """
        return self._features.rows(self._era_position[int(era)])

    def block(self, era: int, columns: NDArray[np.int64] | None = None) -> NDArray:
        """Return one era's features, (rows, columns): int8 or float32 as stored, float32 if demeaned or derived.

        `columns` are positions in `names`; None stands for the features of the matrix. The array is C-ordered. If it is the mapped
        one (all features of the matrix in their order, not demeaned), it is read-only.

        Raises
        ------
        InputError
            If a file was changed or is damaged.
        """
        k = self._era_position[int(era)]
        everything = np.arange(self.n_matrix)
        wanted = everything if columns is None else columns
        from_matrix = wanted < self.n_matrix
        stored = self._features.rows(k)
        values = stored if np.array_equal(wanted[from_matrix], everything) else blocks.take_columns(stored, wanted[from_matrix])
        if self.era_means.size:
            values = values - self._means.rows(k)[0, wanted[from_matrix]]
        if from_matrix.all():
            return values
        block = np.empty((len(stored), len(wanted)), np.float32)
        block[:, from_matrix] = values
        block[:, ~from_matrix] = blocks.take_columns(self._derived.rows(k), wanted[~from_matrix] - self.n_matrix)
        return block


class View:
    """Some eras of a panel, seen through a feature map: the rows that a model is fitted on or predicts.

    Parameters
    ----------
    panel, eras, features : the panel, the eras in the order of their rows, and the feature map.
    target : name of the target; rows without a value of it (NaN) are left out. None keeps every row, without a target.

    Attributes
    ----------
    rows : (n,) int64, the panel's row numbers.
    target_name, target : its name, and (n,) float32; None and empty without a target.
    era : (n,) int64, the era of each row; rows of an era are adjacent.
    dropped : int, rows left out for their NaN target.
    """

    def __init__(self, panel: Panel, eras: Sequence[int] | NDArray[np.int64], features: FeatureMap, target: str | None = None) -> None:
        self.panel, self.features, self.target_name = panel, features, target
        self._columns = panel.columns(features.columns)
        rows = panel.row_numbers(eras)
        self.target = np.empty(0, np.float32)
        kept = np.ones(len(rows), bool)
        if target is not None:
            values = _target(panel, target)[rows]
            kept = ~np.isnan(values)
            self.target = values[kept]
        self.rows = rows[kept]
        self.era = panel.row_eras[self.rows]
        self.dropped = int((~kept).sum())

    @property
    def names(self) -> tuple[str, ...]:
        return self.features.names

    @property
    def n_rows(self) -> int:
        return len(self.rows)

    @property
    def dtype(self) -> np.dtype:
        """The type of the blocks: int8 or float32."""
        as_stored = self.features.components is None and not self.panel.era_means.size and (self._columns < self.panel.n_matrix).all()
        return self.panel.dtype if as_stored else np.dtype(np.float32)

    def blocks(self) -> Iterator[NDArray]:
        """Yield one (rows, features) array per era, in order."""
        for rows in era_slices(self.era):
            numbers = self.rows[rows]
            era = int(self.era[rows.start])
            start = self.panel.rows(era).start
            block = self.features.apply(self.panel.block(era, self._columns))
            yield block if len(block) == len(numbers) else block[numbers - start]

    def matrix(self) -> NDArray:
        """Return all rows at once, (rows, features), int8 or float32."""
        return self._gather(self.n_rows, (slice(0, rows.stop - rows.start) for rows in era_slices(self.era)))

    def sample(self, max_rows: int, rng: np.random.Generator) -> tuple[NDArray, NDArray[np.int64] | slice]:
        """Return features of at most `max_rows` rows, the same share of every era, drawn without replacement, and the rows' places."""
        if self.n_rows <= max_rows:
            return self.matrix(), slice(None)
        share = max_rows / self.n_rows
        slices = era_slices(self.era)
        picks = [np.sort(rng.choice(s.stop - s.start, int(share * (s.stop - s.start)), replace=False)) for s in slices]
        rows = np.concatenate([s.start + pick for s, pick in zip(slices, picks, strict=True)])
        return self._gather(len(rows), picks), rows

    def _gather(self, n_rows: int, picks: Iterable[slice | NDArray[np.int64]]) -> NDArray:
        out: NDArray = np.empty((0, len(self.names)), np.float32)
        filled = 0
        for block, pick in zip(self.blocks(), picks, strict=True):
            chosen = block[pick]
            if not filled:
                out = np.empty((n_rows, chosen.shape[1]), chosen.dtype)
            out[filled : filled + len(chosen)] = chosen
            filled += len(chosen)
        return out


def era_slices(era: NDArray[np.int64]) -> list[slice]:
    """Return slices of adjacent rows of the same era."""
    if not len(era):
        return []
    bounds = np.flatnonzero(np.diff(era)) + 1
    edges = [0, *bounds.tolist(), len(era)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def _target(panel: Panel, name: str) -> NDArray[np.float32]:
    if name not in panel.index:
        raise _no_target(name, panel.targets)
    return panel.index[name].to_numpy(np.float32)


def _record(content: dict[str, Any], directory: Path, name: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = content["stored"][name]
    except KeyError:
        raise InputError(f"{directory / DESCRIPTION}: it has no record of {name}; run preprocess again") from None
    return record


def _map(path: Path, size: int) -> tuple[NDArray, BinaryIO]:
    """Map the array of a file that must have `size` bytes. An array without elements can't be mapped, and is empty.

    The open file is returned too: it is still the mapped one if another file gets its name.
    """
    try:
        file = path.open("rb")
        shape, dtype = _read_header(file)
        offset, found = file.tell(), os.fstat(file.fileno()).st_size
        if not offset + int(np.prod(shape)) * dtype.itemsize == found == size:
            raise ValueError(f"it has {found:,} bytes instead of {size:,}")
        array = np.memmap(file, dtype, "r", offset, shape) if found > offset else np.empty(shape, dtype)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; run preprocess") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable array ({error}); run preprocess again") from None
    return np.asarray(array), file


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if fortran or len(shape) != 2:
        raise ValueError("it isn't stored row by row")
    return shape, dtype


def _read_index(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    """Read the index, with eras as numbers. Arrow's copy is freed column by column while pandas' is made."""
    with tabular.open_parquet(path) as file:
        present = set(file.schema_arrow.names)
        wanted = None if columns is None else [name for name in (ID, ERA, DATA_TYPE, *columns) if name in present]
        try:
            frame = file.read(columns=wanted).to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: cannot be read to its end ({error}); run preprocess again") from None
    frame[ERA] = frame[ERA].fillna(LIVE_ERA).astype(np.int64)
    return frame
