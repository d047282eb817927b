"""LightGBM's binary dataset file, written from blocks of rows: 4 bits a value, and never more than a block in memory.

LightGBM itself holds the whole dataset before it saves it, and twice its size when it loads it. Here LightGBM only finds the bins of a
sample and saves the sample. This file gives the layout (`Layout`), in which the blocks are packed into files of any number of rows. The
layout is checked against LightGBM's own bytes each time. A dataset is several files of a few features each, because a loaded file loses
its second buffer when it is joined.

The format (LightGBM 4): a token, a header, the labels, then for each feature a head with its bins and the codes of all rows. Two codes
share a byte if the feature has at most 16 bins.
"""

import heapq
import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from erawise.base import files, jit
from erawise.models.lightgbm import packing
from erawise.running.errors import InputError

TOKEN = b"______LightGBM_Binary_File_Token______\n\0"
ALIGN = 8
BINS, COMMON, BOUNDS = 32, 96, 104
"""Positions in a feature's head: the number of its bins, the bin that is stored as 0, and the upper bounds."""

FIELDS, USED = 24, 80
"""Length of the metadata before the labels, and position in the header of the map of used features."""

NARROW = 16
"""With up to this many codes, a code needs 4 bits."""

MIN_BYTES = 2**20
"""Least bytes of a block for compiled loops."""

PART = 64
"""Features of a file: LightGBM loads a file with a second buffer of the same size, which is freed when the next file is joined."""


class FormatError(ValueError):
    """The error for a LightGBM file in a format that this module doesn't know."""


