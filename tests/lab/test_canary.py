"""Canaries: silent in an honest pipeline; in a pipeline that leaks they find it and name the leak."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import raw
import small
from closure import ROOT

from erawise import params
from erawise.base import files
from erawise.base.schema import purge_weeks
from erawise.folds import splits
from erawise.folds.settings import Split
from erawise.lab import canaries, leak_runs
from erawise.sources import layout

MODELS = ("ridge", "lightgbm")
SHUFFLED, TELLTALE = leak_runs._check_shuffled.__name__, leak_runs._check_telltale.__name__
"""The two parts of the command."""
FEATURES = 300
OPTIONS = ("--eras", "60", "--rows", "40", "--features", str(FEATURES))

ONE_PROCESS = """
import contextlib, importlib, sys
from erawise.lab import leak_runs

def run(directory, *stages):
    with contextlib.chdir(directory), contextlib.redirect_stdout(None):
        for stage in stages:
            name, *sys.argv[1:] = stage.split()
            importlib.import_module(f"stages.{name}").main()

started, leak_runs._run = leak_runs._run, run
"""
"""Code that lets the command run its stages in its own process: starting a process for each takes longer than most stages."""

FIRST_STARTED = f"""{ONE_PROCESS}
def first(directory, *stages):
    leak_runs._run = run
    started(directory, *stages)

