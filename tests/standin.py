"""A server that stands in for Numerai's: GraphQL by POST, files by GET, over real HTTP on this machine alone."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SIGNATURE = "signature=5ecret"
HTML = b"<html><body>Sorry, something went wrong</body></html>"


@dataclass
class StandIn:
    """What the server serves, what goes wrong, and what it was asked.

    Parameters
    ----------
    rounds : directory with the files of each round, as `<version>/<file>`.
    current : the round of a query that names none.
    api_fault : "400", "500", "html", "list", "errors", "null" or "stall", or None for answers as they should be.
    file_faults : by path, "404", "html", "cut" (against its Content-Length) or "cut_unsaid" (no length was given).
    """

    rounds: dict[int, Path]
    current: int
    api_fault: str | None = None
    file_faults: dict[str, str] = field(default_factory=dict)
    queries: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The result of one of the two queries."""
        number = variables["round"] or self.current
        if "listDatasets" in query:
            directory = self.rounds[number]
            names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
            return {"data": {"listDatasets": names}}
        return {"data": {"dataset": f"{self.url}/{number}/{variables['filename']}?{SIGNATURE}"}}


@contextmanager
def serving(state: StandIn) -> Iterator[StandIn]:
    """Serve on a free port until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
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
    state: StandIn

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.queries.append(body)
        self.state.headers.append(dict(self.headers))
        match self.state.api_fault:
            case None:
                self._send(200, json.dumps(self.state.answer(body["query"], body["variables"])).encode())
            case "400" | "500" as status:
                self._send(int(status), b'{"message": "no"}')
            case "html":
                self._send(200, HTML)
            case "list":
                self._send(200, b"[]")
            case "errors":
                self._send(200, b'{"errors": [{"message": "unknown round"}]}')
            case "null":
                self._send(200, b'{"data": {"listDatasets": null, "dataset": null}}')
            case "stall":
                self.state.released.wait(30)

    def do_GET(self) -> None:
        number, name = urlsplit(self.path).path.removeprefix("/").split("/", 1)
        self.state.fetched.append(name)
        self.state.headers.append(dict(self.headers))
        content = (self.state.rounds[int(number)] / name).read_bytes()
        match self.state.file_faults.get(name):
            case None:
                self._send(200, content)
            case "404":
                self._send(404, HTML)
            case "html":
                self._send(200, HTML)
            case "cut":
                self._send(200, content[: len(content) // 2], length=len(content))
            case "cut_unsaid":
                self._send(200, content[: len(content) // 2], length=None)

    def _send(self, status: int, body: bytes, length: int | None = -1) -> None:
        """Send an answer; `length` is the one to announce, -1 for the true one, None for none."""
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""
