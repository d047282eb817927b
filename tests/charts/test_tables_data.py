"""The tables of the data, by hand."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from erawise.charts import tables_data
from erawise.running.errors import InputError


def write(path: Path, **columns: list) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def stability(path: Path, count: int) -> Path:
    share = np.linspace(0.5, 0.9, count)
    return write(
        path,
        feature=[f"feature_{k}" for k in range(count)],
        corr_mean=list(np.linspace(0.001, 0.05, count)),
        corr_std=[0.01] * count,
        sign_stability=list(share),
        scored_eras=[100] * count,
    )


def drifted(path: Path, distance: list[float], usual: list[float], missing: float = 0.0) -> Path:
    count = len(distance)
    return write(
        path,
        feature=[f"feature_{k}" for k in range(count)],
        distance=distance,
        expected=[0.01] * count,
        usual_p95=[0.02] * count,
        usual_max=usual,
        eras=[40] * count,
        missing_live=[missing] * count,
    )


def missing(path: Path, shares: list[float], empty: list[int]) -> Path:
    eras = len(shares) - 1
    kinds = ["train"] * (eras - 1) + ["validation", "live"]
    return write(
        path, era=[*range(1, eras + 1), None], data_type=kinds, rows=[50] * len(shares), missing_share=shares, empty_features=empty
    )


def test_stable_and_fickle(tmp_path: Path) -> None:
    table = tables_data.feature_stability(stability(tmp_path / "features.csv", 30))
    assert table["group"].tolist() == ["stable"] * 10 + ["fickle"] * 10
    assert table["feature"].tolist() == [f"feature_{k}" for k in [*range(29, 19, -1), *range(9, -1, -1)]]
    assert table["high"].iloc[0] == pytest.approx(0.06)


@pytest.mark.parametrize(("count", "stable"), [(1, 1), (2, 1), (5, 3), (19, 10)])
def test_no_feature_is_in_both_groups(tmp_path: Path, count: int, stable: int) -> None:
    frame = tables_data.feature_stability(stability(tmp_path / "features.csv", count))
    assert not frame["feature"].duplicated().any()
    assert len(frame) == count
    assert (frame["group"] == "stable").sum() == stable


def test_no_feature_with_a_correlation(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", feature=["a"], corr_mean=[None], corr_std=[None], sign_stability=[None], scored_eras=[0])
    table = tables_data.feature_stability(path)
    assert table.empty


def test_target_correlation_starts_with_the_main_target(tmp_path: Path) -> None:
    path = write(tmp_path / "targets.csv", name=["a", "b", "c"], a=[1, 0.2, None], b=[0.2, 1, 0.7], c=[None, 0.7, 1])
    table = tables_data.target_correlation(path, "b")
    assert list(dict.fromkeys(table["a"])) == ["b", "c", "a"]
    assert math.isnan(table.set_index(["a", "b"]).loc[("a", "c"), "correlation"])
    with pytest.raises(InputError, match="it lacks the target 'd'"):
        tables_data.target_correlation(path, "d")


def test_drift_is_told_from_none(tmp_path: Path) -> None:
    none = tables_data.drift(drifted(tmp_path / "none.csv", [0.01, 0.03, 0.03], [0.03, 0.03, 0.04]))
    assert none["feature"].tolist() == ["feature_1", "feature_2", "feature_0"]
    some = tables_data.drift(drifted(tmp_path / "some.csv", [0.01] * 99 + [0.5], [0.03] * 100))
    assert some["beyond"].tolist() == [1] + [0] * (tables_data.DRIFTED - 1)


def test_missing_by_era(tmp_path: Path) -> None:
    table = tables_data.missing_by_era(missing(tmp_path / "m.csv", [0.0, 0.1, 0.0, 0.02], [0, 1, 0, 0]))
    assert table["era"].tolist() == [1, 2, 3, 4]
    assert table["missing_share"].tolist() == [0.0, 0.1, 0.0, 0.02]
    assert table["empty_features"].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("read", "stage"),
    [
        (tables_data.feature_stability, "explore"),
        (lambda path: tables_data.target_correlation(path, "a"), "explore"),
        (tables_data.drift, "explore"),
        (tables_data.missing_by_era, "preprocess"),
    ],
)
def test_a_file_that_is_missing_or_another(tmp_path: Path, read, stage: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=f"run {stage}"):
        read(tmp_path / "none.csv")
    with pytest.raises(InputError, match=f"run {stage}"):
        read(write(tmp_path / "other.csv", x=[1]))