leak_runs._run = first
"""
"""Code that lets it start a process for the first stages, as it does for a user."""


def unchanged(content: Any) -> None:
    """Change no setting."""


def workspace(directory: Path, change: Callable[[Any], None] = unchanged, *, features: int = 200, models: Sequence[str] = MODELS) -> Path:
    """Write raw files and settings for the command; `change` gets the settings."""
    raw.write(directory / "data" / "raw", features=features)
    shutil.copyfile(ROOT / "params.yaml", directory / "params.yaml")

    def smaller(content: Any) -> None:
        small.change_all(content)
        content["models"] = {name: content["models"][name] for name in models}
        if "lightgbm" in models:
            content["models"]["lightgbm"].update(trees=8)
        content["resources"].update(threads=1)  # several threads wait for each other longer than they compute
        change(content)

    small.edit(directory / "params.yaml", smaller)
    return directory


def check(directory: Path, commands: Path, skipped: str = "", *, before: str = ONE_PROCESS) -> tuple[int, str]:
    """Run the command in a directory, with the code of this directory, or else the repository's.

    Parameters
    ----------
    directory : the workspace.
    commands : of `served`.
    skipped : one of the command's two parts, which rests.
    before : code that runs before the command.
    """
    code = directory if (directory / "stages").exists() else ROOT
    environment = os.environ | {"PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    if code != ROOT:
        environment |= {"ERAWISE_NUMBA": "0"}  # a copy of the code has no compiled loops
    rests = f"from erawise.lab import leak_runs; leak_runs.{skipped} = lambda *_: []" if skipped else ""
    program = f"{before}\n{rests}\nfrom erawise import __main__; __main__.main()"
    (directory / "program.py").write_text(program)
    command = [str(commands / "python"), "program.py", "canary", *OPTIONS]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout + done.stderr


def with_code(directory: Path, path: str, old: str, new: str) -> Path:
    """Return the workspace with a copy of the code in which one line is changed."""
    for package in ("erawise", "stages"):
        shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (directory / path).read_text()
    assert text.count(old) == 1
    (directory / path).write_text(text.replace(old, new))
    return directory


def test_an_honest_pipeline_is_silent_and_the_canary_lives(tmp_path: Path, commands: Path) -> None:
    code, output = check(workspace(tmp_path, models=("ridge",)), commands)
    assert code == 0, output
    assert "no canary finds a signal" in output.splitlines()
    silent, alive = output.split("folds without a purge")
    assert "finds a signal" not in silent
    assert ", finds a signal" in alive
    assert not (tmp_path / "data" / "models").exists()


def test_several_honest_models_are_silent(tmp_path: Path, commands: Path) -> None:
    code, output = check(workspace(tmp_path, features=FEATURES), commands, TELLTALE)
    assert code == 0, output
    assert re.findall(r"^  (\w+): cv CORR [+-]0\.\d+, t [+-][\d.]+$", output, re.MULTILINE) == sorted(MODELS)


def several_on_workers_elsewhere(content: Any) -> None:
    """Set several targets and seeds, whose fits a scheduler on another machine gives out."""
    del content["models"]["ridge"]["target"], content["models"]["lightgbm"]["seed"]
    content["models"]["ridge"]["targets"] = ["target", "target_other_20"]
    content["models"]["lightgbm"].update(seeds=[1, 2])
    content["execution"].update(engine="dask", scheduler="tcp://127.0.0.1:9")


def test_models_of_several_targets_and_seeds_are_checked_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace(tmp_path, several_on_workers_elsewhere))
    leak_runs._workspace(tmp_path / "made", leak_runs.TELLTALE, "target")
    p = params.load(tmp_path / "made/params.yaml")
    assert p.execution.engine == "local"
    assert [variant.target for model in p.models.values() for variant in model.variants.values()] == ["target"] * 3


def test_selection_on_test_eras_is_found_and_is_named(tmp_path: Path, commands: Path) -> None:
    place = workspace(tmp_path, features=FEATURES, models=("ridge",))
    old = "fitted_on = [plan.train, *(fold.train for fold in plan.folds)]"
    spoiled = with_code(place, "erawise/selection/selection.py", old, "fitted_on = [plan.train] * (1 + len(plan.folds))")
    small.edit(spoiled / "params.yaml", lambda content: content["select_features"].update(keep_share=0.1, trees=20))
    code, output = check(spoiled, commands, TELLTALE)
    assert code == 1
    assert "error: select_features: on shuffled targets" in output
    assert "Traceback" not in output


def test_training_on_test_eras_is_found_and_is_named(tmp_path: Path, commands: Path) -> None:
    place = workspace(tmp_path, models=("ridge",))
    old, fold = "train, features = data.plan.folds[number].train,", "data.plan.folds[number]"
    new = f"train, features = np.sort(np.concatenate([{fold}.train, {fold}.test])),"
    spoiled = with_code(place, "erawise/training/training.py", old, new)
    code, output = check(spoiled, commands, TELLTALE)
    assert code == 1
    assert "train@ridge: on shuffled targets ridge finds a cv CORR of" in output


def test_a_purge_one_week_short_is_found_and_is_named(tmp_path: Path, commands: Path) -> None:
    place = workspace(tmp_path, models=("ridge",))
    old, new = "return spanned_weeks(days) + EMBARGO_WEEKS", "return spanned_weeks(days) + 3"
    code, output = check(with_code(place, "erawise/base/schema.py", old, new), commands, SHUFFLED, before=FIRST_STARTED)
    assert code == 1
    assert "split: " in output


def test_a_window_reaches_exactly_as_far_as_the_purge(tmp_path: Path) -> None:
    canaries.write_telltale(tmp_path, eras=40, stocks=30, seed=0)
    train = pd.read_parquet(tmp_path / "train.parquet")
    telltale = train.filter(like="telltale")
    varies = (telltale.groupby(train["era"]).nunique() > 1).to_numpy()
    shared = varies.astype(int) @ varies.T.astype(int)
    distance = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    np.testing.assert_array_equal(shared > 0, distance <= purge_weeks(20))
    plan = splits.plan(np.arange(1, 41), np.arange(41, 60), 20, Split(method="purged_kfold", folds=4, chunk=1, window=None))
    for fold in plan.folds:
        assert not (shared[np.ix_(fold.train - 1, fold.test - 1)] > 0).any()


def test_without_a_purge_every_other_era_is_trained_on() -> None:
    plan = splits.plan(np.arange(1, 41), np.arange(41, 60), 20, Split(method="purged_kfold", folds=4, chunk=1, window=None))
    content = splits.to_json({20: plan, 60: "too few eras"})
    opened = splits.from_json(canaries.without_purge(content), 20)
    for fold in opened.folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.train, fold.test])), np.arange(1, 41))
    np.testing.assert_array_equal(opened.validation_purged, plan.validation_purged)
    assert any(len(fold.purged) for fold in splits.from_json(content, 20).folds)


def test_shuffling_keeps_each_era_and_breaks_the_link(tmp_path: Path) -> None:
    source, out = tmp_path / "raw", tmp_path / "out"
    out.mkdir()
    frames = raw.write(source)
    canaries.shuffle_targets(source, out, eras=30, rows=25, features=5, seed=1)
    layout.check_all(out)
    shuffled, before = pd.read_parquet(out / "train.parquet"), frames["train"].reset_index().set_index("id")
    assert shuffled["era"].nunique() == 30
    assert shuffled.groupby("era").size().tolist() == [25] * 30
    again = before.loc[shuffled["id"]]
    features = files.read_json(out / layout.FEATURES)["feature_sets"]["all"]
    assert len(features) == 5
    np.testing.assert_array_equal(again[features].to_numpy(), shuffled[features].to_numpy())
    moved = again["target"].to_numpy() != shuffled["target"].to_numpy()
    assert moved.mean() > 0.2
    for era, rows in shuffled.groupby("era"):
        kept = again.loc[rows["id"], "target"].sort_values().to_numpy()
        np.testing.assert_array_equal(np.sort(rows["target"].to_numpy()), kept, err_msg=str(era))


def test_the_settings_of_the_models_stay_within_their_bounds(tmp_path: Path) -> None:
    assert set(params.load(workspace(tmp_path) / "params.yaml").models) == set(MODELS)
    with pytest.raises(FileNotFoundError):
        canaries.shuffle_targets(tmp_path, tmp_path, eras=1, rows=1, features=1, seed=0)
