"""Commands of Python and DVC as forks of a process that has loaded their packages. Loading them would take most of the time.

Each call is a separate process, with its own arguments, environment, directory and output, and runs the code in its directory. It dies
with its client, whatever kills that. Nothing of this project is loaded before the fork.
"""

import _imp
import atexit
import contextlib
import gc
import hashlib
import importlib
import importlib.machinery
import json
import marshal
import os
import pickle
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from ruamel.yaml import YAML

PACKAGES = (
    *("dvc.api", "dvc.cachemgr", "dvc.cli", "dvc.cli.parser", "dvc.data_cloud", "dvc.dvcfile", "dvc.fs", "dvc.lock", "dvc.repo"),
    *("dvc.repo.artifacts", "dvc.repo.checkout", "dvc.repo.datasets", "dvc.repo.experiments.executor.local", "dvc.repo.experiments.run"),
    *("dvc.repo.experiments.queue.celery", "dvc.repo.experiments.queue.tempdir", "dvc.repo.experiments.queue.workspace"),
    *("dvc.repo.experiments.show", "dvc.repo.graph", "dvc.repo.index", "dvc.repo.metrics.diff", "dvc.repo.open_repo", "dvc.repo.params"),
    *("dvc.repo.plots", "dvc.repo.pull", "dvc.repo.push", "dvc.repo.reproduce", "dvc.repo.stage", "dvc.repo.status", "dvc.repo.trie"),
    *("dvc.rwlock", "dvc.scm", "dvc.stage.cache", "dvc.stage.run", "dvc.ui.table", "dvc.utils.hydra", "dvc.utils.strictyaml"),
    *("dvc_data.hashfile.db.local", "dvc_data.hashfile.status", "dvc_data.index.checkout", "dvc_http", "hydra", "networkx", "pygit2"),
    *("platformdirs", "pyparsing", "scmrepo.fs", "scmrepo.git"),
    *("numpy", "pandas", "pandas.io.formats.csvs", "pyarrow.pandas_compat", "pyarrow.parquet", "scipy.linalg", "scipy.special"),
    *("scipy.stats", "statistics", "threadpoolctl"),
    *("pydantic.fields", "pydantic.functional_validators", "pydantic.json_schema", "pydantic.main", "pydantic.type_adapter"),
    *("pydantic.types", "ruamel.yaml"),
    *("cyclopts.completion", "cyclopts.help", "cyclopts.validators", "lightgbm", "matplotlib.backends.backend_agg"),
    *("matplotlib.backends.backend_svg", "matplotlib.figure", "rich.console", "sklearn.linear_model"),
)
"""Packages that are loaded before the first call; a call loads others itself."""

SECONDS = 120
"""Longest wait for the server's first answer."""

CLIENT = r"""#!{python} -IS
import _socket, marshal, os, sys  # few, and none that loads others: they take longer than the rest
name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
if name == "python" and not (arguments and (arguments[0] == "-m" or arguments[0].endswith(".py"))):
    os.execv({python!r}, [{python!r}, *arguments])
call = marshal.dumps({{"name": name, "arguments": arguments, "directory": os.getcwd(), "environment": dict(os.environ)}})
server = _socket.socket(_socket.AF_UNIX)
os.chdir({directory!r})  # the address of a socket must be short
server.connect("socket")
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
server.sendmsg([len(call).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(call)
ended = server.recv(8)
sys.exit(int(ended) if ended else 1)
"""


def start(directory: Path, lives_with: int) -> Path:
    """Start a server for the lifetime of a process; return the directory of its commands, which must be first in PATH."""
    commands = directory / "bin"
    commands.mkdir()
    for name in ("dvc", "python"):
        (commands / name).write_text(CLIENT.format(python=sys.executable, directory=str(directory)))
        (commands / name).chmod(0o755)
    with (directory / "log").open("wb") as log:
        command, environment = [sys.executable, __file__, str(lives_with)], os.environ | {"OMP_WAIT_POLICY": "passive"}
        server = subprocess.Popen(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    until = time.monotonic() + SECONDS
    while not (directory / "socket").exists():
        assert server.poll() is None, (directory / "log").read_text()
        assert time.monotonic() < until, "the server doesn't answer"
        time.sleep(0.05)
    return commands


def _kept(place: Path, made: Callable[[], bytes]) -> bytes:
    """Return the content of a file. The first call that asks for it makes it."""
    if not place.exists():
        new = place.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        new.write_bytes(made())
        new.replace(place)
    return place.read_bytes()


def _compiled_once(directory: Path) -> None:
    """Let all calls share compiled modules, kept by their source: clones have the same code in other directories."""
    directory.mkdir()
    plain = importlib.machinery.SourceFileLoader.source_to_code

    def shared(self: Any, data: bytes, path: str, **options: Any) -> Any:
        place = directory / hashlib.sha256(data).hexdigest()
        code = marshal.loads(_kept(place, lambda: marshal.dumps(plain(self, data, path, **options))))
        _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]
        return code

    importlib.machinery.SourceFileLoader.source_to_code = shared  # type: ignore[method-assign, assignment]


def _parsed_once(directory: Path) -> None:
    """Let all calls share what is read of YAML, kept by its text: DVC reads its files and the settings again and again."""
    directory.mkdir()
    plain = YAML.load

    def shared(self: YAML, stream: Any) -> Any:
        if self.typ != ["safe"] or not isinstance(stream, str):
            return plain(self, stream)
        place = directory / hashlib.sha256(stream.encode()).hexdigest()
        return pickle.loads(_kept(place, lambda: pickle.dumps(plain(self, stream))))

    YAML.load = shared  # type: ignore[method-assign]


