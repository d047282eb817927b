"""Some columns of a Parquet file over HTTP: the byte ranges that hold them, in parallel, if that is much less than the whole file.

The footer comes first. It is at the file's end and has the position of every column in every row group. The ranges are written to
their positions in a sparse file of the whole's length. The columns are read from it as from the whole.
"""

import hashlib
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import Empty, SimpleQueue

import pyarrow as pa
import pyarrow.parquet as pq

from erawise.base import files, tabular
from erawise.running.errors import Unavailable
from erawise.running.progress import BYTES, StepCounter
from erawise.sources.numerai import answers, fetching
from erawise.sources.numerai.answers import Session
from erawise.sources.numerai.attempts import Address, Again, Refused, Tries
from erawise.sources.numerai.columns import Columns, write
from erawise.sources.numerai.fetching import Download
from erawise.sources.numerai.partial import Partial
from erawise.sources.numerai.records import Projection, Record, Remote
from erawise.sources.numerai.spans import MAGIC, Budget, Span, plan, spans

TAIL_BYTES = 2**16
ENDING = 8
"""Bytes of the end of a Parquet file: the length of its footer, then the magic."""


class _Unfit(Exception):
    """A reason to fetch the whole file."""


class _Changed(Refused):
    """A file that has changed on the server."""


def fetch(
    download: Download,
    columns: Columns,
    budget: Budget,
    known: Callable[[], Record | None] = lambda: None,
    done: Callable[[Record], None] = lambda record: None,
) -> Record:
    """Fetch some columns of a Parquet file, or find that the file at the path has them and is still the server's.

    The whole file is fetched, by `fetching.fetch_locked`, in these cases:

    - the server doesn't send parts, or has no strong ETag, which shows that all parts are of one content;
    - the columns need more than the budget's share of the file;
    - the columns that came can't be read.

    A killed download leaves its ranges. The next one of the same content uses them, also for other columns, if they still have their
    SHA-256. The server's checksum is of the whole file, and can't be used for some columns.

    Parameters
    ----------
    download, known, done : as in `fetching.fetch`.
    columns : the wanted columns. A file at the path with more columns is kept.
    budget : limits of the transfer.

    Raises
    ------
    InputError
        If the columns can't be fetched or used, or the disk has no room for them.
    """
    with files.exclusive_lock(download.path, download.what), files.writing(download.path):
        record = _Projecting(download, columns, budget, known()).run()
        done(record)
        return record


