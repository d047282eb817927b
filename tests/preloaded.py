"""The packages of others that stages and commands import: loaded once, by the process that `forks` forks."""

import importlib
import sys

from closure import PACKAGES, ROOT

for path in (ROOT / "stages").glob("*.py"):
    importlib.import_module(f"stages.{path.stem}")
for name in ("dvc.cli", "dvc.cli.parser", "dvc.repo", "dvc.repo.reproduce", "dvc.dvcfile", "dvc.fs"):
    importlib.import_module(name)
for name in ("erawise.__main__", "erawise.commands.menu", "erawise.models.ridge.model", "erawise.models.lightgbm.model"):
    importlib.import_module(name)

for name in list(sys.modules):  # a checkout has its own
    if name.split(".")[0] in PACKAGES:
        del sys.modules[name]
