"""Temporary clones of the repository with a small pipeline, in which real `dvc` runs."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import small
from closure import ROOT
from ruamel.yaml import YAML

SECONDS = 900
"""Time limit of a command."""

CACHE, TEMPORARY = Path(".dvc/cache"), Path(".dvc/tmp")


class Clone:
    """A clone of the repository with a small pipeline, and a DVC cache of its own or a shared one.

    Parameters
    ----------
    directory : the clone's directory.
    commands : the `dvc` and `python` of `served`, which also run its stages; None for this environment's own.
    """

    def __init__(self, directory: Path, commands: Path | None = None) -> None:
        self.directory = directory
        self.commands = commands

    def run(self, *command: str, check: bool = True, **variables: str) -> str:
        environment = self.environment() | variables
        done = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
        return _said(command, done.returncode, done.stdout, done.stderr, check)

    def environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_", "PYTEST_"))}
        # a new process leaves its compiled packages for the next one; the served ones share theirs elsewhere
        environment |= {"PYTHONDONTWRITEBYTECODE": "1"} if self.commands else {}
        return environment | {
            "PATH": os.pathsep.join(map(str, [*filter(None, [self.commands]), Path(sys.executable).parent, os.environ["PATH"]])),
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.org",
            "DVC_NO_ANALYTICS": "1",
            "COLUMNS": "400",
        }

    def dvc(self, *arguments: str, check: bool = True) -> str:
        return self.run("dvc", *arguments, check=check)

    def erawise(self, *arguments: str, check: bool = True) -> str:
        return self.run("python", "-m", "erawise", *arguments, check=check)

    def set(self, name: str, value: Any) -> None:
        small.edit(self.directory / "params.yaml", lambda content: small.change(content, name, value))

    def drop(self, *stages: str) -> None:
        """Remove stages from the pipeline and its lock, and commit that."""
        for name in ("dvc.yaml", "dvc.lock"):
            text = self.read(name)
            for stage in stages:
                text, found = re.subn(rf"^  {stage}(?:@.*)?:\n(?:(?: {{4}}.*)?\n)*", "", text, flags=re.MULTILINE)
                assert found or name == "dvc.lock", stage
            (self.directory / name).write_text(text, encoding="utf-8")
        assert not set(stages) & {name.split("@")[0] for name in self.lock()}
        self.commit(f"without {', '.join(stages)}")

    def settings(self) -> dict[str, Any]:
        return YAML(typ="safe").load(self.read("params.yaml"))

    def lock(self) -> dict[str, Any]:
        """Return the entry of each stage in dvc.lock."""
        return YAML(typ="safe").load(self.read("dvc.lock"))["stages"]

    def commit(self, message: str = "change") -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)

    def read(self, name: str) -> str:
        return (self.directory / name).read_text()

    def metrics(self, split: str = "cv") -> dict[str, Any]:
        return json.loads(self.read(f"data/scores/{split}.json"))

    @contextmanager
    def started(self, *command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        """Start a served command, and kill it at the end of the block with all that it has started; wait until nothing of it is left."""
        with subprocess.Popen(command, cwd=self.directory, env=self.environment(), text=True, **options) as run:
            try:
                yield run
            finally:
                run.kill()
        while self._is_worked_in():
            time.sleep(0.01)

    def _is_worked_in(self) -> bool:
        """Return whether a process that lives has the clone as its directory."""
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if path.name != str(os.getpid()) and (path / "cwd").readlink() == self.directory:
                    return True
        return False

    def remove(self) -> None:
        for _ in range(50):  # workers of DVC's queue still write for a while after the work is done
            shutil.rmtree(self.directory, ignore_errors=True)
            if not self.directory.exists():
                break
            time.sleep(0.2)


def _said(command: Sequence[str], code: int | None, out: str, err: str, check: bool) -> str:
    """Return the output of a command. If it is checked, it must have ended with 0."""
    if check and code:
        raise AssertionError(f"{command} ended with {code}:\n{out}\n{err}")
    return out + err


def stages_run(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


MODELS = ("ridge", "lightgbm")
"""The models of a clone. Two show how DVC treats one model and the fan-in; each more would run all stages of a model."""

LISTED = {"check", "tune"}
"""The stages that read the settings of all models."""

FAN_IN = {"ensemble", "neutralize", "evaluate"}
"""The stages that read all models and lead to the scores."""

COPIED = {"copy_scores"}
"""The stage that copies the scores to where Git keeps them."""

DRAWN = {"plot"}
"""The stages after them. They are the slowest, so that a clone has them only if a test needs them."""


def of_model(name: str) -> set[str]:
    """Return the stages of a model."""
    return {f"{stage}@{name}" for stage in ("train", "explain")}


def clone_tree(directory: Path, commands: Path | None = None, models: Sequence[str] | None = MODELS) -> Clone:
    """Make a repository of one commit with the working tree's files, so that uncommitted changes are tested too; None for all models."""
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listing.stdout.splitlines():
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name)
    clone = Clone(directory, commands)
    clone.run("git", "init", "-q", "-b", "main")
    (directory / "dvc.lock").unlink(missing_ok=True)
    small.edit(directory / "params.yaml", small.change_all)
    if models is not None:
        clone.set("models", {name: clone.settings()["models"][name] for name in models})
    clone.commit("start")
    return clone


def linked(clone: Clone, directory: Path) -> Clone:
    """Copy a clone that is checked out, with the same cache: DVC's files are linked, since nobody writes into them."""

    def copy(source: str, to: str) -> None:
        (shutil.copy2 if Path(source).stat().st_mode & 0o222 else os.link)(source, to)

    aside = {clone.directory / CACHE, clone.directory / TEMPORARY}
    shutil.copytree(
        clone.directory, directory, ignore=lambda at, names: [name for name in names if Path(at, name) in aside], copy_function=copy
    )
    (directory / CACHE).symlink_to(clone.directory / CACHE)
    return Clone(directory, clone.commands)


def checked_out(clone: Clone, directory: Path) -> Clone:
    """Make a clean clone that shares the cache of another one, and check it out."""
    clone.run("git", "clone", "-q", str(clone.directory), str(directory))
    (directory / CACHE).symlink_to(clone.directory / CACHE)
    made = Clone(directory, clone.commands)
    made.dvc("checkout", "-q", check=False)
    return made
