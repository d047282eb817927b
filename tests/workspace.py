"""A directory in which stages run, small and whole."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import small
from closure import ROOT
from ruamel.yaml import YAML

from erawise.base import tabular

MODELS = ("ridge", "lightgbm")
WHOLE = (
    "download_local",
    "preprocess",
    "explore",
    "split",
    "select_features",
    *(f"tune_{name} {name}" for name in MODELS),
    *(f"train_{name} {name}" for name in MODELS),
    *(f"refit_{name} {name}" for name in MODELS),
    *(f"explain_{name} {name}" for name in MODELS),
    "members",
    "ensemble",
    "neutralize",
    "evaluate",
    "plot",
)


class Workspace:
    """A directory with a params.yaml, in which stages run as `python -m stages.x` would run them."""

    def __init__(self, directory: Path, source: Path | None = None) -> None:
        """Give a directory the settings of a small run on the files of `source`; without one, it has its settings."""
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
        content["final"].update(fit_on="all")

    def change(self, how: Callable[[Any], object]) -> None:
        yaml, path = YAML(), self.directory / "params.yaml"
        content = yaml.load(path.read_text())
        how(content)
        with path.open("w") as file:
            yaml.dump(content, file)

    def run(self, *stages: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.directory)
            for stage in stages:
                name, *arguments = stage.split()
                patch.setattr(sys, "argv", [name, *arguments])
                module = importlib.import_module(f"stages.{name}")
                if name.startswith("train_"):
                    module.training.run(getattr(module, name.removeprefix("train_")))
                elif name.startswith("explain_"):
                    module.explaining.run(getattr(module, name.removeprefix("explain_")))
                elif name.startswith("tune_"):
                    module.tuning.run(module.search)
                elif name.startswith("refit_"):
                    module.refitting.run(module.refit)
                else:
                    module.main()

    def ended(self, command: str) -> int:
        """The exit code of a command that ends by one."""
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
        return json.loads((self.directory / f"metrics/{split}.json").read_text())
