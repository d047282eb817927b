"""A file over HTTP, whole or not at all: repeated where that helps, resumed where that is safe, checked before it takes its name."""

import base64
import hashlib
import logging
import os
import random
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3

from erawise.base import files
from erawise.running.errors import InputError, Unavailable
from erawise.running.progress import BYTES, SILENT, Progress

ADDRESS = "ERAWISE_API_URL"
"""The variable of the environment that names another address of the API."""

NO_ADDRESS = (requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL)
CHUNK_BYTES = 2**20
SPARE_BYTES = 64 * 2**20
"""Bytes that must stay free on the disk beside a file."""

GONE = {400, 401, 403, 410}
"""What a signed address answers once it has expired: a new one is asked for."""

BESIDE = ("partial", "partial.json", "ranges", "ranges.json", "projected")
"""What may lie beside a file that is on its way: its beginning or ranges of it, notes on each, and what is made of ranges."""

BUSY = {408, 425, 429, *range(500, 600)}
"""What is worth another try."""

DIGEST_BYTES = {"sha256": 32, "md5": 16}

# At lower levels it logs whole addresses, of which the signature is a secret.
logging.getLogger("urllib3").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Patience:
    """How long to wait for what.

    Parameters
    ----------
    connection, silence : seconds to wait for a connection, and for the next bytes.
    window, rate : a transfer that brings less than `rate` bytes a second over `window` seconds is begun again.
    tries : without any new byte, before it is given up.
    pause, longest_pause : seconds before the second try, which double with each further one, up to the longest.
    """

    connection: float = 10
    silence: float = 60
    window: float = 60
    rate: float = 1024
    tries: int = 6
    pause: float = 1
    longest_pause: float = 60

    def before(self, again: int) -> float:
        """Seconds to wait before the n-th repetition, n from 1: with jitter, so that clients that failed together don't return together."""
        return min(self.longest_pause, self.pause * 2 ** (again - 1)) * random.uniform(0.5, 1.5)


@dataclass(frozen=True)
class Remote:
    """What a server says of a file: length, validators, and its checksum as `algorithm:hex`; None for what it doesn't say."""

    length: int | None = None
    etag: str | None = None
    modified: str | None = None
    checksum: str | None = None

    @classmethod
    def of(cls, content: Any) -> "Remote":
        """From JSON.

        Raises
        ------
        ValueError
            If it is none of ours.
        """
        names = {"length": int, "etag": str, "modified": str, "checksum": str}
        if not isinstance(content, dict) or set(content) != set(names):
            raise ValueError("other keys than those of a remote file")
        if not all(content[name] is None or type(content[name]) is kind for name, kind in names.items()):
            raise ValueError("a value of another type")
        return cls(**content)

    @property
    def strong(self) -> str | None:
        """A validator that two different contents never share."""
        return None if self.etag is None or self.etag.startswith("W/") else self.etag


@dataclass(frozen=True)
class Projection:
    """What a file has of the server's, where it has some columns alone.

    Parameters
    ----------
    feature_set : for which it was fetched.
    columns, of : how many it has, and how many the server's has.
    features : SHA-256 of the names of all that was taken for a feature; every other column is there.
    """

    feature_set: str
    columns: int
    of: int
    features: str

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Projection":
        return cls(str(content["feature_set"]), int(content["columns"]), int(content["of"]), str(content["features"]))


@dataclass(frozen=True)
class Record:
    """A file that was fetched: what the server said, and what is on the disk; `projected` where that isn't the whole of the server's."""

    remote: Remote
    size: int
    sha256: str
    projected: Projection | None = None

    def content(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, content: dict[str, Any]) -> "Record":
        projected = content.get("projected")
        return cls(
            Remote.of(content["remote"]),
            int(content["size"]),
            str(content["sha256"]),
            None if projected is None else Projection.from_json(projected),
        )


class Again(Exception):
    """A try that failed and may be repeated, `after` so many seconds where the server gives them, elsewhere where the address is gone."""

    def __init__(self, reason: str, after: float | None = None, *, relocate: bool = False) -> None:
        super().__init__(reason)
        self.after, self.relocate = after, relocate


class Absent(InputError):
    """The server has no such file."""


class Refused(Again):
    """A try that the server answered by an error of its own: asked in another way it may do better."""


