"""Selection and projection, fitted only on the given rows."""

from pathlib import Path

import numpy as np
import pytest
from panels import view, write_panel

from erawise.blend import risk
from erawise.panel import maps
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.running.errors import InputError
from erawise.selection import pca, selection

RNG = np.random.default_rng(11)
ERA = np.repeat(np.arange(1, 41), 50)
FEATURES = RNG.integers(0, 5, (2000, 8)).astype(np.int8)
FEATURES[:, 5] = np.where(RNG.random(2000) < 0.97, FEATURES[:, 1], FEATURES[:, 5])
FEATURES[:, 7] = 2
TARGET = (np.clip(FEATURES[:, 1] + RNG.normal(size=2000), 0, 4).round() / 4).astype(np.float32)


@pytest.fixture
def panel(tmp_path: Path) -> Panel:
    sets = {"all": [f"feature_{k}" for k in range(8)], "small": ["feature_2", "feature_3"], "empty": []}
    return write_panel(tmp_path, FEATURES, {"target": TARGET}, ERA, feature_sets=sets)


def test_moments_are_those_of_numpy(panel: Panel) -> None:
    mean, covariance = pca.moments(view(panel))
    assert np.allclose(mean, FEATURES.mean(axis=0), atol=1e-12)
    assert np.allclose(covariance, np.cov(FEATURES.T, ddof=0), atol=1e-12)


def test_moments_keep_their_digits_beside_a_large_offset(tmp_path: Path) -> None:
    values = (1000 + RNG.normal(size=(2000, 3)) / 100).astype(np.float32)
    _, covariance = pca.moments(view(write_panel(tmp_path, values, {"target": TARGET}, ERA)))
    assert np.allclose(covariance, np.cov(values.T.astype(np.float64), ddof=0), rtol=1e-9)


def test_correlation_is_zero_beside_a_constant(panel: Panel) -> None:
    correlation = pca.correlation(view(panel))
    expected = np.corrcoef(FEATURES[:, :7].T)
    assert np.allclose(correlation[:7, :7], expected, atol=1e-12)
    assert not correlation[7].any()


def test_components_are_uncorrelated_of_unit_variance_and_repeatable(panel: Panel) -> None:
    chosen = selection.by_pca(view(panel), 5)
    out = View(panel, panel.eras, chosen).matrix()
    assert out.dtype == np.float32
    assert out.shape == (2000, 5)
    assert np.allclose(np.cov(out.T, ddof=0), np.eye(5), atol=1e-5)
    assert chosen.names[0] == "component_1"
    again = selection.by_pca(view(panel), 5)
    assert chosen.components is not None
    assert again.components is not None
    assert np.array_equal(chosen.components, again.components)


def test_more_components_than_features(panel: Panel) -> None:
    with pytest.raises(InputError, match=r"select_features\.components: 9 components of 8 features"):
        selection.by_pca(view(panel), 9)


def test_components_without_variance_are_zero(panel: Panel) -> None:
    out = View(panel, panel.eras, selection.by_pca(view(panel), 8)).matrix()
    assert not out[:, 7].any()


def test_prune_by_hand() -> None:
    correlation = np.array([[1, 0.9, 0.1], [0.9, 1, -0.95], [0.1, -0.95, 1]])
    assert selection.prune(correlation, 0.8).tolist() == [0, 2]
    assert selection.prune(correlation, 0.92).tolist() == [0, 1]
    assert selection.prune(correlation, 1.0).tolist() == [0, 1, 2]


def test_selection_keeps_the_important_and_one_of_a_correlated_pair(panel: Panel) -> None:
    scores = np.array([0.0, 0.5, 0.1, 0.05, 0.0, 0.3, 0.05, 0.0])
    kept = selection.by_importance(view(panel), lambda _: scores, 0.5, 0.9)
    assert kept.columns == ("feature_1", "feature_2", "feature_3")
    both = selection.by_importance(view(panel), lambda _: scores, 0.5, 1.0)
    assert both.columns == ("feature_1", "feature_2", "feature_3", "feature_5")


def test_selection_without_any_importance_keeps_the_share(panel: Panel) -> None:
    kept = selection.by_importance(view(panel), lambda _: np.zeros(8), 0.5, 1.0)
    assert len(kept.columns) == 4


