"""Files: whole or not there, and errors in one line."""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import small_disk
from closure import ROOT
from dvc.repo import Repo
from workspace import Workspace

from erawise.base import files, tabular
from erawise.running.errors import InputError, reported


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


@contextmanager
def python(code: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run code in another process, and kill it at the end."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", f"import sys\nfrom pathlib import Path\nfrom erawise.base import files\n{code}"]
    with subprocess.Popen(
        command, cwd=directory, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def names(directory: Path) -> list[str]:
    return sorted(item.name for item in directory.iterdir())


def fill(directory: Path, content: str) -> None:
    directory.mkdir()
    for name in ("a", "b"):
        (directory / name).write_text(content)


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_two_writers_at_once_do_not_meet(tmp_path: Path, kind: str) -> None:
    path, write = tmp_path / "out", Path.write_text if kind == "file" else fill
    with files.replacing(path) as one:
        write(one, "one")
        with files.replacing(path) as two:
            write(two, "two")
    assert (path if kind == "file" else path / "b").read_text() == "one"
    assert names(tmp_path) == ["out"]


def test_many_writers_in_one_directory_do_not_sweep_each_others_files(tmp_path: Path) -> None:
    def write(name: str) -> None:
        for content in range(50):
            files.write_json(content, tmp_path / name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, "aabbcdef"))
    assert names(tmp_path) == list("abcdef")
    assert {files.read_json(tmp_path / name) for name in "abcdef"} == {49}


def test_what_a_killed_run_has_left_is_cleared_away_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    (tmp_path / ".mine.partial").mkdir()
    (tmp_path / "scratch_analysis").mkdir()
    writing = """
with files.replacing(Path("big")) as path, files.scratch(Path()) as scratch:
    path.mkdir()
    print(path.parent.name, scratch.parent.name, flush=True)
    sys.stdin.read()
"""
    with python(writing, tmp_path) as process:
        assert process.stdout
        partial, scratch = process.stdout.readline().split()
        assert re.fullmatch(r"\.big\.\w+\.partial", partial)
        files.write_json([1], tmp_path / "out")
        assert names(tmp_path) == sorted([".mine.partial", partial, "out", scratch, "scratch_analysis"])
    files.sweep_below(tmp_path)
    assert names(tmp_path) == [".mine.partial", "out", "scratch_analysis"], "a directory of the user is none of ours"


@pytest.mark.parametrize("old", ["file", "directory", "link to a directory", "empty directory", None])
@pytest.mark.parametrize("new", ["file", "directory"])
@pytest.mark.parametrize("exchange", [True, False])
def test_anything_takes_the_place_of_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str | None, new: str, exchange: bool
) -> None:
    path, other = tmp_path / "here" / "out", tmp_path / "other"
    path.parent.mkdir()
    fill(other, "other")
    if old == "file":
        path.write_text("old")
    elif old == "directory":
        fill(path, "old")
    elif old == "link to a directory":
        path.symlink_to(other)
    elif old == "empty directory":
        path.mkdir()
    if not exchange:
        monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    with files.replacing(path) as temporary:
        (Path.write_text if new == "file" else fill)(temporary, "new")
    assert not path.is_symlink()
    assert (path if new == "file" else path / "b").read_text() == "new"
    assert names(path.parent) == ["out"]
    assert (other / "a").read_text() == "other"


@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.parametrize("exchange", [True, False])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path, kind: str, exchange: bool) -> None:
    path, rng = tmp_path / "out", random.Random(1)
    code = f"""
import itertools
if not {exchange}:
    files._exchanged = lambda one, other: False
for number in itertools.count():
    with files.replacing(Path("out")) as path:
        if {kind == "directory"}:
            path.mkdir()
            (path / "a").write_text(str(number))
            (path / "b").write_text(str(number))
        else:
            path.write_text(f"{{number}} {{number}}")
    print(number, flush=True)
"""
    for _ in range(6):
        with python(code, tmp_path) as process:
            assert process.stdout
            for _ in range(rng.randrange(1, 20)):
                assert process.stdout.readline().strip().isdecimal()
                assert not exchange or os.path.lexists(path)
            time.sleep(rng.uniform(0, 0.02))
        files.sweep(tmp_path)
        one, two = path.read_text().split() if kind == "file" else ((path / name).read_text() for name in ("a", "b"))
        assert one == two
        assert names(tmp_path) == ["out"]


def test_neither_old_nor_new_is_never_true(tmp_path: Path) -> None:
    fill(tmp_path / "out", "old")
    code = """
print("loaded", flush=True)
for _ in range(100):
    with files.replacing(Path("out")) as path:
        path.mkdir()
        (path / "a").touch()
"""
    looks = 0
    with python(code, tmp_path) as process:
        assert process.stdout
        assert process.stdout.readline() == "loaded\n"
        while process.poll() is None:
            assert os.path.lexists(tmp_path / "out")
            looks += 1
        assert process.returncode == 0
    assert looks > 200