class Address:
    """The address of a file, which several threads may use and find expired."""

    def __init__(self, locate: Callable[[], str]) -> None:
        self._locate, self._lock = locate, threading.Lock()
        self.current = locate()

    def renew(self, expired: str) -> None:
        """Ask for a new one, unless that has been done."""
        with self._lock:
            if self.current == expired:
                self.current = self._locate()


class Tries:
    """The failures of a transfer: waits before the next try, or gives up; `wait` is what sleeps."""

    def __init__(self, address: Address, what: str, patience: Patience, wait: Callable[[float], object] | None = None) -> None:
        self.address, self.what, self.patience, self.wait = address, what, patience, wait or time.sleep
        self.failed = 0

    def again(self, problem: Again, used: str, *, progress: bool) -> None:
        """After a try with the address `used` that failed, with or without `progress`.

        Raises
        ------
        Unavailable
            If there were too many without any.
        """
        self.failed = 1 if progress else self.failed + 1
        if self.failed >= self.patience.tries:
            raise Unavailable(f"{host(used)}: {self.what} can't be fetched: {problem} ({self.failed} tries)") from None
        pause = self.patience.before(self.failed) if problem.after is None else problem.after
        print(f"{self.what}: {problem}; again in {pause:.0f} s", file=sys.stderr, flush=True)
        self.wait(pause)
        if problem.relocate:
            self.address.renew(used)


def fetch(
    locate: Callable[[], str],
    path: Path,
    what: str,
    *,
    known: Callable[[], Record | None] = lambda: None,
    done: Callable[[Record], None] = lambda record: None,
    check: Callable[[Path], None] = lambda path: None,
    patience: Patience | None = None,
    progress: Progress = SILENT,
) -> Record:
    """Fetch a file, or find that the one that is there is still the server's.

    What came of it lies beside `path` until all is there, and a later call goes on from it where the server still has the
    same content. Two calls for one path at a time, from whatever processes, take turns.

    Parameters
    ----------
    locate : gives an address of the file; asked again where one has expired.
    path : of the file; its directory must exist.
    what : the file's name in messages.
    known : gives the record of the file that lies at `path`, where it was fetched before; a projected one is none of the whole.
    done : is given the record of the file that is there in the end, before another call for the path has its turn.
    check : raises `InputError` where a file that has come can't be used; it is given the path under which that lies for now.
    patience : with the server.
    progress : told of the bytes that come.

    Raises
    ------
    InputError
        If the file can't be had, doesn't fit its checksum, can't be used, or the disk has no room for it.
    """
    with files.exclusive_lock(path, what), files.writing(path):
        record = whole(locate, path, what, known(), check, patience or Patience(), progress)
        done(record)
        return record


def whole(
    locate: Callable[[], str],
    path: Path,
    what: str,
    known: Record | None,
    check: Callable[[Path], None],
    patience: Patience,
    progress: Progress,
) -> Record:
    """As `fetch`, for whoever holds the lock of the path."""
    return _Fetching(locate, path, what, known, check, patience, progress).run()


