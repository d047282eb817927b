"""A call that starts a run: for anyone who knows the token, one at a time."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from closure import ROOT

from erawise.live import webhook_server
from erawise.live.webhook_server import Runner
from erawise.running.errors import InputError

TOKEN = "0123456789abcdef-token"
WAIT = 20


def script(directory: Path, content: str) -> Runner:
    path = directory / "run.py"
    path.write_text(content)
    return Runner([sys.executable, str(path)])


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Return a file; a run ends once it exists."""
    return tmp_path / "gate"


@pytest.fixture
def address(tmp_path: Path, gate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "*")
    log = tmp_path / "log"
    runner = script(
        tmp_path,
        f"import pathlib, sys, time\nopen({str(log)!r}, 'a').write('run\\n')\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(.01)\nsys.exit(3)\n",
    )
    with webhook_server.server("127.0.0.1", 0, TOKEN, runner) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        gate.touch()
        server.shutdown()
        thread.join()


def health(address: str) -> dict[str, object]:
    found: dict[str, object] = requests.get(f"{address}/health", timeout=5).json()
    return found


def test_a_call_starts_one_run_at_a_time(address: str, gate: Path, tmp_path: Path) -> None:
    assert health(address) == {"running": False, "last": None}
    first = requests.post(f"{address}/{TOKEN}", json={"roundNumber": 7}, timeout=5)
    assert (first.status_code, first.json()) == (202, {"started": True})
    second = requests.post(f"{address}/{TOKEN}", timeout=5)
    assert (second.status_code, second.json()) == (200, {"started": False})
    assert health(address)["running"] is True
    gate.touch()
    until = time.monotonic() + WAIT
    while health(address)["running"] and time.monotonic() < until:
        time.sleep(0.02)
    assert health(address) == {"running": False, "last": 3}
    assert (tmp_path / "log").read_text() == "run\n"
    assert requests.post(f"{address}/{TOKEN}", timeout=5).status_code == 202


@pytest.mark.parametrize("path", ["", "0123456789abcdef-tokeN", f"{TOKEN}/", f"x/{TOKEN}", "health"])
def test_without_the_token_nothing_starts(address: str, path: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert requests.post(f"{address}/{path}", timeout=5).status_code == 404
    assert requests.get(f"{address}/{TOKEN}", timeout=5).status_code == 404
    assert health(address) == {"running": False, "last": None}
    assert TOKEN not in "".join(capfd.readouterr())


def test_a_call_that_says_too_much_is_refused(address: str) -> None:
    assert requests.post(f"{address}/{TOKEN}", data=b"x" * (2**16 + 1), timeout=5).status_code == 413
    assert health(address)["running"] is False


def test_a_short_token_and_a_port_in_use_are_errors(tmp_path: Path, address: str) -> None:
    runner = script(tmp_path, "")
    with pytest.raises(InputError, match="ERAWISE_WEBHOOK_TOKEN: it has 5 characters; expected at least 16"):
        webhook_server.server("127.0.0.1", 0, "short", runner)
    with pytest.raises(InputError, match=r"can't be used \(Address already in use\); choose another --host or --port"):
        webhook_server.server("127.0.0.1", int(address.rsplit(":", 1)[1]), TOKEN, runner)


def test_the_command_listens_and_runs_submit(workspace_directory: Path, commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    environment = os.environ | {"PYTHONPATH": str(ROOT), webhook_server.TOKEN: TOKEN}
    command = [str(commands / "python"), "-m", "erawise", "webhook", "--port", "0", "--wait", "0"]
    with subprocess.Popen(
        command, cwd=workspace_directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stdout is not None
            port = run.stdout.readline().strip().rsplit(":", 1)[1]
            address = f"http://127.0.0.1:{port}"
            assert requests.post(f"{address}/{TOKEN}", timeout=5).status_code == 202
            until = time.monotonic() + 60
            while health(address)["running"] and time.monotonic() < until:
                time.sleep(0.05)
            assert health(address)["last"] == 1
        finally:
            run.terminate()
            _, errors = run.communicate()
    assert "submit.models: there is no model to hand in for" in errors


@pytest.fixture
def workspace_directory(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    return tmp_path
