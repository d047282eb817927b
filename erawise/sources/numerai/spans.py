"""Byte ranges of a Parquet file that hold some of its columns, joined and cut into few requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow.parquet as pq

Span = tuple[int, int]
"""A range of bytes in a file: the first byte, and the byte after the last."""

MAGIC = b"PAR1"


@dataclass(frozen=True)
class Budget:
    """Limits on the transfer of some columns of a file.

    Parameters
    ----------
    requests : most requests for the columns of one file, in addition to two for its footer. If there would be more, gaps are fetched too.
    gap : most bytes between two ranges that are cheaper to fetch than a request.
    piece : most bytes of one request, so that connections share a long range and a kill loses little. A very long file has larger
        pieces, to keep to `requests`.
    share : largest share of the file's bytes; if the columns need more, the whole file is fetched.
    connections : number at once.
    """

    requests: int = 2500
    gap: int = 2**15
    piece: int = 2**24
    share: float = 0.75
    connections: int = 6


def spans(metadata: pq.FileMetaData, positions: Sequence[int]) -> list[Span]:
    """Return the bytes of some columns, by position, in every row group.

    Raises
    ------
    ValueError
        If a column's position is impossible in such a file.
    """
    found = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for position in positions:
            column = group.column(position)
            start, dictionary = column.data_page_offset, column.dictionary_page_offset
            if dictionary is not None and 0 < dictionary < start:
                start = dictionary
            if column.file_path or start < len(MAGIC) or column.total_compressed_size < 0:
                raise ValueError("a column has no position in the file")
            found.append((start, start + column.total_compressed_size))
    return found


def plan(wanted: Sequence[Span], length: int, budget: Budget) -> list[Span]:
    """Return the ranges to ask for, in order.

    Neighbours are joined over gaps that cost less than a request, then over the smallest gaps until there are few enough ranges. Long
    ranges are cut into pieces.

    Parameters
    ----------
    wanted : the bytes that are needed.
    length : the file's length.
    """
    piece = max(budget.piece, 2 * length // budget.requests + 1)
    ordered = sorted(span for span in wanted if span[0] < span[1])
    gaps = sorted(after[0] - before[1] for before, after in pairwise(ordered))
    surplus = len(ordered) - (budget.requests - length // piece)
    permitted = max(budget.gap, gaps[surplus - 1] if surplus > 0 else 0)
    joined: list[Span] = []
    for start, stop in ordered:
        if joined and start - joined[-1][1] <= permitted:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return [(at, min(at + piece, stop)) for start, stop in joined for at in range(start, stop, piece)]
