"""Tables of the drivers of the models, and of exposures over time."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_charts import explanations, exposures

from erawise.charts import explained_tables
from erawise.charts.explained_tables import SWARM_FEATURES
from erawise.evaluation import significance


def test_contributions_are_in_standard_deviations_and_values_between_their_ends() -> None:
    found = explanations(["a", "b"])
    found["b"] = replace(found["b"], sample=replace(found["b"].sample, std=4.0))
    table = explained_tables.shap_beeswarm(found)
    assert table.columns.tolist() == ["model", "rank", "feature", "era", "value", "level", "contribution"]
    assert table.groupby("model", sort=False)["rank"].max().tolist() == [SWARM_FEATURES] * 2
    one = table[(table["model"] == "a") & (table["rank"] == 3)]
    raw = found["a"].points[found["a"].points["rank"] == 3]
    np.testing.assert_allclose(one["contribution"], raw["shap"] / 2)
    np.testing.assert_allclose(one["level"], raw["value"] / 4)
    twice = table.loc[table["model"] == "b", "contribution"].to_numpy() * 2
    np.testing.assert_allclose(twice, table.loc[table["model"] == "a", "contribution"])


def test_more_models_have_fewer_dots_each() -> None:
    few = explained_tables.shap_beeswarm(explanations(["a"], points=200))
    many = explained_tables.shap_beeswarm(explanations([f"m{k}" for k in range(12)], points=200))
    assert few.groupby("rank").size().unique().tolist() == [200]
    assert many.groupby(["model", "rank"]).size().max() <= 25
    assert len(many) <= explained_tables.DOTS


def test_a_constant_feature_and_a_constant_model_lie_in_the_middle() -> None:
    found = explanations(["a"])["a"]
    constant = replace(found, points=found.points.assign(value=3.0, shap=0.0), sample=replace(found.sample, std=0.0))
    frame = explained_tables.shap_beeswarm({"a": constant})
    assert frame["level"].unique().tolist() == [0.5]
    assert frame["contribution"].unique().tolist() == [0.0]


def test_drops_have_the_interval_of_overlapping_eras() -> None:
    found = explanations(["a"])["a"]
    frame = explained_tables.permutation({"a": found}, 20)
    drops = found.permutation.loc[found.permutation["feature"] == "feature_2", "drop"].to_numpy()
    expected = significance.mean(drops, overlap=4)
    assert expected.reason.startswith("24 eras; an interval needs 32")
    spaced = replace(found, permutation=found.permutation.assign(era=found.permutation["era"] * 2))
    table = explained_tables.permutation({"a": spaced}, 20)
    expected = significance.mean(drops, overlap=2)
    assert table.loc[2, ["drop", "low", "high", "eras"]].tolist() == [expected.mean, expected.low, expected.high, 24]
    assert frame["low"].isna().all()
    empty = replace(found, permutation=found.permutation.iloc[:0])
    assert explained_tables.permutation({"a": empty}, 20).empty


def test_exposure_over_time_has_all_first_and_every_era() -> None:
    rows = exposures(130)
    table = explained_tables.exposure_time(rows)
    assert list(dict.fromkeys(table["group"])) == ["all", "wisdom", "faith"]
    assert set(table["prediction"]) == {"ensemble", "neutralized"}
    one = table.query("split == 'cv' and prediction == 'ensemble' and group == 'wisdom'")
    assert one["eras"].sum() == 130
    assert one["era"].iloc[-1] == 130
    assert len(one) <= explained_tables.MAX_PERIODS
    raw = rows.query("prediction == 'ensemble' and group == 'wisdom'")
    assert one["max_abs"].iloc[0] == pytest.approx(raw.query("era <= 3")["max_abs"].mean())
    assert one["mean"].unique() == pytest.approx([raw["max_abs"].mean()])
    assert explained_tables.exposure_time(rows[rows["prediction"] == "ensemble"]).empty
    assert explained_tables.exposure_time(pd.DataFrame(columns=rows.columns)).empty