def test_an_old_directory_that_was_moved_aside_when_the_process_was_killed_comes_back(tmp_path: Path) -> None:
    fill(tmp_path / "out.d", "old")
    code = """
import os, signal
files._exchanged = lambda one, other: False
replace = Path.replace
def kill_where_neither_is_there(self, target):
    if not os.path.lexists("out.d"):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = kill_where_neither_is_there
with files.replacing(Path("out.d")) as path:
    path.mkdir()
"""
    with python(code, tmp_path) as process:
        process.wait(30)
    assert "out.d" not in names(tmp_path)
    files.write_json([], tmp_path / "any")
    assert (tmp_path / "out.d" / "b").read_text() == "old"
    assert names(tmp_path) == ["any", "out.d"]


def test_all_of_it_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, put = files.sync, files._put

    def noted(name: str, call: Callable[..., None], *paths: Path) -> None:
        order.append(name or paths[0].name)
        call(*paths)

    monkeypatch.setattr(files, "sync", partial(noted, "", sync))
    monkeypatch.setattr(files, "_put", partial(noted, "rename", put))
    with files.replacing(tmp_path / "out") as temporary:
        fill(temporary, "x")
        fill(temporary / "inner", "y")
    before, after = order[: order.index("rename")], order[order.index("rename") + 1 :]
    assert sorted(before) == ["a", "a", "b", "b", "inner", "out"]
    assert after == [tmp_path.name]
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    sync(tmp_path / "out" / "a")
    assert synced == [(tmp_path / "out" / "a").stat().st_ino]


def test_what_is_in_use_is_not_removed(tmp_path: Path) -> None:
    fill(tmp_path / "shared", "x")
    with files.in_use(tmp_path / "shared"), files.in_use(tmp_path / "shared"):
        files.remove_unused(tmp_path / "shared")
        assert (tmp_path / "shared" / "a").exists()
    files.remove_unused(tmp_path / "shared")
    assert not (tmp_path / "shared").exists()


FULL = r"""
import json
from pathlib import Path
import numpy as np, pandas as pd
from matplotlib.figure import Figure
from erawise.base import files, tabular
from erawise.charts import figures
from erawise.running.errors import InputError
from erawise.models.shared import arrays
numbers = np.random.default_rng(0).normal(size=(200, 200))
table = pd.DataFrame(numbers, columns=[f"c{k}" for k in range(200)])
figure = Figure()
figure.subplots().plot(numbers)
def directory(path):
    with files.replacing(path) as temporary:
        temporary.mkdir()
        tabular.write_npy(numbers, temporary / "inside.npy")
writers = {
    "x.json": lambda path: files.write_json(numbers.tolist(), path),
    "x.jsonl": lambda path: files.append_line({"x": numbers.tolist()}, path),
    "x.npy": lambda path: tabular.write_npy(numbers, path),
    "x.npz": lambda path: arrays.save_arrays({"x": numbers}, path),
    "x.parquet": lambda path: tabular.write_parquet(table, path),
    "x.csv": lambda path: tabular.write_csv(table, path),
    "x.svg": lambda path: figures.write(figure, path),
    "directory": directory,
}
found = {}
for name, write in writers.items():
    path = Path(name)
    if name == "directory":
        path.mkdir()
    old = path / "old" if path.is_dir() else path
    old.write_bytes(b"old\n")
    try:
        write(path)
    except InputError as error:
        found[name] = str(error)
    assert old.read_bytes() == b"old\n", name
    assert set(map(str, Path().iterdir())) == set(list(writers)[: len(found)]), name
print(json.dumps(found))
"""


def test_a_disk_that_is_full_for_real_is_said_in_a_line_and_leaves_the_old_result(tmp_path: Path) -> None:
    found = json.loads(small_disk.run(tmp_path, FULL))
    assert len(found) == 8
    found["directory/inside.npy"] = found.pop("directory")
    for name, said in found.items():
        assert said == f"{name}: cannot be written (No space left on device); check free space and permissions"


def test_an_error_of_a_file_that_is_read_is_not_said_of_the_one_that_is_written(tmp_path: Path) -> None:
    with pytest.raises(PermissionError) as caught, files.replacing(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "other" / "out"))
    assert caught.value.filename == str(tmp_path / "other" / "out")


