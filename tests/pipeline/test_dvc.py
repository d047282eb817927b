"""DVC behaves as its users expect: real `dvc`, forked by `served`, in temporary clones."""

import json
import random
import re
import secrets
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fitted
import numerai_server
import numpy as np
import pandas as pd
import pytest
import raw
import small
from clones import COPIED, DRAWN, FAN_IN, LISTED, MODELS, Clone, checked_out, clone_tree, of_model, stages_run
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update
from numerai_server import NumeraiServer

from benchmarks import experiments
from benchmarks.experiments import Experiment, Line, Study
from erawise.evaluation import evaluation
from erawise.history import revisions
from erawise.running.errors import InputError


@pytest.mark.timeout(900)
def test_all_kinds_of_models_run_and_what_is_left_of_them_agrees_hash_for_hash(finished_clone: Clone, tmp_path: Path) -> None:
    """Run a second time from scratch, with another cache: first all models, then only the first run's models."""
    second = clone_tree(tmp_path / "second", finished_clone.commands, models=None)
    models = second.settings()["models"]
    ran = stages_run(second.dvc("repro"))
    assert ran == set().union(set(finished_clone.lock()), *map(of_model, models))
    assert set(second.metrics()) == {*models, "ensemble", "neutralized", "diagnostics", "regime"}
    assert "neutralized" in second.erawise("show")

    second.set("models", {name: models[name] for name in MODELS})
    assert stages_run(second.dvc("repro", "copy_scores")) == LISTED | FAN_IN | COPIED
    lock = second.lock()
    first = {name: entry for name, entry in finished_clone.lock().items() if name not in DRAWN}
    assert {name: lock[name] for name in first} == first


def test_each_setting_reruns_what_depends_on_it_and_no_more(clone: Clone) -> None:
    output = clone.dvc("repro")
    assert stages_run(output) == set()
    assert "up to date" in output
    clone.set("plot.top_features", 5)
    clone.set("evaluate.objective", "payout")
    assert stages_run(clone.dvc("repro")) == DRAWN, "the objective of the report changes no stage's result"
    clone.set("evaluate.min_corr", 0.9)
    assert stages_run(clone.dvc("repro", "evaluate")) == {"evaluate"}
    assert clone.metrics()["diagnostics"] == {"passes": 0}
    clone.set("models.ridge.l2", 77.0)
    assert stages_run(clone.dvc("repro", "evaluate", "explain@ridge")) == LISTED | of_model("ridge") | FAN_IN


def test_a_model_added_and_removed_by_experiments(clone: Clone, tmp_path: Path) -> None:
    clone.drop(*DRAWN)
    before, lock = clone.read("metrics/cv.json"), clone.lock()
    targets = json.loads(clone.read("data/prepared/panel/features.json"))["targets"]
    target = next(name for name in targets if name != "target" and name.endswith("_20"))
    output = clone.dvc("exp", "run", "-S", f"+models.second={{kind: ridge, target: {target}, l2: 10.0}}")
    assert stages_run(output) == LISTED | of_model("second") | FAN_IN | COPIED
    assert "second" in clone.metrics()
    assert set(json.loads(clone.read("data/weights.json"))) == {*MODELS, "second"}
    clone.commit("added")

    output = clone.dvc("exp", "run", "-S", "~models.second")
    assert not {name for name in stages_run(output) if name.startswith("train")}
    assert clone.read("metrics/cv.json") == before
    assert not (clone.directory / "data/models/second").exists()
    assert not (clone.directory / "data/final/second").exists()
    assert not (clone.directory / "data/predictions/models/second.parquet").exists()
    assert not (clone.directory / "data/tuning/second.json").exists()
    clone.commit("removed")

    again = checked_out(clone, tmp_path / "again")
    assert revisions.stale(again.directory) == []
    assert stages_run(again.dvc("repro")) == {"check"}, "whose out is in no cache"
    assert {name: entry for name, entry in again.lock().items() if not name.endswith("@second")} == lock
    assert "up to date" in again.dvc("status")


