"""An experiment in a directory of its own finds the files of the main checkout that Git doesn't track."""

from pathlib import Path

import pytest

from erawise.running import workplace
from erawise.running.errors import InputError


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the directory of an experiment, the current one, with the file that Git tracks."""
    directory = tmp_path / ".dvc/tmp/exps/standalone/one"
    for top in (tmp_path, directory):
        (top / "data/local").mkdir(parents=True)
        (top / "data/local/README.md").write_text(top.name)
    (directory / ".dvc").mkdir()
    monkeypatch.chdir(directory)
    return directory


def test_files_that_git_does_not_track_are_linked(experiment: Path, tmp_path: Path) -> None:
    for text in ("before", "after"):
        (tmp_path / "data/local/train.parquet").write_text(text)
        workplace.bring(Path("data/local"))
        assert (experiment / "data/local/train.parquet").read_text() == text
    assert (experiment / "data/local/README.md").read_text() == "one", "the experiment keeps the files that Git tracks"


def test_a_directory_that_is_not_there_is_linked_as_a_whole(experiment: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/live.parquet").write_text("live")
    for _ in range(2):
        workplace.bring(Path("mine"))
    assert (experiment / "mine/live.parquet").read_text() == "live"
    workplace.bring(tmp_path / "mine")
    workplace.bring(Path("nowhere"), required=False)
    with pytest.raises(InputError, match=rf"data\.local\.path: there is no directory nowhere in {tmp_path}; make it, or name another one"):
        workplace.bring(Path("nowhere"))


def test_in_the_main_checkout_nothing_is_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    workplace.bring(Path("mine"))
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]
