"""The tables behind the pictures of the data, by hand, and the pictures that are drawn from them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from erawise.charts import data_charts, figures, tables_data
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
    assert table.frame["group"].tolist() == ["stable"] * 10 + ["fickle"] * 10
    assert table.frame["feature"].tolist() == [f"feature_{k}" for k in [*range(29, 19, -1), *range(9, -1, -1)]]
    assert table.frame["high"].iloc[0] == pytest.approx(0.06)
    assert table.headline == (
        "feature_29 keeps the sign of its correlation with the target in 90% of 100 train eras, the most of 30 features; "
        "feature_0 in 50%, the least"
    )


@pytest.mark.parametrize(("count", "stable"), [(1, 1), (2, 1), (5, 3), (19, 10)])
def test_no_feature_is_in_both_groups(tmp_path: Path, count: int, stable: int) -> None:
    frame = tables_data.feature_stability(stability(tmp_path / "features.csv", count)).frame
    assert not frame["feature"].duplicated().any()
    assert len(frame) == count
    assert (frame["group"] == "stable").sum() == stable


def test_no_feature_with_a_correlation(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", feature=["a"], corr_mean=[None], corr_std=[None], sign_stability=[None], scored_eras=[0])
    table = tables_data.feature_stability(path)
    assert table.frame.empty
    assert table.headline.startswith("Nothing to show")


def test_target_correlation_starts_with_the_main_target(tmp_path: Path) -> None:
    path = write(tmp_path / "targets.csv", name=["a", "b", "c"], a=[1, 0.2, None], b=[0.2, 1, 0.7], c=[None, 0.7, 1])
    table = tables_data.target_correlation(path, "b")
    assert list(dict.fromkeys(table.frame["a"])) == ["b", "c", "a"]
    assert math.isnan(table.frame.set_index(["a", "b"]).loc[("a", "c"), "correlation"])
    assert table.headline == "Of 2 other targets c is the most like b, with a correlation of 0.70, a the least, with 0.20"
    with pytest.raises(InputError, match="it lacks the target 'd'"):
        tables_data.target_correlation(path, "d")


def test_drift_is_told_from_none(tmp_path: Path) -> None:
    none = tables_data.drift(drifted(tmp_path / "none.csv", [0.01, 0.03, 0.03], [0.03, 0.03, 0.04]))
    assert none.headline == "No drift: none of 3 features lies further off in live than in any of the last 40 train eras"
    assert none.frame["feature"].tolist() == ["feature_1", "feature_2", "feature_0"]
    some = tables_data.drift(drifted(tmp_path / "some.csv", [0.01] * 99 + [0.5], [0.03] * 100))
    assert some.headline == (
        "1 of 100 features lie further off in live than in any of the last 40 train eras, where luck alone makes about 2 do so; "
        "feature_99 lies furthest"
    )
    assert some.frame["beyond"].tolist() == [1] + [0] * (tables_data.DRIFTED - 1)


def test_missing_by_era(tmp_path: Path) -> None:
    table = tables_data.missing_by_era(missing(tmp_path / "m.csv", [0.0, 0.1, 0.0, 0.02], [0, 1, 0, 0]))
    assert table.frame["era"].tolist() == [1, 2, 3, 4]
    assert table.headline == (
        "3.33% of the feature values of 3 eras were missing, most in era 2: 10.0%, 1 feature without any data; 2.00% of the live ones"
    )
    whole = tables_data.missing_by_era(missing(tmp_path / "m.csv", [0.0, 0.1, 0.0], [0, 0, 0]))
    assert whole.headline == "5.00% of the feature values of 2 eras were missing, most in era 2: 10.0%; none of the live ones"
    none = tables_data.missing_by_era(missing(tmp_path / "m.csv", [0.0, 0.0, 0.0], [0, 0, 0]))
    assert none.headline == "No feature value of 2 eras was missing; none of the live ones"


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


def pictures(directory: Path, count: int, targets: int, eras: int) -> dict:
    names = ["target", *(f"target_{k}_20" for k in range(targets - 1))]
    rng = np.random.default_rng(1)
    square = np.atleast_2d(np.corrcoef(rng.normal(size=(len(names), 50))))
    write(directory / "targets.csv", name=names, **{name: list(square[k]) for k, name in enumerate(names)})
    shares, empty = list(rng.random(eras) / 10), [0] * eras
    return {
        "feature_stability": data_charts.feature_stability(tables_data.feature_stability(stability(directory / "f.csv", count))),
        "target_correlation": data_charts.target_correlation(tables_data.target_correlation(directory / "targets.csv", "target")),
        "drift": data_charts.drift(tables_data.drift(drifted(directory / "d.csv", list(rng.random(count)), [0.5] * count, 0.2))),
        "missing_by_era": data_charts.missing_by_era(tables_data.missing_by_era(missing(directory / "m.csv", shares, empty))),
    }


@pytest.mark.parametrize("sizes", [(1, 1, 3), (60, 40, 1200)])
def test_pictures_are_small(tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    for name, figure in pictures(tmp_path, *sizes).items():
        figures.write(figure, tmp_path / "a.svg")
        assert (tmp_path / "a.svg").stat().st_size < 400_000, name
        assert figure.axes[-1].get_xlabel(), name


def test_pictures_are_the_same_each_time(tmp_path: Path) -> None:
    sizes = (12, 6, 200)
    for (name, figure), again in zip(pictures(tmp_path, *sizes).items(), pictures(tmp_path, *sizes).values(), strict=True):
        figures.write(figure, tmp_path / "a.svg")
        figures.write(again, tmp_path / "b.svg")
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes(), name


def test_numbers_stand_in_the_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "targets.csv", name=["a", "b"], a=[1, -0.25], b=[-0.25, 1])
    figure = data_charts.target_correlation(tables_data.target_correlation(path, "a"))
    assert [text.get_text() for text in figure.axes[0].texts] == ["1.00", "-.25", "-.25", "1.00"]