def test_runs_are_on_record_and_compared_without_a_checkout_and_a_run_from_the_cache_is_no_look(clone: Clone) -> None:
    clone.drop(*DRAWN, "explain")
    clone.set("models.ridge.l2", 131.0)
    output = clone.dvc("repro", "copy_scores")
    assert "validation: look 1 at these eras" in output
    assert f"\n{evaluation.TOY}\n" in output
    difference = clone.dvc("metrics", "diff")
    assert len(difference.splitlines()) <= 15
    assert re.search(r"metrics/summary\.json +corr +-?\d", difference)
    moved = json.loads(clone.dvc("metrics", "diff", "--json", "--targets", "metrics/cv.json"))["metrics/cv.json"]
    assert "ridge.corr.mean" in moved
    assert "lightgbm.corr.mean" not in moved

    clone.dvc("exp", "run", "-n", "weaker", "-S", "models.ridge.l2=200000", "--temp", "evaluate")
    first, second = map(json.loads, clone.read("ledger.jsonl").splitlines())
    assert (first["changed"], first["experiment"]) == ({"models.ridge.l2": [1000.0, 131.0]}, None)
    assert (second["changed"], second["experiment"]) == ({"models.ridge.l2": [1000.0, 200000]}, "weaker")
    assert first["data"] == second["data"]
    assert first["commit"].endswith("+")
    assert first["scores"]["cv"] == evaluation.blocks(clone.metrics())
    shown = clone.dvc("exp", "show", "--csv", "--no-pager")
    heads = {"corr", "sharpe", "bmc", "payout", "drawdown", "best.name", "best.corr", "models.ridge.l2"}
    assert heads <= set(shown.splitlines()[0].split(","))
    assert "weaker" in shown
    fitted = clone.dvc("exp", "show", "--only-changed", "--drop", "best|.*/")
    assert max(map(len, fitted.splitlines())) <= 160
    assert all(word in fitted for word in ("weaker", "corr", "drawdown", "models.ridge.l2"))

    before = clone.run("git", "status", "--porcelain")
    output = clone.erawise("compare", "HEAD", "weaker", "--validation")
    assert re.match(r"ridge: (better|worse|can't tell), .*; 1 model unchanged\n", output)
    assert "HEAD → weaker" in output
    assert "lightgbm" not in output
    assert "lightgbm" in clone.erawise("compare", "HEAD", "weaker", "--all")
    standing = (
        "main: target, which equals target_ender_60, 60 trading days; early: target_ender_20, 20 days, one more figure; pays: 60 days"
    )
    assert f"\n{standing} since round" in output
    assert "models.ridge.l2: 1000.0 → 200000" in output
    assert "This was a look at validation; there were 3 at these eras in this checkout" in output, "HEAD was the third"
    assert re.search(r"\nValidation, the final check\n.*\n.*\nridge +-?0\.", output)
    assert clone.run("git", "status", "--porcelain") == before
    found = json.loads(clone.read("data/comparison/comparison.json"))
    assert (found["before"], found["after"]) == ("HEAD", "weaker")
    assert {row["prediction"] for row in found["predictions"]} >= {"ridge", "ensemble", "neutralized"}
    assert clone.read("data/comparison/comparison.svg").startswith("<?xml")

    clone.run("git", "checkout", "-q", "HEAD", "--", "params.yaml", "dvc.lock", "metrics")
    clone.dvc("checkout", "-q")
    same = clone.erawise("compare")
    assert "HEAD → the workspace" in same
    assert "no setting differs" in same
    assert same.startswith("Nothing changed: 4 predictions have the same scores in every era\n")
    clone.set("models.ridge.l2", 131.0)
    assert not stages_run(clone.dvc("repro", "evaluate")) & {"train@ridge", *FAN_IN}
    assert len(clone.read("ledger.jsonl").splitlines()) == 3
    listed = clone.erawise("history")
    assert re.search(r" weaker +\w{8}\+? .* models\.ridge\.l2: 1000\.0 → 200000\.0\n.* –  +\w{8} .* no setting\n", listed)
    assert listed.count("main: target") == 1
    assert standing in listed
    assert "Looks at these validation eras so far: 3." in clone.erawise("show")