class _Fetching:
    def __init__(
        self,
        locate: Callable[[], str],
        path: Path,
        what: str,
        known: Record | None,
        check: Callable[[Path], None],
        patience: Patience,
        progress: Progress,
    ) -> None:
        self.locate, self.path, self.what, self.check, self.patience = locate, path, what, check, patience
        self.progress = progress
        self.known = known if known is not None and known.projected is None and holds(path, known) else None
        self.partial, self.notes = beside(path, "partial"), beside(path, "partial.json")
        self.most = self._held()

    def run(self) -> Record:
        address = Address(self.locate)
        tries = Tries(address, self.what, self.patience)
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
            headers |= conditions(self.known.remote)
        with Session() as session, answer(session, address, headers, self.patience) as response:
            if response.status_code == 304 and self.known is not None:
                return self.known
            if response.status_code == 206 and start:
                if not is_part(response, start, remote.length, remote):
                    self._forget()
                    raise Again("the server continues another file than the one that was begun", 0)
            elif response.status_code == 200:
                begun, start, remote = remote, 0, described(response)
                if self.known is not None and remote.strong and remote.strong == self.known.remote.strong:
                    return self.known
                self._forget()
                if begun.strong and begun.strong != remote.strong:
                    self.most = 0
            else:
                if start and response.status_code not in GONE | {429}:
                    self._forget()
                    raise Again(f"the answer to a request for the rest is HTTP status {response.status_code}")
                raise refusal(response, self.what, self.patience)
            require_plain(response, self.what)
            self._require_room(remote, start)
            files.write_json(asdict(remote), self.notes)
            self._receive(response, start, remote)
        return self._finish(remote)

    def _resumable(self) -> tuple[int, Remote]:
        """Bytes that are there of the file, and what it was when they came; 0 where nothing proves that they are still of it."""
        if not (self.partial.exists() and self.notes.exists()):
            return 0, Remote()
        try:
            remote = Remote.of(files.read_json(self.notes))
        except (InputError, ValueError):
            return 0, Remote()
        held = self._held()
        if remote.strong is None or remote.length is None or held > remote.length:
            return 0, Remote()
        return max(0, min(held, remote.length - 1)), remote

    def _receive(self, response: requests.Response, start: int, remote: Remote) -> None:
        counting = self.progress.counting(remote.length, BYTES, self.what, start)
        with self.partial.open("r+b" if start else "wb") as file, counting as count:
            file.seek(start)
            file.truncate()
            try:
                for chunk in chunks(response, self.patience):
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
                raise Again(f"what came doesn't fit the {algorithm} that the server gives")
        record = Record(remote, self._held(), digest(self.partial))
        take(self.partial, self.path, self.what, self.check)
        return record

    def _forget(self) -> None:
        files.remove(self.partial)
        files.remove(self.notes)

    def _require_room(self, remote: Remote, start: int) -> None:
        require_room(self.path.parent, self.what, (remote.length or 0) - start)


def beside(path: Path, kind: str) -> Path:
    """Where something lies that belongs to a file which is on its way; `kind` is one of `BESIDE`."""
    return path.with_name(f".{path.name}.{kind}")


def holds(path: Path, record: Record) -> bool:
    """Whether the file that lies at a path is the one of a record."""
    return path.is_file() and digest(path) == record.sha256


def take(came: Path, path: Path, what: str, check: Callable[[Path], None]) -> None:
    """Let a file that has come take its name, and remove whatever else was on its way to it.

    Raises
    ------
    InputError
        If `check` raises it.
    """
    try:
        check(came)
    except InputError as error:
        problem = str(error).removeprefix(f"{came}: ")
        clear(path)
        raise InputError(f"what came as {what} can't be used: {problem}") from None
    came.replace(path)
    files.sync(path.parent)
    clear(path)


def clear(path: Path) -> None:
    """Remove what is on its way to a path."""
    for kind in BESIDE:
        files.remove(beside(path, kind))


def refusal(response: requests.Response, what: str, patience: Patience) -> Exception:
    """What to raise for an answer that is none of those that bring a file."""
    status = response.status_code
    said = f"the answer is HTTP status {status}"
    if status in BUSY:
        return (Refused if status >= 500 else Again)(said, retry_after(response, patience))
    if status in GONE:
        return Again(said, relocate=True)
    return (Absent if status == 404 else InputError)(f"{host(response.url)}: {what} can't be fetched: {said}")


def require_room(directory: Path, what: str, size: int) -> None:
    """Raise `InputError` where a directory hasn't the room for so many bytes."""
    needed, free = size + SPARE_BYTES, shutil.disk_usage(directory).free
    if free < needed:
        raise InputError(f"{what}: it takes {needed / 1e9:.2f} GB, and {directory} has {free / 1e9:.2f} GB free; make room")


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def described(response: requests.Response) -> Remote:
    """What the headers of a whole file say of it."""
    length = response.headers.get("Content-Length", "")
    return Remote(
        int(length) if length.isdecimal() else None,
        response.headers.get("ETag"),
        response.headers.get("Last-Modified"),
        _checksum(response.headers),
    )


def host(address: str) -> str:
    """An address without user, password and query, which may be secret; of several @ the last ends the password."""
    return re.split(r"[?#]", re.sub(r"^([A-Za-z][\w+.-]*://)?.*@", lambda found: found[1] or "", address))[0]


