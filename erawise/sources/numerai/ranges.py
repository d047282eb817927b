"""Some columns of a Parquet file over HTTP: the byte ranges that hold them, in parallel, where that is much less than the whole file.

The footer, which stands at the file's end and names the place of every column in every row group, comes first. The ranges are
written to their places in a sparse file of the whole's length, from which the columns are read as from the whole.
"""

import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from erawise.base import files, tabular
from erawise.running.errors import Unavailable
from erawise.running.progress import BYTES, SILENT, Count, Progress
from erawise.sources.numerai import fetching
from erawise.sources.numerai.fetching import Address, Again, Patience, Projection, Record, Refused, Remote, Session, Tries

Span = tuple[int, int]
"""Bytes of a file: the first, and the one after the last."""

TAIL_BYTES = 2**16
MAGIC = b"PAR1"
ENDING = 8
"""Bytes of the end of a Parquet file: the length of its footer, then the magic."""

WRITTEN_ROWS = 2**17
"""Rows of a row group of the file that is written."""

READ_BYTES = 2**16
"""What is read at once of each column."""

READ_VALUES = 2**24
"""Values that are decoded at once, at some 16 bytes each."""


@dataclass(frozen=True)
class Budget:
    """How much some columns of a file may take.

    Parameters
    ----------
    requests : at most, for the columns of one file, beside two for its footer; gaps come along where there would be more.
    gap : bytes between two ranges that cost no more than a request of their own.
    piece : bytes of one request at most, so that connections share a long range and a kill loses little; more where the file is so long
        that the requests wouldn't do.
    share : of the file's bytes; where the columns take more, the whole file is fetched.
    connections : at once.
    """

    requests: int = 2500
    gap: int = 2**15
    piece: int = 2**24
    share: float = 0.75
    connections: int = 6


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are wanted: every one that is no feature, and the features of a set.

    Parameters
    ----------
    feature_set : the set's name.
    wanted : its features.
    features : all features that there are.
    """

    feature_set: str
    wanted: frozenset[str]
    features: frozenset[str]

    def of(self, names: Sequence[str]) -> list[str]:
        """Those of a file with columns of these names, in its order."""
        return [name for name in names if name in self.wanted or name not in self.features]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the names of all features."""
        return hashlib.sha256("\n".join(sorted(self.features)).encode()).hexdigest()


class _Unfit(Exception):
    """The whole file is to be fetched, for this reason."""


class _Changed(Refused):
    """The file on the server is another one by now."""


def fetch(
    locate: Callable[[], str],
    path: Path,
    what: str,
    columns: Columns,
    *,
    known: Callable[[], Record | None] = lambda: None,
    done: Callable[[Record], None] = lambda record: None,
    check: Callable[[Path], None] = lambda path: None,
    patience: Patience | None = None,
    budget: Budget | None = None,
    progress: Progress = SILENT,
) -> Record:
    """Fetch some columns of a Parquet file, or find that the file that is there has them and is still of the server's.

    The whole file is fetched, by `fetching.whole`, where the server doesn't send parts or has no strong ETag to tell by that all are of
    one content, where the columns take more than the budget's share of it, and where what came can't be read. What came of a download that
    was killed is used by the next one of the same content, whatever its columns, as far as the ranges are the same; each is held to
    the SHA-256 that it had. The server's checksum is of the whole file, and proves nothing of some columns.

    Parameters
    ----------
    locate, path, what, known, done, check, patience, progress : as of `fetching.fetch`.
    columns : that are wanted. A file that is there and has more is kept as it is.
    budget : of the transfer.

    Raises
    ------
    InputError
        If the columns can't be had or used, or the disk has no room for them.
    """
    with files.exclusive_lock(path, what), files.writing(path):
        record = _Projecting(locate, path, what, columns, known(), check, patience or Patience(), budget or Budget(), progress).run()
        done(record)
        return record


