"""Files of predictions that anyone wrote: Parquet or CSV, with ids as a column or index, eras or none, and one or more predictions."""

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from erawise.base import files, tabular
from erawise.base.schema import DATA_TYPE, ERA, ID, LIVE_ERA, PREDICTION, SPLIT, TARGET, is_feature
from erawise.panel import rawfiles
from erawise.running.errors import InputError, known_names

Floats = NDArray[np.float64]

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
"""The first bytes of files that are compressed, or that aren't UTF-8."""

HEAD_BYTES = 2**18
"""Bytes of a CSV file that tell its columns and their types."""

KEPT_INDEX = ("__index_level_0__", "", "Unnamed: 0")
"""Names of an index without a name, as pandas writes it."""

KEYS = {ID, ERA, DATA_TYPE, SPLIT}
DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+\s*")
MISSING = {"", "na", "nan", "null", "none", "n/a", "#n/a"}
SUFFIXES = (".parquet", ".pq")
COMPRESSED = ".gz"


@dataclass(frozen=True)
class Columns:
    """The columns of a file of predictions, known before any row is read.

    Attributes
    ----------
    path : the file.
    id : the column of the ids.
    era : whether there is a column of eras.
    names : the predictions.
    left_out : columns that aren't used.
    source : the Parquet file, open; None for CSV.
    header : all columns of a CSV file.
    """

    path: Path
    id: str
    era: bool
    names: list[str]
    left_out: list[str]
    source: pq.ParquetFile | None = None
    header: tuple[str, ...] = ()

    def read(self) -> "Predicted":
        """Read the ids, eras and predictions of every row.

        Raises
        ------
        InputError
            If there are no rows, an id is missing, an era is unreadable, or a value is infinite or no number.
        """
        content = _Csv(self) if self.source is None else _Parquet(self, self.source)
        ids = content.column(self.id)
        if not len(ids):
            raise InputError(f"{self.path}: there are no rows; expected ids and predictions")
        era = _eras(content.column(ERA), self.path) if self.era else None
        return Predicted(self.path, _texts(ids, self), era, {name: _numbers(content.column(name), name, self.path) for name in self.names})

    def single(self, option: str) -> "Columns":
        """Return the columns with only one prediction: `prediction`, or the only column of numbers.

        `option` is the option or key by which the user names a column. Raise `InputError` if there are several.
        """
        names = [PREDICTION] if PREDICTION in self.names else self.names
        if len(names) > 1:
            raise InputError(f"{self.path}: it has {len(names)} columns of numbers ({', '.join(names)}); name one by {option}")
        return replace(self, names=names)


@dataclass(frozen=True)
class Predicted:
    """The rows of a file of predictions, in the file's order.

    Attributes
    ----------
    path : the file.
    ids : (rows,) large_string.
    era : (rows,) `LIVE_ERA` for live rows and for rows without an era; None if the file has no eras.
    values : (rows,) by column, NaN if missing.
    """

    path: Path
    ids: pa.Array
    era: NDArray[np.int64] | None
    values: dict[str, Floats]


def open_predictions(path: Path, wanted: Sequence[str] = (), option: str = "--columns") -> Columns:
    """Find the columns of a file from its footer or header.

    Parameters
    ----------
    path : Parquet, or CSV with commas and points, in UTF-8, which may be compressed by gzip.
    wanted : columns to take; if empty, every column of numbers that has no other name of Numerai's layout.
    option : the option or key by which the user names these columns, for messages.

    Raises
    ------
    InputError
        If the file can't be read, or has no ids or no prediction.
    """
    files.require_file(path)
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise InputError(f"{path}: the file is empty; expected a table of ids and predictions, write it again")
    asked = (wanted, option)
    return _of_parquet(path, asked) if start == tabular.MAGIC or path.suffix in SUFFIXES else _of_csv(path, start, asked)


def _of_parquet(path: Path, asked: tuple[Sequence[str], str]) -> Columns:
    source = tabular.open_parquet(path)
    schema = source.schema_arrow
    tabular.refuse_kept_in_metadata(source, [ID], path)
    numeric = {name for name in schema.names if _is_number(schema.field(schema.names.index(name)).type)}
    return _chosen(path, schema.names, numeric, asked, {"source": source})