def test_selection_looks_at_its_own_eras_alone(panel: Panel, tmp_path: Path) -> None:
    changed = FEATURES.copy()
    changed[ERA > 20] = RNG.integers(0, 5, (1000, 8))
    other = write_panel(tmp_path / "other", changed, {"target": TARGET}, ERA)
    early = np.arange(1, 21)

    def chosen(source: Panel) -> FeatureMap:
        seen = View(source, early, FeatureMap(source.names), "target")
        return selection.by_importance(seen, lambda v: np.abs(v.matrix().T.astype(float) @ v.target), 0.6, 0.9)

    assert chosen(panel) == chosen(other)


@pytest.mark.parametrize("method", ["columns", "pca"])
def test_written_maps_read_back(panel: Panel, tmp_path: Path, method: str) -> None:
    whole = view(panel)
    made = [selection.by_pca(whole, 3)] * 3 if method == "pca" else [FeatureMap(("feature_1",)), FeatureMap(("feature_2", "feature_0"))]
    maps.write(made, tmp_path)
    folds, final = maps.read(tmp_path)
    for written, read in zip(made, [*folds, final], strict=True):
        assert written.columns == read.columns
        block = panel.block(3, panel.columns(written.columns))
        assert np.array_equal(written.apply(block), read.apply(block))


def test_what_to_neutralize_to(panel: Panel) -> None:
    assert risk.chosen(panel, [panel.eras], "target", "none", 3) == [[]]
    assert risk.chosen(panel, [panel.eras] * 2, "target", "all", 3) == [list(panel.feature_names)] * 2
    assert risk.chosen(panel, [panel.eras], "target", "small", 3) == [["feature_2", "feature_3"]]
    assert [len(names) for names in risk.chosen(panel, [panel.eras], "target", "riskiest", 5)] == [5]
    with pytest.raises(InputError, match=r"neutralize\.features: 'large' is neither"):
        risk.chosen(panel, [panel.eras], "target", "large", 3)
    with pytest.raises(InputError, match=r"neutralize\.features: the set 'empty'"):
        risk.chosen(panel, [panel.eras], "target", "empty", 3)


def test_an_era_of_few_rows_is_neutralized_to_the_riskiest_alone() -> None:
    columns = np.array([7, 2, 5])
    assert risk.within(columns, "riskiest", slice(10, 22)).tolist() == [7, 2, 5]
    assert risk.within(columns, "riskiest", slice(10, 19)).tolist() == [7, 2]
    assert risk.within(columns, "riskiest", slice(10, 13)).tolist() == []
    assert risk.within(columns, "all", slice(10, 13)).tolist() == [7, 2, 5]


def test_what_was_capped_is_said() -> None:
    assert risk.report([["a", "b", "c"]], "riskiest", 3, np.array([12, 40])) == []
    few, capped = risk.report([["a", "b", "c"]], "riskiest", 5, np.array([9, 40]))
    assert few == "neutralize.count: the data has 3 features, fewer than 5"
    assert capped == "neutralize.count: capped at a quarter of the rows in 1 of 2 eras, at 2 in the smallest, of 9 rows"
    assert risk.report([["a", "b", "c"]], "all", 5, np.array([9, 40])) == []


def test_era_correlations_are_those_of_numpy(panel: Panel) -> None:
    eras, table = risk.era_correlations(panel, np.array([4, 9]), "target")
    rows = ERA == 9
    assert (eras.tolist(), table.shape) == ([4, 9], (2, 8))
    assert np.allclose(table[1, :7], [np.corrcoef(FEATURES[rows, k], TARGET[rows])[0, 1] for k in range(7)])
    assert np.isnan(table[:, 7]).all()


def test_the_riskiest_ones_vary_most(tmp_path: Path) -> None:
    sign = np.where(np.arange(1, 41) % 2, 1.0, -1.0)[ERA - 1]
    risky = FEATURES[np.arange(2000), np.where(ERA <= 20, 3, 2)]
    target = np.clip(0.5 + 0.2 * sign * (risky - 2.0) / 2 + 0.1 * RNG.normal(size=2000), 0, 1)
    panel = write_panel(tmp_path, FEATURES, {"target": target}, ERA)
    first, second = np.array_split(panel.eras, 2)
    assert risk.chosen(panel, [first, second], "target", "riskiest", 1) == [["feature_3"], ["feature_2"]]