def of_experiment(clone: Clone, name: str, path: str) -> str:
    """Read a file that Git keeps of an experiment."""
    names = clone.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    return clone.run("git", "show", f"{next(ref for ref in names if ref.endswith(f'/{name}'))}:{path}")


def test_an_experiment_elsewhere_reads_the_files_of_ones_own_and_a_failed_one_leaves_nothing(clone: Clone) -> None:
    clone.drop(*DRAWN, "explain")
    before = clone.run("git", "status", "--porcelain")
    settings = ("exp", "run", "--temp", "-S", "data.source=local")
    for number, rows in (("one", 22), ("two", 23)):
        raw.write(clone.directory / "data/local", rows=rows)
        clone.dvc(*settings, "-n", number, "preprocess")
        assert json.loads(of_experiment(clone, number, "metrics/data.json"))["train"]["rows"] == 60 * rows
    (clone.directory / "data/local").rename(clone.directory / "mine")
    clone.run("git", "checkout", "-q", "data/local")
    assert "check: wrote data/source.json" in clone.dvc(*settings, "-n", "mine", "-S", "data.local.path=mine", "download")
    shutil.rmtree(clone.directory / "mine")
    output = clone.dvc("exp", "run", "--temp", "-S", "data.local.path=nowhere", "download", check=False)
    assert "error: data.local.path: there is no directory nowhere in " in output
    assert "failed to reproduce 'check'" in output
    assert clone.run("git", "status", "--porcelain") == before


def test_a_revision_that_cannot_be_compared_is_named(clone: Clone) -> None:
    clone.run("git", "tag", "empty", clone.run("git", "commit-tree", "-m", "empty", clone.run("git", "mktree").strip()).strip())
    clone.run("git", "tag", "lost")
    clone.dvc("config", "--local", "cache.dir", str(clone.directory / "nothing"))
    shutil.rmtree(clone.directory / "data" / "scores")
    for revision, expected in (
        ("nosuch", "nosuch: unknown Git revision 'nosuch'"),
        ("HEAD~1", "HEAD~1: it has no dvc.lock: it is from before there were scores to compare"),
        ("empty", "empty: it has no params.yaml"),
        ("lost", "lost: data/scores/cv.parquet is neither there nor in the cache; fetch it with `git checkout lost && dvc pull"),
    ):
        assert expected in clone.erawise("compare", revision, check=False)


def test_runs_on_other_data_or_targets_are_compared_only_when_told_to(clone: Clone) -> None:
    """Change the lock of the workspace only: it says that the raw data are others, which is enough."""
    raw, path = clone.lock()["download"]["outs"][0], clone.directory / "dvc.lock"
    assert raw["path"] == "data/raw"
    path.write_text(path.read_text().replace(raw["md5"], f"{'0' * 32}.dir"))
    output = clone.erawise("compare", check=False)
    assert "HEAD and the workspace ran on different raw data" in output
    assert "Nothing changed: 4 predictions have" in clone.erawise("compare", "--anyway")


def test_the_gate_needs_no_data_and_sees_a_change(clone: Clone, tmp_path: Path) -> None:
    clone.run("git", "clone", "-q", str(clone.directory), str(tmp_path / "bare"))
    bare = Clone(tmp_path / "bare", clone.commands)
    bare.dvc("repro", "--allow-missing", "--dry")
    with (bare.directory / "erawise/folds/splits.py").open("a") as file:
        file.write("CHANGED = 1\n")
    with pytest.raises(AssertionError, match="ended with 255"):
        bare.dvc("repro", "--allow-missing", "--dry")


