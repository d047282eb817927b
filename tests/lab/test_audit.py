"""The leak auditor: classic mistakes are flagged, the same recipes made right are clean, errors are one line."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import raw
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from workspace import command

from benchmarks import audit as recipes
from erawise.lab import auditing, made_data, prediction_audit, user_files
from erawise.lab.auditing import Shape
from erawise.lab.crossvalidation import PurgedKFold
from erawise.lab.verdicts import Audit
from erawise.running.errors import InputError

SHAPE = Shape(rows=40, eras=100, features=12)


@pytest.fixture(scope="module", autouse=True)
def _drawn_once() -> Iterator[None]:
    """Draw the features of audits with the same seed once; no audit changes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_data, "draw", cache(made_data.draw))
        yield


def verdicts(audit: Audit) -> dict[str, str]:
    return {test.name: test.verdict for test in audit.tests}


QUICK = [recipe for recipe in recipes.RECIPES if "stopping" not in recipe.about and "purge of 1" not in recipe.about]
"""The recipes but for a few that cost most or are like others; `python -m benchmarks.audit` makes the audits of all."""


@pytest.mark.parametrize("recipe", QUICK, ids=lambda recipe: recipe.about)
def test_a_mistake_is_flagged_and_the_same_made_right_is_clean(recipe: recipes.Recipe) -> None:
    found = auditing.audit(recipe.function, shape=SHAPE, seed=3)
    assert found.verdict == ("leaks" if recipe.leaks else "clean"), found


def test_the_distance_of_a_purge_that_is_too_short_is_named() -> None:
    found = auditing.audit(recipes.folded(recipes.kfold, 4), shape=SHAPE)
    [purge] = [test for test in found.tests if test.name == "purge"]
    assert "a target 5 weeks away" in purge.detail
    assert "up to 11 weeks away" in purge.detail
    assert auditing.audit(recipes.folded(recipes.kfold, 4), shape=SHAPE, days=20, seed=1).verdict == "clean", "20 days span 4 weeks"


def test_an_estimator_needs_a_splitter_and_is_audited_with_it() -> None:
    assert auditing.audit(Ridge(), PurgedKFold(5, weeks=16), shape=SHAPE).verdict == "clean"
    found = auditing.audit(Ridge(), KFold(5, shuffle=True, random_state=0), shape=SHAPE)
    assert found.verdict == "leaks"
    assert repr(found).splitlines()[0] == "Ridge"
    assert repr(found).splitlines()[-1].startswith("leaks (")
    assert found._repr_html_().count("<tr") == len(found.tests) + 1
    with pytest.raises(InputError, match="needs a splitter"):
        auditing.audit(Ridge(), shape=SHAPE)


def test_without_a_seed_the_tests_by_change_are_said_to_be_missing() -> None:
    rng = np.random.default_rng(0)

    def unsteady(features: pd.DataFrame, target: pd.Series, eras: pd.Series) -> pd.Series:
        return pd.Series(rng.random(len(features)), index=features.index)

    found = auditing.audit(unsteady, shape=SHAPE)
    assert found.verdict == "clean"
    assert [name for name, verdict in verdicts(found).items() if verdict == "not tested"] == [
        "targets of tested eras",
        "features of tested eras",
        "purge",
        "future",
    ]
    assert "fix the function's seed" in repr(found)


def test_targets_of_noise_overlap_as_said() -> None:
    data = made_data.draw(rows=300, eras=40, features=8, seed=1)
    target = made_data.overlapping(data, 12, np.random.default_rng(0))
    by_stock = target.groupby([data.eras.to_numpy(), data.stock]).first().unstack()
    alike = [float(np.corrcoef(by_stock.loc[10], by_stock.loc[10 + distance])[0, 1]) for distance in (1, 6, 12, 20)]
    assert alike[0] > 0.7
    assert 0.3 < alike[1] < 0.6
    assert max(abs(value) for value in alike[2:]) < 0.2
    assert sorted(target[data.eras == 1]) == sorted(target[data.eras == 2])