def spans(metadata: pq.FileMetaData, positions: Sequence[int]) -> list[Span]:
    """The bytes of some columns, by position, in every row group.

    Raises
    ------
    ValueError
        If a column's place is none in a file of this kind.
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
                raise ValueError("a column has no place in the file")
            found.append((start, start + column.total_compressed_size))
    return found


def plan(wanted: Sequence[Span], length: int, budget: Budget) -> list[Span]:
    """The ranges to ask for, in order.

    Neighbours are joined over gaps that cost less than a request, then over the smallest ones until there are few enough; what is long
    is cut into pieces.

    Parameters
    ----------
    wanted : bytes that are needed.
    length : of the file.
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


class _Projecting:
    def __init__(
        self,
        locate: Callable[[], str],
        path: Path,
        what: str,
        columns: Columns,
        known: Record | None,
        check: Callable[[Path], None],
        patience: Patience,
        budget: Budget,
        progress: Progress,
    ) -> None:
        self.locate, self.path, self.what, self.columns = locate, path, what, columns
        self.check, self.patience, self.budget, self.progress = check, patience, budget, progress
        self.known = known if known is not None and self._serves(known) else None
        self.partial = _Partial(path)
        self.remote, self.length = Remote(), 0
        self.stopped, self.counting = threading.Event(), threading.Lock()

    def _serves(self, known: Record) -> bool:
        """Whether the file of a record is there and has all columns that are wanted."""
        if not fetching.holds(self.path, known):
            return False
        if known.projected is None:
            return True
        with tabular.open_parquet(self.path) as file:
            return known.projected.features == self.columns.fingerprint and self.columns.wanted <= set(file.schema_arrow.names)

    def run(self) -> Record:
        self.address = Address(self.locate)
        tries = Tries(self.address, self.what, self.patience)
        try:
            while True:
                used = self.address.current
                try:
                    return self._try(used)
                except Again as problem:
                    _again(tries, problem, used, progress=False)
        except _Unfit as reason:
            print(f"{self.what}: {reason}; the whole file is fetched", file=sys.stderr, flush=True)
            self.partial.forget()
            return fetching.whole(self.locate, self.path, self.what, self.known, self.check, self.patience, self.progress)

    def _try(self, address: str) -> Record:
        tail = self._tail(address)
        if isinstance(tail, Record):
            return tail
        self.partial.begin(self.remote, self.length, tail)
        footer = self._footer(tail)
        names, pieces = self._planned()
        needed = sum(stop - start for start, stop in pieces)
        if needed + footer > self.budget.share * self.length:
            share = (needed + footer) / self.length
            raise _Unfit(f"the columns of {self.columns.feature_set} take {share:.0%} of its bytes in {len(pieces):,} requests")
        missing = self.partial.missing(pieces)
        fetching.require_room(self.path.parent, self.what, sum(stop - start for start, stop in missing) + needed)
        self._bring(missing, needed)
        return self._finish(names)

    def _tail(self, address: str) -> bytes | Record:
        """The file's end, with what the server says of it in `remote` and `length`; or the record of what is known and still the same."""
        headers = {"Accept-Encoding": "identity", "Range": f"bytes=-{TAIL_BYTES}"}
        if self.known is not None:
            headers |= fetching.conditions(self.known.remote)
        with Session() as session, fetching.answer(session, address, headers, self.patience) as response:
            if response.status_code == 304 and self.known is not None:
                return self.known
            if response.status_code in (200, 416):
                raise _Unfit("the server doesn't send parts of it")
            if response.status_code != 206:
                raise fetching.refusal(response, self.what, self.patience)
            fetching.require_plain(response, self.what)
            stated, described = fetching.content_range(response), fetching.described(response)
            if stated is None or stated[2] is None or stated[1] != stated[2]:
                raise _Unfit("the server doesn't say which part of it it sends")
            self.length = stated[2]
            self.remote = Remote(self.length, described.etag, described.modified)
            if self.remote.strong is None:
                raise _Unfit("the server gives no strong ETag, by which parts of it can be told from those of another")
            if self.known is not None and self.remote.strong == self.known.remote.strong:
                return self.known
            tail = b"".join(fetching.chunks(response, self.patience))
        if len(tail) != stated[1] - stated[0]:
            raise Again(f"{len(tail):,} of {stated[1] - stated[0]:,} bytes of its end came")
        return tail

    def _footer(self, tail: bytes) -> int:
        """Have the whole footer in the partial file; gives the bytes that it took."""
        footer = int.from_bytes(tail[-ENDING : -len(MAGIC)], "little") + ENDING
        if not tail.endswith(MAGIC) or footer + len(MAGIC) > self.length:
            raise _Unfit("its end is none of a Parquet file")
        if footer > self.budget.share * self.length:
            raise _Unfit("it is little more than its footer")
        if footer > len(tail):
            rest = (self.length - footer, self.length - len(tail))
            self._bring(self.partial.missing([rest]), rest[1] - rest[0])
        return max(footer, len(tail))

    def _planned(self) -> tuple[list[str], list[Span]]:
        """Names of the columns to take, and the ranges that hold them."""
        try:
            with pq.ParquetFile(self.partial.path) as file:
                metadata, names = file.metadata, file.schema_arrow.names
            if metadata.num_columns != len(names) or len(set(names)) < len(names):
                raise _Unfit("its columns are nested or have one name twice")
            taken = self.columns.of(names)
            wanted = spans(metadata, [names.index(name) for name in taken])
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _Unfit(f"its footer can't be used ({error})") from None
        pieces = plan(wanted, self.length, self.budget)
        if pieces and pieces[-1][1] > self.length - ENDING:
            raise _Unfit("its footer names bytes that it doesn't have")
        self.projection = Projection(self.columns.feature_set, len(taken), len(names), self.columns.fingerprint)
        return taken, pieces

    def _bring(self, missing: Sequence[Span], needed: int) -> None:
        """Fetch ranges to their places, several at once."""
        waiting: SimpleQueue[Span] = SimpleQueue()
        for span in missing:
            waiting.put(span)
        held = needed - sum(stop - start for start, stop in missing)
        self.stopped.clear()
        counting = self.progress.counting(needed, BYTES, self.what, held)
        with counting as count, ThreadPoolExecutor(self.budget.connections) as pool:
            workers = [pool.submit(self._work, waiting, count) for _ in range(min(self.budget.connections, len(missing)))]
            try:
                for worker in workers:
                    worker.result()
            finally:
                self.stopped.set()

    def _work(self, waiting: "SimpleQueue[Span]", count: Count) -> None:
        try:
            with Session() as session:
                while not self.stopped.is_set():
                    self._piece(session, waiting.get_nowait(), count)
        except Empty:
            return
        except BaseException:
            self.stopped.set()
            raise

    def _piece(self, session: Session, span: Span, count: Count) -> None:
        at, stop = span
        hashed = hashlib.sha256()
        tries = Tries(self.address, self.what, self.patience, self.stopped.wait)
        with self.partial.path.open("r+b") as file:
            file.seek(at)
            while at < stop:
                used, before = self.address.current, at
                try:
                    with closing(self._part(session, used, at, stop)) as chunks:
                        for chunk in chunks:
                            file.write(chunk)
                            hashed.update(chunk)
                            at += len(chunk)
                            count.done(len(chunk))
                            if self.stopped.is_set():
                                return
                    if at < stop:
                        raise Again(f"{at - before:,} of {stop - before:,} bytes of a part came")
                except _Changed:
                    raise
                except Again as problem:
                    _again(tries, problem, used, progress=at > before)
                    if self.stopped.is_set():
                        return
        with self.counting:
            self.partial.note(span, hashed.hexdigest())

    def _part(self, session: Session, address: str, start: int, stop: int) -> Generator[bytes, None, None]:
        """What comes of a range, which may be cut."""
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{stop - 1}", "If-Range": str(self.remote.strong)}
        with fetching.answer(session, address, headers, self.patience) as response:
            status, etag = response.status_code, response.headers.get("ETag")
            if status in (200, 206) and etag != self.remote.etag:
                raise _Changed("it has changed on the server meanwhile")
            if status in (200, 416):
                raise _Unfit("the server doesn't send all parts of it")
            if status != 206:
                raise fetching.refusal(response, self.what, self.patience)
            fetching.require_plain(response, self.what)
            if not fetching.is_part(response, start, stop, self.remote):
                raise _Unfit("the server sends other parts of it than it is asked for")
            for chunk in fetching.chunks(response, self.patience):
                start += len(chunk)
                if start > stop:
                    raise _Unfit("the server sends more of it than it is asked for")
                yield chunk

    def _finish(self, names: list[str]) -> Record:
        projected = fetching.beside(self.path, "projected")
        try:
            write(self.partial.path, projected, names)
        except (pa.ArrowException, OSError) as error:
            files.remove(projected)
            if isinstance(error, OSError) and error.errno:  # of the disk, where Arrow's own have none
                raise
            raise _Unfit("what came of its columns can't be read") from None
        record = Record(self.remote, projected.stat().st_size, fetching.digest(projected), self.projection)
        fetching.take(projected, self.path, self.what, self.check)
        return record


