"""Files are there whole or not at all, and errors are one line."""

import errno
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

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
