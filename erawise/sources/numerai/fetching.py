"""A file over HTTP, whole or not at all: repeated if that helps, resumed if that is safe, checked before it gets its name."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import requests

from erawise.base import files
from erawise.running.errors import InputError
from erawise.running.progress import BYTES, SILENT, Progress
from erawise.sources.numerai import answers
from erawise.sources.numerai.answers import Session
from erawise.sources.numerai.attempts import GONE, Address, Again, Patience, Tries
from erawise.sources.numerai.records import Record, Remote

SPARE_BYTES = 64 * 2**20
"""Bytes that must stay free on the disk in addition to a file."""

BESIDE = ("partial", "partial.json", "ranges", "ranges.json", "projected")
"""Files next to a file that is being fetched: its beginning or its ranges, the notes on each, and the file made of the ranges."""


@dataclass(frozen=True)
class Download:
    """One file of a server, and its path here.

    Parameters
    ----------
    locate : returns an address of the file; called again when one has expired.
    path : the file's path here; its directory must exist.
    what : the file's name in messages.
    check : gets the temporary path of a fetched file, and raises `InputError` if the file can't be used.
    patience : with the server.
    progress : counts the bytes that come.
    """

    locate: Callable[[], str]
    path: Path
    what: str
    check: Callable[[Path], None] = lambda path: None
    patience: Patience = field(default_factory=Patience)
    progress: Progress = SILENT

    def beside(self, kind: str) -> Path:
        """Return the path of a file that exists only while this one is being fetched; `kind` is one of `BESIDE`."""
        return self.path.with_name(f".{self.path.name}.{kind}")

    def accept(self, came: Path) -> None:
        """Check the file that has come, give it its name, and remove the temporary files.

        Raises
        ------
        InputError
            If `check` raises it.
        """
        try:
            self.check(came)
        except InputError as error:
            problem = str(error).removeprefix(f"{came}: ")
            self._clear()
            raise InputError(f"the file that came as {self.what} can't be used: {problem}") from None
        came.replace(self.path)
        files.sync(self.path.parent)
        self._clear()

    def _clear(self) -> None:
        for kind in BESIDE:
            files.remove(self.beside(kind))

    def require_room(self, size: int) -> None:
        """Raise `InputError` if the disk has no room for `size` bytes."""
        directory = self.path.parent
        needed, free = size + SPARE_BYTES, shutil.disk_usage(directory).free
        if free < needed:
            raise InputError(f"{self.what}: it needs {needed / 1e9:.2f} GB, and {directory} has {free / 1e9:.2f} GB free; make room")

    def has(self, record: Record) -> bool:
        """Return whether the file at the path is the file of a record."""
        return self.path.is_file() and digest(self.path) == record.sha256


def fetch(
    download: Download,
    known: Callable[[], Record | None] = lambda: None,
    done: Callable[[Record], None] = lambda record: None,
) -> Record:
    """Fetch a file, or find that the file at its path is still the server's.

    Until all bytes have come, they are kept in a file next to the path. A later call continues there if the server still has the same
    content. Calls for one path take turns, also in other processes.

    Parameters
    ----------
    download : the file.
    known : returns the record of the file at the path, if it was fetched before; the record of a projected file doesn't count.
    done : gets the record of the final file, before the next call for the path starts.

    Raises
    ------
    InputError
        If the file can't be fetched, doesn't fit its checksum, can't be used, or the disk has no room for it.
    """
    with files.exclusive_lock(download.path, download.what), files.writing(download.path):
        record = fetch_locked(download, known())
        done(record)
        return record


def fetch_locked(download: Download, known: Record | None) -> Record:
    """Fetch as `fetch` does, for a caller that holds the lock of the path."""
    return _Fetching(download, known).run()


class _Fetching:
    def __init__(self, download: Download, known: Record | None) -> None:
        self.download = download
        self.known = known if known is not None and known.projected is None and download.has(known) else None
        self.partial, self.notes = download.beside("partial"), download.beside("partial.json")
        self.most = self._held()

    def run(self) -> Record:
        address = Address(self.download.locate)
        tries = Tries(address, self.download.what, self.download.patience)
        while True:
            used = address.current
            try:
                return self._try(used)
            except Again as problem:
                most, self.most = self.most, max(self.most, self._held())
                tries.again(problem, used, progress=self.most > most)

    def _held(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _try(self, address: str) -> Record:
        start, remote = self._resumable()
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": str(remote.strong)}
        elif self.known is not None:
            headers |= answers.conditions(self.known.remote)
        with Session() as session, answers.answer(session, address, headers, self.download.patience) as response:
            if response.status_code == 304 and self.known is not None:
                return self.known
            if response.status_code == 206 and start:
                if not answers.is_part(response, start, remote.length, remote):
                    self._forget()
                    raise Again("the server continues another file than before", 0)
            elif response.status_code == 200:
                begun, start, remote = remote, 0, answers.described(response)
                if self.known is not None and remote.strong and remote.strong == self.known.remote.strong:
                    return self.known
                self._forget()
                if begun.strong and begun.strong != remote.strong:
                    self.most = 0
            else:
                if start and response.status_code not in GONE | {429}:
                    self._forget()
                    raise Again(f"the answer to a request for the rest is HTTP status {response.status_code}")
                raise answers.refusal(response, self.download.what, self.download.patience)
            answers.require_plain(response, self.download.what)
            self.download.require_room((remote.length or 0) - start)
            files.write_json(asdict(remote), self.notes)
            self._receive(response, start, remote)
        return self._finish(remote)

    def _resumable(self) -> tuple[int, Remote]:
        """Return the number of bytes that have come, and the file's description then; 0 if they may be of another content by now."""
        if not (self.partial.exists() and self.notes.exists()):
            return 0, Remote()
        try:
            remote = Remote.from_json(files.read_json(self.notes))
        except (InputError, ValueError):
            return 0, Remote()
        held = self._held()
        if remote.strong is None or remote.length is None or held > remote.length:
            return 0, Remote()
        return max(0, min(held, remote.length - 1)), remote

    def _receive(self, response: requests.Response, start: int, remote: Remote) -> None:
        counting = self.download.progress.counting(remote.length, BYTES, self.download.what, start)
        with self.partial.open("r+b" if start else "wb") as file, counting as count:
            file.seek(start)
            file.truncate()
            try:
                for chunk in answers.chunks(response, self.download.patience):
                    file.write(chunk)
                    count.done(len(chunk))
            except Again as problem:
                raise Again(f"{problem} after {file.tell():,} bytes") from None
            file.flush()
            os.fsync(file.fileno())
        if remote.length is not None and self._held() != remote.length:
            raise Again(f"{self._held():,} of {remote.length:,} bytes came")

    def _finish(self, remote: Remote) -> Record:
        if remote.checksum is not None:
            algorithm, expected = remote.checksum.split(":")
            if digest(self.partial, algorithm) != expected:
                self._forget()
                raise Again(f"the bytes that came don't fit the {algorithm} that the server gives")
        record = Record(remote, self._held(), digest(self.partial))
        self.download.accept(self.partial)
        return record

    def _forget(self) -> None:
        files.remove(self.partial)
        files.remove(self.notes)


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
