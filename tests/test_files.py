"""Files are there whole or not at all, and errors are one line."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from workspace import Workspace

from erawise import files, tabular
from erawise.errors import InputError, reported


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "numbers.json"
    files.write_json({"a": 1}, path)
    with pytest.raises(ValueError, match="JSON"):
        files.write_json({"a": float("nan")}, path)
    assert files.read_json(path) == {"a": 1}
    assert [item.name for item in path.parent.iterdir()] == ["numbers.json"]


def test_directories_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for name in ("old", "new"):
        with files.replacing(path) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [item.name for item in path.iterdir()] == ["new"]

    def fail() -> None:
        with files.replacing(path) as temporary:
            temporary.mkdir()
            (temporary / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [item.name for item in path.iterdir()] == ["new"]
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_run_has_left_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / ".out.partial"
    left.mkdir()
    (left / "half").touch()
    files.write_json([1], tmp_path / "out")
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_tables_round_trip(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "era": pd.array([1, None], "Int64"), "x": np.array([0.5, np.nan])})
    tabular.write_parquet(frame, tmp_path / "t.parquet")
    back = tabular.read_parquet(tmp_path / "t.parquet", ["x", "id"])
    assert back["x"].tolist()[0] == 0.5
    assert back["id"].tolist() == ["a", "b"]
    tabular.write_csv(frame[["id", "x"]], tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == b"id,x\na,0.500000\nb,\n"


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"a": ')
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"broken\.json: not a readable JSON file"):
        files.read_json(tmp_path / "broken.json")
    with pytest.raises(InputError, match=r"broken\.parquet: not a readable Parquet file"):
        tabular.read_parquet(tmp_path / "broken.parquet")
    with pytest.raises(InputError, match=r"none\.json: the file is missing"):
        files.read_json(tmp_path / "none.json")


def test_an_input_error_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    @reported
    def main() -> None:
        raise InputError("split.folds: too many")

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: split.folds: too many\n"


def test_a_full_disk_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    @reported
    def main() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "data/raw")

    with pytest.raises(SystemExit):
        main()
    assert (
        capsys.readouterr().err
        == "error: data/raw: cannot be written or read (No space left on device); check free space and permissions\n"
    )


def test_other_errors_of_the_system_keep_their_trace() -> None:
    @reported
    def main() -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    with pytest.raises(FileNotFoundError):
        main()


COMMAND = """
import sys
from erawise.errors import InputError, NotOpen, reported
@reported
def main():
    {body}
main()
"""


@pytest.fixture
def unread() -> Iterator[int]:
    """The end of a pipe whose other end is closed, as that of `head` when it has read enough."""
    reads, writes = os.pipe()
    os.close(reads)
    yield writes
    os.close(writes)


def ended(body: str, unbuffered: str = "", **streams: Any) -> tuple[int, str]:
    """The exit code of a command, and what it says on stderr."""
    command = [sys.executable, "-c", COMMAND.format(body=body)]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, check=False, **{"stderr": subprocess.PIPE, **streams})
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[print(number) for number in range(100_000)]", (141, "")),
        ("print(0)", (141, "")),
        ("print(0); sys.exit(0)", (0, "")),
        ("print(0); raise NotOpen('closed')", (3, "error: closed\n")),
        ("print(0); raise KeyboardInterrupt", (130, "error: stopped by hand\n")),
    ],
)
def test_a_command_whose_output_nobody_reads_ends_quietly(unread: int, body: str, expected: tuple[int, str]) -> None:
    assert ended(body, stdout=unread) == expected


def test_a_command_whose_every_word_goes_out_at_once_ends_so_too(unread: int) -> None:
    assert ended("print(0); print(1)", "1", stdout=unread) == (141, "")


@pytest.mark.parametrize(
    ("body", "expected"),
    [("print(0, file=sys.stderr)", 141), ("raise NotOpen('closed')", 3), ("raise KeyboardInterrupt", 130), ("sys.exit('said')", 1)],
)
def test_a_command_whose_errors_nobody_reads_ends_as_it_should(unread: int, body: str, expected: int) -> None:
    assert ended(body, stdout=unread, stderr=unread)[0] == expected


def test_a_command_that_is_stopped_while_it_loads_says_so_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/slow.py").write_text("import os, signal\nfrom erawise import errors\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "stages.slow"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # what runs in the background of a shell ignores it
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "error: stopped by hand\n")


def test_a_pipe_of_something_else_that_breaks_keeps_its_trace() -> None:
    code, said = ended("raise BrokenPipeError(32, 'a socket')")
    assert code == 1
    assert said.endswith("BrokenPipeError: [Errno 32] a socket\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_output_that_has_no_room_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        code, said = ended("print(0)", stdout=full)
    assert (code, said) == (1, "error: cannot be written or read (No space left on device); check free space and permissions\n")


def test_a_reader_that_has_enough_stops_a_command_of_the_pipeline(finished: Workspace) -> None:
    line = 'set -o pipefail; "$0" -m stages.show | head -1'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", line, sys.executable], cwd=finished.directory, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 141)
    assert done.stdout.startswith("**cv**")
    assert done.stderr == ""


WINDOWS = """
import importlib, os, sys
from pathlib import Path
names = [f"stages.{path.stem}" for path in sorted(Path("stages").glob("*.py")) if "__main__" in path.read_text(encoding="utf-8")]
for name in names:
    importlib.import_module(name)  # and with it the libraries, which would not do without Linux
sys.platform = "win32"
del os.register_at_fork, os.pread, os.geteuid
for name in ("fcntl", "resource", "pwd"):
    sys.modules[name] = None
for name in names:
    for known in [known for known in sys.modules if known.split(".")[0] in ("erawise", "stages")]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except SystemExit as ended:
        print(name, ended)
"""


def test_on_windows_every_command_says_where_it_runs() -> None:
    done = subprocess.run([sys.executable, "-c", WINDOWS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) > 30
    assert all(line.partition(" ")[2].startswith("error: erawise doesn't run on Windows itself") for line in lines), lines
    assert all("run it in WSL" in line for line in lines)