@dataclass(frozen=True)
class Layout:
    """The layout of a dataset's file, for any number of rows.

    Attributes
    ----------
    header : the header's bytes, in which the number of rows is to be replaced.
    fields : the metadata before the labels, in which the number of rows is to be replaced.
    heads : a head of each used feature.
    features : (used,) int64, positions of the used features among all.
    bounds : (used, bins) float64, upper bounds of the bins, padded with infinity.
    codes : (used, bins) uint8, the stored code of each bin.
    wide : (used,) bool, whether a code needs 8 bits.
    """

    header: bytes
    fields: bytes
    heads: tuple[bytes, ...]
    features: NDArray[np.int64]
    bounds: NDArray[np.float64]
    codes: NDArray[np.uint8]
    wide: NDArray[np.bool_]

    def offsets(self, rows: int) -> NDArray[np.int64]:
        """Return (used + 1,) the positions of each feature's codes in a file of `rows` rows, and the file's length."""
        start = len(TOKEN) + 8 + len(self.header) + 8 + len(self.fields) + _aligned(4 * rows)
        sizes = np.array([8 + len(head) for head in self.heads], np.int64)
        lengths = np.where(self.wide, _aligned(rows), _aligned((rows + 1) // 2))
        ends = start + np.cumsum(sizes + lengths)
        return np.append(ends - lengths, ends[-1] if len(ends) else start)

    def size(self, rows: int) -> int:
        """Return the bytes of a file of `rows` rows."""
        return int(self.offsets(rows)[-1])

    def frame(self, rows: int) -> list[tuple[int, bytes]]:
        """Return all bytes of a file of `rows` rows that are neither labels nor codes, as pieces with their positions."""
        count = struct.pack("<i", rows)
        labels = len(self.fields) + _aligned(4 * rows)
        start = TOKEN + struct.pack("<Q", len(self.header)) + count + self.header[4:] + struct.pack("<Q", labels) + count + self.fields[4:]
        pieces = [(0, start)]
        offsets = self.offsets(rows)
        for head, offset, wide in zip(self.heads, offsets.tolist(), self.wide.tolist(), strict=False):
            length = _aligned(rows if wide else (rows + 1) // 2)
            pieces.append((offset - len(head) - 8, struct.pack("<Q", len(head) + length) + head))
        return pieces


def learn(saved: bytes, sample: NDArray) -> Layout:
    """Read the layout from LightGBM's file of a sample.

    Parameters
    ----------
    saved : the file of a dataset of the sample, without bundles, sparse bins and labels.
    sample : (rows, features), the sample.

    Raises
    ------
    FormatError
        If the file is of another format, or LightGBM has stored the sample differently from `encode`.
    """
    try:
        layout, stored = _parse(saved, len(sample))
    except (struct.error, ValueError) as error:
        raise FormatError(f"it is cut short or of another format ({error})") from None
    if not np.array_equal(encode(layout, sample), stored.T):
        raise FormatError("its codes of the sample are others than expected")
    return layout


def encode(layout: Layout, block: NDArray) -> NDArray[np.uint8]:
    """Return the codes of a block (rows, features), as (rows, used features)."""
    if block.dtype == np.int8:
        table = _table(layout)
        return table[np.arange(len(table)), np.ascontiguousarray(block).view(np.uint8)[:, layout.features]]
    return _loops(block).bin_floats(np.ascontiguousarray(block[:, layout.features], np.float32), layout.bounds, layout.codes)


Blocks = Iterator[tuple[int, NDArray]]
"""An era and its rows (rows, features), eras ascending."""

Source = tuple[Path, Sequence[Layout], int, Blocks]
"""A dataset to write: its directory, the layouts of its parts of `PART` features each, its number of rows, and the blocks."""


def write(targets: Sequence[Source], threads: int) -> None:
    """Write several datasets in one pass over the eras; each is written whole or not at all.

    Parameters
    ----------
    targets : the datasets; a directory gets a file for each layout, named in their order.
    threads : threads that pack a block.

    Raises
    ------
    InputError
        If the disk hasn't the space.
    """
    with ThreadPoolExecutor(threads) as pool, ExitStack() as stack:
        writers = [_Writer(stack.enter_context(files.replacing(path)), layouts, rows) for path, layouts, rows, _ in targets]
        numbered = [_numbered(number, blocks) for number, (*_, blocks) in enumerate(targets)]
        for _, number, block in heapq.merge(*numbered, key=lambda item: item[:2]):
            writers[number].add(block, pool)
        for writer in writers:
            writer.close()


class _Writer:
    """The files of a dataset in a new directory, filled block by block."""

    def __init__(self, directory: Path, layouts: Sequence[Layout], rows: int) -> None:
        directory.mkdir()
        self._rows, self._filled = rows, 0
        self._parts = [_Part(directory / f"{k:04d}.bin", layout, k * PART, rows) for k, layout in enumerate(layouts)]

    def add(self, block: NDArray, pool: ThreadPoolExecutor) -> None:
        """Pack the next rows, (rows, features) of int8 or floats."""
        whole = np.ascontiguousarray(block)
        list(pool.map(lambda part: part.add(whole, self._filled), self._parts))
        self._filled += len(block)

    def close(self) -> None:
        """Check that every row was given, and close the files."""
        if self._filled != self._rows:
            raise ValueError(f"the file has {self._rows} rows and was given {self._filled}")
        for part in self._parts:
            part.sync()
        self._parts.clear()


class _Part:
    """One mapped file with the layout's columns of blocks, from `start` on; it allocates its space on the disk at once."""

    def __init__(self, path: Path, layout: Layout, start: int, rows: int) -> None:
        self._path, self._layout, self._start = path, layout, start
        self._offsets = layout.offsets(rows)
        size = int(self._offsets[-1])
        with path.open("wb") as file:
            try:
                _allocate(file.fileno(), size)
            except OSError as error:
                raise InputError(
                    f"{files.final(path)}: no space for the {size:,} bytes of the binned features ({error}); free some disk"
                ) from None
            for offset, piece in layout.frame(rows):
                file.seek(offset)
                file.write(piece)
        self._bytes = np.memmap(path, np.uint8, "r+")
        self._table = _table(layout)
        self._as_is = np.tile(np.arange(256, dtype=np.uint8), (len(layout.heads), 1))
        self._narrow, self._wide = np.flatnonzero(~layout.wide), np.flatnonzero(layout.wide)

    def sync(self) -> None:
        """Write the file to the disk, so that no crash of the machine leaves an incomplete file under its name."""
        self._bytes.flush()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    def add(self, block: NDArray, filled: int) -> None:
        """Pack a block (rows, features) after the first `filled` rows."""
        if block.dtype == np.int8:
            values, columns, table = block.view(np.uint8), self._layout.features + self._start, self._table
        else:
            values = encode(self._layout, block[:, self._start : self._start + PART])
            columns, table = np.arange(values.shape[1]), self._as_is
        for chosen, pack in ((self._narrow, _loops(block).pack_narrow), (self._wide, packing.pack_wide)):
            if len(chosen):
                pack(values, columns[chosen], table[chosen], self._offsets[chosen], filled, self._bytes)


def _numbered(number: int, blocks: Blocks) -> Iterator[tuple[int, int, NDArray]]:
    for era, block in blocks:
        yield era, number, block


def _parse(content: bytes, rows: int) -> tuple[Layout, NDArray[np.uint8]]:
    """Parse a file into its layout and the stored codes (used features, rows)."""
    if not content.startswith(TOKEN):
        raise FormatError("it begins with another token")
    header, position = _sized(content, len(TOKEN))
    metadata, position = _sized(content, position)
    if len(metadata) != FIELDS + _aligned(4 * rows) or struct.unpack_from("<i", header)[0] != rows:
        raise FormatError("its header is of another form")
    (n_features,) = struct.unpack_from("<i", header, 16)
    used = np.frombuffer(header, np.int32, n_features, USED)
    features = np.flatnonzero(used >= 0)[np.argsort(used[used >= 0])].astype(np.int64)
    parts = []
    while position < len(content):
        part, position = _sized(content, position)
        parts.append(part)
    if len(parts) != len(features):
        raise FormatError("its features are bundled")
    bins = np.array([struct.unpack_from("<i", part, BINS)[0] for part in parts], np.int64)
    common = np.array([struct.unpack_from("<i", part, COMMON)[0] for part in parts], np.int64)
    wide = bins + (common > 0) > NARROW
    bounds = np.full((len(parts), bins.max(initial=0)), np.inf)
    heads, stored = [], np.empty((len(parts), rows), np.uint8)
    for k, part in enumerate(parts):
        length = BOUNDS + 8 * int(bins[k])
        heads.append(part[:length])
        bounds[k, : bins[k]] = np.frombuffer(part, np.float64, bins[k], BOUNDS)
        stored[k] = _unpacked(part[length:], rows, bool(wide[k]))
    codes = _codes(common, bounds.shape[1])
    return Layout(header, metadata[:FIELDS], tuple(heads), features, bounds, codes, wide), stored


def _codes(common: NDArray[np.int64], bins: int) -> NDArray[np.uint8]:
    """Return (used, bins) the code of each bin: the bin itself, or 1 more than it if a bin other than the first is stored as 0."""
    numbers = np.tile(np.arange(bins), (len(common), 1))
    shifted = np.where(numbers == common[:, None], 0, numbers + 1)
    return np.where(common[:, None] > 0, shifted, numbers).astype(np.uint8)


def _allocate(descriptor: int, size: int) -> None:
    """Take the space at once: if the disk is full later, a mapped file would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def _sized(content: bytes, position: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from("<Q", content, position)
    end = position + 8 + size
    if end > len(content):
        raise FormatError("it is cut short")
    return content[position + 8 : end], end


def _unpacked(stored: bytes, rows: int, wide: bool) -> NDArray[np.uint8]:
    if len(stored) != _aligned(rows if wide else (rows + 1) // 2):
        raise FormatError("a feature is of another length than its bins say")
    codes = np.frombuffer(stored, np.uint8)
    return codes[:rows] if wide else np.column_stack([codes & 15, codes >> 4]).ravel()[:rows]


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def _table(layout: Layout) -> NDArray[np.uint8]:
    """Return (used, 256) the code of each int8 value, read as uint8."""
    values = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float64)
    table = np.empty((len(layout.heads), 256), np.uint8)
    for k, (bounds, codes) in enumerate(zip(layout.bounds, layout.codes, strict=True)):
        table[k] = codes[np.searchsorted(bounds, values)]
    return table


def _loops(block: NDArray) -> ModuleType:
    if block.nbytes < MIN_BYTES or not jit.enabled():
        return packing
    from erawise.models.lightgbm import packing_compiled

    return packing_compiled
