"""A server that starts a command when it is called with the token, one run at a time."""

import hmac
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from erawise.live import keys
from erawise.running import paths
from erawise.running.errors import InputError

TOKEN = "ERAWISE_WEBHOOK_TOKEN"
"""The environment variable of the token."""

LEAST_TOKEN = 16
MOST_BYTES = 2**16
"""Most bytes of a call's body, which isn't read further."""

SILENCE = 10
"""Seconds after which a silent caller is disconnected."""


class Runner:
    """A command that runs at most once at a time.

    Attributes
    ----------
    last : exit code of the last run; None before a run has ended.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command, self._lock = list(command), threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self.last: int | None = None

    def start(self) -> bool:
        """Start a run unless the command is running; return whether it was started."""
        with self._lock:
            if self._is_running():
                return False
            self._running = subprocess.Popen(self._command)
            return True

    @property
    def is_running(self) -> bool:
        with self._lock:
            return self._is_running()

    def _is_running(self) -> bool:
        if self._running is not None and (code := self._running.poll()) is not None:
            self.last, self._running = code, None
        return self._running is not None


def serve(host: str, port: int, minutes: float) -> None:
    """Serve until Ctrl-C; a call starts `erawise submit`, which waits so many minutes for the round.

    Raises
    ------
    InputError
        If there is no usable token, or the address can't be used.
    """
    [token] = keys.values([TOKEN], os.environ, paths.ENVIRONMENT)
    runner = Runner([sys.executable, "-m", "erawise", "submit", "--wait", str(minutes)])
    with server(host, port, token, runner) as listening:
        try:
            print(f"listening on {host}:{listening.server_port}", flush=True)
            listening.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


def server(host: str, port: int, token: str, runner: Runner) -> ThreadingHTTPServer:
    """Return a server that listens.

    A POST to `/<token>` starts a run and gives 202, or 200 if a run is going on. A GET of `/health` reports the last run.

    Raises
    ------
    InputError
        If the token is so short that it could be guessed, or the address can't be used.
    """
    if len(token) < LEAST_TOKEN:
        raise InputError(f"{TOKEN}: it has {len(token)} characters; expected at least {LEAST_TOKEN}, which can't be guessed")
    try:
        return ThreadingHTTPServer((host, port), type("Handler", (_Handler,), {"token": token, "runner": runner}))
    except OSError as error:
        raise InputError(f"{host}:{port}: can't be used ({error.strerror}); choose another --host or --port") from None


class _Handler(BaseHTTPRequestHandler):
    token: str
    runner: Runner
    timeout = SILENCE
    server_version, sys_version = "erawise", ""

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self._answer(413, {"error": "too long"})
            return
        self.rfile.read(int(length))
        if not hmac.compare_digest(self.path.encode(), f"/{self.token}".encode()):
            self._answer(404, {"error": "nothing here"})
            return
        started = self.runner.start()
        self._answer(202 if started else 200, {"started": started})

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, {"running": self.runner.is_running, "last": self.runner.last})
        else:
            self._answer(404, {"error": "nothing here"})

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Ignore the message: the path of a call is a secret."""