def test_a_stage_that_fails_leaves_nothing_half_written(clone: Clone) -> None:
    clone.set("data.feature_set", "nonsense")
    output = clone.dvc("repro", "preprocess", check=False)
    assert "error: data.feature_set: 'nonsense' is no feature set of data/raw/features.json; it has" in output
    assert "failed to reproduce 'preprocess'" in output
    assert not list((clone.directory / "data").glob(".*partial"))
    assert not (clone.directory / "data/prepared/panel/features").exists()


def test_data_that_changes_reruns_what_comes_from_it_and_bad_data_stops_before_anything_is_split(clone: Clone) -> None:
    clone.drop(*DRAWN, "explain")
    frames = raw.write(clone.directory / "data/local", rows=20)
    clone.set("data.source", "local")
    assert stages_run(clone.dvc("repro", "split")) == {"check", "download", "preprocess", "explore", "split"}
    assert stages_run(clone.dvc("repro", "split")) == set()
    assert json.loads(clone.read("metrics/data.json"))["train"]["rows"] == 60 * 20
    live = frames["live"].iloc[3:].assign(feature_0=4, feature_1=pd.array([None] * 17, "Int8"))
    live.set_index("id").to_parquet(clone.directory / "data/local/live.parquet")
    assert stages_run(clone.dvc("repro", "split")) == {"download", "preprocess", "explore"}

    frames = raw.write(clone.directory / "data/local", rows=21)
    train = frames["train"]
    train.loc[train["era"] == "0013", ["target", "target_other_20"]] = np.nan
    train.set_index("id").to_parquet(clone.directory / "data/local/train.parquet")
    for wanted in ("evaluate", "train@ridge"):
        output = clone.dvc("repro", wanted, check=False)
        assert "error: target 'target' is missing in every row of train era 13" in output
        assert "failed to reproduce 'explore'" in output
        assert not stages_run(output) & {"split", "select_features", "train@ridge", "evaluate"}
    assert json.loads(clone.read("metrics/data.json"))["train"]["rows"] == 60 * 21
    assert not (clone.directory / "data/explored/checked.json").exists()