def test_git_and_dvc_ignore_what_is_being_written(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    with files.exclusive_lock(tmp_path / "ledger.jsonl", "test"), files.replacing(tmp_path / "report.html") as path:
        path.touch()
        untracked = subprocess.run(["git", "status", "-s", "-uall"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert untracked == "?? .gitignore\n"
    assert Repo(ROOT).dvcignore.is_ignored_dir(str(ROOT / "data" / path.parent.name))


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


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "its text is UTF-16; save it as UTF-8"),
        ("utf-16-le", "its text is UTF-16; save it as UTF-8"),
        ("utf-16-be", "its text is UTF-16; save it as UTF-8"),
        ("latin-1", "its text isn't UTF-8 (byte 7: invalid continuation byte); save it as UTF-8"),
    ],
)
def test_a_text_of_any_editor_is_read_or_told_what_it_is(tmp_path: Path, encoding: str, problem: str | None) -> None:
    path = tmp_path / "x.json"
    path.write_bytes('{"a": "é"}'.encode(encoding))
    if problem is None:
        assert files.read_json(path) == {"a": "é"}
    else:
        with pytest.raises(InputError, match=re.escape(f"x.json: {problem}")):
            files.read_json(path)


@pytest.mark.parametrize("read", [files.read_json, tabular.read_parquet])
def test_what_is_no_file_is_named(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    directory, link = tmp_path / "parts", tmp_path / "link"
    directory.mkdir()
    link.symlink_to("gone")
    with pytest.raises(InputError, match=r"parts: it is a directory; expected one file"):
        read(directory)
    with pytest.raises(InputError, match=r"link: it is a link to gone, which isn't there"):
        read(link)


def test_a_table_of_another_format_is_told_from_a_cut_one(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("id,era\n")
    with pytest.raises(InputError, match=r"not a readable Parquet file \(it begins with b'id,e' instead of b'PAR1'\)"):
        tabular.read_parquet(tmp_path / "t.parquet")


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
from erawise.running.errors import InputError, NotOpen, reported
@reported
def main():
    {body}
main()
"""


@pytest.fixture
def unread() -> Iterator[int]:
    """Return the end of a pipe whose other end is closed, as after `head` has read enough."""
    reads, writes = os.pipe()
    os.close(reads)
    yield writes
    os.close(writes)


def ended(body: str, unbuffered: str = "", **streams: Any) -> tuple[int, str]:
    """Return the exit code of a command, and its stderr."""
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
    (tmp_path / "stages/slow.py").write_text("import os, signal\nfrom erawise.running import errors\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "stages.slow"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a command in the background of a shell ignores it
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
    line = 'set -o pipefail; "$0" -m erawise show | head -1'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", line, sys.executable], cwd=finished.directory, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 141)
    assert done.stdout.startswith("Send neutralized: ")
    assert done.stderr == ""


def test_a_stage_that_is_started_without_an_output_runs(finished: Workspace, tmp_path: Path) -> None:
    shutil.copytree(finished.directory / "data", tmp_path / "data")
    shutil.copyfile(finished.directory / "params.yaml", tmp_path / "params.yaml")
    line, environment = '"$0" -m stages.check >&-', {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", line, sys.executable], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    for write in (partial(files.write_json, 1), partial(files.append_line, {})):
        with pytest.raises(InputError, match=r": its file system has no file locks \(.+\); put the project on another one"):
            write(tmp_path / "x")
    assert not [path for path in tmp_path.iterdir() if path.name != "x" or path.stat().st_size]


WINDOWS = """
import ast, importlib, importlib.abc, importlib.machinery, os, sys
from pathlib import Path
from unittest import mock
names = ["erawise.__main__", *(f"stages.{path.stem}" for path in sorted(Path("stages").glob("[a-z]*.py")))]
STANDARD, OURS = sys.stdlib_module_names, ("erawise", "stages")
class Libraries(importlib.abc.MetaPathFinder, importlib.abc.Loader):  # stand-ins: those of this system would not do without it
    def find_spec(self, name, path=None, target=None):
        ours = name.split(".")[0] in (*OURS, *STANDARD)
        return None if ours else importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        return mock.MagicMock(__path__=[])
    def exec_module(self, module):
        pass
for path in [*Path("erawise").rglob("*.py"), *Path("stages").glob("*.py")]:  # what Python brings is loaded as the one of this system
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and (getattr(node, "module", "") or node.names[0].name).split(".")[0] in STANDARD:
            exec(ast.unparse(node))
sys.meta_path.insert(0, Libraries())
sys.platform = "win32"
del os.register_at_fork, os.pread, os.geteuid
for name in ("fcntl", "resource", "pwd"):
    sys.modules[name] = None
for name in names:
    for known in [known for known in sys.modules if known.split(".")[0] in OURS]:
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
    assert len(lines) > 12
    assert all(line.partition(" ")[2].startswith("error: erawise doesn't run on Windows itself") for line in lines), lines
    assert all("run it in WSL" in line for line in lines)
