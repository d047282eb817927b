"""Runs of the pipeline on data in which an honest pipeline finds no signal.

1. The data's own features with targets shuffled within eras. A model that finds a signal out of fold has seen the answers. If it finds
   none on all features, the selection of features has seen them.
2. A market of pure noise, whose features give the target away to models fitted on an era near by. Folds without a purge must find a
   signal there, which shows that this test works. The pipeline's purged folds must find none.

The models are the ones of params.yaml, made small.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from erawise import params
from erawise.base import files, tabular
from erawise.folds import splits
from erawise.lab import canaries
from erawise.lab.canaries import CanaryResult
from erawise.running import paths
from erawise.running.errors import InputError

SMALL = {"trees": 60, "epochs": 4, "max_iterations": 50, "min_rows_leaf": 20, "early_stopping": 20}
"""Largest values of a model's settings, to be quick; leaves have few rows, so that a model can memorize."""

STAGES = """
import importlib, sys
for stage in sys.argv[1:]:
    name, *sys.argv[1:] = stage.split()
    importlib.import_module(f"stages.{name}").main()
"""
"""A program that runs the stages of its command line."""

TELLTALE: dict[str, dict[str, Any]] = {
    "data": {"target_horizon": canaries.DAYS},
    "split": {"method": "purged_kfold", "folds": 8},
    "select_features": {"method": "none"},
}
"""Settings of the market of noise, by section."""


def look_for_leaks(eras: int, rows: int, features: int, seed: int) -> None:
    """Run the stages on both kinds of data, and print the result of each model.

    Parameters
    ----------
    eras, rows, features : at most so many for the data with shuffled targets: its last train eras, rows of an era, features.
    seed : of all drawing.

    Raises
    ------
    InputError
        If a model finds a signal; the message names the stage that leaks.
    """
    p = params.load(paths.PARAMS)
    with tempfile.TemporaryDirectory() as scratch:
        shuffled, telltale = Path(scratch) / "shuffled", Path(scratch) / "telltale"
        raw = _workspace(shuffled, {}, p.data.target)
        canaries.shuffle_targets(paths.RAW, raw, eras=eras, rows=rows, features=features, seed=seed)
        leaks = _check_shuffled(shuffled, p.data.target)
        raw = _workspace(telltale, TELLTALE, "target")
        canaries.write_telltale(raw, eras=64, stocks=100, seed=seed)
        leaks += _check_telltale(telltale)
    if leaks:
        raise InputError("; ".join(leaks))
    print("no canary finds a signal")


def _workspace(directory: Path, changes: dict[str, dict[str, Any]], target: str) -> Path:
    """Make a directory with params.yaml in which stages run, and return its directory for raw files."""
    raw = directory / "data" / "local"
    raw.mkdir(parents=True)
    yaml = YAML()
    content = yaml.load(paths.PARAMS.read_text(encoding="utf-8"))
    content["data"].update(source="local", local={"path": "data/local"}, feature_set="all", target=target)
    content["preprocess"].update(every=1, derived=[])
    content["explore"].update(max_constant_share=1.0)
    content["tuning"].update(models=[])
    content["execution"].update(engine="local")
    for section, values in changes.items():
        content[section].update(values)
    for model in content["models"].values():
        model.pop("targets", None)
        model.update(target=target)
        for name, most in SMALL.items():
            if model.get(name) is not None:
                model[name] = min(model[name], most)
    with (directory / paths.PARAMS).open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    return raw


def _check_shuffled(directory: Path, target: str) -> list[str]:
    _run(directory, "download", "preprocess", "explore", "split", "select_features")
    results = _results(directory, target, None)
    print(_table("targets shuffled within eras", results))
    if not any(result.finds_signal for result in results):
        return []
    yaml = YAML()
    content = yaml.load((directory / paths.PARAMS).read_text(encoding="utf-8"))
    content["select_features"]["method"] = "none"
    with (directory / paths.PARAMS).open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    _run(directory, "select_features")
    still = {result.model for result in _results(directory, target, None) if result.finds_signal}
    return [
        f"{f'train@{result.model}' if result.model in still else 'select_features'}: on shuffled targets {result.model} finds a cv CORR of "
        f"{result.mean:.4f} (t {result.t:.1f}), and there is no signal: the stage has seen the targets of test eras"
        for result in results
        if result.finds_signal
    ]


def _check_telltale(directory: Path) -> list[str]:
    _run(directory, "download", "preprocess", "explore", "split", "select_features")
    purged = _results(directory, "target", canaries.DAYS)
    print(_table("a telltale market, purged folds", purged))
    leaks = [
        f"split: {result.model} finds a cv CORR of {result.mean:.4f} (t {result.t:.1f}) in noise, through eras that share their outcome "
        "with test eras: the purge is too short"
        for result in purged
        if result.finds_signal
    ]
    plan = splits.from_json(files.read_json(directory / paths.FOLDS), canaries.DAYS)
    used = canaries.predicting(_predictions(directory), plan.validation_purged)
    leaks += [f"train@{model}: it predicts validation eras that are purged after the last train era" for model in used]
    files.write_json(canaries.without_purge(files.read_json(directory / paths.FOLDS)), directory / paths.FOLDS)
    unpurged = _results(directory, "target", canaries.DAYS)
    print(_table("the same, folds without a purge: one must find a signal", unpurged))
    if not any(result.finds_signal for result in unpurged):
        leaks.append("canary: no model finds the leak that is there without a purge, so this test proves nothing; add a model of trees")
    return leaks


def _results(directory: Path, target: str, days: int | None) -> list[CanaryResult]:
    models = params.load(directory / paths.PARAMS).models
    _run(directory, "tune", *(f"train {name}" for name in models))
    index = tabular.read_parquet(directory / paths.PANEL / "index.parquet")
    return canaries.check(_predictions(directory), index, target, days)


def _predictions(directory: Path) -> dict[str, Any]:
    found = sorted((directory / paths.MODEL_PREDICTIONS).glob("*.parquet"))
    return {path.stem: tabular.read_parquet(path) for path in found}


def _run(directory: Path, *stages: str) -> None:
    """Run stages in a directory, one after the other, in a new process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", STAGES, *stages]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"the canary's run of {', '.join(stages)} failed: {done.stderr.strip() or done.stdout.strip()}")


def _table(title: str, results: list[CanaryResult]) -> str:
    lines = [f"{title}:"]
    for result in results:
        t = "too few eras with a score for a t" if np.isnan(result.t) else f"t {result.t:+.1f}"
        lines.append(f"  {result.model}: cv CORR {result.mean:+.4f}, {t}{', finds a signal' if result.finds_signal else ''}")
    return "\n".join(lines)
