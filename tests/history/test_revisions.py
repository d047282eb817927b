"""The results of a revision, for any directory of the project in its Git repository, and with faults."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pygit2
import pytest
from clones import Clone
from closure import ROOT
from ruamel.yaml import YAML

from erawise.history import revisions
from erawise.running.errors import InputError

RAW, SCORES = Path("data/raw"), Path("data/scores")

PIPELINE = """
stages:
  evaluate:
    cmd: python evaluate.py
    params: [value]
    outs: [data/scores]
  plot:
    cmd: echo drawn > plot
    deps: [data/scores]
    outs: [plot]
"""

EVALUATE = """
import os
from pathlib import Path
import pandas as pd
from ruamel.yaml import YAML
from erawise.running import paths
value = YAML(typ="safe").load(Path("params.yaml").read_text())["value"]
Path("data/scores").mkdir(parents=True, exist_ok=True)
Path("data/scores/evaluated.json").write_text('{"days": 60}')
for split in ("cv", "validation"):
    pd.DataFrame({"era": [1], "prediction": "ridge", "corr": float(value)}).to_parquet(f"data/scores/{split}.parquet")
Path(os.environ["SEEN"]).write_text(str(paths.main_checkout(Path.cwd())))
"""


def set_value(project: Path, value: float) -> None:
    settings = {"value": value, "data": {"target": "target", "target_horizon": None}}
    with (project / "params.yaml").open("w") as file:
        YAML().dump(settings, file)


def value_of(project: Path, revision: str | None) -> float:
    """Return the value that `EVALUATE` has written in a revision."""
    found = revisions.read(project, revision, raw=RAW, scores=SCORES)
    assert (found.target, found.days) == ("target", 60)
    assert found.settings["value"] == found.scores["cv"]["corr"].item() == found.scores["validation"]["corr"].item()
    return float(found.settings["value"])


class Small(Clone):
    """A Git repository of a small project, which has run and is committed."""

    def __init__(self, top: Path, below: str, dvc: str, commands: Path) -> None:
        super().__init__(top / below, commands)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.seen = top.parent / "seen"
        self.run("git", "init", "-q", str(top))
        self.dvc("init", "-q", "--subdir", str(top / dvc))
        set_value(self.directory, 1.0)
        (self.directory / "dvc.yaml").write_text(PIPELINE)
        (self.directory / "evaluate.py").write_text(EVALUATE)
        (self.directory / ".gitignore").write_text("/data/\n/plot\n")
        self.dvc("repro", "-q")
        self.commit()

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": str(ROOT), "SEEN": str(self.seen)}


PLACES = [("", ""), ("numerai", "numerai"), ("some/numerai", "")]
"""The project's directory and DVC's directory, from the top of the Git repository."""


@pytest.mark.parametrize(("below", "dvc"), PLACES, ids=["the top", "DVC in a subdirectory", "DVC above it"])
def test_revisions_are_read_below_the_directory_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: Path, below: str, dvc: str
) -> None:
    small = Small(tmp_path / "top", below, dvc, commands)
    monkeypatch.chdir(small.directory)
    (tmp_path / "top/other").mkdir()
    (tmp_path / "top/other/dvc.yaml").write_text("stages: {foreign: {cmd: echo, outs: [never]}}")
    set_value(small.directory, 2.0)
    assert revisions.stale(Path()) == ["evaluate"]
    small.dvc("repro", "-q")
    assert [value_of(Path(), revision) for revision in ("HEAD", None)] == [1.0, 2.0]
    assert sorted(path for path, _ in revisions.kept(Path())) == ["data/scores", "plot"]
    assert revisions.stale(Path()) == []
    assert small.seen.read_text() == str(small.directory)
    small.dvc("exp", "run", "-q", "--temp", "-n", "idea", "-S", "value=3.0")
    assert small.seen.read_text() == str(small.directory)
    assert value_of(Path(), "idea") == 3.0
    assert value_of(Path(), None) == 2.0


def test_scores_against_a_target_that_has_changed_its_horizon_are_not_compared() -> None:
    before, after = (revisions.Revision(name, {}, "target", days, "data", {}) for name, days in (("A", 20), ("B", 60)))
    expected = "A is scored against target of 20 days and B against target of 60 days: the difference would be theirs"
    assert revisions.incomparable(before, after) == expected
    assert not revisions.incomparable(before, before)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory, commands: Path) -> Path:
    return Small(tmp_path_factory.mktemp("committed") / "top", "", "", commands).directory


def point_nowhere(git: Path) -> None:
    shutil.rmtree(git)
    git.write_text("gitdir: /nowhere")


def lose_commits(git: Path) -> None:
    shutil.rmtree(git)
    pygit2.init_repository(str(git.parent))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (shutil.rmtree, r"is not a git repository; expected a Git revision"),
        (point_nowhere, r"is not a git repository; expected a Git revision"),
        (lambda git: (git / "HEAD").unlink(), r"is not a git repository; expected a Git revision"),
        (lambda git: (git / "HEAD").write_text("nonsense"), r"unknown Git revision 'HEAD'; expected a Git revision"),
        (lambda git: shutil.rmtree(git / "objects"), r"HEAD: "),
        (
            lambda git: (git / "config").write_text("[[["),
            r"the repository can't be read \(ValueError: .*\); `git status` and",
        ),
        (lose_commits, r"unknown Git revision 'HEAD'; expected a Git revision"),
    ],
    ids=["no Git", "a file that points nowhere", "no HEAD", "a broken HEAD", "no objects", "a broken config", "no commit"],
)
def test_a_broken_repository_is_told_in_a_line(committed: Path, tmp_path: Path, spoil: Callable[[Path], object], expected: str) -> None:
    project = tmp_path / "project"
    shutil.copytree(committed, project)
    spoil(project / ".git")
    with pytest.raises(InputError, match=f"^HEAD: .*{expected.removeprefix('HEAD: ')}") as caught:
        revisions.read(project, "HEAD", raw=RAW, scores=SCORES)
    assert "\n" not in str(caught.value)
    revisions.stale(project)
    revisions.kept(project)


def test_a_repository_of_somebody_else_is_told_with_the_remedy(committed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *_: object) -> None:
        raise pygit2.GitError(f"{path}/.git/: repository path '{path} of others' is not owned by current user")

    monkeypatch.setattr(pygit2, "Repository", refuse)
    with pytest.raises(InputError, match=r"^HEAD: Git doesn't open .* of others, since it belongs to another user") as caught:
        revisions.read(committed, "HEAD", raw=RAW, scores=SCORES)
    assert f"`git config --global --add safe.directory '{committed}" in str(caught.value)
    assert " of others'`" in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_repository_that_belongs_to_somebody_else_is_recognized(committed: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(committed, project)
    for path in (project, *project.rglob("*")):
        os.chown(path, 65534, 65534)
    with pytest.raises(InputError, match=rf"`git config --global --add safe.directory {project}`$"):
        revisions.read(project, "HEAD", raw=RAW, scores=SCORES)
    assert pd.isna(revisions.read(project, None, raw=RAW, scores=SCORES).data)
