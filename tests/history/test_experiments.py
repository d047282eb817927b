"""The recipes of docs/experiments.md: valid settings, printed as they are run, and tables with the results."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from dvc.utils.hydra import apply_overrides

from benchmarks import experiments
from benchmarks.experiments import Experiment, Line, Study
from erawise import params
from erawise.history.revisions import Revision
from erawise.running.errors import InputError

ALL = experiments.experiments(experiments.STUDIES)
ERAS = np.arange(1, 81)


@pytest.mark.parametrize("experiment", ALL, ids=lambda experiment: experiment.name)
def test_every_recipe_is_a_valid_change_of_the_settings(experiment: Experiment, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    shutil.copyfile(ROOT / "params.yaml", path)
    apply_overrides(path, list(experiment.settings))
    changed = params.load(path)
    assert changed.data.market.stocks == 5000
    alone = "ALONE" in experiment.groups
    assert set(changed.models) == ({"lightgbm"} if alone else set(params.load(ROOT / "params.yaml").models))


def test_recipes_differ_in_name_and_settings() -> None:
    assert len({one.name for one in ALL}) == len({one.settings for one in ALL}) == len(ALL) > 20


def test_what_others_come_after_is_run_first() -> None:
    order = [one.name for level in experiments.rounds(ALL) for one in level]
    assert sorted(order) == sorted(one.name for one in ALL)
    assert all(order.index(one.after) < order.index(one.name) for one in ALL if one.after)


def test_work_is_started_once_the_workers_of_before_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["1 active, 1 idle", "0 active, 1 idle", "0 active, 0 idle"])
    monkeypatch.setattr(experiments, "_dvc_says", lambda *words: f"Worker status: {next(said)}")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    experiments._wait_for_workers_to_end()
    assert next(said, None) is None
    monkeypatch.setattr(experiments, "_dvc_says", lambda *words: "Worker status: 0 active, 10 idle")
    with pytest.raises(InputError, match="workers of DVC's queue don't end; end them by `dvc queue stop --kill`"):
        experiments._wait_for_workers_to_end()


def test_the_page_shows_the_recipes_that_are_run() -> None:
    page = experiments.PAGE.read_text(encoding="utf-8")
    assert experiments.shared() in page
    for study in experiments.STUDIES:
        block = page.partition(f"<!-- {study.name} -->")[2].partition(f"<!-- end of {study.name} -->")[0]
        assert experiments.recipes(study) in block
        assert all(f"\n| {line.says} | " in block for line in study.lines)
        assert sum(f"\n| **{line.says}** | " in block for line in study.bases) == 1


def revision(name: str, **predictions: np.ndarray) -> Revision:
    tables = [pd.DataFrame({"era": ERAS[: len(corr)], "prediction": prediction, "corr": corr}) for prediction, corr in predictions.items()]
    scores = pd.concat(tables, ignore_index=True)
    return Revision(name, {}, "target", 20, None, {"cv": scores, "validation": scores[scores["era"] <= 20]})


def test_a_table_holds_its_lines_against_the_strongest_base() -> None:
    rng = np.random.default_rng(0)
    base = 0.02 + 0.02 * rng.standard_normal(80)
    one, other = Experiment("one", after=None), Experiment("other")
    found = {
        "one": revision("one", weak=base - 0.01, strong=base),
        "other": revision("other", better=base + 0.01 + 0.005 * rng.standard_normal(80), same=base),
    }
    lines = (Line("the worse one", one, "weak"), Line("the better one", other, "better"), Line("no change", other, "same"))
    study = Study("tried", (Line("weak base", one, "weak"), Line("strong base", one, "strong")), lines)
    head, _, first, *rows = experiments.table(study, found).splitlines()
    assert head.count("|") == first.count("|") == rows[0].count("|")
    assert first.startswith(f"| **strong base** | {base.mean():.4f} |")
    assert [row.split(" | ")[0] for row in rows] == ["| the worse one", "| the better one", "| no change"]
    assert "| worse |" in rows[0]
    assert "| better |" in rows[1]
    assert rows[1].count("**") == 6, "CORR, Sharpe and drawdown leave 0 out, and there are too few eras of validation"
    assert "| can't tell: the scores are the same in every era |" in rows[2]
    assert experiments.summed_up([study], found).startswith("3 experiments, 3 comparisons, of which 2 tell a difference in mean CORR")
