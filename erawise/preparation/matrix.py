"""The features of raw files, streamed in bounded pieces to their rows of the matrix on disk.

A batch of rows is decoded in the background while the previous batch is scattered to the mapped files, one for each chunk of eras.
Once all rows of an era are there, its digest, derived features and means are computed, while it is still in memory.
"""

import itertools
import mmap
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from erawise.base import files, tabular
from erawise.base.schema import FLOAT_MIDDLE, INT8_MIDDLE, top
from erawise.panel import blocks
from erawise.panel.blocks_plain import WORD
from erawise.panel.panel import DERIVED, DESCRIPTION, ERA_MEANS, FEATURES, chunks
from erawise.preparation import derived, rawfiles, scales
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress

BATCH_BYTES, BATCH_ROWS = 5 * 2**20, 2**12
"""Bytes of the matrix that are decoded at a time, and the least rows. Parquet's decoders need about 30 times as many bytes."""

BUFFER_BYTES = 64 * 2**10
"""Bytes of a column that are read from a raw file at a time, if a row group has more."""

SYNC_BYTES = 2**30
"""Bytes after which the written part is sent to the disk, so that it doesn't fill the memory."""


@dataclass
class Counts:
    """The counts of the preparation, for the report and the budgets.

    Attributes
    ----------
    missing : (features,) missing values of each feature.
    by_era : (eras, features) int32, the same by era, for each matrix that was written.
    notes, warnings : lines for the report; warnings are also shown at the end of the run.
    """

    missing: NDArray[np.int64]
    by_era: list[NDArray[np.int32]] = field(default_factory=list)
    values: int = 0
    train_without: int = 0
    unresolved: int = 0
    dropped: int = 0
    unsorted: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Index:
    """The rows that are kept, in the order of the matrix.

    Attributes
    ----------
    ids : (rows,) large_string.
    era : (rows,) int64.
    starts : (eras + 1,) the row numbers at which each era begins.
    """

    ids: pa.Array
    era: NDArray[np.int64]
    starts: NDArray[np.int64]

    @property
    def eras(self) -> NDArray[np.int64]:
        """The numbers of the eras (eras,)."""
        return self.era[self.starts[:-1]]


@dataclass(frozen=True)
class Part:
    """One raw file, open, and the position in the matrix (rows,) of each of its rows; -1 for a row that is left out."""

    path: Path
    file: pq.ParquetFile
    position: NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """The columns and the type of the matrix (`int8` or `float32`), the derived features, and whether to demean."""

    features: list[str]
    dtype: str
    derived: list[str]
    demean: bool

    def size(self, rows: int) -> int:
        """Return the bytes of the matrix and the derived features for a number of rows."""
        return rows * (len(self.features) * np.dtype(self.dtype).itemsize + len(self.derived) * np.dtype(np.float32).itemsize)


