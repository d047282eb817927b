"""Columns of raw files in Numerai's layout, each read whole and checked: ids, eras and numbers."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from erawise.base import tabular
from erawise.base.schema import DATA_TYPE, ERA, ID, LAST_ERA, LIVE_ERA, era_name
from erawise.panel.panel import era_slices
from erawise.running.errors import InputError

KEYS = (ID, ERA, DATA_TYPE)
"""Columns that identify a row."""

INDEX, UNNAMED = ("index", "level_0", "era_number", "era_int"), ("unnamed:", "__index_level_")
"""Names, and beginnings of names, of columns that hold an index or the number of an era."""

SHOWN = 10
"""Columns of a file that a message lists at most."""


def read_eras(file: pq.ParquetFile, path: Path) -> NDArray[np.int64]:
    """Read era numbers, such as "0001", "era1", 1, 1.0 and "1.0". "X" and "eraX" become `LIVE_ERA`.

    Raises
    ------
    InputError
        If a value is anything else, or too large for a week's number, such as a date, or days or seconds since 1970.
    """
    values = column(file, ERA, path)
    try:
        encoded = values.dictionary_encode(null_encoding="encode")
    except pa.ArrowException:
        raise InputError(f"{path}: column {ERA!r} is of type {values.type}; expected text such as '0001'") from None
    labels = [_parse_era(label, path) for label in encoded.dictionary.to_pylist()]
    return np.array(labels, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]


def _parse_era(label: object, path: Path) -> int:
    text = str(label).removeprefix("era").removesuffix(".0")
    if text == "X":
        return LIVE_ERA
    if not text.isdecimal() or int(text) > LAST_ERA:
        raise InputError(
            f"{path}: column {ERA!r} holds {label!r}; expected a number such as '0001', which counts weeks up to {LAST_ERA}, "
            "or 'X' for live rows"
        )
    return int(text)


def open_file(path: Path, needed: Sequence[str]) -> pq.ParquetFile:
    """Open a raw file that has some columns.

    Raises
    ------
    InputError
        If one of them is missing, or a column is repeated.
    """
    file = tabular.open_parquet(path)
    present = Counter(file.schema_arrow.names)
    missing = [name for name in needed if name not in present]
    tabular.refuse_kept_in_metadata(file, missing, path)
    if missing:
        count = f" ({len(missing)} in all)" if len(missing) > 1 else ""
        others = f" and {len(present) - SHOWN} more" if len(present) > SHOWN else ""
        raise InputError(f"{path}: column {missing[0]!r} is missing{count}; it has {', '.join(list(present)[:SHOWN])}{others}")
    twice = [name for name, count in present.items() if count > 1]
    if twice:
        raise InputError(f"{path}: column {twice[0]!r} is there more than once; remove the duplicates")
    return file


def column(file: pq.ParquetFile, name: str, path: Path) -> pa.Array:
    """Read a whole column as one array without a dictionary."""
    with tabular.reading(path):
        chunks = file.read(columns=[name]).column(name).chunks
    whole = chunks[0] if len(chunks) == 1 else pa.concat_arrays(_alike(chunks))
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole


def _alike(chunks: list[pa.Array]) -> list[pa.Array]:
    """Convert chunks to one type that can be joined: strings with wide offsets, without dictionaries."""
    kind = chunks[0].type.value_type if pa.types.is_dictionary(chunks[0].type) else chunks[0].type
    return [chunk.cast(pa.large_string() if pa.types.is_string(kind) else kind) for chunk in chunks]


def read_texts(file: pq.ParquetFile, name: str, path: Path) -> pa.Array:
    """Read a column as text, with null for missing values."""
    values = column(file, name, path)
    try:
        return values.cast(pa.large_string())
    except pa.ArrowException:
        raise InputError(f"{path}: column {name!r} is of type {values.type}; expected text") from None


def read_ids(file: pq.ParquetFile, path: Path) -> pa.Array:
    """Read the ids of a file's rows as text. No id may be missing."""
    ids = read_texts(file, ID, path)
    if ids.null_count:
        raise InputError(f"{path}: row {int(np.argmax(ids.is_null().to_numpy(zero_copy_only=False)))} has no id")
    return ids


def refuse_infinite(values: NDArray, name: str, path: Path) -> None:
    """Raise `InputError` if a column of a raw file holds an infinite value."""
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise InputError(f"{path}: column {name!r} holds {infinite} infinite values; expected finite ones, or missing")


def read_floats(file: pq.ParquetFile, name: str, path: Path) -> NDArray[np.float32]:
    """Read a column of numbers as float32, with NaN for missing values."""
    found = floats(column(file, name, path), name, path)
    refuse_infinite(found, name, path)
    return found


def floats(values: pa.Array, name: str, path: Path) -> NDArray[np.float32]:
    """Convert a column of numbers to float32, with NaN for missing values; `name` and `path` are for the message."""
    plain = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    if not tabular.is_number(plain.type):
        raise InputError(f"{path}: column {name!r} is of type {plain.type}; expected float32")
    found: NDArray[np.float32] = plain.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return found


def sort_rows(era: NDArray[np.int64], ids: pa.Array, path: Path) -> NDArray[np.int64]:
    """Return row numbers sorted by era, then id.

    Raises
    ------
    InputError
        If an era has an id twice.
    """
    order = np.argsort(era, kind="stable")
    twice = []
    for rows in era_slices(era[order]):
        within = ids.take(pa.array(order[rows]))
        by_id = pc.array_sort_indices(within)
        order[rows] = order[rows][by_id.to_numpy()]
        ascending = within.take(by_id)
        same = pc.equal(ascending[1:], ascending[:-1]).to_numpy(zero_copy_only=False)
        twice.append(order[rows][1:][same])
    repeated = np.concatenate(twice)
    if len(repeated):
        row = int(repeated.min())
        repetition = f"id {ids[row].as_py()!r} is there more than once in {era_name(int(era[row]))}"
        raise InputError(f"{path}: {repetition} ({len(repeated)} duplicate rows); remove them")
    return order


def require_printable(names: Sequence[str], path: Path) -> None:
    """Raise `InputError` if a name is blank or has a control character, such as a carriage return: tables and messages can't hold it."""
    for name in names:
        if not name.strip() or not name.isprintable():
            raise InputError(f"{path}: the name {name!r} is blank or can't be printed; rename it there and in features.json")
