"""A directory in which all stages run at a small size."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import small
from closure import ROOT

from erawise.base import tabular
from erawise.commands import menu
from erawise.running import errors, runner

MODELS = ("ridge", "lightgbm")
WHOLE = (
    "check",
    "download",
    "preprocess",
    "explore",
    "split",
    "select_features",
    "tune",
    *(f"{stage} {name}" for stage in ("train", "refit", "explain") for name in MODELS),
    "ensemble",
    "neutralize",
    "evaluate",
    "copy_scores",
    "plot",
)


COMMANDS = [name for commands in menu.COMMANDS.values() for name in commands]


def command(*words: str) -> None:
    """Run `erawise` in this process and directory."""
    errors.reported(lambda: menu.run(words))()


class Workspace:
    """A directory with a params.yaml, in which stages run as by `python -m stages.x`, and commands as by `erawise x`."""

    def __init__(self, directory: Path, source: Path | None = None) -> None:
        """Give a directory the settings of a small run on the files of `source`. Without `source`, keep the directory's settings."""
        self.directory = directory
        if source is not None:
            shutil.copyfile(ROOT / "params.yaml", directory / "params.yaml")
            self.change(lambda content: self._small(content, source))

    @staticmethod
    def _small(content: Any, source: Path) -> None:
        content["models"] = {name: content["models"][name] for name in MODELS}
        small.change_all(content)
        content["data"].update(source="local", local={"path": str(source)})
        content["tuning"].update(models=list(MODELS), trials=2)
        content["ensemble"].update(weights="nnls")
        content["neutralize"].update(proportion=1.0)
        content["final"].update(refit=list(MODELS))

    def follow(self, line: str, quiet: bool) -> None:
        """Run the command that follows a stage, in this process: to load the library anew takes longer than most stages."""
        command(*line.split(), *(["--quiet"] if quiet else []))

    def change(self, how: Callable[[Any], object]) -> None:
        small.edit(self.directory / "params.yaml", how)

    def command(self, words: Sequence[str]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.directory)
            command(*words)

    def run(self, *lines: str) -> None:
        """Run stages and commands."""
        for line in lines:
            if line.split()[0] in COMMANDS and line not in WHOLE:
                self.command(line.split())
            else:
                self._run_stage(line)

    def _run_stage(self, line: str) -> None:
        name, *arguments = line.split()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.directory)
            patch.setattr(sys, "argv", [name, *arguments])
            patch.setattr(runner, "_start", self.follow)
            importlib.import_module(f"stages.{name}").main()

    def ended(self, command: str) -> int:
        """Return the exit code with which a command ends."""
        with pytest.raises(SystemExit) as caught:
            self.run(command)
        return int(str(caught.value.code))

    def failure(self, stage: str, capsys: pytest.CaptureFixture[str]) -> str:
        with pytest.raises(SystemExit) as ended:
            self.run(stage)
        assert ended.value.code == 1
        return capsys.readouterr().err

    def predictions(self, name: str) -> pd.DataFrame:
        return tabular.read_parquet(self.directory / "data/predictions" / f"{name}.parquet")

    def metrics(self, split: str) -> dict[str, Any]:
        return json.loads((self.directory / f"data/scores/{split}.json").read_text())
