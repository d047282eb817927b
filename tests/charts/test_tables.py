"""The tables behind the pictures: by hand, by properties and by plain loops."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erawise.charts import tables
from erawise.folds import splits
from erawise.folds.settings import Split
from erawise.report import provenance
from erawise.running.errors import InputError


def scores(**corr: list[float]) -> pd.DataFrame:
    """Make scores of predictions, eras counted from 1."""
    return pd.concat(
        [pd.DataFrame({"era": np.arange(1, len(values) + 1), "prediction": name, "corr": values}) for name, values in corr.items()],
        ignore_index=True,
    )


def rows(era: list[int], prediction: list[float], target: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"era": era, "prediction": prediction, "target": target})


def test_corr_box_by_hand() -> None:
    table = tables.corr_box(scores(a=[0.0, 0.1, 0.2, 0.3, 0.4], b=[np.nan, -1.0, 1.0, np.nan, np.nan], c=[np.nan] * 5), "cv")
    assert table.frame["prediction"].tolist() == ["a", "b"]
    first = table.frame.iloc[0]
    assert [first[name] for name in ("min", "q1", "median", "q3", "max", "mean", "count")] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.2, 5])
    assert first["p05"] == pytest.approx(0.02)
    assert table.frame["count"].tolist() == [5, 2]
    assert table.headline == "CORR per era, cv: a has the highest median, 0.2000, over 5 eras"


def test_corr_time_sums_over_scored_eras() -> None:
    table = tables.corr_time(scores(a=[0.1, np.nan, 0.3], b=[0.0, 0.1, -0.3]), "validation")
    a = table.frame[table.frame["prediction"] == "a"]
    assert a["era"].tolist() == [1, 3]
    assert a["cumulative"].tolist() == pytest.approx([0.1, 0.4])
    assert table.headline == "CORR summed over 3 validation eras: a ends highest, at 0.40"


def test_corr_time_sorts_eras() -> None:
    shuffled = scores(a=[0.1, 0.2, 0.3]).iloc[[2, 0, 1]]
    assert tables.corr_time(shuffled, "cv").frame["cumulative"].tolist() == pytest.approx([0.1, 0.3, 0.6])


@settings(max_examples=25)
@given(st.integers(1, 700), st.integers(0, 1000))
def test_periods_keep_every_era(n_eras: int, seed: int) -> None:
    corr = np.random.default_rng(seed).normal(size=n_eras)
    frame = tables.corr_time(scores(a=corr.tolist()), "cv").frame
    assert len(frame) <= tables.MAX_PERIODS
    assert frame["eras"].sum() == n_eras
    assert (frame["corr"] * frame["eras"]).sum() == pytest.approx(corr.sum(), abs=1e-9)
    assert frame["cumulative"].iloc[-1] == pytest.approx(corr.sum(), abs=1e-9)
    assert frame["era"].iloc[-1] == n_eras


def test_comparison_takes_the_eras_of_both() -> None:
    table = tables.comparison(scores(x=[0.1, 0.2, np.nan, 0.4], y=[0.2, 0.1, 0.3]), "x", "y", "cv")
    assert table.frame["era"].tolist() == [1, 2]
    assert table.frame["difference"].tolist() == pytest.approx([-0.1, 0.1])
    assert table.frame["mean_difference"].tolist() == pytest.approx([0.0, 0.0], abs=1e-15)
    assert list(table.frame) == ["era", "model_a", "model_b", "corr_a", "corr_b", "difference", "mean_difference"]
    assert table.headline.startswith("x has a higher CORR than y in 1 of 2 cv eras")


def test_comparison_of_a_prediction_with_itself() -> None:
    table = tables.comparison(scores(x=[0.1, 0.2]), "x", "x", "cv")
    assert table.frame["difference"].tolist() == [0.0, 0.0]


def test_importance_keeps_the_leading_features() -> None:
    shares = {"m": pd.DataFrame({"feature": ["p", "q", "r", "s"], "importance": [0.1, 0.4, 0.1, 0.4]})}
    frame = tables.importance(shares, 3)
    assert frame["feature"].tolist() == ["q", "s", "p"]
    assert frame["rank"].tolist() == [1, 2, 3]
    assert frame["cumulative"].tolist() == pytest.approx([0.4, 0.8, 0.9])
    assert frame["features"].tolist() == [4, 4, 4]


@pytest.mark.parametrize("content", [None, "feature\nf\n", "feature,importance\nf,x\n"])
def test_importance_that_cannot_be_read(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "importance.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"importance\.csv.*run train"):
        tables.read(path, "train", ("importance",), ("feature",))


def test_with_target_joins_by_id_and_era() -> None:
    predictions = pd.DataFrame(
        {
            "id": ["a", "b", "a", "c", "z"],
            "era": pd.array([1, 1, 2, 2, None], dtype="Int64"),
            "split": ["cv", "cv", "cv", "validation", "live"],
            "prediction": [0.1, 0.2, 0.3, 0.4, 0.5],
        }
    )
    targets = pd.DataFrame({"id": ["a", "a", "b", "c"], "era": [2, 1, 1, 2], "goal": [1.0, 0.0, np.nan, 0.5]})
    joined = tables.with_target(predictions, "cv", targets, "goal")
    assert joined.to_dict("list") == {"era": [1, 2], "prediction": [0.1, 0.3], "target": [0.0, 1.0]}


def test_era_means_by_hand() -> None:
    frame = tables.era_means([("m", rows([1, 1, 2], [0.2, 0.4, 0.6], [0.0, 1.0, 0.5])), ("n", rows([1], [0.5], [0.5]))])
    assert frame["mean_prediction"].tolist() == pytest.approx([0.3, 0.6, 0.5])
    assert frame["mean_target"].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert frame["mean_gap"].tolist() == pytest.approx([-0.05, -0.05, 0.0])


def test_era_means_are_thinned_but_the_gap_is_not() -> None:
    n = 333
    frame = tables.era_means([("m", rows(list(range(n)), np.arange(n, dtype=float).tolist(), [0.0] * n))])
    assert len(frame) == tables.MAX_POINT_ERAS
    assert (frame["era"].min(), frame["era"].max()) == (0, n - 1)
    assert frame["mean_gap"].iloc[0] == pytest.approx((n - 1) / 2)


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 1000))
def test_tenths_against_a_plain_loop(n_rows: int, n_eras: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    era, prediction, target = rng.integers(0, n_eras, n_rows), rng.normal(size=n_rows), rng.integers(0, 5, n_rows) / 4
    found: dict[int, list[float]] = {}
    for k in range(n_rows):
        others = prediction[era == era[k]]
        below = int((others < prediction[k]).sum())
        found.setdefault(int(10 * (below + 0.5) / len(others)) + 1, []).append(float(target[k]))
    frame = tables.target_by_prediction({"x": pd.DataFrame({"era": era, "prediction": prediction, "target": target})}, "cv").frame
    assert dict(zip(frame["tenth"], frame["mean_target"], strict=True)) == pytest.approx({k: np.mean(v) for k, v in sorted(found.items())})
    assert frame["rows"].sum() == n_rows


def test_empty_split_says_so() -> None:
    empty = scores(a=[np.nan])
    nothing = rows([], [], []).astype({"era": np.int64, "prediction": float, "target": float})
    found = [
        tables.corr_box(empty, "validation"),
        tables.corr_time(empty, "validation"),
        tables.comparison(empty, "a", "b", "validation"),
        tables.target_by_prediction({"ensemble": nothing}, "validation"),
    ]
    assert all(table.frame.empty for table in found)
    assert {table.headline for table in found} == {"Nothing to show: no validation era has scores"}


def test_weights_are_shares_of_their_sum() -> None:
    assert tables.weights({"a": 1.0, "b": 3.0}).to_dict("list") == {"model": ["a", "b"], "weight": [0.25, 0.75]}


def test_folds_by_hand() -> None:
    plan = splits.plan(np.arange(1, 31), np.arange(31, 51), 20, Split(method="purged_kfold", folds=3, chunk=1, window=None))
    table = tables.folds(plan)
    second = table.frame[table.frame["fold"] == 2]
    assert second[["role", "first", "last"]].to_numpy().tolist() == [
        ["train", 1, 2],
        ["train", 29, 30],
        ["purged", 3, 10],
        ["purged", 21, 28],
        ["test", 11, 20],
    ]
    final = table.frame[table.frame["fold"] == 0]
    assert final[["role", "first", "last"]].to_numpy().tolist() == [["train", 1, 30], ["purged", 31, 38], ["test", 39, 50]]
    assert table.headline == "3 folds, trained on 13% to 40% of the train eras, 8 weeks purged"
    assert provenance.staleness(table.frame).startswith("Validation is predicted by one model whose last training era lies 9 to 20 weeks")


def test_the_blocks_of_a_retrained_model_by_hand() -> None:
    plan = splits.plan(np.arange(1, 31), np.arange(31, 51), 20, Split(method="purged_kfold", folds=3, chunk=1, window=None), 5)
    table = tables.folds(plan)
    blocks = table.frame[table.frame["fold"] <= 0]
    assert blocks[["fold", "role", "first", "last"]].to_numpy().tolist() == [
        *([0, "train", 1, 30], [0, "purged", 31, 38], [0, "test", 39, 40]),
        *([-2, "train", 1, 32], [-2, "purged", 33, 40], [-2, "test", 41, 45]),
        *([-3, "train", 1, 37], [-3, "purged", 38, 45], [-3, "test", 46, 50]),
    ]
    assert table.headline.endswith("8 weeks purged; 3 blocks of validation")
    told = "Validation is predicted by 3 models, fitted one after the other, whose last training era lies 9 to 13 weeks before the era"
    assert provenance.staleness(table.frame).startswith(told)
    assert splits.staleness_lines(plan)[0].lower() in provenance.staleness(table.frame).lower()


def test_every_fourth_era_is_one_run() -> None:
    plan = splits.plan(np.arange(1, 121, 4), np.arange(121, 161, 4), 20, Split(method="purged_kfold", folds=2, chunk=1, window=None))
    first = tables.folds(plan).frame.query("fold == 1")
    assert first[["role", "first", "last"]].to_numpy().tolist() == [["train", 69, 117], ["purged", 61, 65], ["test", 1, 57]]