def retry_after(response: requests.Response, patience: Patience) -> float | None:
    """Seconds that the server asks for, if it gives them as a number; not more than ten of the longest pauses."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), 10 * patience.longest_pause) if text.isdecimal() else None


class Session(requests.Session):
    """Requests that send no user and password from a .netrc, also where they are sent on: a signed address refuses them."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _as_it_is

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Send nothing on to another address."""
        prepared_request.headers.pop("Authorization", None)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _checksum(headers: Any) -> str | None:
    found = {
        "sha256": headers.get("x-amz-checksum-sha256") or _part(headers.get("Repr-Digest"), r"sha-256=:([^:]+):"),
        "md5": headers.get("Content-MD5") or _part(headers.get("x-goog-hash"), r"md5=([^,\s]+)"),
    }
    for algorithm, text in found.items():
        try:
            content = base64.b64decode(text or "", validate=True)
        except ValueError:  # S3's checksum of parts ends in their number, and is none of the file
            continue
        if len(content) == DIGEST_BYTES[algorithm]:
            return f"{algorithm}:{content.hex()}"
    return None


def _part(header: str | None, pattern: str) -> str | None:
    found = re.search(pattern, header or "")
    return found.group(1) if found else None


def conditions(remote: Remote) -> dict[str, str]:
    """Headers by which an answer brings nothing where the file is still the one of `remote`."""
    given = {"If-None-Match": remote.etag, "If-Modified-Since": remote.modified}
    return {name: value for name, value in given.items() if value}


def content_range(response: requests.Response) -> tuple[int, int, int | None] | None:
    """Start, stop and the whole's length, where it is said, of what a 206 brings; None where it doesn't say."""
    stated = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    return None if stated is None else (int(stated[1]), int(stated[2]) + 1, None if stated[3] == "*" else int(stated[3]))


def is_part(response: requests.Response, start: int, stop: int | None, remote: Remote) -> bool:
    """Whether a 206 brings the bytes from `start` to before `stop` of the very file that was begun."""
    stated = content_range(response)
    if stated is None or stated[:2] != (start, stop):
        return False
    return stated[2] in (None, remote.length) and response.headers.get("ETag") == remote.etag


def require_plain(response: requests.Response, what: str) -> None:
    """Raise `InputError` where what comes is encoded."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise InputError(f"{host(response.url)}: {what} comes encoded by {encoding}, which was not asked for; it isn't taken")


@contextmanager
def answer(session: Session, address: str, headers: dict[str, str], patience: Patience) -> Iterator[requests.Response]:
    """What a GET is answered by, its body still to come."""
    with reached(address):
        response = session.get(address, headers=headers, stream=True, timeout=(patience.connection, patience.silence))
    with response:
        yield response


@contextmanager
def reached(address: str) -> Iterator[None]:
    """Turn what requests raises into `Again`, or, where another try is of no use, into an `InputError`."""
    try:
        yield
    except requests.exceptions.SSLError:
        raise InputError(f"{host(address)}: its certificate can't be verified; check the clock and the proxy") from None
    except requests.Timeout:
        raise Again("no answer in time") from None
    except NO_ADDRESS as error:
        raise InputError(f"{host(address)}: no address of a server ({type(error).__name__}); check {ADDRESS}") from None
    except requests.ConnectionError:
        raise Again("no connection") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise Again(f"no answer that could be read ({type(error).__name__})") from None


def chunks(response: requests.Response, patience: Patience) -> Iterator[bytes]:
    """What comes, as it comes, up to the end or a cut; it must not come too slowly."""
    start, brought = time.monotonic(), 0
    while chunk := _read(response):
        yield chunk
        brought += len(chunk)
        elapsed = time.monotonic() - start
        if elapsed >= patience.window:
            if brought < patience.rate * elapsed:
                raise Again(f"only {brought:,} bytes came in {elapsed:.0f} s")
            start, brought = time.monotonic(), 0


def _read(response: requests.Response) -> bytes:
    """Bytes that have come; none at the end."""
    try:
        found: bytes = response.raw.read1(CHUNK_BYTES)
        return found
    except urllib3.exceptions.ReadTimeoutError:
        raise Again("no more bytes came in time") from None
    except (urllib3.exceptions.HTTPError, OSError):
        raise Again("the connection was cut") from None