def kill(clone: Clone, stage: str, said: str) -> None:
    """Run a stage by DVC, and kill both at its first output."""
    with clone.started("dvc", "repro", stage, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        assert run.stdout is not None
        assert any(said in line for line in run.stdout)


def test_a_killed_run_can_be_run_again(clone: Clone) -> None:
    clone.drop(*DRAWN, "explain")
    before = clone.read("dvc.lock")
    settings = clone.read("params.yaml")
    clone.set("models.lightgbm.trees", 1_000_000)
    clone.set("models.lightgbm.early_stopping", None)
    path = clone.directory / "erawise/running/progress.py"
    code, found = re.subn(r"(FIRST_LINE, .*) = \d+\.\d+,", r"\1 = 0.0,", path.read_text())
    assert found
    path.write_text(code)  # so that the first line comes with the first tree
    kill(clone, "train@lightgbm", "of 3,000,000 trees")
    (clone.directory / "params.yaml").write_text(settings)
    assert stages_run(clone.dvc("repro")) <= LISTED
    assert clone.read("dvc.lock") == before
    assert not list((clone.directory / "data").rglob("*.partial"))


def test_forked_commands_write_the_lock_as_dvc_does(finished_clone: Clone) -> None:
    """Check how it is written. That its entries are right is seen by runs that find nothing to do."""
    text = finished_clone.read("dvc.lock")
    assert dumps_yaml(parse_yaml_for_update(text, "dvc.lock")) == text


@pytest.mark.parametrize("setting", ["core.autocrlf=true", "core.eol=crlf"])
def test_a_clone_has_the_same_bytes_whatever_git_does_to_line_ends(finished_clone: Clone, tmp_path: Path, setting: str) -> None:
    made, cloned = finished_clone, Clone(tmp_path / "cloned")
    made.run("git", "-c", setting, "clone", "-q", str(made.directory), str(cloned.directory))
    cloned.run("git", "config", *setting.split("="))
    names = made.run("git", "ls-files", "-z").split("\0")[:-1]
    assert {name for name in names if (cloned.directory / name).read_bytes() != (made.directory / name).read_bytes()} == set()
    cloned.run("touch", *names)
    assert cloned.run("git", "status", "--porcelain") == ""


def test_ten_kills_of_which_five_cut_the_lock_change_no_result(clone: Clone) -> None:
    path, rng, cut, killed = clone.directory / "dvc.lock", random.Random(3), 0, 0
    results = {name: clone.read(name) for name in ("dvc.lock", "metrics/cv.json", "metrics/validation.json", "plots/tables/importance.csv")}
    command = ("dvc", "repro", "--single-item", "neutralize")
    clone.set("neutralize.proportion", 0.5)
    clone.run(*command)  # so that DVC has both results, and a run only writes the lock
    for number in range(10):
        clone.set("neutralize.proportion", "auto" if "proportion: 0.5\n" in clone.read("dvc.lock") else 0.5)
        before = path.stat()
        with clone.started(*command, stdout=subprocess.DEVNULL) as run:
            if number % 2:
                time.sleep(rng.uniform(0, 1))
            else:  # the lock is emptied, then written
                while path.stat().st_size >= before.st_size and run.poll() is None:
                    time.sleep(0.001)
                time.sleep(rng.uniform(0, 0.05))
        killed += run.returncode < 0
        cut += "dvc.lock: it isn't whole" in clone.erawise("check")
    assert killed >= 8
    assert cut >= 4
    clone.set("neutralize.proportion", "auto")
    clone.dvc("repro")
    assert {name: clone.read(name) for name in results} == results
    assert "up to date" in clone.dvc("status")
    assert not [path for path in clone.directory.rglob("*") if path.name.endswith(".partial") or path.name.startswith("scratch_")]


def test_a_model_is_tuned_by_an_experiment_and_trained_with_what_was_found(clone: Clone) -> None:
    clone.drop(*DRAWN)
    tune = ("-S", "tuning.models=[ridge]", "-S", "tuning.trials=4", "-S", "tuning.penalty=0")
    output = clone.dvc("exp", "run", *tune)
    found = json.loads(clone.read("data/tuning/ridge.json"))
    assert found["trials"] == 4
    changed = of_model("ridge") | FAN_IN | COPIED if found["settings"] else set()
    assert stages_run(output) == {"tune"} | changed
    assert "ridge: as it is: " in output
    assert "ridge: trial 4 of 4: " in output
    assert json.loads(clone.read("data/tuning/lightgbm.json")) == {}
    assert found["objective"] >= found["default_objective"]
    if found["settings"]:
        assert clone.metrics()["ridge"]["corr"]["mean"] == pytest.approx(found["objective"], abs=1e-5)
    before = clone.run("git", "show", "HEAD:metrics/cv.json")
    clone.set("tuning.models", [])
    clone.dvc("repro", "copy_scores")
    assert json.loads(clone.read("data/tuning/ridge.json")) == {}
    assert clone.read("metrics/cv.json") == before


def test_a_plug_in_that_changes_is_trained_again_and_no_other_model(clone: Clone) -> None:
    clone.drop(*DRAWN, "explain")
    own = clone.directory / "plugins/mine.py"
    own.write_text(fitted.EXAMPLE)
    entry = {"kind": "plugin", "plugin": "mine", "target": "target", "settings": {"l2": 1.0}}
    small.edit(clone.directory / "params.yaml", lambda content: content["models"].update(mine=entry))
    trained = ("repro", "train@mine", "train@ridge")
    assert stages_run(clone.dvc(*trained)) == {"check", "tune", "train@mine"}
    own.write_text(fitted.EXAMPLE + "\n")
    assert stages_run(clone.dvc(*trained)) == {"tune", "train@mine"}
    own.write_text(fitted.EXAMPLE)
    assert stages_run(clone.dvc(*trained)) == {"tune"}, "DVC has the model of that content"


def test_a_search_that_was_killed_goes_on(clone: Clone) -> None:
    clone.drop(*DRAWN, "explain")
    clone.set("tuning.models", ["lightgbm"])
    clone.set("tuning.trials", 4)
    kill(clone, "tune", "trial 2 of 4")
    assert json.loads(clone.read("data/tuning/lightgbm.json")) == {}
    output = clone.dvc("repro", "tune")
    tried = [int(number) for number in re.findall(r"trial (\d+) of 4", output)]
    assert tried[0] >= 3
    assert tried[-1] == 4
    resumed = clone.read("data/tuning/lightgbm.json")
    again = ("repro", "--single-item", "--force", "tune")
    assert "lightgbm: the result of the last search is kept" in clone.dvc(*again)
    shutil.rmtree(clone.directory / "data/studies")
    (clone.directory / "data/tuning/_searched.json").unlink()
    assert "trial 4 of 4" in clone.dvc(*again)
    assert clone.read("data/tuning/lightgbm.json") == resumed


def test_recipes_are_queued_run_by_two_workers_and_not_run_again(
    clone: Clone, commands: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clone.drop(*DRAWN, "explain", "refit")
    monkeypatch.chdir(clone.directory)
    monkeypatch.setattr(sys, "executable", str(commands / "python"))
    for name, value in clone.environment().items():
        monkeypatch.setenv(name, value)
    half = Experiment("half", ("evaluate.min_corr=0.5",), (), after=None)
    broken = Experiment("broken", ("data.target=nosuch",), (), after=None)
    clone.dvc("exp", "run", "--queue", "-n", "mine", "-S", "plot.top_features=3")
    with pytest.raises(InputError, match="DVC's queue isn't empty: mine; wait until"):
        experiments.run([half])
    clone.dvc("queue", "remove", "mine")
    clone.set("plot.top_features", 5)
    with pytest.raises(InputError, match=r"files have changed: M params\.yaml; commit them first"):
        experiments.run([half, broken])
    clone.run("git", "checkout", "-q", "params.yaml")
    with pytest.raises(InputError, match="failed: broken; see why by `dvc queue logs broken`"):
        experiments.run([half, broken])
    assert capfd.readouterr().err.count("Queued experiment ") == 2
    assert "nosuch" in clone.dvc("queue", "logs", "broken")
    quarter = Experiment("quarter", ("evaluate.min_corr=0.25",), (), after="half")
    experiments.run([half, quarter])  # at once, while the earlier workers still live
    assert capfd.readouterr().err.count("Queued experiment ") == 1
    found = experiments.read([half, quarter])
    assert [found[name].settings["evaluate"]["min_corr"] for name in ("half", "quarter")] == [0.5, 0.25]
    lines = [Line(one.name, one, "neutralized") for one in (half, quarter)]
    assert "| quarter | " in experiments.table(Study("bounds", (lines[0],), (lines[1],)), found)
    clone.set("plot.top_features", 5)
    experiments.run([half, quarter])
    assert capfd.readouterr().err == ""


def test_new_eras_need_new_fits_alone_with_the_bytes_of_a_run_from_scratch(clone: Clone) -> None:
    def kept() -> set[str]:
        return {path.name for path in (clone.directory / "data/fits/ridge").iterdir()}

    def predicted() -> pd.DataFrame:
        return pd.read_parquet(clone.directory / "data/predictions/models/ridge.parquet").set_index("id")

    clone.drop(*DRAWN, "explain")
    clone.set("final.retrain_every", 6)
    assert "ridge: validation is predicted by" in clone.dvc("repro", "train@ridge")
    fits, before = kept(), predicted().query("split == 'validation'")
    assert len(fits) == 2 + 1 + len(json.loads(clone.read("data/folds.json"))["horizons"]["60"]["blocks"])

    clone.set("data.market.validation_eras", clone.settings()["data"]["market"]["validation_eras"] + 2)
    clone.dvc("repro", "train@ridge")
    new, after = kept() - fits, predicted()
    assert len(new) in (1, 2), "the model that is served, and that of a block if one has begun"
    pd.testing.assert_frame_equal(after.loc[before.index], before)
    assert len(after.query("split == 'validation'")) > len(before)
    outs = {name: entry["outs"] for name, entry in clone.lock().items() if name == "train@ridge"}
    shutil.rmtree(clone.directory / "data/fits/ridge")
    clone.dvc("repro", "--force", "--single-item", "--no-run-cache", "train@ridge")
    assert {name: entry["outs"] for name, entry in clone.lock().items() if name == "train@ridge"} == outs

    clone.set("data.market.validation_eras", 30)
    said = clone.dvc("repro", "split", check=False)
    assert re.search(r"data: eras that were there in the last run are missing: \d+, .*the data may only grow", said)


def test_no_model_is_a_pickle(finished_clone: Clone) -> None:
    found = [path for path in (finished_clone.directory / "data/models").rglob("*") if path.is_file()]
    assert {path.suffix for path in found} == {".txt", ".npz", ".csv", ".json"}
    assert all(not path.read_bytes().startswith((b"\x80\x03", b"\x80\x04", b"\x80\x05")) for path in found)


def test_a_round_is_handed_in_by_the_commands_and_the_key_is_in_nothing_that_they_leave(clone: Clone, tmp_path: Path) -> None:
    key = (secrets.token_hex(8), secrets.token_hex(16))
    (tmp_path / "round/v5.3").mkdir(parents=True)
    for name in ("live.parquet", "live_benchmark_models.parquet"):
        shutil.copyfile(clone.directory / "data/raw" / name, tmp_path / "round/v5.3" / name)
    clone.set("submit.models", {"alpha": "neutralized", "beta": "lightgbm"})
    clone.set("final.refit", ["lightgbm", "ridge"])
    said = []
    with numerai_server.serving(NumeraiServer({7: tmp_path / "round"}, current=7)) as server:
        server.account.key = key
        variables = {"NUMERAI_PUBLIC_ID": key[0], "NUMERAI_SECRET_KEY": key[1], "ERAWISE_API_URL": server.url, "NO_PROXY": "*"}
        row = {"displayName": "v2_corr20", "version": "6", "day": 20, "percentile": 0.5, "resolved": True}
        server.account.scores["id-alpha"] = [
            row | {"roundNumber": number, "value": 0.02, "roundCloseStakingTime": (datetime.now(UTC) + timedelta(weeks=number)).isoformat()}
            for number in (7, 8, 9)
        ]
        server.account.diagnostics = [{"status": "done", "validationCorrV4Mean": 0.5, "perEraDiagnostics": [{"era": 77}]}]
        for words in (
            "dvc repro",
            "erawise submit",
            "erawise submit",
            "erawise monitor --md",
            "erawise diagnostics alpha",
            "erawise payout --round 7",
        ):
            said.append(clone.run("python", "-m", *words.split(), check="payout" not in words, **variables))
    assert stages_run(said[0]) >= {"refit@lightgbm", "refit@ridge"}
    assert "alpha: neutralized is sent" in said[1]
    assert "beta: lightgbm is already there" in said[2]
    assert "| alpha | neutralized | CORR | 1 | 1 | 0.0200" in said[3]
    assert "| alpha | not from here, earlier | CORR | 2 | 2 | 0.0200" in said[3]
    assert len(server.account.created_for("create_submission", "id-alpha")) == 1
    assert json.loads(clone.read("metrics/live.json"))["days_20"]["alpha"]["corr"]["rounds"] == 1
    files = [path for path in clone.directory.rglob("*") if path.is_file() and path.parent.name != "tests"]
    assert {"dvc.lock", "journal.jsonl", "live.json", "alpha.csv"} <= {path.name for path in files}
    for secret in (*key, numerai_server.SIGNATURE):
        assert not any(secret in text for text in said)
        assert not [path for path in files if secret.encode() in path.read_bytes()]