def write(
    directory: Path, parts: Sequence[Part], index: Index, layout: Layout, counts: Counts, progress: Progress = SILENT
) -> dict[str, object]:
    """Write the chunks of the features and the derived features, and `era_means.npy`, into an existing directory.

    Parameters
    ----------
    parts : the raw files, whose rows fill each position of the matrix once.
    index : the rows of the matrix.
    counts : gets the missing values.
    progress : counts the rows that are written.

    Returns
    -------
    dict
        For each file, by its path in the directory, its `bytes`, and `eras`: the digest of each era's rows (`blocks.digest`) as 16
        hexadecimal digits.

    Raises
    ------
    InputError
        If a raw file can't be read to its end, or features have a wrong type or infinite values.
    """
    starts = index.starts
    rows, eras = int(starts[-1]), len(starts) - 1
    extra = np.empty((rows, len(layout.derived)), np.float32)
    means = np.empty((eras if layout.demean else 0, len(layout.features)), np.float32)
    digests = [""] * eras
    missing = np.zeros((eras, len(layout.features)), np.int32)
    with (
        _created(directory / FEATURES, np.dtype(layout.dtype), len(layout.features), index) as stored,
        progress.counting(rows, "rows") as count,
    ):
        left = np.diff(starts)
        for part in parts:
            for written in _scatter(part, layout, stored, starts, missing):
                counts.values += len(written) * len(layout.features)
                touched, arrived = np.unique(np.searchsorted(starts, written, "right") - 1, return_counts=True)
                left[touched] -= arrived
                for k in touched[left[touched] == 0]:
                    span = slice(int(starts[k]), int(starts[k + 1]))
                    block = stored.block(span)
                    digests[k] = _hexadecimal(block)
                    extra[span] = derived.derive(block, layout.derived, top(str(block.dtype)))
                    if layout.demean:
                        means[k] = block.mean(axis=0, dtype=np.float64)
                    stored.finished(span)
                count.done(len(written))
    counts.by_era.append(missing)
    counts.missing += missing.sum(axis=0, dtype=np.int64)
    arrays = {FEATURES: digests}
    if layout.derived:
        arrays[DERIVED] = [_hexadecimal(extra[a:b]) for a, b in itertools.pairwise(starts)]
        for name, span in chunks(index.eras):
            tabular.write_npy(extra[starts[span.start] : starts[span.stop]], directory / DERIVED / name)
    tabular.write_npy(means, directory / ERA_MEANS)
    found = {f"{array}/{name}": of_eras[span] for array, of_eras in arrays.items() for name, span in chunks(index.eras)}
    found[ERA_MEANS] = [_hexadecimal(row) for row in means]
    return {path: {"bytes": (directory / path).stat().st_size, "eras": of_eras} for path, of_eras in found.items()}


def map_era(directory: Path, index: Index, k: int) -> NDArray:
    """Return the features of the era at position k, (rows, features), mapped from the files that `write` has written."""
    name, span = next(chunk for chunk in chunks(index.eras) if chunk[1].start <= k < chunk[1].stop)
    first, start, stop = index.starts[[span.start, k, k + 1]]
    return np.load(directory / FEATURES / name, mmap_mode="r")[start - first : stop - first]


def describe(layout: Layout, feature_sets: dict[str, list[str]], targets: list[str], found: dict[str, object], directory: Path) -> None:
    """Write `features.json`: names in column order, feature sets, targets, and `found`, which has the arrays' records as `stored`."""
    content = {"features": layout.features, "derived": layout.derived, "feature_sets": feature_sets, "targets": targets, **found}
    files.write_json(content, directory / DESCRIPTION)


def _hexadecimal(block: NDArray) -> str:
    return f"{blocks.digest(block):016x}"


