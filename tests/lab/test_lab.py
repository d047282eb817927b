"""A finished run in the lab: scores, models and predictions are the pipeline's own, and validation stays out of every fit."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from numpy.typing import NDArray
from workspace import Workspace

from erawise.evaluation import evaluation
from erawise.evaluation.summary import PARTS
from erawise.lab import lab
from erawise.lab.lab import Run
from erawise.models.lightgbm import model as lightgbm
from erawise.models.ridge import model as ridge
from erawise.models.shared import common
from erawise.models.shared.protocol import Resources
from erawise.panel.panel import View
from erawise.running.errors import InputError
from erawise.training.training import tuned


@pytest.fixture(scope="module")
def copied(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the finished run, since fits write temporary files next to its data."""
    return shutil.copytree(finished.directory, tmp_path_factory.mktemp("lab"), dirs_exist_ok=True)


@pytest.fixture
def run(copied: Path) -> Run:
    return lab.open_run(copied)


def flat(block: dict[str, Any], before: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in block.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


def ordered(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions.sort_values(["split", "era", "id"], ignore_index=True)


def settings_of(run: Run, name: str) -> Any:
    """Return the settings with which the pipeline trained a model, which may come from a search."""
    path = run.directory / f"data/tuning/{name}.json"
    return tuned(run.settings.models[name], json.loads(path.read_text()), path)


@dataclass(frozen=True)
class Goal:
    target: str
    l2: float = 0.0


@dataclass
class PlainRidge:
    """Ridge regression as in a textbook: one matrix, one solution."""

    views: list[View] = field(default_factory=list)

    def needs(self, settings: Goal, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
        return [0] * len(folds)

    def prepare(self, settings: Goal, folds: Sequence[tuple[View, View | None]], resources: Resources) -> int:
        return 1

    def stops_early(self, settings: Goal) -> bool:
        return False

    def steps(self, settings: Goal) -> tuple[int, str]:
        return common.whole_fit(settings)

    def fit(self, settings: Goal, train: View, inner: View | None, rounds: int | None, resources: Resources) -> common.Linear:
        self.views.append(train)
        resources.step()
        x, y = train.matrix().astype(np.float64), train.target.astype(np.float64)
        z = (x - x.mean(axis=0)) / x.std(axis=0)
        coefficients = np.linalg.inv(z.T @ z + settings.l2 * np.eye(z.shape[1])) @ z.T @ (y - y.mean())
        return common.Linear(x.mean(axis=0), x.std(axis=0), coefficients, float(y.mean()))


@pytest.mark.parametrize("split", ["cv", "validation"])
def test_scores_are_those_of_the_pipeline(finished: Workspace, run: Run, split: str) -> None:
    scores = run.score({name: run.predictions(name) for name in run.names}, split)
    pd.testing.assert_frame_equal(scores, run.scores(split), check_exact=True)
    metrics = evaluation.blocks(finished.metrics(split))
    summary = run.summary(scores)
    assert list(summary.index) == list(metrics)
    for name, block in metrics.items():
        assert summary.loc[name].dropna().to_dict() == flat({key: value for key, value in block.items() if key != PARTS})


def test_a_prediction_alone_has_the_score_that_it_has_among_others(finished: Workspace, run: Run) -> None:
    by_name, by_table = run.score("ridge"), run.score(run.predictions("ridge").sample(frac=1, random_state=1))
    assert run.summary(by_name).loc["ridge"].to_dict() == flat(finished.metrics("cv")["ridge"])
    pd.testing.assert_frame_equal(by_table.drop(columns="prediction"), by_name.drop(columns="prediction"), check_exact=True)


def test_the_mean_has_the_interval_of_the_metrics(finished: Workspace, run: Run) -> None:
    means = run.means(run.scores())
    for name in run.names:
        corr = finished.metrics("cv")[name]["corr"]
        assert means.loc[name, ["mean", "low", "high"]].tolist() == pytest.approx([corr["mean"], corr["low"], corr["high"]], abs=1e-6)
    short = run.means(run.scores("validation"))
    assert short["low"].isna().all()
    assert short["reason"].str.contains("eras; an interval needs 32").all()


def test_means_of_no_rows_and_of_an_era_twice(run: Run) -> None:
    scores = run.scores()
    means = run.means(scores)
    none = run.means(scores.iloc[:0])
    assert none.empty
    assert list(none.columns) == list(means.columns)
    twice = pd.concat([scores, scores.iloc[[1]]])
    message = rf"^scores: era {scores['era'].iloc[1]} of '{scores['prediction'].iloc[1]}' is there twice; expected each era once"
    with pytest.raises(InputError, match=message):
        run.means(twice)


def test_a_model_of_ones_own_is_trained_as_the_pipeline_trains(run: Run) -> None:
    mine = run.train(PlainRidge(), Goal(run.target, settings_of(run, "ridge").l2)).predictions
    theirs = run.predictions("ridge")
    keys = ["id", "era", "split"]
    pd.testing.assert_frame_equal(mine[keys], theirs[keys])
    assert np.allclose(mine["prediction"], theirs["prediction"], rtol=0, atol=1e-10)
    pd.testing.assert_frame_equal(run.summary(run.score({"ridge": mine})), run.summary(run.score("ridge")), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "kind"), [("ridge", ridge), ("lightgbm", lightgbm)])
def test_the_kinds_of_the_pipeline_give_its_predictions_and_leave_nothing_behind(run: Run, name: str, kind: Any) -> None:
    before = sorted(run.directory.rglob("*"))
    pd.testing.assert_frame_equal(run.train(kind, settings_of(run, name)).predictions, run.predictions(name), check_exact=True)
    assert sorted(run.directory.rglob("*")) == before


def test_no_fit_sees_a_row_of_validation_even_where_its_target_is_there(run: Run) -> None:
    for target in run.panel.targets:
        assert run.panel.index.loc[run.panel.index["data_type"] == "validation", target].isna().all()
    honest, poisoned = PlainRidge(), PlainRidge()
    expected = run.train(honest, Goal(run.target, 1.0)).predictions
    rows = (run.panel.index["data_type"] == "validation").to_numpy()
    run.panel.index.loc[rows, run.target] = 1.0
    found = run.train(poisoned, Goal(run.target, 1.0)).predictions
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    fitted_on = [np.unique(view.era).tolist() for view in poisoned.views]
    assert fitted_on == [*(fold.train.tolist() for fold in run.plan.folds), run.plan.train.tolist()]


def test_all_but_the_score_of_validation_does_without_its_targets(workspace: Workspace) -> None:
    (workspace.directory / "data/prepared/validation_targets.parquet").unlink()
    run = lab.open_run(workspace.directory)
    mine = run.train(PlainRidge(), Goal(run.target, 1.0)).predictions
    blend = run.blend({"mine": mine, "ensemble": run.predictions("ensemble")})
    scores = run.score({"mine": run.neutralize(mine), "blend": blend})
    assert run.compare(scores, "ensemble")["eras"].tolist() == [60, 60]
    with pytest.raises(InputError, match=r"validation_targets\.parquet: the file is missing"):
        run.score({"mine": mine}, "validation")


def test_a_longer_target_is_purged_further(run: Run) -> None:
    model = PlainRidge()
    predictions = run.train(model, Goal("target_other_60", 1.0)).predictions
    assert len(np.unique(model.views[0].era)) == len(run.plan.folds[0].train) - 8
    assert predictions.loc[predictions["split"] == "validation", "era"].min() == run.plan.train[-1] + 17


def test_neutralized_and_blended_are_the_pipelines_own(run: Run) -> None:
    neutral = run.neutralize(run.predictions("ensemble"))
    pd.testing.assert_frame_equal(ordered(neutral), ordered(run.predictions("neutralized")), check_exact=True)
    weights = json.loads((run.directory / "data/weights.json").read_text())
    blend, ensemble = (
        ordered(frame[frame["split"] != "cv"])
        for frame in (run.blend({name: run.predictions(name) for name in run.models}, weights), run.predictions("ensemble"))
    )
    pd.testing.assert_frame_equal(blend, ensemble, check_exact=True)


def test_neutralizing_takes_the_exposure_out(run: Run) -> None:
    neutral = run.neutralize(run.predictions("ridge"), features="all")
    half = run.neutralize(run.predictions("ridge"), features="all", proportion=0.5)
    scores = run.score({"all": neutral, "half": half, "none": run.predictions("ridge")})
    exposure = run.summary(scores)["exposure.max"]
    assert exposure["all"] < 1e-6 < exposure["half"] < exposure["none"]


def test_a_comparison_is_that_of_the_eras_that_both_have(finished: Workspace, run: Run) -> None:
    found = run.compare(run.scores(), "ensemble").set_index("prediction")
    row = found.loc["ridge against ensemble"]
    metrics = finished.metrics("cv")
    assert row["difference"] == pytest.approx(metrics["ridge"]["corr"]["mean"] - metrics["ensemble"]["corr"]["mean"], abs=2e-6)
    assert found.loc["ensemble against ensemble", "reason"] == "the scores are the same in every era"
    with pytest.raises(InputError, match="the run has no scores of 'mine', only of lightgbm, ridge, ensemble, neutralized"):
        run.compare(run.scores(), "mine")


def test_a_feature_is_a_prediction(run: Run) -> None:
    feature = run.feature("feature_0")
    assert feature.groupby("split")["era"].nunique().to_dict() == {"cv": 60, "live": 0, "validation": 22}
    of_era = feature[feature["era"] == 7]
    rows = run.panel.rows(7)
    assert of_era["id"].tolist() == run.panel.index["id"].iloc[rows].tolist()
    assert of_era["prediction"].tolist() == run.panel.block(7)[:, 0].tolist()
    strongest = run.explored.features.set_index("feature")["corr_mean"].idxmax()
    assert strongest == "feature_0"
    assert run.means(run.score(feature)).loc["prediction", "low"] > 0.1
    with pytest.raises(InputError, match="the prepared data has no feature 'feature_x'"):
        run.feature("feature_x")


def test_predictions_that_are_missing_are_left_out_of_the_score(run: Run) -> None:
    frame = run.predictions("ridge").query("split == 'cv'")
    few = frame.groupby("era").sample(frac=0.9, random_state=1)
    gaps = frame.assign(prediction=frame["prediction"].where(frame["id"].isin(few["id"])))
    columns = ["corr", "rows"]
    assert run.score(few)[columns].equals(run.score(gaps)[columns])
    assert (run.score(few)["rows"] == 36).all()
    assert run.score(frame.groupby("era").sample(frac=0.5, random_state=1))["corr"].isna().all()


def change(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def changed(frame: pd.DataFrame) -> pd.DataFrame:
        values: NDArray[Any] = frame[column].to_numpy(object)
        values[0] = value
        return frame.assign(**{column: values})

    return changed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda frame: frame.drop(columns="split"),
            "mine: the table lacks the column 'split'; predictions have id, era, split, prediction",
        ),
        (lambda frame: pd.concat([frame, frame.head(1)]), "mine: id .* is there more than once in era 1; leave one row of each"),
        (change("id", "stranger"), "mine: 1 rows aren't in the data, such as id 'stranger' in era 1"),
        (change("era", 65), "mine: 1 rows aren't in the data, such as id .* in era 65"),
        (change("split", "validation"), "mine: era 1 has the split 'validation' and is cv; correct it, or leave it out"),
        (lambda frame: frame[frame["split"] == "live"], "mine: no row has the split 'cv'; there are live"),
        (lambda frame: frame.head(0), "mine: no row has the split 'cv'; there are none"),
    ],
)
def test_a_table_that_is_no_prediction_of_the_run(run: Run, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run.score({"mine": spoil(run.predictions("ridge"))})


def test_a_purged_era_has_no_score(run: Run) -> None:
    purged = run.panel.index.loc[run.panel.index["era"] == 61, ["id", "era"]].assign(split="validation", prediction=0.5)
    with pytest.raises(InputError, match="mine: era 61 has the split 'validation' and is purged; correct it, or leave it out"):
        run.score({"mine": purged}, "validation")


def test_what_the_run_does_not_have(run: Run) -> None:
    with pytest.raises(InputError, match="the run has no prediction 'x'; it has lightgbm, ridge, ensemble, neutralized"):
        run.predictions("x")
    with pytest.raises(InputError, match="split: 'live' has no scores; expected cv or validation"):
        run.score("ridge", "live")
    with pytest.raises(InputError, match="split: 'train' has no scores; expected cv or validation"):
        run.scores("train")
    with pytest.raises(InputError, match=r"settings\.target: the data has no target 'target_x'; its targets are target, target_other_20"):
        run.train(PlainRidge(), Goal("target_x"))
    with pytest.raises(InputError, match="era 1: 39 of 40 rows have a prediction; neutralization needs all rows of an era"):
        run.neutralize(run.predictions("ridge").iloc[1:])


def test_without_a_finished_run_there_is_one_thing_to_do(workspace: Workspace) -> None:
    for name in lab.NEEDED:
        path = workspace.directory / name
        path.rename(path.with_name("moved"))
        with pytest.raises(InputError, match=rf"there is no finished run \({name} is missing\); run `make repro` first"):
            lab.open_run(workspace.directory)
        path.with_name("moved").rename(path)


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: there is no finished run \(params\.yaml is missing\)"):
        lab.open_run(tmp_path / "nowhere")


ORDERS = """
import os, sys
import numpy as np, pandas, pyarrow.parquet, pydantic, scipy.sparse, scipy.stats

assert not {"lightgbm", "sklearn", "erawise"} & set(sys.modules)
x = np.arange(200.0).reshape(100, 2)
for imports in (
    "from erawise.lab import lab; from erawise.models.lightgbm import model as kind; import lightgbm",
    "import lightgbm; from erawise.lab import lab; from erawise.models.lightgbm import model as kind",
    "import sklearn.base; from erawise.models.lightgbm import model as kind; from erawise.lab import lab; import lightgbm",
    "from erawise.selection import selection; import lightgbm",
):
    if os.fork() == 0:
        exec(imports)
        lightgbm.LGBMRegressor(n_estimators=2, num_threads=1, verbosity=-1).fit(x, x[:, 0])
        os._exit(0)
    assert os.wait()[1] == 0, imports
"""
"""Imports in several orders, each in a fork of a process that has loaded only packages below both libraries."""


def test_the_libraries_of_the_user_stay_whole_in_whatever_order_they_are_imported() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", ORDERS], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
