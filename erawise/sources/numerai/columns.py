"""Columns of a Parquet file: the wanted ones, and a new file with only them."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

WRITTEN_ROWS = 2**17
"""Rows per row group of the written file."""

READ_BYTES = 2**16
"""Bytes of each column that are read at once."""

READ_VALUES = 2**24
"""Values that are decoded at once, some 16 bytes each."""


@dataclass(frozen=True)
class Columns:
    """Wanted columns of a file: the features of a set, and every column that isn't a feature.

    Parameters
    ----------
    feature_set : the set's name.
    wanted : its features.
    features : all features of the data.
    """

    feature_set: str
    wanted: frozenset[str]
    features: frozenset[str]

    def choose_from(self, names: Sequence[str]) -> list[str]:
        """Return the wanted ones among the names of a file's columns, in its order."""
        return [name for name in names if name in self.wanted or name not in self.features]

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the names of all features."""
        return hashlib.sha256("\n".join(sorted(self.features)).encode()).hexdigest()


def write(source: Path, path: Path, names: Sequence[str]) -> None:
    """Write some columns of a Parquet file to another with its types, metadata and compression, in pieces that fit into memory."""
    with pq.ParquetFile(source, buffer_size=READ_BYTES, page_checksum_verification=True) as file:
        whole = file.schema_arrow
        schema = pa.schema([whole.field(name) for name in names], whole.metadata)
        codec = str(file.metadata.row_group(0).column(0).compression) if file.metadata.num_row_groups else "SNAPPY"
        with pq.ParquetWriter(path, schema, compression="NONE" if codec == "UNCOMPRESSED" else codec) as writer:
            for table in _tables(file, list(names)):
                writer.write_table(table)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _tables(file: pq.ParquetFile, names: list[str]) -> Iterator[pa.Table]:
    rows = max(1, READ_VALUES // max(1, len(names)))
    for number in range(file.num_row_groups):
        batches = file.iter_batches(rows, row_groups=[number], columns=names)
        while held := list(islice(batches, max(1, WRITTEN_ROWS // rows))):
            yield pa.Table.from_batches(held)
