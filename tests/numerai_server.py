"""A stand-in for Numerai's server: GraphQL by POST and files by GET, over real HTTP only on this machine, with faults to order."""

import base64
import gzip
import hashlib
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from numerai_account import NumeraiAccount

SIGNATURE = "signature=5ecret"
HTML = b"<html><body>Sorry, something went wrong</body></html>"


@dataclass(frozen=True)
class Fault:
    """A fault in the answer to a request.

    Parameters
    ----------
    kind : a status such as "500"; "html" with status 200; for the API also "list", "errors", "null", "stall" and "cut"; for a file
        "cut" (against its Content-Length), "cut_unsaid" (without a length), "chunked_cut" (in a chunk), "short" (the stated length
        is too small), "long" (it is too large), "stall" and "drip" (a byte now and then), each after `at` bytes; "whole" (the Range is
        ignored), "range_500" (a request for a range is answered by 500), "spliced" (If-Range is ignored, and the ETag belongs to
        another file), "silent" (If-Range is ignored, and there is no ETag), "encoded" (by gzip, unasked), "redirected" (to another
        address), "garbled" (a byte is changed), "shifted" (the Content-Range and the bytes of a part are one byte further on),
        "unsaid" (there is no Content-Range).
    at : bytes after which the fault comes; None for half of them.
    after : the Retry-After of an answer.
    message : the text of "errors".
    """

    kind: str
    at: int | None = None
    after: int | None = None
    message: str = "unknown round"