def _of_csv(path: Path, start: bytes, asked: tuple[Sequence[str], str]) -> Columns:
    header, rows = _head(path, start)
    numeric = set()
    for place, name in enumerate(header):
        given = [row[place] for row in rows if len(row) > place and row[place].strip().lower() not in MISSING]
        wrong = [text for text in given if not _is_written_number(text)]
        if not wrong:
            numeric.add(name)
        elif name in KEYS or name in KEPT_INDEX:
            continue
        elif all(map(DECIMAL_COMMA.fullmatch, wrong)):
            raise InputError(
                f"{path}: column {name!r} has decimal commas, such as {wrong[0]!r}; expected points: write it with decimal='.'"
            )
        elif 2 * len(wrong) < len(given):
            raise InputError(
                f"{path}: column {name!r} holds numbers and {wrong[0]!r}; expected numbers only, or an empty field without one"
            )
    return _chosen(path, header, numeric, asked, {"header": tuple(header)})


def _head(path: Path, start: bytes) -> tuple[list[str], list[list[str]]]:
    """Return the header of a CSV file and its first rows."""
    if start.startswith(ZIP):
        raise InputError(f"{path}: it is a zip archive; expected Parquet or CSV, unpack it")
    try:
        with gzip.open(path) if start.startswith(GZIP) else path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be unpacked ({error}); compress it again, or give the plain file") from None
    if head.startswith(tabular.MAGIC):
        raise InputError(f"{path}: it is Parquet, compressed once more by gzip; unpack it")
    if head.startswith(UTF16):
        raise InputError(f"{path}: it is written in UTF-16; expected UTF-8: write it with encoding='utf-8'")
    whole = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    try:
        text = whole.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} isn't UTF-8 (0x{whole[error.start]:02x}); write it with encoding='utf-8'") from None
    if "\0" in text:
        raise InputError(f"{path}: it is neither Parquet nor text; expected a table of ids and predictions")
    if not text.strip():
        raise InputError(f"{path}: it has no header; expected a line such as 'id,prediction'")
    header, *rows = list(csv.reader(io.StringIO(text)))
    other = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    if other is not None:
        raise InputError(f"{path}: its columns are separated by {other!r}; expected ',' and decimal points: write it with sep=','")
    return header, rows


def _chosen(path: Path, present: Sequence[str], numeric: set[str], asked: tuple[Sequence[str], str], where_from: dict[str, Any]) -> Columns:
    """Choose the columns of ids, eras and predictions among all columns that a file has."""
    wanted, option = asked
    twice = [name for name, count in Counter(present).items() if count > 1]
    if twice:
        raise InputError(f"{path}: column {twice[0]!r} is there more than once; remove the duplicates")
    own = next((name for name in (ID, *KEPT_INDEX) if name in present), None)
    shown = known_names([name for name in present if name][: rawfiles.SHOWN], ID)
    if own is None:
        raise InputError(f"{path}: there are no ids; expected a column or an index {ID!r}, and it has {shown}")
    unknown = [name for name in wanted if name not in present]
    if unknown:
        raise InputError(f"{path}: {option} names {unknown[0]!r}, which it lacks; it has {known_names(present, unknown[0])}")
    text = [name for name in wanted if name not in numeric]
    if text:
        raise InputError(f"{path}: {option} names {text[0]!r}, which holds no numbers; expected predictions")
    names = list(wanted) or [name for name in present if name in numeric and name != own and _may_be_prediction(name)]
    if not names:
        raise InputError(f"{path}: it has no column of predictions; expected one of numbers, such as {PREDICTION!r}, and it has {shown}")
    rawfiles.require_printable(names, path)
    left_out = [name for name in present if name not in (own, *KEYS, *names) and name not in KEPT_INDEX]
    return Columns(path, own, ERA in present, names, left_out, **where_from)