def _lock_by_stage() -> None:
    """Let DVC, which for each stage reads all of its lock and writes it anew, do this only for the stage that has changed."""
    from dvc import dvcfile
    from dvc.utils.serialize import _yaml
    from dvc.utils.serialize._common import _modify_data

    plain, written = _yaml.modify_yaml, dict[str, Any]()

    def parsed(text: str, path: str) -> Any:
        known = written.pop(text, None)
        return _yaml.parse_yaml_for_update(text, path) if known is None else known

    @cache
    def text_of(entry: str) -> str:
        return _yaml.dumps_yaml({"stages": json.loads(entry)}).removeprefix("stages:\n")

    def dumped(data: Any, stream: TextIO) -> None:
        assert list(data) == ["schema", "stages"]
        entries = (text_of(json.dumps({name: entry})) for name, entry in data["stages"].items())
        text = _yaml.dumps_yaml({"schema": data["schema"], "stages": None}) + "".join(entries)
        stream.write(text)
        written.clear()
        written[text] = data

    def modify_yaml(path: str, fs: Any = None) -> contextlib.AbstractContextManager[Any]:
        return _modify_data(path, parsed, dumped, fs=fs) if path.endswith("dvc.lock") else plain(path, fs)

    assert dvcfile.modify_yaml is plain
    dvcfile.modify_yaml = modify_yaml


class _Calls:
    """The calls that run: the process of each by its client, and both by a descriptor that is ready when the process has ended."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.waiting: dict[socket.socket, int] = {}
        self.running: dict[int, tuple[int, socket.socket]] = {}

    def next(self) -> dict[str, Any] | None:
        """Wait up to a second for what happens next; return a call in the new process of it, and None here."""
        awaited: list[Any] = [self.listening, *self.running, *self.waiting]
        for ready in select.select(awaited, [], [], 1)[0]:
            if ready is self.listening:
                if call := self._begun():
                    return call
            elif ready in self.running:  # before its client, which else would kill a process that has ended
                self._answer(ready)
            elif ready in self.waiting:
                self._kill(self.waiting.pop(ready))
        return None

    def end(self) -> None:
        """Kill all calls."""
        for process in self.waiting.values():
            self._kill(process)

    def _kill(self, process: int) -> None:
        """Kill a call and all that it has started, as what has killed its client would have done."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)

    def _begun(self) -> dict[str, Any] | None:
        client, _ = self.listening.accept()
        client.settimeout(SECONDS)
        length, descriptors, _, _ = socket.recv_fds(client, 4, 3)
        with client.makefile("rb") as sent:
            call = sent.read(int.from_bytes(length))
        if not length or len(call) < int.from_bytes(length):
            client.close()  # it was killed before it had sent all
        elif process := os.fork():
            with contextlib.suppress(OSError):  # the call does the same; whichever comes first
                os.setpgid(process, process)
            self.waiting[client] = process
            self.running[os.pidfd_open(process)] = process, client
        else:
            return self._call(client, descriptors, call)
        for descriptor in descriptors:
            os.close(descriptor)
        return None

    def _call(self, client: socket.socket, descriptors: Sequence[int], sent: bytes) -> dict[str, Any]:
        os.setpgid(0, 0)
        for other in (self.listening, client, *self.waiting):
            other.close()
        for descriptor in self.running:
            os.close(descriptor)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        call: dict[str, Any] = marshal.loads(sent)
        return call

    def _answer(self, ended: int) -> None:
        process, client = self.running.pop(ended)
        self.waiting.pop(client, None)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.close(ended)
        with client, contextlib.suppress(OSError):
            client.sendall(str(code if code >= 0 else 128 - code).encode())


def _serve(lives_with: int) -> dict[str, Any] | None:
    """Answer calls until a process has ended; in the process of a call, return the call."""
    for name in PACKAGES:
        importlib.import_module(name)
    _compiled_once(Path("compiled").absolute())
    _parsed_once(Path("parsed").absolute())
    _lock_by_stage()
    gc.collect()
    gc.freeze()  # else the processes of calls would copy all memory that they share with this one
    gc.disable()  # they end before their garbage matters, and looking for it takes a tenth of their time
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.new")
        listening.listen(64)
        Path("socket.new").rename("socket")
        calls = _Calls(listening)
        while _lives(lives_with):
            if call := calls.next():
                return call
        calls.end()
    return None


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _run(call: dict[str, Any], own: Sequence[str]) -> None:
    """Run a call in this process with its own directory, environment and arguments; commands that it starts are served too."""
    sys.executable = str(Path("bin/python").absolute())
    os.chdir(call["directory"])
    os.environ.clear()
    os.environ.update(call["environment"])
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    arguments: list[str] = call["arguments"]
    searched = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *own]
    if call["name"] == "dvc":
        sys.argv, sys.path = ["dvc", *arguments], searched
        from dvc.cli import main

        sys.exit(main(arguments))
    elif arguments[0] == "-m":
        sys.argv, sys.path = arguments[1:], [call["directory"], *searched]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path = arguments, [str(Path(arguments[0]).resolve().parent), *searched]
        runpy.run_path(sys.argv[0], run_name="__main__")


def _end_after(call: dict[str, Any], own: Sequence[str]) -> None:
    """Run a call, and end this process as Python does, but without freeing its memory, which takes time."""
    code: object = 0
    try:
        _run(call, own)
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    searched_by_all = [place for place in sys.path[1:] if place not in inherited]
    if wanted := _serve(int(sys.argv[1])):
        _end_after(wanted, searched_by_all)