@dataclass
class NumeraiServer:
    """The server's files, its faults and a record of requests. An account is in `NumeraiAccount`.

    Parameters
    ----------
    rounds : directory with the files of each round, as `<version>/<file>`.
    current : the round of a query that names no round.
    api_faults : faults of the next queries, one each; None for a right answer. The last one stays.
    file_faults : by path, the same for the next requests of it.
    etags : "strong", "weak" or None.
    checksums : whether files come with an `x-amz-checksum-sha256`.
    put_faults : faults of the next files that are put there, one each; the last one stays.
    sent_faults : the same for the next files of submissions that are read back.
    lost : faults in the answers to the next mutations, which are carried out: "500", "cut", "stall", "html" or "null".
    slow : seconds by which the server's clock is behind.
    watch : called before each GET is answered, with the number of GETs.
    """

    rounds: dict[int, Path]
    current: int
    api_faults: list[Fault | None] = field(default_factory=list)
    file_faults: dict[str, list[Fault | None]] = field(default_factory=dict)
    etags: str | None = "strong"
    checksums: bool = False
    put_faults: list[Fault | None] = field(default_factory=list)
    sent_faults: list[Fault | None] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    slow: float = 0
    account: NumeraiAccount = field(default_factory=NumeraiAccount)
    queries: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    watch: Callable[[int], None] = lambda number: None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    released: threading.Event = field(default_factory=threading.Event, repr=False)
    url: str = ""

    def answer(self, query: str, variables: dict[str, Any], authorization: str | None) -> dict[str, Any]:
        """Return the result of a query."""
        number = variables.get("round") or self.current
        found = self.account.answer(query, variables, authorization, self.url)
        if found is not None:
            return found
        if "listDatasets" in query:
            directory = self.rounds[number]
            names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
            return {"data": {"listDatasets": names}}
        if "dataset" in query:
            return {"data": {"dataset": f"{self.url}/{number}/{variables['filename']}?{SIGNATURE}&asked={len(self.queries)}"}}
        if "rounds" in query:
            return self.account.rounds(variables.get("number") or self.current, sorted({*self.rounds, self.current}))
        return {"errors": [{"message": "the query is none that is known"}]}

    def next_fault(self, faults: list[Fault | None]) -> Fault | None:
        return faults.pop(0) if len(faults) > 1 else faults[0] if faults else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that has gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(state: NumeraiServer) -> Iterator[NumeraiServer]:
    """Serve on a free port until the block ends."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: NumeraiServer
    name = ""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.queries.append(body)
        self.state.headers.append(dict(self.headers))
        fault = self.state.next_fault(self.state.api_faults)
        if self.state.lost and "mutation" in body["query"]:
            answer = self.state.answer(body["query"], body["variables"] or {}, self.headers["Authorization"])
            fault = Fault(self.state.lost.pop(0))
            if fault.kind == "null":
                self._send(200, json.dumps({"data": dict.fromkeys(answer["data"])}).encode())
                return
        match fault and fault.kind:
            case None:
                self._send(
                    200, json.dumps(self.state.answer(body["query"], body["variables"] or {}, self.headers["Authorization"])).encode()
                )
            case "html":
                self._send(200, HTML)
            case "list":
                self._send(200, b"[]")
            case "errors":
                self._send(200, json.dumps({"errors": [{"message": fault.message if fault else ""}]}).encode())
            case "null":
                self._send(200, b'{"data": {"listDatasets": null, "dataset": null}}')
            case "stall":
                self.state.released.wait(30)
            case "cut":
                self._send_chunked(b'{"data": {"rounds"')
            case status:
                self._send(int(str(status)), b'{"message": "no"}', headers=_retry_after(fault))

    def do_PUT(self) -> None:
        """Keep a file that was put to an address that the server gave, or refuse it."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.state.next_fault(self.state.put_faults)
        self.state.headers.append(dict(self.headers))
        if fault and fault.kind == "stall":
            self.state.released.wait(30)
        elif fault:
            self._send(int(fault.kind), HTML, headers=_retry_after(fault))
        else:
            self.state.account.put(urlsplit(self.path).path.removeprefix("/put/"), content)
            self._send(200, b"")

    def do_GET(self) -> None:
        if self.path.startswith("/sent/"):
            missing = self.state.next_fault(self.state.sent_faults)
            if missing:
                self._send(int(missing.kind), HTML)
                return
            self._send(200, self.state.account.sent(urlsplit(self.path).path.removeprefix("/sent/")))
            return
        number, name = urlsplit(self.path).path.removeprefix("/").split("/", 1)
        state, self.name = self.state, name
        with state.lock:
            state.fetched.append(name)
            state.headers.append(dict(self.headers))
            state.ranges.append(self.headers["Range"])
            state.watch(len(state.fetched))
            content = (state.rounds[int(number)] / name).read_bytes()
            fault = state.next_fault(state.file_faults.get(name, []))
        kind = fault.kind if fault else ""
        if kind.isdigit():
            self._send(int(kind), HTML, headers=_retry_after(fault))
        elif kind == "html":
            self._send(200, HTML)
        elif kind == "redirected" and "elsewhere" not in self.path:
            self._send(302, b"", headers={"Location": f"{state.url.replace('127.0.0.1', 'localhost')}{self.path}&elsewhere"})
        elif kind == "range_500" and self.headers["Range"]:
            self._send(500, HTML)
        else:
            self._send_file(content, fault)

    def _send_file(self, content: bytes, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        headers = self._described(content, kind)
        if headers.get("ETag") and self.headers["If-None-Match"] == headers["ETag"]:
            self._send(304, b"", headers=headers)
            return
        status, start, stop = 200, 0, len(content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", _from_its_start(self.headers["Range"] or "", len(content)))
        if asked and kind != "whole" and (kind in ("spliced", "silent") or self.headers["If-Range"] in (None, headers.get("ETag"))):
            start, stop = int(asked[1]), min(int(asked[2] or len(content)) + bool(asked[2]), len(content))
            if start >= len(content):
                self._send(416, b"")
                return
            status = 206
            if kind == "shifted":
                start, stop = start + 1, min(stop + 1, len(content))
            if kind != "unsaid":
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        body = content[start:stop]
        at = len(body) // 2 if fault is None or fault.at is None else fault.at
        match kind:
            case "cut":
                self._send(status, body[:at], length=len(body), headers=headers)
            case "cut_unsaid":
                self._send(status, body[:at], length=None, headers=headers)
            case "chunked_cut":
                self._send_chunked(body[:at], headers)
            case "encoded":
                self._send(status, gzip.compress(body), headers=headers | {"Content-Encoding": "gzip"})
            case "short":
                self._send(status, body, length=at, headers=headers)
            case "long":
                self._send(status, body, length=len(body) + 10, headers=headers)
            case "stall" | "drip":
                self._send(status, body[:at], length=len(body), headers=headers)
                self._trickle(body[at:] if kind == "drip" else b"")
            case "garbled":
                self._send(status, bytes([body[0] ^ 1]) + body[1:], headers=headers)
            case _:
                self._send(status, body, headers=headers)

    def _described(self, content: bytes, kind: str) -> dict[str, str]:
        sha256 = hashlib.sha256(content).digest()
        headers = {}
        if self.state.etags and kind != "silent":
            other = "other" if kind == "spliced" else ""
            headers["ETag"] = ("W/" if self.state.etags == "weak" else "") + f'"{other}{sha256.hex()[:16]}"'
        if self.state.checksums:
            headers["x-amz-checksum-sha256"] = base64.b64encode(sha256).decode()
        return headers

    def _trickle(self, rest: bytes) -> None:
        """Send bytes one by one for a minute at most, or no bytes, until the client or the server gives up."""
        for number in range(1200):
            if self.state.released.wait(0.05):
                return
            try:
                self.wfile.write(rest[number : number + 1])
            except OSError:
                return

    def _send(self, status: int, body: bytes, length: int | None = -1, headers: dict[str, str] | None = None) -> None:
        """Send an answer; `length` is the stated length, -1 for the true length, None for no length."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        if self.command == "GET" and self.name:
            with self.state.lock:
                self.state.sent[self.name] += len(body)
        self.wfile.write(body)
        self.wfile.flush()

    def _send_chunked(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send an answer in one chunk that is cut before its end."""
        self.protocol_version = "HTTP/1.1"
        self.close_connection = True
        self.send_response(200)
        for name, value in {**(headers or {}), "Transfer-Encoding": "chunked", "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(f"{len(body) + 7:x}\r\n".encode() + body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the date of answers."""
        return super().date_time_string(time.time() - self.state.slow if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing to stderr."""


def _from_its_start(asked: str, length: int) -> str:
    """Return a range with its first byte, also if it names a number of last bytes."""
    suffix = re.fullmatch(r"bytes=-(\d+)", asked)
    return f"bytes={max(0, length - int(suffix[1]))}-" if suffix else asked


def _retry_after(fault: Fault | None) -> dict[str, str]:
    return {} if fault is None or fault.after is None else {"Retry-After": str(fault.after)}
