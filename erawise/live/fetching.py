"""A file over HTTP, whole or not at all: repeated where that helps, resumed where that is safe, checked before it takes its name."""

import base64
import fcntl
import hashlib
import logging
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3
from tqdm import tqdm

from erawise import files
from erawise.errors import InputError, Unavailable

ADDRESS = "ERAWISE_API_URL"
"""The variable of the environment that names another address of the API."""

NO_ADDRESS = (requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL)
CHUNK_BYTES = 2**20
SPARE_BYTES = 64 * 2**20
"""Bytes that must stay free on the disk beside a file."""

GONE = {400, 401, 403, 410}
"""What a signed address answers once it has expired: a new one is asked for."""

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
class Record:
    """A file that was fetched: what the server said, and what is on the disk."""

    remote: Remote
    size: int
    sha256: str

    def content(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, content: dict[str, Any]) -> "Record":
        return cls(Remote.of(content["remote"]), int(content["size"]), str(content["sha256"]))


class Again(Exception):
    """A try that failed and may be repeated, `after` so many seconds where the server gives them, elsewhere where the address is gone."""

    def __init__(self, reason: str, after: float | None = None, *, relocate: bool = False) -> None:
        super().__init__(reason)
        self.after, self.relocate = after, relocate


def fetch(
    locate: Callable[[], str],
    path: Path,
    what: str,
    *,
    known: Callable[[], Record | None] = lambda: None,
    done: Callable[[Record], None] = lambda record: None,
    check: Callable[[Path], None] = lambda path: None,
    patience: Patience | None = None,
) -> Record:
    """Fetch a file, or find that the one that is there is still the server's.

    What came of it lies beside `path` until all is there, and a later call goes on from it where the server still has the
    same content. Two calls for one path at a time, from whatever processes, take turns.

    Parameters
    ----------
    locate : gives an address of the file; asked again where one has expired.
    path : of the file; its directory must exist.
    what : the file's name in messages.
    known : gives the record of the file that lies at `path`, where it was fetched before.
    done : is given the record of the file that is there in the end, before another call for the path has its turn.
    check : raises `InputError` where a file that has come can't be used; it is given the path under which that lies for now.
    patience : with the server.

    Raises
    ------
    InputError
        If the file can't be had, doesn't fit its checksum, can't be used, or the disk has no room for it.
    """
    with alone(path, what):
        record = _Fetching(locate, path, what, known(), check, patience or Patience()).run()
        done(record)
        return record


class _Fetching:
    def __init__(
        self,
        locate: Callable[[], str],
        path: Path,
        what: str,
        known: Record | None,
        check: Callable[[Path], None],
        patience: Patience,
    ) -> None:
        self.locate, self.path, self.what, self.check, self.patience = locate, path, what, check, patience
        self.known = known if known is not None and path.is_file() and digest(path) == known.sha256 else None
        self.partial = path.with_name(f".{path.name}.partial")
        self.notes = path.with_name(f".{path.name}.partial.json")
        self.most = self._held()

    def run(self) -> Record:
        address, failed = self.locate(), 0
        while True:
            try:
                return self._try(address)
            except Again as problem:
                failed = 1 if self._held() > self.most else failed + 1
                self.most = max(self.most, self._held())
                if failed >= self.patience.tries:
                    raise Unavailable(f"{host(address)}: {self.what} can't be fetched: {problem} ({failed} tries)") from None
                pause = self.patience.before(failed) if problem.after is None else problem.after
                print(f"{self.what}: {problem}; again in {pause:.0f} s", file=sys.stderr, flush=True)
                time.sleep(pause)
                if problem.relocate:
                    address = self.locate()

    def _held(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _try(self, address: str) -> Record:
        start, remote = self._resumable()
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": str(remote.strong)}
        elif self.known is not None:
            headers |= _conditions(self.known.remote)
        with _answer(address, headers, self.patience) as response:
            if response.status_code == 304 and self.known is not None:
                return self.known
            if response.status_code == 206 and start:
                if not _continues(response, start, remote):
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
                raise self._refusal(response, address)
            _require_plain(response, self.what)
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
        with self.partial.open("r+b" if start else "wb") as file, _bar(self.what, remote.length, start) as bar:
            file.seek(start)
            file.truncate()
            try:
                for chunk in _chunks(response, self.patience):
                    file.write(chunk)
                    bar.update(len(chunk))
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
        try:
            self.check(self.partial)
        except InputError as error:
            problem = str(error).removeprefix(f"{self.partial}: ")
            self._forget()
            raise InputError(f"what came as {self.what} can't be used: {problem}") from None
        record = Record(remote, self._held(), digest(self.partial))
        self.partial.replace(self.path)
        files.remove(self.notes)
        return record

    def _forget(self) -> None:
        files.remove(self.partial)
        files.remove(self.notes)

    def _refusal(self, response: requests.Response, address: str) -> Exception:
        status = response.status_code
        said = f"the answer is HTTP status {status}"
        if status in BUSY:
            return Again(said, retry_after(response, self.patience))
        if status in GONE:
            return Again(said, relocate=True)
        return InputError(f"{host(address)}: {self.what} can't be fetched: {said}")

    def _require_room(self, remote: Remote, start: int) -> None:
        needed = (remote.length or 0) - start + SPARE_BYTES
        free = shutil.disk_usage(self.path.parent).free
        if free < needed:
            raise InputError(f"{self.what}: it takes {needed / 1e9:.2f} GB, and {self.path.parent} has {free / 1e9:.2f} GB free; make room")


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


def _conditions(remote: Remote) -> dict[str, str]:
    given = {"If-None-Match": remote.etag, "If-Modified-Since": remote.modified}
    return {name: value for name, value in given.items() if value}


def _continues(response: requests.Response, start: int, remote: Remote) -> bool:
    """Whether a 206 is the rest of the very file that was begun."""
    stated = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if stated is None or int(stated[1]) != start or int(stated[2]) + 1 != remote.length:
        return False
    return stated[3] in ("*", str(remote.length)) and response.headers.get("ETag") == remote.etag


def _require_plain(response: requests.Response, what: str) -> None:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise InputError(f"{host(response.url)}: {what} comes encoded by {encoding}, which was not asked for; it isn't taken")


@contextmanager
def _answer(address: str, headers: dict[str, str], patience: Patience) -> Iterator[requests.Response]:
    with Session() as session, reached(address):
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


def _chunks(response: requests.Response, patience: Patience) -> Iterator[bytes]:
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


def _bar(what: str, length: int | None, start: int) -> "tqdm[Any]":
    return tqdm(
        total=length, initial=start, desc=what, unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=not sys.stderr.isatty()
    )


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of a path, and say so where that takes waiting; the file that carries it stays."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{what}: another process is at it; waiting for its end", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
