"""Requests and their answers: a server's description of a file, its bytes, and errors in words."""

import base64
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3

from erawise.running.errors import InputError
from erawise.sources.numerai.attempts import ADDRESS, BUSY, GONE, Absent, Again, Patience, Refused, host
from erawise.sources.numerai.records import Remote

NO_ADDRESS = (requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL)
CHUNK_BYTES = 2**20
DIGEST_BYTES = {"sha256": 32, "md5": 16}

# At lower levels it logs whole addresses, and their signature is a secret.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Session(requests.Session):
    """Requests that never send a user and password from a .netrc, also after a redirect: a signed address refuses them."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = lambda request: request

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Remove the authorization before a redirect to another address."""
        prepared_request.headers.pop("Authorization", None)


@contextmanager
def answer(session: Session, address: str, headers: dict[str, str], patience: Patience) -> Iterator[requests.Response]:
    """Yield the answer to a GET before its body."""
    with reached(address):
        response = session.get(address, headers=headers, stream=True, timeout=(patience.connection, patience.silence))
    with response:
        yield response


@contextmanager
def reached(address: str) -> Iterator[None]:
    """Turn the errors of requests into `Again`, or into an `InputError` if another try is of no use."""
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
    """Yield the body in pieces as it comes; raise `Again` if it is cut or comes too slowly."""
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
    """Return the next bytes; no bytes at the end."""
    try:
        found: bytes = response.raw.read1(CHUNK_BYTES)
        return found
    except urllib3.exceptions.ReadTimeoutError:
        raise Again("no more bytes came in time") from None
    except (urllib3.exceptions.HTTPError, OSError):
        raise Again("the connection was cut") from None


def refusal(response: requests.Response, what: str, patience: Patience) -> Exception:
    """Return the error for an answer without a file."""
    status = response.status_code
    said = f"the answer is HTTP status {status}"
    if status in BUSY:
        return (Refused if status >= 500 else Again)(said, retry_after(response, patience))
    if status in GONE:
        return Again(said, relocate=True)
    return (Absent if status == 404 else InputError)(f"{host(response.url)}: {what} can't be fetched: {said}")


def retry_after(response: requests.Response, patience: Patience) -> float | None:
    """Return the seconds that the server asks to wait, if it gives a number, but at most ten of the longest pauses."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), 10 * patience.longest_pause) if text.isdecimal() else None


def require_plain(response: requests.Response, what: str) -> None:
    """Raise `InputError` if the body is encoded."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise InputError(f"{host(response.url)}: {what} comes encoded by {encoding}, which was not asked for; it isn't used")


def described(response: requests.Response) -> Remote:
    """Return the description of a whole file from its headers."""
    length = response.headers.get("Content-Length", "")
    return Remote(
        int(length) if length.isdecimal() else None,
        response.headers.get("ETag"),
        response.headers.get("Last-Modified"),
        _checksum(response.headers),
    )


def _checksum(headers: Any) -> str | None:
    found = {
        "sha256": headers.get("x-amz-checksum-sha256") or _part(headers.get("Repr-Digest"), r"sha-256=:([^:]+):"),
        "md5": headers.get("Content-MD5") or _part(headers.get("x-goog-hash"), r"md5=([^,\s]+)"),
    }
    for algorithm, text in found.items():
        try:
            content = base64.b64decode(text or "", validate=True)
        except ValueError:  # S3's checksum of parts ends in their number, and isn't the file's
            continue
        if len(content) == DIGEST_BYTES[algorithm]:
            return f"{algorithm}:{content.hex()}"
    return None


def _part(header: str | None, pattern: str) -> str | None:
    found = re.search(pattern, header or "")
    return found.group(1) if found else None


def conditions(remote: Remote) -> dict[str, str]:
    """Return headers with which the server answers without the file if it is still `remote`."""
    given = {"If-None-Match": remote.etag, "If-Modified-Since": remote.modified}
    return {name: value for name, value in given.items() if value}


def content_range(response: requests.Response) -> tuple[int, int, int | None] | None:
    """Return start, stop and the whole's length (None if unknown) of the part that a 206 brings; None if it doesn't say them."""
    stated = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    return None if stated is None else (int(stated[1]), int(stated[2]) + 1, None if stated[3] == "*" else int(stated[3]))


def is_part(response: requests.Response, start: int, stop: int | None, remote: Remote) -> bool:
    """Return whether a 206 brings the bytes from `start` to before `stop` of the same file that was begun."""
    stated = content_range(response)
    if stated is None or stated[:2] != (start, stop):
        return False
    return stated[2] in (None, remote.length) and response.headers.get("ETag") == remote.etag
