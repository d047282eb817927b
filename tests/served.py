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
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

PACKAGES = (
    *("dvc.api", "dvc.cachemgr", "dvc.cli", "dvc.cli.parser", "dvc.data_cloud", "dvc.dvcfile", "dvc.fs", "dvc.lock", "dvc.repo"),
    *("dvc.repo.artifacts", "dvc.repo.checkout", "dvc.repo.datasets", "dvc.repo.experiments.executor.local", "dvc.repo.experiments.run"),
    *("dvc.repo.experiments.queue.celery", "dvc.repo.experiments.queue.tempdir", "dvc.repo.experiments.queue.workspace"),
    *("dvc.repo.experiments.show", "dvc.repo.graph", "dvc.repo.index", "dvc.repo.metrics.diff", "dvc.repo.open_repo", "dvc.repo.params"),
    *("dvc.repo.plots", "dvc.repo.pull", "dvc.repo.push", "dvc.repo.reproduce", "dvc.repo.stage", "dvc.repo.status", "dvc.repo.trie"),
    *("dvc.rwlock", "dvc.scm", "dvc.stage.cache", "dvc.stage.run", "dvc.ui.table", "dvc.utils.hydra", "dvc.utils.strictyaml"),
    *("dvc_data.hashfile.db.local", "dvc_data.hashfile.status", "dvc_data.index.checkout", "dvc_http", "hydra", "networkx", "pygit2"),
    *("pyparsing", "scmrepo.fs", "scmrepo.git"),
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
import json, os, socket, sys
name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
if name == "python" and not (arguments and (arguments[0] == "-m" or arguments[0].endswith(".py"))):
    os.execv({python!r}, [{python!r}, *arguments])
call = {{"name": name, "arguments": arguments, "directory": os.getcwd(), "environment": dict(os.environ)}}
with socket.socket(socket.AF_UNIX) as server:
    os.chdir({directory!r})  # the address of a socket must be short
    server.connect("socket")
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps(call).encode() + b"\n")
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


def _compiled_once(directory: Path) -> None:
    """Let all calls share compiled modules, kept by their source: clones have the same code in other directories."""
    directory.mkdir()
    plain = importlib.machinery.SourceFileLoader.source_to_code

    def shared(self: Any, data: bytes, path: str, **options: Any) -> Any:
        place = directory / hashlib.sha256(data).hexdigest()
        if not place.exists():
            new = place.with_suffix(f".{os.getpid()}")
            new.write_bytes(marshal.dumps(plain(self, data, path, **options)))
            new.replace(place)
        code = marshal.loads(place.read_bytes())
        _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]
        return code

    importlib.machinery.SourceFileLoader.source_to_code = shared  # type: ignore[method-assign, assignment]


def _written_is_known() -> None:
    """Let DVC, which reads its lock again before each change, have what it has written itself: reading takes half of the time."""
    from dvc import dvcfile
    from dvc.utils.serialize import _yaml
    from dvc.utils.serialize._common import _modify_data

    written: dict[str, Any] = {}

    def parsed(text: str, path: str) -> Any:
        known = written.pop(text, None)
        return _yaml.parse_yaml_for_update(text, path) if known is None else known

    def dumped(data: Any, stream: TextIO) -> None:
        parts: list[str] = []

        def write(part: str) -> None:
            parts.append(part)
            stream.write(part)

        _yaml._dump(data, SimpleNamespace(write=write, encoding="utf-8"))
        written.clear()
        written["".join(parts)] = data

    def modify_yaml(path: str, fs: Any = None) -> contextlib.AbstractContextManager[Any]:
        return _modify_data(path, parsed, dumped, fs=fs)

    assert dvcfile.modify_yaml is _yaml.modify_yaml
    dvcfile.modify_yaml = modify_yaml


def _serve(lives_with: int) -> dict[str, Any] | None:
    """Answer calls until a process has ended; in the process of a call, return the call."""
    for name in PACKAGES:
        importlib.import_module(name)
    _compiled_once(Path("compiled").absolute())
    _written_is_known()
    gc.collect()
    gc.freeze()  # else the processes of calls would copy all memory that they share with this one
    gc.disable()  # they end before their garbage matters, and looking for it takes a tenth of their time
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.new")
        listening.listen(64)
        Path("socket.new").rename("socket")
        while _lives(lives_with):
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not select.select([listening], [], [], 1)[0]:
                continue
            connection, _ = listening.accept()
            with connection:
                if os.fork() == 0:
                    listening.close()
                    return _called(connection)
    return None


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _called(connection: socket.socket) -> dict[str, Any]:
    """Return a call in a new process. This process tells the client how the call has ended, and ends."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as sent:
        call: dict[str, Any] = json.loads(sent.readline())
    if worker := os.fork():
        with contextlib.suppress(OSError):  # the worker does the same; whichever comes first
            os.setpgid(worker, worker)
        threading.Thread(target=_killed_with, args=(connection, worker), daemon=True).start()
        code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
        with contextlib.suppress(OSError):
            connection.sendall(str(code if code >= 0 else 128 - code).encode())
        os._exit(0)
    os.setpgid(0, 0)
    connection.close()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    return call


def _killed_with(connection: socket.socket, worker: int) -> None:
    """Kill a call as soon as its client is gone: what kills the client kills the call and all that the call has started."""
    connection.recv(1)
    os.killpg(worker, signal.SIGKILL)


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