@dataclass(frozen=True)
class _Chunk:
    """A chunk's array on disk, mapped for writing."""

    array: NDArray
    file: int
    map: mmap.mmap
    offset: int

    def free(self, rows: slice) -> None:
        """Give the rows' pages back to the kernel."""
        row_bytes = self.array.shape[1] * self.array.itemsize
        page = mmap.PAGESIZE
        first = -(-(self.offset + rows.start * row_bytes) // page) * page
        stop = (self.offset + rows.stop * row_bytes) // page * page
        if hasattr(self.map, "madvise") and stop > first:
            self.map.madvise(mmap.MADV_DONTNEED, first, stop - first)


@dataclass
class _Stored:
    """The matrix on disk, mapped for writing.

    Attributes
    ----------
    chunks : its files.
    starts : (chunks,) the row numbers at which each chunk begins.
    touched : numbers of the chunks with rows that are finished and not synced yet.
    """

    chunks: list[_Chunk]
    starts: NDArray[np.int64]
    pool: ThreadPoolExecutor
    unsynced: int = 0
    touched: set[int] = field(default_factory=set)
    syncing: Future[None] | None = None

    def scatter(self, columns: NDArray, rows: NDArray[np.int64]) -> None:
        """Write a batch, (features, padded rows), to the rows of the matrix. Only a batch of several chunks is copied."""
        chunk_of = np.searchsorted(self.starts, rows, "right") - 1
        for k in np.unique(chunk_of):
            own = np.flatnonzero(chunk_of == k)
            padded = np.append(own, np.repeat(own[-1], _padded(len(own)) - len(own)))
            taken = columns if len(own) == len(rows) else np.take(columns, padded, axis=1)
            blocks.scatter(taken, rows[own] - self.starts[k], self.chunks[k].array)

    def block(self, rows: slice) -> NDArray:
        """Return the rows of an era."""
        k, own = self._within(rows)
        return self.chunks[k].array[own]

    def finished(self, rows: slice) -> None:
        """Give the pages of an era's rows back to the kernel. After each `SYNC_BYTES`, wait for the last sync and start the next."""
        k, own = self._within(rows)
        self.chunks[k].free(own)
        self.touched.add(k)
        self.unsynced += self.chunks[k].array[own].nbytes
        if self.unsynced >= SYNC_BYTES:
            self.wait()
            self.syncing = self.pool.submit(_sync, [self.chunks[k].file for k in sorted(self.touched)])
            self.unsynced, self.touched = 0, set()

    def wait(self) -> None:
        if self.syncing is not None:
            self.syncing.result()

    def _within(self, rows: slice) -> tuple[int, slice]:
        """Return the number of the chunk that holds an era's rows, and their row numbers in it."""
        k = int(np.searchsorted(self.starts, rows.start, "right")) - 1
        first = int(self.starts[k])
        return k, slice(rows.start - first, rows.stop - first)


def _sync(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.fsync(descriptor)


@contextmanager
def _created(directory: Path, dtype: np.dtype, width: int, index: Index) -> Iterator[_Stored]:
    """Create the chunks' files with all of their space allocated, so that a full disk is an error now and not a crash later."""
    directory.mkdir()
    with ExitStack() as stack:
        made, starts = [], []
        for name, span in chunks(index.eras):
            start, stop = index.starts[[span.start, span.stop]].tolist()
            made.append(_allocated(stack.enter_context((directory / name).open("w+b")), dtype, (stop - start, width)))
            starts.append(start)
        stored = _Stored(made, np.array(starts), stack.enter_context(ThreadPoolExecutor(1)))
        yield stored
        stored.wait()
        for chunk in made:
            chunk.map.flush()


def _allocated(file: BinaryIO, dtype: np.dtype, shape: tuple[int, int]) -> _Chunk:
    """Write the header of a `.npy` file, allocate the space of its array, and map it."""
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)
    file.flush()
    offset = file.tell()
    size = offset + shape[0] * shape[1] * dtype.itemsize
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    file.truncate(size)
    mapped = mmap.mmap(file.fileno(), size)
    array = np.frombuffer(mapped, dtype, shape[0] * shape[1], offset).reshape(shape)
    return _Chunk(array, file.fileno(), mapped, offset)


def _scatter(
    part: Part, layout: Layout, stored: _Stored, starts: NDArray[np.int64], missing: NDArray[np.int32]
) -> Iterator[NDArray[np.int64]]:
    """Write a file's rows to the matrix, and count each era's missing values; yield the positions that each batch has filled."""
    start = 0
    buffer = np.empty(0, np.dtype(layout.dtype))
    groups, position = _wanted_groups(part)
    with tabular.reading(part.path):
        for batch in _ahead(_batches(part, layout, groups)):
            rows = position[start : start + batch.num_rows]
            start += batch.num_rows
            kept = rows >= 0
            if not kept.all():
                batch, rows = batch.filter(pa.array(kept)), rows[kept]
            needed = len(layout.features) * _padded(batch.num_rows)
            if len(buffer) < needed:
                buffer = np.empty(needed, buffer.dtype)
            eras, codes = np.unique(np.searchsorted(starts, rows, "right") - 1, return_inverse=True)
            columns, gaps = _columns(batch, layout, part.path, buffer)
            for k, gap in gaps.items():
                missing[eras, k] += np.bincount(codes[gap], minlength=len(eras)).astype(np.int32)
            stored.scatter(columns, rows)
            yield rows


def _wanted_groups(part: Part) -> tuple[list[int], NDArray[np.int64]]:
    """Return the row groups with a row that is kept, and the positions of all their rows."""
    metadata = part.file.metadata
    sizes = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
    pieces = np.split(part.position, np.cumsum(sizes)[:-1])
    wanted = [k for k, piece in enumerate(pieces) if (piece >= 0).any()]
    return wanted, np.concatenate([pieces[k] for k in wanted]) if wanted else part.position[:0]


def _batches(part: Part, layout: Layout, groups: list[int]) -> Iterator[pa.RecordBatch]:
    rows = max(BATCH_ROWS, BATCH_BYTES // (len(layout.features) * np.dtype(layout.dtype).itemsize))
    with _unbuffered(part.path, part.file.metadata) as file:
        yield from file.iter_batches(rows, row_groups=groups, columns=layout.features)


def _unbuffered(path: Path, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """Open a file without filling buffers ahead: the buffers of a row group would be kept until the last group is read."""
    return pq.ParquetFile(path, metadata=metadata, buffer_size=BUFFER_BYTES, pre_buffer=False)


def choose_dtype(path: Path, schema: pa.Schema, features: list[str]) -> str:
    """Return the type of a matrix, `int8` or `float32`: by the first rows of train that show it, else by the types of its columns."""
    integers = [pa.types.is_integer(schema.field(name).type) for name in features]
    if not all(integers):
        with _unbuffered(path) as file, tabular.reading(path):
            for batch in file.iter_batches(BATCH_ROWS, columns=features):
                whole = scales.is_whole(_as_floats(batch.column(name), name, path) for name in features)
                if whole is not None:
                    return "int8" if whole else "float32"
    return "int8" if any(integers) else "float32"


def _ahead(items: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same items, each made in another thread while the previous one is in use."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _columns(batch: pa.RecordBatch, layout: Layout, path: Path, buffer: NDArray) -> tuple[NDArray, dict[int, NDArray[np.bool_]]]:
    """Fill `buffer` with a batch, (features, padded rows). The padding has no meaning.

    Also return, by the number of each feature with missing values, the rows in which they are missing.
    """
    rows = batch.num_rows
    columns = buffer[: len(layout.features) * _padded(rows)].reshape(len(layout.features), -1)
    found = dict(zip(batch.schema.names, batch.columns, strict=True))
    convert = _as_int8 if layout.dtype == "int8" else _as_float32
    gaps: dict[int, NDArray[np.bool_]] = {}
    for k, name in enumerate(layout.features):
        columns[k, :rows], missing = convert(found[name], name, path)
        if missing is not None:
            gaps[k] = missing
    scales.require_within(columns[:, :rows], layout.features, path)
    return columns, gaps


def _padded(rows: int) -> int:
    return -(-rows // WORD) * WORD


Filled = tuple[NDArray, NDArray[np.bool_] | None]
"""The values of a column, and which of them were missing; None if all were there."""


def _as_int8(column: pa.Array, name: str, path: Path) -> Filled:
    if pa.types.is_int8(column.type):
        missing = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
        filled = column.fill_null(INT8_MIDDLE) if column.null_count else column
        return filled.to_numpy(zero_copy_only=False), missing
    values = _as_floats(column, name, path)
    missing = np.isnan(values)
    filled = np.where(missing, INT8_MIDDLE, values)
    if (filled != np.rint(filled)).any() or (np.abs(filled) > np.iinfo(np.int8).max).any():
        raise scales.beyond(path, name, values, "int8")
    return filled.astype(np.int8), missing if missing.any() else None


def _as_float32(column: pa.Array, name: str, path: Path) -> Filled:
    values = _as_floats(column, name, path)
    missing = np.isnan(values)
    return np.where(missing, FLOAT_MIDDLE, values).astype(np.float32), missing if missing.any() else None


def _as_floats(column: pa.Array, name: str, path: Path) -> NDArray[np.float64]:
    """Convert a feature of a raw file to float64, with NaN for missing values.

    Raises
    ------
    InputError
        If its type isn't a number, or a value is infinite.
    """
    if not tabular.is_number(column.type):
        raise InputError(f"{path}: feature {name!r} is of type {column.type}; expected int8 or a float")
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    rawfiles.refuse_infinite(values, name, path)
    return values
