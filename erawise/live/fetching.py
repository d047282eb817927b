"""A file over HTTP, whole or not at all: repeated where that helps, resumed where that is safe, checked before it takes its name."""

import base64
import fcntl
import hashlib
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
from erawise.errors import InputError

CHUNK_BYTES = 2**20
SPARE_BYTES = 64 * 2**20
"""Bytes that must stay free on the disk beside a file."""

GONE = {401, 403, 410}
"""What a signed address answers once it has expired: a new one is asked for."""

BUSY = {408, 425, 429, 500, 502, 503, 504}
"""What is worth another try."""


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
        return cls(Remote(**content["remote"]), int(content["size"]), str(content["sha256"]))


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
    known: Record | None = None,
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
    known : of the file that lies at `path`, where it was fetched before.
    check : raises `InputError` where a file that has come can't be used; it is given the path under which that lies for now.
    patience : with the server.

    Raises
    ------
    InputError
        If the file can't be had, doesn't fit its checksum, can't be used, or the disk has no room for it.
    """
    with alone(path):
        return _Fetching(locate, path, what, known, check, patience or Patience()).run()


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

    def run(self) -> Record:
        address, failed, most = self.locate(), 0, self._held()
        while True:
            try:
                return self._try(address)
            except Again as problem:
                failed = 1 if self._held() > most else failed + 1
                most = max(most, self._held())
                if failed >= self.patience.tries:
                    raise InputError(f"{host(address)}: {self.what} can't be fetched: {problem} ({failed} tries)") from None
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
                start, remote = 0, described(response)
                if (
                    self.known is not None
                    and remote.strong
                    and (remote.strong, remote.length) == (self.known.remote.strong, self.known.size)
                ):
                    return self.known
            else:
                if response.status_code == 416:
                    self._forget()
                raise self._refusal(response, address)
            self._require_room(remote, start)
            files.write_json(asdict(remote), self.notes)
            self._receive(response, start, remote)
        return self._finish(remote)

    def _resumable(self) -> tuple[int, Remote]:
        """Bytes that are there of the file, and what it was when they came; 0 where nothing proves that they are still of it."""
        if not (self.partial.exists() and self.notes.exists()):
            return 0, Remote()
        try:
            remote = Remote(**files.read_json(self.notes))
        except (InputError, TypeError):
            return 0, Remote()
        held = self._held()
        if remote.strong is None or remote.length is None or held > remote.length:
            return 0, Remote()
        return min(held, remote.length - 1), remote

    def _receive(self, response: requests.Response, start: int, remote: Remote) -> None:
        with self.partial.open("r+b" if start else "wb") as file, _bar(self.what, remote.length, start) as bar:
            file.seek(start)
            file.truncate()
            for chunk in _chunks(response, self.patience):
                file.write(chunk)
                bar.update(len(chunk))
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
        if status in BUSY or status == 416:
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
        int(length) if length.isdigit() else None,
        response.headers.get("ETag"),
        response.headers.get("Last-Modified"),
        _checksum(response.headers),
    )


def host(address: str) -> str:
    """An address without user, password and query, which may be secret."""
    return re.sub(r"//[^/@]*@", "//", re.split(r"[?#]", address)[0])


def retry_after(response: requests.Response, patience: Patience) -> float | None:
    """Seconds that the server asks for, if it gives them as a number; not more than ten of the longest pauses."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), 10 * patience.longest_pause) if text.isdigit() else None


def no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Nothing from a .netrc: an address that is signed needs no more, and refuses it."""
    return request


def _checksum(headers: Any) -> str | None:
    found = {
        "sha256": headers.get("x-amz-checksum-sha256") or _part(headers.get("Repr-Digest"), r"sha-256=:([^:]+):"),
        "md5": headers.get("Content-MD5") or _part(headers.get("x-goog-hash"), r"md5=([^,\s]+)"),
    }
    for algorithm, text in found.items():
        if text and "-" not in text:  # S3's checksum of parts ends in their number, and is none of the file
            return f"{algorithm}:{base64.b64decode(text).hex()}"
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
    return stated[3] in ("*", str(remote.length)) and response.headers.get("ETag", remote.etag) == remote.etag


@contextmanager
def _answer(address: str, headers: dict[str, str], patience: Patience) -> Iterator[requests.Response]:
    try:
        response = requests.get(address, headers=headers, stream=True, timeout=(patience.connection, patience.silence), auth=no_auth)
    except requests.exceptions.SSLError as error:
        raise InputError(
            f"{host(address)}: its certificate can't be verified ({type(error).__name__}); check the clock and the proxy"
        ) from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise Again("no answer in time" if isinstance(error, requests.Timeout) else "no connection") from None
    except requests.RequestException as error:
        raise InputError(f"{host(address)}: {type(error).__name__}: it is no address of a file") from None
    with response:
        yield response


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
    """Bytes that have come; none at the end, and where the connection was cut, which the number of bytes tells apart."""
    try:
        found: bytes = response.raw.read1(CHUNK_BYTES)
        return found
    except urllib3.exceptions.ReadTimeoutError:
        raise Again("no more bytes came in time") from None
    except (urllib3.exceptions.HTTPError, OSError):
        return b""


def _bar(what: str, length: int | None, start: int) -> "tqdm[Any]":
    return tqdm(
        total=length, initial=start, desc=what, unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=not sys.stderr.isatty()
    )


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of a path; the file that carries it stays."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
