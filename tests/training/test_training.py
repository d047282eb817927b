"""The rows that training may see: folds, inner slices, and the final fit."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from panels import matrix_of, write_panel

from erawise.base.schema import LIVE_ERA
from erawise.blend import blending
from erawise.folds import splits
from erawise.folds.settings import Split
from erawise.models.ridge import model as ridge
from erawise.models.ridge.settings import Ridge
from erawise.models.shared.protocol import GIB, Attribution, Fitted, Portable, Resources
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.selection import selection
from erawise.training import jobs, kept, training
from erawise.training.fits import How

ROWS = 30
SETTINGS = SimpleNamespace(target="target")
ONE, TWO = (Resources(threads, GIB, Path("scratch")) for threads in (1, 2))


@dataclass
class Recorder:
    """A kind of model that records its inputs and predicts the first feature."""

    stopping: bool
    best: Sequence[int] = (5, 9, 40)
    fits: list[SimpleNamespace] = field(default_factory=list)
    prepared: list[SimpleNamespace] = field(default_factory=list)

    def prepare(self, settings: SimpleNamespace, folds: Sequence[tuple[View, View | None]], resources: Resources) -> int:
        assert len(self.fits) in (0, len(self.prepared)), "what fits share is written before the first of them"
        for train, inner in folds:
            self.prepared.append(SimpleNamespace(train=np.unique(train.era), inner=None if inner is None else np.unique(inner.era)))
        return 1

    def needs(self, settings: SimpleNamespace, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
        return [0] * len(folds)

    def stops_early(self, settings: SimpleNamespace) -> bool:
        return self.stopping

    def steps(self, settings: SimpleNamespace) -> tuple[int, str]:
        return 40, "rounds"

    def fit(self, settings: SimpleNamespace, train: View, inner: View | None, rounds: int | None, resources: Resources) -> "Echo":
        inner_eras = None if inner is None else np.unique(inner.era)
        self.fits.append(SimpleNamespace(train=np.unique(train.era), inner=inner_eras, rounds=rounds, resources=resources))
        return Echo(self.best[len(self.fits) - 1] if inner is not None else rounds, len(train.names))


@dataclass
class Echo:
    """A model that predicts the first feature."""

    rounds: int | None
    n_features: int

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        return x[:, 0].astype(np.float64)

    def importance(self) -> NDArray[np.float64]:
        return np.linspace(0, 1, self.n_features)

    def tree_importance(self) -> None:
        raise NotImplementedError

    def attribution(self, sample: NDArray, background: NDArray, threads: int) -> Attribution:
        raise NotImplementedError

    def portable(self) -> Portable:
        raise NotImplementedError

    def save(self, directory: Path) -> None:
        raise NotImplementedError


@pytest.fixture
def data(tmp_path: Path) -> jobs.TrainingData:
    rng = np.random.default_rng(3)
    era = np.repeat(np.arange(1, 121), ROWS)
    features = rng.integers(0, 5, (len(era), 3)).astype(np.int8)
    target = rng.integers(0, 5, len(era)) / 4
    target[:7] = np.nan
    panel = write_panel(tmp_path / "panel", features, {"target": target}, era)
    live_features = rng.integers(0, 5, (ROWS, 3)).astype(np.int8)
    write_panel(tmp_path / "live", live_features, {}, np.full(ROWS, LIVE_ERA), data_type="live")
    index = pd.read_parquet(tmp_path / "live" / "index.parquet")
    index.assign(era=pd.array([pd.NA] * ROWS, dtype="Int64")).to_parquet(tmp_path / "live" / "index.parquet")
    plan = splits.plan(np.arange(1, 91), np.arange(91, 121), 20, Split(method="purged_kfold", folds=3, chunk=10, window=None))
    maps = [FeatureMap((f"feature_{k}", "feature_0")) for k in range(3)]
    return jobs.TrainingData(panel, Panel(tmp_path / "live", []), plan, maps, FeatureMap(panel.names))


def test_a_fold_never_sees_its_test_eras_nor_what_is_purged(data: jobs.TrainingData) -> None:
    kind = Recorder(stopping=True)
    training.train(kind, SETTINGS, data, 0.2, How(ONE))
    for fit, fold in zip(kind.fits[:3], data.plan.folds, strict=True):
        for eras in (fit.train, fit.inner):
            assert np.abs(eras[:, None] - fold.test).min() > 8
        assert np.abs(fit.train[:, None] - fit.inner).min() > 8


@pytest.mark.parametrize("stops_early", [True, False])
def test_what_is_prepared_for_all_fits_is_what_each_gets(data: jobs.TrainingData, stops_early: bool) -> None:
    kind = Recorder(stops_early)
    training.train(kind, SETTINGS, data, 0.2, How(ONE))
    for fit, prepared in zip(kind.fits, kind.prepared, strict=True):
        np.testing.assert_array_equal(fit.train, prepared.train)
        assert (fit.inner is None) == (prepared.inner is None)
        assert fit.inner is None or fit.inner.tolist() == prepared.inner.tolist()


def test_the_final_fit_has_all_train_eras_and_the_median_rounds(data: jobs.TrainingData) -> None:
    kind = Recorder(stopping=True)
    trained = training.train(kind, SETTINGS, data, 0.2, How(TWO))
    final = kind.fits[-1]
    assert final.train.tolist() == list(range(1, 91))
    assert (final.inner, final.rounds, final.resources) == (None, 9, TWO)
    assert trained.rounds == [5, 9, 40]
    assert trained.dropped == 7


def test_kinds_without_rounds_get_the_whole_fold(data: jobs.TrainingData) -> None:
    kind = Recorder(stopping=False)
    trained = training.train(kind, SETTINGS, data, 0.2, How(ONE))
    assert [len(fit.train) for fit in kind.fits] == [*(len(fold.train) for fold in data.plan.folds), 90]
    assert trained.rounds == []


def test_predictions_by_id_through_each_folds_features(data: jobs.TrainingData) -> None:
    trained = training.train(Recorder(stopping=False), SETTINGS, data, 0.2, How(ONE))
    found = trained.predictions
    assert found.groupby("split").size().to_dict() == {"cv": 90 * ROWS, "validation": 22 * ROWS, "live": ROWS}
    assert found.loc[found["split"] == "live", "era"].isna().all()
    assert not found.duplicated(["split", "id"]).any()
    values = dict(zip(data.panel.index["id"], matrix_of(data.panel), strict=True))
    for k, fold in enumerate(data.plan.folds):
        rows = found[(found["split"] == "cv") & found["era"].isin(fold.test)]
        assert rows["prediction"].tolist() == [values[name][k] for name in rows["id"]]


def test_importance_is_sorted_and_named(data: jobs.TrainingData) -> None:
    trained = training.train(Recorder(stopping=False), SETTINGS, data, 0.2, How(ONE))
    table = training.importance_table(data.final_features.names, [trained.model.importance()])
    assert table["feature"].tolist() == ["feature_2", "feature_1", "feature_0"]
    assert table["importance"].is_monotonic_decreasing


def test_noise_stays_noise_since_features_are_selected_in_the_fold(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    era = np.repeat(np.arange(1, 81), 40)
    features = rng.integers(0, 5, (len(era), 120)).astype(np.int8)
    panel = write_panel(tmp_path / "panel", features, {"target": rng.integers(0, 5, len(era)) / 4}, era)
    plan = splits.plan(np.arange(1, 71), np.arange(71, 81), 5, Split(method="purged_kfold", folds=4, chunk=10, window=None))

    def select(eras: NDArray[np.int64]) -> FeatureMap:
        view = View(panel, eras, FeatureMap(panel.names), "target")
        return selection.by_importance(view, lambda v: np.abs(v.matrix().T.astype(float) @ (v.target - v.target.mean())), 0.1, 1.0)

    def mean_correlation(maps: list[FeatureMap]) -> float:
        data = jobs.TrainingData(panel, Panel(tmp_path / "live", []), plan, maps, select(plan.train))
        settings = Ridge(kind="ridge", target="target", l2=1.0)
        found = training.train(ridge, settings, data, 0.2, How(ONE)).predictions.query("split == 'cv'")
        target = panel.index.set_index("id")["target"].loc[found["id"]].to_numpy()
        return float(
            np.mean([np.corrcoef(rows["prediction"], target[rows.index])[0, 1] for _, rows in found.reset_index(drop=True).groupby("era")])
        )

    write_panel(tmp_path / "live", features[:40], {}, np.full(40, LIVE_ERA), data_type="live")
    honest = mean_correlation([select(fold.train) for fold in plan.folds])
    fooled = mean_correlation([select(plan.train)] * 4)
    bound = 3 / np.sqrt(70 * 40)
    assert abs(honest) < bound < fooled


def test_several_models_are_blended_as_the_ensemble_blends() -> None:
    rng = np.random.default_rng(5)
    era = pd.array([1] * 20 + [2] * 30 + [None] * 10, dtype="Int64")
    parts = [pd.DataFrame({"id": range(60), "era": era, "split": "cv", "prediction": rng.normal(size=60).round(1)}) for _ in range(3)]
    found = training.blended(parts)
    columns = pd.DataFrame({str(k): part["prediction"] for k, part in enumerate(parts)})
    expected = blending.blend(columns, np.repeat([1, 2, -1], [20, 30, 10]), {"0": 1, "1": 1, "2": 1})
    np.testing.assert_allclose(found["prediction"], expected, atol=1e-12)
    assert found["era"].equals(parts[0]["era"])
    assert training.blended(parts[:1]) is parts[0]


RIDGE = Ridge(kind="ridge", target="target", l2=1.0)


def retrained(directory: Path, eras: int, changed_from: int | None = None) -> jobs.TrainingData:
    """Return data in which era 91 and later are the final check, with a fit every 6 weeks."""
    rng = np.random.default_rng(4)
    features = rng.integers(0, 5, (130 * ROWS, 3)).astype(np.int8)
    target = (features[:, 0] + rng.normal(0, 2, len(features))).astype(np.float32)
    era = np.repeat(np.arange(1, 131), ROWS)
    if changed_from is not None:
        target[era >= changed_from] *= -1
    kept = era <= eras
    panel = write_panel(directory / f"panel_{eras}_{changed_from}", features[kept], {"target": target[kept]}, era[kept])
    settings = Split(method="purged_kfold", folds=2, chunk=10, window=None)
    plan = splits.plan(np.arange(1, 91), np.arange(91, eras + 1), 20, settings, 6)
    return jobs.TrainingData(panel, None, plan, [FeatureMap(panel.names)] * 2, FeatureMap(panel.names))


def test_a_block_is_fitted_on_what_was_resolved_before_it_and_the_served_model_on_everything(tmp_path: Path) -> None:
    data, kind = retrained(tmp_path, 120), Recorder(stopping=True)
    trained = training.train(kind, SETTINGS, data, 0.2, How(replace(ONE, scratch=tmp_path)))
    assert [fit.train.tolist() for fit in kind.fits[3:]] == [
        *(list(range(1, block.test[0] - 8)) for block in data.plan.blocks[1:]),
        list(range(1, 121)),
    ]
    assert {fit.rounds for fit in kind.fits[3:]} == {trained.final_rounds}
    assert training.train_steps(kind, SETTINGS, data) == 40 * len(kind.fits)


def test_later_targets_change_no_earlier_prediction(tmp_path: Path) -> None:
    how = How(replace(ONE, scratch=tmp_path))
    before, after = (
        training.train(ridge, RIDGE, retrained(tmp_path, 120, changed_from), 0.2, how).predictions for changed_from in (None, 103)
    )
    seen = before["era"] <= 102 + 8
    pd.testing.assert_frame_equal(before[seen], after[seen])
    assert not before[~seen].equals(after[~seen])


@dataclass
class Counted:
    """A ridge that counts its fits."""

    __name__ = ridge.__name__
    fits: list[int] = field(default_factory=list)

    def fit(self, settings: Ridge, train: View, *rest: Any) -> Fitted:
        self.fits.append(len(np.unique(train.era)))
        if len(self.fits) == self.stopped_at:
            raise KeyboardInterrupt
        return ridge.fit(settings, train, *rest)

    stopped_at: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(ridge, name)


def test_new_eras_need_new_fits_alone_and_give_the_bytes_of_a_run_from_scratch(tmp_path: Path) -> None:
    def run(data: jobs.TrainingData, place: Path, settings: Ridge = RIDGE, stopped_at: int = 0) -> tuple[list[int], pd.DataFrame]:
        kind, resources = Counted(stopped_at=stopped_at), replace(ONE, scratch=tmp_path / "scratch")
        store = kept.Store(place, kind, resources)
        try:
            found = training.train(kind, settings, data, 0.2, How(resources, kept=store)).predictions
        except KeyboardInterrupt:
            return kind.fits, pd.DataFrame()
        store.prune()
        return kind.fits, found

    first, longer, grown = (retrained(tmp_path, eras) for eras in (118, 120, 123))
    fits, _ = run(first, tmp_path / "kept", stopped_at=5)
    assert len(fits) == 5, "two folds, the final fit, a block, and the block in which it is stopped"
    again, before = run(first, tmp_path / "kept")
    assert len(again) == 1 + len(first.plan.blocks) - 2
    assert run(first, tmp_path / "kept")[0] == []
    assert run(longer, tmp_path / "kept")[0] == [120], "the model that is served; the last block's predicts its new eras"
    later, after = run(grown, tmp_path / "kept")
    assert later == [112, 123], "the new block, and the model that is served"
    scratch, whole = run(grown, tmp_path / "other")
    assert len(scratch) == 3 + len(grown.plan.blocks)
    pd.testing.assert_frame_equal(after, whole)
    pd.testing.assert_frame_equal(after[after["era"] <= 118], before, check_like=True)
    assert len(run(grown, tmp_path / "kept", Ridge(kind="ridge", target="target", l2=2.0))[0]) == len(scratch)
    assert run(grown, tmp_path / "kept")[0] == []