def _may_be_prediction(name: str) -> bool:
    plain = name.strip().lower()
    is_index = plain in rawfiles.INDEX or plain.startswith(rawfiles.UNNAMED) or not plain
    return plain not in KEYS and not is_index and not plain.startswith(TARGET) and not is_feature(plain)


def _is_number(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return tabular.is_number(plain) or pa.types.is_decimal(plain)


def _is_written_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Parquet:
    """The rows of a Parquet file, read column by column."""

    def __init__(self, columns: Columns, source: pq.ParquetFile) -> None:
        self._path, self._source = columns.path, source

    def column(self, name: str) -> pa.Array:
        """Read one column."""
        if not self._source.metadata.num_rows:
            return pa.array([])
        return rawfiles.column(self._source, name, self._path)


class _Csv:
    """The rows of a CSV file, read at once."""

    def __init__(self, columns: Columns) -> None:
        texts = dict.fromkeys([columns.id, ERA] if columns.era else [columns.id], pa.large_string())
        numbers = dict.fromkeys(columns.names, pa.float64())
        convert = pacsv.ConvertOptions(
            include_columns=[*texts, *numbers], column_types=texts | numbers, strings_can_be_null=True, null_values=sorted(_missing_words())
        )
        with columns.path.open("rb") as file:
            packing = "gzip" if file.read(2) == GZIP else None
        try:
            with pa.input_stream(str(columns.path), compression=packing) as stream:
                read = pacsv.ReadOptions(column_names=list(columns.header), skip_rows=1)
                self._table = pacsv.read_csv(stream, read_options=read, convert_options=convert)
        except (pa.ArrowException, OSError, EOFError) as error:
            if "Empty CSV" in str(error):
                raise InputError(f"{columns.path}: there are no rows; expected ids and predictions") from None
            told = " ".join(str(error).split())
            raise InputError(f"{columns.path}: {told}; expected numbers with decimal points, and as many columns as the header") from None

    def column(self, name: str) -> pa.Array:
        """Return one column."""
        found = self._table.column(name).combine_chunks()
        return found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)


def _missing_words() -> set[str]:
    return {form for word in MISSING for form in (word, word.upper(), word.capitalize())} | {"NaN", "<NA>"}


def _eras(values: pa.Array, path: Path) -> NDArray[np.int64]:
    """Return eras, read as a raw file's are; a row without an era is live, as in the pipeline's own tables."""
    known = values.is_valid().to_numpy(zero_copy_only=False)
    found = np.full(len(values), LIVE_ERA)
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({ERA: values.drop_null()}), buffer)
    if known.any():
        found[known] = rawfiles.read_eras(pq.ParquetFile(pa.BufferReader(buffer.getvalue())), path)
    return found


def _texts(ids: pa.Array, columns: Columns) -> pa.Array:
    """Return ids as text; a missing one, or a number with decimals, is refused."""
    path, kind = columns.path, ids.type
    if pa.types.is_floating(kind):
        raise InputError(f"{path}: column {columns.id!r} holds numbers with decimals ({kind}); expected ids as text or whole numbers")
    try:
        found = ids.cast(pa.large_string())
    except pa.ArrowException:
        raise InputError(f"{path}: column {columns.id!r} is of type {kind}; expected ids as text or whole numbers") from None
    if found.null_count:
        row = int(np.argmax(found.is_null().to_numpy(zero_copy_only=False)))
        raise InputError(f"{path}: {found.null_count:,} rows have no id, the first of them row {row}; expected an id in each, remove them")
    return found


def _numbers(values: pa.Array, name: str, path: Path) -> Floats:
    """Return predictions as float64, NaN if missing; an infinite one is refused."""
    if not _is_number(values.type):
        raise InputError(f"{path}: column {name!r} is of type {values.type}; expected numbers")
    found = np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    infinite = np.isinf(found)
    if infinite.any():
        raise InputError(
            f"{path}: column {name!r} is infinite in {infinite.sum():,} rows, the first of them row {int(infinite.argmax())}; "
            "expected finite numbers, or an empty field without a prediction"
        )
    return found