def write(source: Path, path: Path, names: Sequence[str]) -> None:
    """Write some columns of a Parquet file to another, in pieces that fit into memory, with its types, its metadata and its compression."""
    with pq.ParquetFile(source, buffer_size=READ_BYTES, page_checksum_verification=True) as file:
        whole = file.schema_arrow
        schema = pa.schema([whole.field(name) for name in names], whole.metadata)
        with pq.ParquetWriter(path, schema, compression=_codec(file.metadata)) as writer:
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


class _Partial:
    """A sparse file that has ranges of another at their places, and the notes on which these are.

    The first line of the notes says of what file they are, each further one start, stop and SHA-256 of a range that has come.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.notes = fetching.beside(path, "ranges"), fetching.beside(path, "ranges.json")
        self.noted: dict[Span, str] = {}

    def begin(self, remote: Remote, length: int, tail: bytes) -> None:
        """Go on with what is there of the same content, else anew; the file's end is put to its place."""
        of, self.noted = self._read()
        if of != remote or not self.path.exists() or self.path.stat().st_size != length:
            self.forget()
            with self.path.open("wb") as file:
                file.truncate(length)
            self.notes.write_text(json.dumps(asdict(remote)) + "\n", encoding="utf-8")
        with self.path.open("r+b") as file:
            file.seek(length - len(tail))
            file.write(tail)

    def _read(self) -> tuple[Remote | None, dict[Span, str]]:
        try:
            first, *lines = self.notes.read_text(encoding="utf-8").splitlines()
            remote = Remote.of(json.loads(first))
            pieces = [json.loads(line) for line in lines]
            return remote, {(int(start), int(stop)): str(sha256) for start, stop, sha256 in pieces}
        except (OSError, ValueError, TypeError):
            return None, {}

    def missing(self, pieces: Sequence[Span]) -> list[Span]:
        """Ranges that aren't there as they came."""
        if not self.noted:
            return list(pieces)
        with self.path.open("rb") as file:
            return [piece for piece in pieces if piece not in self.noted or _hashed(file, piece) != self.noted[piece]]

    def note(self, span: Span, sha256: str) -> None:
        """Note that a range has come."""
        self.noted[span] = sha256
        with self.notes.open("a", encoding="utf-8") as file:
            file.write(json.dumps([*span, sha256]) + "\n")

    def forget(self) -> None:
        """Remove both."""
        self.noted = {}
        files.remove(self.path)
        files.remove(self.notes)


def _hashed(file: Any, span: Span) -> str:
    file.seek(span[0])
    hashed = hashlib.sha256()
    left = span[1] - span[0]
    while left and (chunk := file.read(min(left, fetching.CHUNK_BYTES))):
        hashed.update(chunk)
        left -= len(chunk)
    return hashed.hexdigest()


def _codec(metadata: pq.FileMetaData) -> str:
    """The compression of a file's first column."""
    found = metadata.row_group(0).column(0).compression if metadata.num_row_groups else "SNAPPY"
    return "NONE" if found == "UNCOMPRESSED" else str(found)


def _again(tries: Tries, problem: Again, used: str, *, progress: bool) -> None:
    """Wait for the next try, or turn to the whole file where it is parts that the server fails to send."""
    try:
        tries.again(problem, used, progress=progress)
    except Unavailable:
        if isinstance(problem, Refused):
            raise _Unfit(str(problem)) from None
        raise