class _Projecting:
    def __init__(self, download: Download, columns: Columns, budget: Budget, known: Record | None) -> None:
        self.download, self.columns, self.budget = download, columns, budget
        self.known = known if known is not None and self._serves(known) else None
        self.partial = Partial(download.beside("ranges"), download.beside("ranges.json"))
        self.remote, self.length = Remote(), 0
        self.stopped, self.counting = threading.Event(), threading.Lock()

    def _serves(self, known: Record) -> bool:
        """Return whether the file of a record is there and has all wanted columns."""
        if not self.download.has(known):
            return False
        if known.projected is None:
            return True
        with tabular.open_parquet(self.download.path) as file:
            return known.projected.features == self.columns.fingerprint and self.columns.wanted <= set(file.schema_arrow.names)

    def run(self) -> Record:
        self.address = Address(self.download.locate)
        tries = Tries(self.address, self.download.what, self.download.patience)
        try:
            while True:
                used = self.address.current
                try:
                    return self._try(used)
                except Again as problem:
                    _again(tries, problem, used, progress=False)
        except _Unfit as reason:
            print(f"{self.download.what}: {reason}; the whole file is fetched", file=sys.stderr, flush=True)
            self.partial.forget()
            return fetching.fetch_locked(self.download, self.known)

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
            raise _Unfit(f"the columns of {self.columns.feature_set} need {share:.0%} of its bytes in {len(pieces):,} requests")
        missing = self.partial.missing(pieces)
        self.download.require_room(sum(stop - start for start, stop in missing) + needed)
        self._bring(missing, needed)
        return self._finish(names)

    def _tail(self, address: str) -> bytes | Record:
        """Return the file's end, and set `remote` and `length`. If our file is still the server's, return its record instead."""
        headers = {"Accept-Encoding": "identity", "Range": f"bytes=-{TAIL_BYTES}"}
        if self.known is not None:
            headers |= answers.conditions(self.known.remote)
        with Session() as session, answers.answer(session, address, headers, self.download.patience) as response:
            if response.status_code == 304 and self.known is not None:
                return self.known
            if response.status_code in (200, 416):
                raise _Unfit("the server doesn't send parts of it")
            if response.status_code != 206:
                raise answers.refusal(response, self.download.what, self.download.patience)
            answers.require_plain(response, self.download.what)
            stated, described = answers.content_range(response), answers.described(response)
            if stated is None or stated[2] is None or stated[1] != stated[2]:
                raise _Unfit("the server doesn't say which part of it it sends")
            self.length = stated[2]
            self.remote = Remote(self.length, described.etag, described.modified)
            if self.remote.strong is None:
                raise _Unfit("the server gives no strong ETag, without which parts of another file can't be recognized")
            if self.known is not None and self.remote.strong == self.known.remote.strong:
                return self.known
            tail = b"".join(answers.chunks(response, self.download.patience))
        if len(tail) != stated[1] - stated[0]:
            raise Again(f"{len(tail):,} of {stated[1] - stated[0]:,} bytes of its end came")
        return tail

    def _footer(self, tail: bytes) -> int:
        """Fetch the rest of the footer into the partial file; return the bytes that were fetched for it."""
        footer = int.from_bytes(tail[-ENDING : -len(MAGIC)], "little") + ENDING
        if not tail.endswith(MAGIC) or footer + len(MAGIC) > self.length:
            raise _Unfit("it doesn't end as a Parquet file does")
        if footer > self.budget.share * self.length:
            raise _Unfit("it is little more than its footer")
        if footer > len(tail):
            rest = (self.length - footer, self.length - len(tail))
            self._bring(self.partial.missing([rest]), rest[1] - rest[0])
        return max(footer, len(tail))

    def _planned(self) -> tuple[list[str], list[Span]]:
        """Return the names of the columns to fetch, and the ranges that hold them."""
        try:
            with pq.ParquetFile(self.partial.path) as file:
                metadata, names = file.metadata, file.schema_arrow.names
            if metadata.num_columns != len(names) or len(set(names)) < len(names):
                raise _Unfit("its columns are nested or have one name twice")
            taken = self.columns.choose_from(names)
            wanted = spans(metadata, [names.index(name) for name in taken])
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _Unfit(f"its footer can't be used ({error})") from None
        pieces = plan(wanted, self.length, self.budget)
        if pieces and pieces[-1][1] > self.length - ENDING:
            raise _Unfit("its footer names bytes that it doesn't have")
        self.projection = Projection(self.columns.feature_set, len(taken), len(names), self.columns.fingerprint)
        return taken, pieces

    def _bring(self, missing: Sequence[Span], needed: int) -> None:
        """Fetch ranges to their positions, several at once."""
        waiting: SimpleQueue[Span] = SimpleQueue()
        for span in missing:
            waiting.put(span)
        held = needed - sum(stop - start for start, stop in missing)
        self.stopped.clear()
        counting = self.download.progress.counting(needed, BYTES, self.download.what, held)
        with counting as count, ThreadPoolExecutor(self.budget.connections) as pool:
            workers = [pool.submit(self._work, waiting, count) for _ in range(min(self.budget.connections, len(missing)))]
            try:
                for worker in workers:
                    worker.result()
            finally:
                self.stopped.set()

    def _work(self, waiting: "SimpleQueue[Span]", count: StepCounter) -> None:
        try:
            with Session() as session:
                while not self.stopped.is_set():
                    self._piece(session, waiting.get_nowait(), count)
        except Empty:
            return
        except BaseException:
            self.stopped.set()
            raise

    def _piece(self, session: Session, span: Span, count: StepCounter) -> None:
        at, stop = span
        hashed = hashlib.sha256()
        tries = Tries(self.address, self.download.what, self.download.patience, self.stopped.wait)
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
        """Yield the bytes that come of a range, which may be cut."""
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{stop - 1}", "If-Range": str(self.remote.strong)}
        with answers.answer(session, address, headers, self.download.patience) as response:
            status, etag = response.status_code, response.headers.get("ETag")
            if status in (200, 206) and etag != self.remote.etag:
                raise _Changed("it has changed on the server meanwhile")
            if status in (200, 416):
                raise _Unfit("the server doesn't send all parts of it")
            if status != 206:
                raise answers.refusal(response, self.download.what, self.download.patience)
            answers.require_plain(response, self.download.what)
            if not answers.is_part(response, start, stop, self.remote):
                raise _Unfit("the server sends other parts of it than it is asked for")
            for chunk in answers.chunks(response, self.download.patience):
                start += len(chunk)
                if start > stop:
                    raise _Unfit("the server sends more of it than it is asked for")
                yield chunk

    def _finish(self, names: list[str]) -> Record:
        projected = self.download.beside("projected")
        try:
            write(self.partial.path, projected, names)
        except (pa.ArrowException, OSError) as error:
            files.remove(projected)
            if isinstance(error, OSError) and error.errno:  # an error of the disk; Arrow's own errors have no number
                raise
            raise _Unfit("the columns that came can't be read") from None
        record = Record(self.remote, projected.stat().st_size, fetching.digest(projected), self.projection)
        self.download.accept(projected)
        return record


def _again(tries: Tries, problem: Again, used: str, *, progress: bool) -> None:
    """Wait for the next try, or fetch the whole file if the server fails to send parts."""
    try:
        tries.again(problem, used, progress=progress)
    except Unavailable:
        if isinstance(problem, Refused):
            raise _Unfit(str(problem)) from None
        raise
