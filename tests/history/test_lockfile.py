"""A lock of DVC that was cut off: it is found and mended, and no other is changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from closure import ROOT
from dvc.repo import Repo

from erawise.base import files
from erawise.history import lockfile
from erawise.running.errors import InputError


def text(*stages: str) -> str:
    """Return a lock as DVC writes it."""
    file = f"    - path: {{}}\n      hash: md5\n      md5: {'ab' * 16}\n      size: 12345\n"
    body = f"    deps:\n{file.format('x.py')}    params:\n      params.yaml:\n        a.b: 0.5\n    outs:\n"
    return "schema: '2.0'\nstages:\n" + "".join(
        f"  {stage}:\n    cmd: python x.py\n{body}{file.format(f'data/{stage}')}" for stage in stages
    )


STAGES = ("download", "preprocess", "split")
OLD, NEW = text(*STAGES[:2]), text(*STAGES)


class Checkout:
    """A repository of Git and DVC whose HEAD has the lock `OLD`."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.lock, self.kept = directory, directory / "dvc.lock", directory / ".dvc/tmp/erawise/dvc.lock"
        Repo.init(str(directory), no_scm=True).close()
        stages = {name: {"cmd": "python x.py", "deps": ["x.py"], "params": ["a.b"], "outs": [f"data/{name}"]} for name in STAGES}
        (directory / "dvc.yaml").write_text(json.dumps({"stages": stages}))
        self.lock.write_text(OLD)
        self.git("init", "-q")
        self.git("add", "dvc.lock")
        self.commit()

    def git(self, *arguments: str, **environment: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=self.directory, env=os.environ | environment, check=True)

    def commit(self, date: str = "2026-01-01T00:00:00Z") -> None:
        self.git("commit", "-q", "-a", "-m", "x", GIT_COMMITTER_DATE=date)

    def mended(self) -> str:
        return "\n".join(lockfile.mended(self.directory))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_lock_that_is_whole_is_kept_and_one_that_is_absent_is_fine(checkout: Checkout) -> None:
    assert checkout.mended() == ""
    assert checkout.kept.read_text() == OLD
    checkout.lock.write_text(NEW)
    assert checkout.mended() == ""
    assert checkout.kept.read_text() == NEW
    checkout.lock.unlink()
    assert checkout.mended() == ""
    assert not checkout.lock.exists()


def test_wherever_the_lock_is_cut_dvc_can_read_it_afterwards(checkout: Checkout) -> None:
    checkout.mended()
    for end in [*range(0, len(NEW), 11), NEW.index("  preprocess"), NEW.index("  split")]:
        checkout.lock.write_text(NEW[:end])
        said = checkout.mended()
        if not said:  # only the last stage lacks some lines, and DVC sees that it has changed
            assert NEW[:end].endswith("\n")
            assert "preprocess:\n" in NEW[:end]
        assert checkout.lock.read_text() == (OLD if said else NEW[:end])
        with Repo(str(checkout.directory)) as repo:
            assert len(repo.index.stages) == len(STAGES)
        checkout.kept.write_text(OLD)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 4096, b"\xff\xfe", b"- 1\n", b"schema: '1.0'\n", b"schema: '2.0'\nstages:\n  x:\n    cmd: a\n    deps:\n    - path\n"],
)
def test_all_that_dvc_refuses_is_cut_off(checkout: Checkout, content: bytes) -> None:
    checkout.mended()
    checkout.lock.write_bytes(content)
    said = checkout.mended()
    assert said.startswith("dvc.lock: it isn't whole (")
    assert said.endswith("); the one of the last check is back, and what has ended since is in DVC's run cache")
    assert said.count("\n") == 0
    assert checkout.lock.read_text() == OLD
    assert (checkout.directory / ".dvc/tmp/erawise/dvc.lock.broken").read_bytes() == content


