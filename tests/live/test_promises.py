"""The validation scores with which live rounds are compared: of both horizons, and equal to the official ones."""

import numpy as np
import pandas as pd
import pytest
from numerai_tools import scoring
from workspace import Workspace

from erawise.base import tabular
from erawise.evaluation import evaluation
from erawise.live import promises


def test_a_prediction_is_scored_against_its_target_of_both_horizons(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.directory)
    path = workspace.directory / "data/prepared/references.parquet"
    references = tabular.read_parquet(path)
    references["numerai_meta_model"] = np.random.default_rng(0).uniform(size=len(references))
    references.to_parquet(path)
    predicted = workspace.predictions("models/ridge")
    found = promises.scored("ridge", predicted, threads=1).tables
    evaluated = tabular.read_parquet(workspace.directory / "data/scores/validation.parquet").query("prediction == 'ridge'")
    assert found[20]["corr"].tolist() == evaluated["corr"].tolist()
    assert found[60]["era"].tolist() == evaluated["era"].tolist()
    targets = tabular.read_parquet(workspace.directory / "data/prepared/validation_targets.parquet", ["id", "era", "target_other_60"])
    own = predicted.query("split == 'validation'").astype({"era": int})
    joined = own.merge(targets, on=["id", "era"]).merge(references[["id", "era", "numerai_meta_model"]], on=["id", "era"])
    for row, (era, rows) in zip(found[60].itertuples(), joined.groupby("era"), strict=True):
        rows, target = rows.set_index("id"), rows.set_index("id")["target_other_60"].astype(float)
        assert row.era == era
        assert row.corr == pytest.approx(scoring.numerai_corr(rows[["prediction"]], target)["prediction"], abs=1e-9)
        official = scoring.correlation_contribution(rows[["prediction"]], rows["numerai_meta_model"], target)["prediction"]
        assert row.mmc == pytest.approx(official, abs=1e-9)


def test_a_horizon_that_the_data_lacks_is_not_promised(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.directory)
    monkeypatch.setattr(evaluation, "sibling", lambda *_: None)
    found = promises.scored("ridge", workspace.predictions("models/ridge"), threads=1)
    promises.keep("1" * 64, found)
    assert list(found.tables) == [20]
    pd.testing.assert_frame_equal(promises.read("1" * 64, 20), found.tables[20])
    assert promises.read("1" * 64, 60) is None
