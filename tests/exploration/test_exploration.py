"""The tables of the exploration: hand-made values, a slow reference, and the checks that stop a run."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from panels import matrix_of, record, write_panel

from erawise.base import jit, tabular
from erawise.base.schema import LIVE_ERA
from erawise.exploration import exploration, tables_of_data
from erawise.exploration.exploration import Exploration, explore, read_missing, summary
from erawise.panel import blocks
from erawise.panel.panel import Panel
from erawise.running import paths
from erawise.running.errors import InputError
from stages import explore as stage

ROOT = Path(__file__).parents[2]
NAN = np.nan

FEATURES = np.array(
    [
        # a, b, c: c has no data in era 2
        *([0, 4, 1], [1, 3, 1], [3, 1, 3], [4, 0, 3]),
        *([0, 0, 2], [1, 2, 2], [3, 2, 2], [4, 4, 2]),
        *([2, 1, 0], [2, 3, 4]),
    ],
    np.int8,
)
ERA = np.repeat([1, 2, 3], [4, 4, 2])
TARGET = np.array([0, 0.25, 0.75, 1, 1, NAN, 0.5, 0, NAN, NAN])
TARGET_60 = np.array([0, 0.25, 0.75, 1, 0, NAN, NAN, 1, NAN, NAN])
VALIDATION_ERAS = (3,)


def make_panel(
    directory: Path,
    features: NDArray = FEATURES,
    target: NDArray = TARGET,
    era: NDArray = ERA,
    validation: tuple[int, ...] = VALIDATION_ERAS,
    other: NDArray | None = None,
    **rest: Any,
) -> Panel:
    """Make a prepared directory; the eras in `validation` are validation eras."""
    names = [chr(ord("a") + k) for k in range(features.shape[1])]
    targets = {"target": target} if other is None else {"target": target, "target_60": other}
    write_panel(directory, features, targets, era, names=names, **rest)
    index = tabular.read_parquet(directory / "index.parquet")
    index["data_type"] = np.where(np.isin(era, validation), "validation", "train")
    tabular.write_parquet(index, directory / "index.parquet")
    return Panel(directory)


def run(panel: Panel, max_constant_share: float = 1.0) -> Exploration:
    return explore(panel, "target", np.zeros(panel.n_matrix), max_constant_share)


class TestTables:
    def test_features(self, tmp_path: Path) -> None:
        found = explore(make_panel(tmp_path), "target", np.array([0, 0.1, 0.4]), 1.0).features
        assert found["feature"].tolist() == ["a", "b", "c"]
        np.testing.assert_allclose(found["mean"], [2, 2, 2])
        np.testing.assert_allclose(found["std"], np.sqrt([2, 2, 1.2]))
        assert found["missing_share"].tolist() == [0, 0.1, 0.4]
        np.testing.assert_allclose(found["constant_share"], [1 / 3, 0, 1 / 3])
        # a is the target in era 1; in era 2, (0, 3, 4) against (1, .5, 0). b falls as the target rises. c has only era 1.
        a2 = -2 / np.sqrt(78 / 9 * 0.5)
        np.testing.assert_allclose(found["corr_mean"], [(1 + a2) / 2, -1, 3 / np.sqrt(10)])
        np.testing.assert_allclose(found["corr_std"], [(1 - a2) / 2, 0, 0], atol=1e-12)
        np.testing.assert_allclose(found["sign_stability"], [0.5, 1, 1])
        assert found["scored_eras"].tolist() == [2, 2, 1]

    def test_eras(self, tmp_path: Path) -> None:
        found = run(make_panel(tmp_path)).eras
        expected = pd.DataFrame(
            {
                "era": [1, 2, 3],
                "data_type": ["train", "train", "validation"],
                "rows": [4, 4, 2],
                "unique_ids": [4, 4, 2],
                "constant_features": [0, 1, 1],
                "target_missing": pd.Series([0, 1, None], dtype="Int64"),
                "target_mean": [0.5, 0.5, NAN],
                "share_0": [1 / 4, 1 / 3, NAN],
                "share_0.25": [1 / 4, 0, NAN],
                "share_0.5": [0, 1 / 3, NAN],
                "share_0.75": [1 / 4, 0, NAN],
                "share_1": [1 / 4, 1 / 3, NAN],
            }
        )
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)

    def test_targets_pair_by_pair(self, tmp_path: Path) -> None:
        found = run(make_panel(tmp_path, other=TARGET_60)).targets
        assert found["name"].tolist() == ["target", "target_60"]
        both = ~np.isnan(TARGET) & ~np.isnan(TARGET_60)
        expected = np.corrcoef(TARGET[both], TARGET_60[both])[0, 1]
        np.testing.assert_allclose(found[["target", "target_60"]], [[1, expected], [expected, 1]])

    def test_a_target_without_bins_has_no_shares(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        panel = make_panel(tmp_path, rng.integers(0, 5, (60, 3)).astype(np.int8), rng.random(60), np.repeat([1, 2], 30), ())
        assert not [name for name in run(panel).eras if name.startswith("share_")]

    def test_validation_targets_play_no_part(self, tmp_path: Path) -> None:
        known = np.where(ERA == 3, 0.875, TARGET)
        for name in ("features", "eras", "targets", "stability"):
            hidden = getattr(run(make_panel(tmp_path / "hidden")), name)
            pd.testing.assert_frame_equal(getattr(run(make_panel(tmp_path / "seen", target=known)), name), hidden)

    def test_demeaning_and_derived_features_change_nothing(self, tmp_path: Path) -> None:
        means = np.array([FEATURES[era == ERA].mean(axis=0) for era in (1, 2, 3)], np.float32)
        plain = run(make_panel(tmp_path / "plain"))
        other = run(make_panel(tmp_path / "other", era_means=means, derived={"row_mean": FEATURES.mean(axis=1)}))
        pd.testing.assert_frame_equal(other.features, plain.features)

    def test_summary(self, tmp_path: Path) -> None:
        lines = summary(run(make_panel(tmp_path)))
        assert lines[0] == "3 features in 2 train and 1 validation eras of 2 to 4 rows"
        assert lines[1] == "0.00% of the features' values were missing; in 22.22% of the eras a feature holds one value, on average"
        assert lines[2] == "strongest feature: b, mean correlation with the target -1.0000, std 0.0000, its sign in 100% of the eras"


class TestStability:
    def test_lags_are_weeks(self, tmp_path: Path) -> None:
        found = run(random_panel(tmp_path, eras=[1, 2, 9, 10, 17, 30])).stability
        pairs = list(zip(found["era"], found["lag"], strict=True))
        assert pairs == [(1, 1), (9, 1), (1, 8), (2, 8), (9, 8), (1, 16)]

    def test_lags_fit_thinned_eras(self, tmp_path: Path) -> None:
        found = run(random_panel(tmp_path, eras=range(1, 40, 3))).stability
        assert sorted(found["lag"].unique()) == [3, 9, 18]
        assert (found["lag"] == 3).sum() == 12

    def test_correlation_over_the_features_scored_in_both(self, tmp_path: Path) -> None:
        panel = random_panel(tmp_path, eras=[1, 2], constant=(2, 4))
        found = run(panel).stability.iloc[0]
        scores = {era: slow_scores(panel, era) for era in (1, 2)}
        assert found["features"] == 5
        expected = np.corrcoef(np.delete(scores[1], 4), np.delete(scores[2], 4))[0, 1]
        assert found["correlation"] == pytest.approx(expected, abs=1e-12)

    def test_one_era_has_none(self, tmp_path: Path) -> None:
        assert run(random_panel(tmp_path, eras=[5])).stability.empty


def random_panel(directory: Path, eras: Any, constant: tuple[int, int] | None = None, dtype: str = "int8", seed: int = 3) -> Panel:
    """Draw six features in train eras of 40 rows; `constant` is an era and the feature that holds one value in it."""
    rng = np.random.default_rng(seed)
    era = np.repeat(list(eras), 40)
    features = rng.integers(0, 5, (len(era), 6)).astype(dtype) / (1 if dtype == "int8" else np.float32(4))
    if constant is not None:
        features[era == constant[0], constant[1]] = 2
    target = rng.choice([0, 0.25, 0.5, 0.75, 1], len(era))
    return make_panel(directory, features.astype(dtype), target, era, ())


def slow_scores(panel: Panel, era: int) -> NDArray[np.float64]:
    rows = panel.rows(era)
    target = panel.index["target"].to_numpy(np.float64)[rows]
    block = np.asarray(panel.stored(era), np.float64)
    return np.array([np.corrcoef(column, target)[0, 1] if np.ptp(column) else NAN for column in block.T])


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_features_equal_a_slow_reference(tmp_path: Path, dtype: str) -> None:
    panel = random_panel(tmp_path, eras=range(1, 8), dtype=dtype)
    found = run(panel).features
    scores = np.array([slow_scores(panel, era) for era in panel.eras])
    matrix = matrix_of(panel).astype(np.float64)
    np.testing.assert_allclose(found["mean"], matrix.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["std"], matrix.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["corr_mean"], scores.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found["corr_std"], scores.std(axis=0), atol=1e-12)
    same = [(np.sign(column) == np.sign(column.mean())).mean() for column in scores.T]
    np.testing.assert_allclose(found["sign_stability"], same)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), lift=st.floats(0, 0.5))
def test_mirrored_features_have_mirrored_scores(tmp_path_factory: pytest.TempPathFactory, seed: int, lift: float) -> None:
    panel = random_panel(tmp_path_factory.mktemp("plain"), eras=[1, 2, 3], seed=seed)
    target = panel.index["target"].to_numpy() * 0.5 + lift
    mirrored = make_panel(tmp_path_factory.mktemp("mirrored"), 4 - matrix_of(panel), target, panel.row_eras, ())
    one, two = run(panel), run(mirrored)
    np.testing.assert_allclose(two.features["corr_mean"], -one.features["corr_mean"], atol=1e-6)
    np.testing.assert_allclose(two.features["corr_std"], one.features["corr_std"], atol=1e-6)
    np.testing.assert_allclose(two.stability["correlation"], one.stability["correlation"], atol=1e-4)


class TestChecks:
    def test_an_id_twice_in_an_era(self, tmp_path: Path) -> None:
        panel = make_panel(tmp_path, ids=["p", "q", "r", "s", "p", "q", "r", "q", "p", "q"])
        with pytest.raises(InputError, match=r"^id 'q' is there more than once in era 2 \(1 duplicate rows in all\); remove them"):
            run(panel)

    def test_an_id_in_two_eras_is_fine(self, tmp_path: Path) -> None:
        found = run(make_panel(tmp_path, ids=list("pqrspqrspq")))
        assert found.eras["unique_ids"].tolist() == [4, 4, 2]

    def test_a_train_era_without_target(self, tmp_path: Path) -> None:
        target = np.where(ERA == 2, NAN, TARGET)
        with pytest.raises(InputError, match=r"^target 'target' is missing in every row of train era 2 \(1 such eras\); remove these eras"):
            run(make_panel(tmp_path, target=target))

    def test_an_auxiliary_target_may_be_missing_in_an_era(self, tmp_path: Path) -> None:
        assert len(run(make_panel(tmp_path, other=np.where(ERA == 2, NAN, TARGET_60))).targets) == 2

    def test_a_target_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"^data\.target: the prepared data has no target 'x'; its targets are target$"):
            explore(make_panel(tmp_path), "x", np.zeros(3), 1.0)

    @pytest.mark.parametrize("value", [-0.25, 1.5, np.inf])
    def test_a_target_off_its_scale(self, tmp_path: Path, value: float) -> None:
        other = TARGET_60.copy()
        other[7] = value
        with pytest.raises(InputError, match=rf"^target 'target_60': 1 values are off the scale 0\.\.1, the first in era 2 \({value:g}\)"):
            run(make_panel(tmp_path, other=other))

    def test_a_feature_that_is_constant_everywhere(self, tmp_path: Path) -> None:
        features = FEATURES.copy()
        features[:, 1] = ERA
        with pytest.raises(InputError, match=r"^feature 'b' holds only one value in each of the 3 eras \(1 such features\)"):
            run(make_panel(tmp_path, features))

    @pytest.mark.parametrize("value", [-1, 5])
    def test_an_integer_feature_off_its_scale(self, tmp_path: Path, value: int) -> None:
        features = FEATURES.copy()
        features[6:8, 1] = value
        message = rf"^feature 'b': 2 values in era 2 are off the scale 0\.\.4 \(one is {value}; 1 such features in this era\)"
        with pytest.raises(InputError, match=message):
            run(make_panel(tmp_path, features))

    @pytest.mark.parametrize("value", [-0.1, 1.01, NAN, np.inf])
    def test_a_float_feature_off_its_scale(self, tmp_path: Path, value: float) -> None:
        features = (FEATURES / 4).astype(np.float32)
        features[9, 2] = value
        with pytest.raises(InputError, match=rf"^feature 'c': 1 values in era 3 are off the scale 0\.\.1 \(one is {value:g};"):
            run(make_panel(tmp_path, features))

    def test_too_many_features_without_data(self, tmp_path: Path) -> None:
        panel = make_panel(tmp_path)
        run(panel, 2 / 9)
        message = r"^explore\.max_constant_share: features hold only one value in 22\.2% of the eras, on average, more than 22\.0%"
        with pytest.raises(InputError, match=message):
            run(panel, 0.22)


class TestMissing:
    def test_shares_in_the_order_asked_for(self, tmp_path: Path) -> None:
        path = tmp_path / "missing.csv"
        path.write_text("feature,missing,rows\nNA,1,10\nb,0,10\n1,5,10\n")
        assert read_missing(path, ["1", "NA", "b"]).tolist() == [0.5, 0.1, 0.0]

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"missing\.csv: the file is missing; run preprocess$"):
            read_missing(tmp_path / "missing.csv", ["a"])

    @pytest.mark.parametrize("text", ["", "feature,missing,rows\nb,0,10\n", "feature,missing\na,0\n", "feature,missing,rows\na,x,10\n"])
    def test_a_file_that_does_not_fit(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "missing.csv").write_text(text)
        with pytest.raises(InputError, match=r"missing\.csv: expected feature, missing and rows for every feature"):
            read_missing(tmp_path / "missing.csv", ["a"])


class TestStage:
    @pytest.fixture(autouse=True)
    def _prepared(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["explore"])
        Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
        make_panel(paths.PANEL)
        paths.MISSING.mkdir()
        write_panel(paths.LIVE, FEATURES[:2], {}, np.full(2, LIVE_ERA), names=["a", "b", "c"], data_type="live")
        (paths.MISSING / "features.csv").write_text("feature,missing,rows,missing_live,rows_live\na,0,12,0,2\nb,6,12,1,2\nc,0,12,0,2\n")

    def test_writes_the_tables(self, capsys: pytest.CaptureFixture[str]) -> None:
        stage.main()
        assert sorted(path.name for path in paths.EXPLORED.iterdir()) == [
            "checked.json",
            "drift.csv",
            "eras.csv",
            "features.csv",
            "stability.csv",
            "targets.csv",
        ]
        assert (paths.EXPLORED / "drift.csv").read_text().splitlines()[2].endswith(",2,0.500000")
        assert (paths.EXPLORED / "features.csv").read_text().splitlines()[
            2
        ] == "b,2.000000,1.414214,0.500000,0.000000,-1.000000,0.000000,1.000000,2"
        assert (paths.EXPLORED / "eras.csv").read_text().splitlines()[3] == "3,validation,2,2,1,,,,,,,"
        out = capsys.readouterr().out
        assert out.startswith("3 features in 2 train and 1 validation eras of 2 to 4 rows\n")
        assert "16.67% of the live values were missing" in out

    def test_the_verdicts_are_on_train_and_validation_alone(self) -> None:
        stage.main()
        before = paths.CHECKED.read_bytes()
        assert json.loads(before) == {
            "passed": True,
            "eras": {
                "train": {"eras": 2, "rows": 8, "duplicate_ids": 0},
                "validation": {"eras": 1, "rows": 2, "duplicate_ids": 0},
            },
            "target": {"rows_without": 1, "eras_without": 0, "lowest": 0.0, "highest": 1.0},
            "features": {"count": 3, "scale": [0, 4], "constant_in_every_era": 0, "constant_share": 0.222222},
        }
        write_panel(paths.LIVE, FEATURES[4:9], {}, np.full(5, LIVE_ERA), names=["a", "b", "c"], data_type="live")
        (paths.MISSING / "features.csv").write_text("feature,missing,rows,missing_live,rows_live\na,5,15,5,5\nb,6,15,1,5\nc,0,15,0,5\n")
        drifted = (paths.EXPLORED / "drift.csv").read_bytes()
        stage.main()
        assert paths.CHECKED.read_bytes() == before
        assert (paths.EXPLORED / "drift.csv").read_bytes() != drifted

    def test_stops_without_live_rows(self, capsys: pytest.CaptureFixture[str]) -> None:
        (paths.LIVE / "features/live.npy").unlink()
        with pytest.raises(SystemExit, match="1"):
            stage.main()
        assert capsys.readouterr().err == "error: data/prepared/live/features/live.npy: the file is missing; run preprocess\n"

    def test_leaves_what_was_there_when_it_fails(self, capsys: pytest.CaptureFixture[str]) -> None:
        stage.main()
        before = {path: path.read_bytes() for path in paths.EXPLORED.iterdir()}
        np.save(paths.PANEL / "features/0000.npy", FEATURES + np.int8(1))
        record(paths.PANEL)
        with pytest.raises(SystemExit, match="1"):
            stage.main()
        assert capsys.readouterr().err.startswith("error: feature 'a': 1 values in era 1 are off the scale 0..4 (one is 5;")
        assert {path: path.read_bytes() for path in paths.EXPLORED.iterdir()} == before
        assert [path.name for path in paths.EXPLORED.parent.iterdir() if path.name.startswith(".")] == []


@settings(max_examples=30)
@given(data=st.data(), rows=st.integers(1, 30), width=st.integers(1, 6))
def test_sums_of_int8_equal_the_plain_ones(data: st.DataObject, rows: int, width: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    block = rng.integers(-128, 128, (rows, width)).astype(np.int8)
    target = np.where(rng.random(rows) < 0.3, NAN, rng.random(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "MIN_BYTES", 0)
        fast = exploration._describe_int8(block, target)
        patch.setattr(jit, "enabled", lambda: False)
        plain = exploration._describe_int8(block, target)
    floats = exploration._describe_floats(block.astype(np.float32), target)
    for one, two, three in zip(fast, plain, floats, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(one, three, rtol=1e-9, atol=1e-9)


def test_targets_correlate_as_pandas_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_of_data, "PIECE_ROWS", 7)
    rng = np.random.default_rng(5)
    era = np.repeat([1, 2, 3], 40)
    columns = {f"target_{k}": np.where(rng.random(120) < 0.2 * k, NAN, rng.random(120)) for k in range(4)}
    columns |= {"target_constant": np.full(120, 0.3), "target_none": np.full(120, NAN)}
    columns["target_once"] = np.where(np.arange(120) == 4, 0.25, NAN)
    columns["target_apart"] = np.where(np.isnan(columns["target_2"]), rng.random(120), 0.7)
    panel = write_panel(tmp_path, rng.integers(0, 5, (120, 3)).astype(np.int8), {"target": columns["target_0"], **columns}, era)
    found = run(panel).targets.set_index("name")
    expected = panel.index[list(panel.targets)].corr(min_periods=2)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(found.loc["target_2", "target_apart"])


def test_threads_change_nothing(tmp_path: Path) -> None:
    panel = random_panel(tmp_path, eras=range(1, 20))
    one, four = (explore(panel, "target", np.zeros(6), 1.0, threads) for threads in (1, 4))
    for name in ("features", "eras", "targets", "stability"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(four, name), check_exact=True)