def test_the_last_whole_one_is_the_copy_or_the_one_of_head_whichever_is_newer(checkout: Checkout) -> None:
    checkout.mended()
    checkout.lock.write_text(NEW)
    checkout.commit("2036-01-01T00:00:00Z")
    checkout.lock.write_text("")
    assert "the one of HEAD" in checkout.mended()
    assert checkout.lock.read_text() == NEW
    checkout.kept.write_text("half")
    os.utime(checkout.kept, (2**32, 2**32))
    checkout.lock.write_text("")
    assert "the one of HEAD" in checkout.mended()
    assert checkout.lock.read_text() == NEW


def test_without_any_whole_one_the_lock_is_removed(checkout: Checkout) -> None:
    checkout.lock.write_text("half")
    checkout.commit()
    assert "there is no whole one; it is removed" in checkout.mended()
    assert not checkout.lock.exists()


def test_a_merge_that_is_not_resolved_is_left_alone(checkout: Checkout) -> None:
    checkout.mended()
    content = OLD.replace("    cmd: ", "<<<<<<< HEAD\n    cmd: other\n=======\n    cmd: ", 1) + ">>>>>>> branch\n"
    checkout.lock.write_text(content)
    with pytest.raises(InputError, match=r"dvc\.lock: a merge has left a conflict in it, and nothing was changed; docs/howto/recover\.md"):
        checkout.mended()
    assert checkout.lock.read_text() == content
    assert checkout.kept.read_text() == OLD


def test_a_lock_that_dvc_is_writing_is_waited_for(checkout: Checkout) -> None:
    checkout.mended()
    code = f"from pathlib import Path; from erawise.history import lockfile; print(lockfile.mended(Path({str(checkout.directory)!r})))"
    with files.lock_file(checkout.directory / ".dvc/tmp/lock", "test"):
        checkout.lock.write_text(NEW[:10])
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        assert process.stderr.readline() == "dvc.lock: another process works on it; waiting for its end\n"
        checkout.lock.write_text(NEW)
    assert process.communicate(timeout=60)[0] == "[]\n"
    assert checkout.lock.read_text() == NEW


def test_an_empty_lock_of_which_no_copy_was_kept_is_that_of_head_again(checkout: Checkout) -> None:
    checkout.lock.write_text("")
    assert checkout.mended().endswith("; the one of HEAD is back, and what has ended since is in DVC's run cache")
    assert checkout.lock.read_text() == OLD


def test_a_project_below_the_directory_of_dvc_gets_none_of_its_own(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    project = tmp_path / "some/project"
    project.mkdir(parents=True)
    (project / "dvc.lock").write_text(NEW)
    assert lockfile.mended(project) == []
    (project / "dvc.lock").write_text(NEW[: len(NEW) // 2])
    assert lockfile.mended(project)[0].endswith("; the one of the last check is back, and what has ended since is in DVC's run cache")
    assert (project / "dvc.lock").read_text() == NEW
    assert [path.name for path in project.iterdir()] == ["dvc.lock"]
    assert (tmp_path / ".dvc/tmp/erawise/some/project/dvc.lock").read_text() == NEW
    assert checkout.lock.read_text() == OLD


def test_a_lock_that_git_has_not_is_compared_with_the_last_whole_one(checkout: Checkout) -> None:
    checkout.git("rm", "-q", "--cached", "dvc.lock")
    checkout.commit("2026-01-02T00:00:00Z")
    checkout.lock.write_text(NEW)
    assert checkout.mended() == ""
    checkout.lock.write_text(OLD)
    assert checkout.mended().startswith("dvc.lock: it isn't whole (it ends before split); the one of the last check is back")
    checkout.lock.write_bytes(NEW.replace("\n", "\r\n").encode())
    assert checkout.mended() == ""


def test_the_list_of_files_in_use_is_removed_if_it_was_cut_off(checkout: Checkout) -> None:
    path = checkout.directory / ".dvc/tmp/rwlock"
    path.write_text('{"read": {}}')
    assert checkout.mended() == ""
    assert path.exists()
    for content in ("", '{"read": {"/x": [{"pid": 12'):
        path.write_text(content)
        assert "rwlock: DVC's list of the files in use was cut off; it is removed" in checkout.mended()
        assert not path.exists()
