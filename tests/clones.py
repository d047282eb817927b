"""Temporary clones of the repository with a small pipeline, in which real `dvc` runs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import small
from closure import ROOT
from ruamel.yaml import YAML


class Clone:
    """A clone of the repository with a small pipeline, and a DVC cache of its own or a shared one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, *command: str, check: bool = True, **variables: str) -> str:
        environment = self.environment() | variables
        done = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=900, check=False)
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_", "PYTEST_"))}
        return environment | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.org",
            "DVC_NO_ANALYTICS": "1",
            "COLUMNS": "400",
        }

    def dvc(self, *arguments: str, check: bool = True) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments, check=check)

    def set(self, name: str, value: Any) -> None:
        yaml, path = YAML(), self.directory / "params.yaml"
        content = yaml.load(path.read_text())
        small.change(content, name, value)
        with path.open("w") as file:
            yaml.dump(content, file)

    def settings(self) -> dict[str, Any]:
        return YAML(typ="safe").load(self.read("params.yaml"))

    def commit(self, message: str = "change") -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)

    def read(self, name: str) -> str:
        return (self.directory / name).read_text()

    def metrics(self, split: str = "cv") -> dict[str, Any]:
        return json.loads(self.read(f"metrics/{split}.json"))


def stages_run(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


MODELS = ("ridge", "lightgbm")
"""Those of a clone: what DVC does to one and the fan-in to both shows its behaviour, and each more takes all stages of a model."""


def clone_tree(directory: Path) -> Clone:
    """A repository of one commit with the working tree's files, so that what isn't committed yet is tested as well; with two models."""
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listing.stdout.splitlines():
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name)
    clone = Clone(directory)
    clone.run("git", "init", "-q", "-b", "main")
    (directory / "dvc.lock").unlink(missing_ok=True)
    small.shrink(directory / "params.yaml")
    clone.set("models", {name: clone.settings()["models"][name] for name in MODELS})
    clone.commit("start")
    return clone