Wrong = Callable[[pd.DataFrame, pd.Series, pd.Series], object]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, y, e: x.to_numpy(), r"it returned numpy.ndarray; expected a pandas Series"),
        (lambda x, y, e: pd.Series(0.5, index=x.index), "all its predictions are 0.5"),
        (lambda x, y, e: pd.Series(np.nan, index=x.index), "it predicted nothing, all is NaN"),
        (lambda x, y, e: y.reset_index(drop=True), "its Series has 4000 rows and lacks 4000 of the 4000 ids"),
        (lambda x, y, e: y.iloc[1:], "its Series has 3999 rows and lacks 1 of"),
        (lambda x, y, e: y.astype(str), "it returned a Series of str"),
        (lambda x, y, e: x["nope"], r"test_audit.py, line \d+, in <lambda>: KeyError: 'nope'"),
    ],
)
def test_a_function_that_is_wrong_gives_one_clear_line(function: Wrong, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        auditing.audit(function, shape=SHAPE)
    assert "\n" not in str(raised.value)


# ---- the command, outside of a checkout


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def ended(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        command("audit", *words)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_command_runs_outside_of_a_checkout_on_the_shape_of_data(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw.write(elsewhere / "data", train=range(1, 81))
    (elsewhere / "mine_audited.py").write_text("def predict(x, y, e):\n    print('noise')\n    return y.rank() + x.iloc[:, 0]\n")
    assert ended("mine_audited:predict", "--data", "data", "--rows", "30", "--json") == 6
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "leaks"
    assert {tuple(test) for test in found["tests"]} == {("name", "verdict", "statistic", "p")}
    assert {test["name"]: test["verdict"] for test in found["tests"]}["shuffled targets"] == "leaks"
    assert found["tests"][-1]["name"] == "alias"
    assert ended("mine_audited:nothing") == 1
    assert "did you mean" not in capsys.readouterr().err
    assert ended("absent_module:predict") == 1
    assert "there is no module absent_module" in capsys.readouterr().err
    assert ended("mine.parquet") == 2
    assert "needs --data and --trained-to" in capsys.readouterr().err


# ---- a file of predictions


def judged(directory: Path, prediction: Callable[[pd.DataFrame], pd.Series], trained_to: int, days: int = 60) -> Audit:
    frame = pd.read_parquet(directory / "validation.parquet").reset_index()
    pd.DataFrame({"id": frame["id"], "prediction": prediction(frame)}).to_parquet(directory / "mine.parquet")
    return prediction_audit.audit_predictions(directory / "mine.parquet", directory, trained_to, days=days)


def test_a_file_is_judged_by_its_boundary_level_and_likeness_to_targets(tmp_path: Path) -> None:
    raw.write(tmp_path, validation=range(61, 181), features=8)
    rng = np.random.default_rng(0)

    def noise(frame: pd.DataFrame) -> pd.Series:
        return pd.Series(rng.random(len(frame)))

    assert judged(tmp_path, noise, 49, days=20).verdict == "clean"
    near = judged(tmp_path, noise, 60, days=20)
    assert verdicts(near)["boundary"] == "leaks"
    assert "the first that doesn't is 64" in repr(near)
    assert verdicts(judged(tmp_path, noise, 70, days=20))["boundary"] == "leaks"
    copy = verdicts(judged(tmp_path, lambda frame: frame["target"] + 0.1 * noise(frame), 49, days=20))
    assert copy["level"] == copy["one era"] == copy["target columns"] == "leaks"
    assert copy["alias"] == "clean"
    good = verdicts(judged(tmp_path, lambda frame: frame["feature_0"] + 0.0, 49, days=20))
    assert good["level"] == "leaks", "a signal of .5 in one feature is no market"


def test_eras_next_to_the_training_that_score_better_are_suspect(tmp_path: Path) -> None:
    raw.write(tmp_path, validation=range(61, 181), features=8)
    rng = np.random.default_rng(0)

    def near_is_known(frame: pd.DataFrame) -> pd.Series:
        near = frame["era"].astype(int) < 64
        return pd.Series(rng.random(len(frame))) + np.where(near, 2.0, 0.0) * frame["target"]

    found = verdicts(judged(tmp_path, near_is_known, 60, days=20))
    assert found["near against far"] == "suspect"
    assert found["autocorrelation"] == "clean"


def test_the_alias_of_a_target_with_another_horizon_is_named(tmp_path: Path) -> None:
    raw.write(tmp_path)
    frame = pd.read_parquet(tmp_path / "validation.parquet")
    frame["target_other_60"] = frame["target"]
    frame.drop(columns="target_other_20").to_parquet(tmp_path / "validation.parquet")
    (tmp_path / "train.parquet").unlink()
    found = judged(tmp_path, lambda frame: frame["feature_1"] + 0.0, 40, days=20)
    assert verdicts(found)["alias"] == "leaks"
    assert "target is target_other_60, which looks 60 days ahead; the audit is for 20" in repr(found)


def test_live_rows_of_the_data_are_left_out(tmp_path: Path) -> None:
    drawn = raw.write(tmp_path)
    live = drawn["live"].head(20).assign(era="eraX")
    whole = pd.concat([drawn["validation"], live], ignore_index=True)
    whole.to_parquet(tmp_path / "validation.parquet")
    (tmp_path / "train.parquet").unlink()
    random = np.random.default_rng(0).random(len(whole))
    found = judged(tmp_path, lambda frame: pd.Series(random), 50, days=20)
    assert verdicts(found)["boundary"] == "clean", found
    assert "the first predicted era, 61, shares no week" in repr(found)
    live.to_parquet(tmp_path / "validation.parquet")
    with pytest.raises(InputError, match=r"not any of the 20 ids of the predictions is in an era of validation\.parquet"):
        judged(tmp_path, lambda frame: pd.Series(random[:20]), 50)
    live.to_parquet(tmp_path / "train.parquet")
    with pytest.raises(InputError, match=r"train\.parquet: all its rows are of the live era"):
        user_files.read_shape(tmp_path, rows=9, eras=9, features=9, seed=0)


def test_the_targets_alone_need_no_ids(tmp_path: Path) -> None:
    train = raw.write(tmp_path)["train"]
    targets = train[[name for name in train if name.startswith("target")]]
    targets.to_parquet(tmp_path / "train.parquet")
    pd.testing.assert_frame_equal(user_files.read_all_targets(tmp_path), targets)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,prediction\na,0.1\na,0.2\n", "1 ids are there twice"),
        ("name,prediction\na,0.1\n", "there are no ids; expected a column or an index 'id', and it has name, prediction"),
        ("id,a,b\nx,0.1,1\n", r"it has 2 columns of numbers \(a, b\); name one by --column"),
        ("id,prediction\na,0.1\nb,0.1\n", "prediction has 1 different values"),
        ("id,prediction\na,0.1\nb,0.2\n", "not any of the 2 ids of the predictions is in"),
    ],
)
def test_a_file_that_is_wrong_gives_one_clear_line(content: str, message: str, tmp_path: Path) -> None:
    raw.write(tmp_path)
    (tmp_path / "mine.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        prediction_audit.audit_predictions(tmp_path / "mine.csv", tmp_path, 40)
