"""The embedded market: its files, and the effects of its law."""

import hashlib
import json
import re
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from erawise import params
from erawise.models.ridge.model import solve_symmetric
from erawise.panel import groups
from erawise.running.errors import InputError
from erawise.scores import kernels
from erawise.sources.market import source
from erawise.sources.market.law import (
    BEND,
    FACTOR_RISK,
    FACTOR_SHARE,
    FACTORS,
    FEATURE_SHARES,
    GAP_ERAS,
    GROUPS,
    INTERACTION_MEMORY,
    LOADING_MEMORY,
    LONG,
    LONG_NOISE,
    NAMES,
    NOISE,
    OPINIONS,
    PAIR,
    RISKY_FACTORS,
    SHORT,
    STRENGTH_EXPONENT,
    TARGET_SHARES,
    TURNOVER,
    YEAR,
    Law,
    bins,
    draw_law,
    factor_risks,
    kept_weekly,
    reverting,
    strength,
    thresholds,
)
from erawise.sources.market.names import RISKY_GROUP, feature_names, row_ids
from erawise.sources.market.settings import Market
from erawise.sources.market.targets import UNKNOWN_SHARE, targets
from erawise.sources.market.weeks import AWAY, Week, expected_target, generators, simulate, volatility

SIZE = Market(seed=3, train_eras=40, validation_eras=32, stocks=300, features=40, drift=0.0)
LAST = SIZE.train_eras + SIZE.validation_eras
TARGETS = [f"target_{name}_{days}" for days in (20, 60) for name in NAMES]
PARTS = ("train", "validation", "live")


def written(size: Market, directory: Path) -> Path:
    directory.mkdir()
    source.write(size, directory)
    return directory


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(SIZE, tmp_path_factory.mktemp("market") / "raw")


@pytest.fixture(scope="module")
def frames(raw: Path) -> dict[str, pd.DataFrame]:
    return {name: pq.read_table(raw / f"{name}.parquet").to_pandas() for name in PARTS}


@pytest.fixture(scope="module")
def sets(raw: Path) -> dict[str, list[str]]:
    return json.loads((raw / "features.json").read_text())["feature_sets"]


@pytest.fixture(scope="module")
def history(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([frames["train"], frames["validation"]], ignore_index=True)


def resized(**changes: float) -> Market:
    return SIZE.model_copy(update=changes)


def mean_corr(prediction: np.ndarray, target: np.ndarray, eras: np.ndarray) -> float:
    scores = []
    for era in np.unique(eras):
        rows = eras == era
        gaussian = kernels.gaussianize(prediction[rows, None])
        scores.append(kernels.numerai_corr(gaussian, target[rows] - target[rows].mean())[0])
    return float(np.mean(scores))


def test_it_writes_the_files_of_a_data_version(raw: Path) -> None:
    expected = {*PARTS, *(f"{part}_benchmark_models" for part in PARTS), "meta_model", "oracle"}
    assert {path.name for path in raw.iterdir()} == {"features.json", *(f"{name}.parquet" for name in expected)}


def test_columns_are_numerais(raw: Path, sets: dict[str, list[str]]) -> None:
    for part in PARTS:
        schema = pq.read_schema(raw / f"{part}.parquet")
        assert schema.names[:3] == ["id", "era", "data_type"]
        assert schema.names[3:43] == sets["all"]
        assert schema.names[43:] == ([] if part == "live" else ["target", *TARGETS])
        types = {str(field.type) for field in schema if field.name.startswith("feature")}
        assert types == {"int8"}
        assert {str(field.type) for field in schema if field.name.startswith("target")} <= {"float"}
    assert json.loads((raw / "features.json").read_text())["targets"] == ["target", *TARGETS]


def test_eras_and_data_types_follow_each_other(frames: dict[str, pd.DataFrame]) -> None:
    assert frames["train"]["era"].unique().tolist() == [f"{era:04d}" for era in range(1, 41)]
    assert frames["validation"]["era"].unique().tolist() == [f"{era:04d}" for era in range(41, 73)]
    assert set(frames["live"]["era"]) == {"X"}
    assert set(frames["live"]["data_type"]) == {"live"}
    kinds = frames["validation"].groupby("era")["data_type"].unique()
    assert [list(kind) for kind in kinds] == [["validation"]] * 20 + [["test"]] * 12
    assert all(frame.groupby("era").size().eq(SIZE.stocks).all() for frame in frames.values())


def test_ids_are_unique_and_look_like_numerais(raw: Path, frames: dict[str, pd.DataFrame]) -> None:
    ids = pd.concat([frame["id"] for frame in frames.values()])
    assert ids.is_unique
    assert all(re.fullmatch("n[0-9a-f]{15}", text) for text in ids)
    assert not ids.is_monotonic_increasing
    assert set(pq.read_table(raw / "oracle.parquet")["id"].to_pylist()) == set(ids)


@settings(max_examples=30)
@given(st.integers(0, 2**40), st.integers(0, 2**32))
def test_row_ids_never_repeat(first: int, seed: int) -> None:
    rows = row_ids(first, 200, seed).to_pylist()
    assert len(set(rows)) == 200
    assert rows[100:] == row_ids(first + 100, 100, seed).to_pylist()


def test_features_are_five_equal_bins_by_era(frames: dict[str, pd.DataFrame], sets: dict[str, list[str]]) -> None:
    validation = frames["validation"]
    for _, era in validation.groupby("era"):
        counts = era[sets["all"]].apply(lambda column: column.value_counts())
        assert (counts == SIZE.stocks / 5).all(axis=None)
        assert counts.shape == (5, 40)


def test_some_features_have_no_data_at_first(frames: dict[str, pd.DataFrame], sets: dict[str, list[str]]) -> None:
    first = frames["train"].loc[frames["train"]["era"] == "0001", sets["all"]]
    constant = first.columns[first.nunique() == 1]
    assert len(constant) == 2
    assert (first[constant] == 2).all(axis=None)
    later = frames["train"].loc[frames["train"]["era"] == "0017", sets["all"]]
    assert later.nunique().eq(5).all()


def test_one_feature_is_null_in_some_eras(frames: dict[str, pd.DataFrame], sets: dict[str, list[str]]) -> None:
    null = frames["train"][sets["all"]].isna().groupby(frames["train"]["era"]).sum()
    columns = null.columns[null.sum() > 0]
    assert len(columns) == 1
    assert null[columns[0]][null[columns[0]] > 0].to_dict() == {f"{era:04d}": SIZE.stocks for era in GAP_ERAS}


def test_targets_have_numerais_shares_by_era(frames: dict[str, pd.DataFrame]) -> None:
    shares = frames["train"].groupby("era")["target"].value_counts().unstack()
    assert shares.columns.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert (shares == SIZE.stocks * np.array([0.05, 0.2, 0.5, 0.2, 0.05])).all(axis=None)
    pd.testing.assert_series_equal(frames["train"]["target"], frames["train"]["target_ender_60"], check_names=False)


def test_targets_that_lie_in_the_future_are_unknown(history: pd.DataFrame) -> None:
    known = history.groupby("era")[["target", "target_ender_20", "target_ender_60"]].count()
    assert known["target_ender_20"].tolist() == [SIZE.stocks] * (LAST - 4) + [0] * 4
    assert known["target_ender_60"].tolist() == known["target"].tolist() == [SIZE.stocks] * (LAST - 12) + [0] * 12


def test_the_last_target_misses_some_rows(frames: dict[str, pd.DataFrame]) -> None:
    share = frames["train"][TARGETS].isna().mean()
    assert share["target_tyler_20"] == pytest.approx(UNKNOWN_SHARE, abs=0.005)
    assert share["target_tyler_60"] == share["target_tyler_20"]
    assert share.drop(["target_tyler_20", "target_tyler_60"]).eq(0).all()


@pytest.mark.parametrize(("name", "real"), [("jasper_20", 0.795), ("cyrusd_20", 0.757), ("tyler_20", 0.660), ("ender_60", 0.464)])
def test_targets_correlate_as_the_real_ones(frames: dict[str, pd.DataFrame], name: str, real: float) -> None:
    assert frames["train"]["target_ender_20"].corr(frames["train"][f"target_{name}"]) == pytest.approx(real, abs=0.06)


def test_targets_of_near_eras_share_weeks() -> None:
    weeks = _first_weeks(24)
    returns = np.array([week.returns[0] for week in weeks])
    sums = np.array([returns[k : k + SHORT].sum(axis=0) for k in range(len(weeks) - SHORT)])
    correlations = [np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(sums, sums[lag:], strict=False)]) for lag in (1, 2, 3, 4)]
    assert correlations == pytest.approx([0.75, 0.5, 0.25, 0.0], abs=0.06)


def _first_weeks(count: int) -> list[Week]:
    law = draw_law(SIZE.features, strength(SIZE.stocks), np.random.default_rng(SIZE.seed))
    return list(islice(simulate(SIZE, law), count))


def test_targets_are_the_binned_sums_of_the_weeks_that_follow() -> None:
    weeks = _first_weeks(12)
    named = targets(weeks, np.random.default_rng(0))
    rows = weeks[0].rows
    for name, stream, count in (("target_jasper_20", 1, 4), ("target_ender_60", 0, 12)):
        total = sum(week.returns[stream, rows] + (week.returns[-1, rows] if count == 12 else 0) for week in weeks[:count])
        place = np.argsort(np.argsort(total)) / len(rows)
        expected = np.select([place < 0.05, place < 0.25, place < 0.75, place < 0.95], [0, 0.25, 0.5, 0.75], 1.0)
        np.testing.assert_array_equal(named[name], expected.astype(np.float32))


def test_the_same_seed_gives_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    again = written(SIZE, tmp_path / "again")
    for path in raw.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_another_seed_gives_another_market(raw: Path, tmp_path: Path) -> None:
    other = written(resized(seed=4), tmp_path / "other")
    for path in raw.iterdir():
        assert path.read_bytes() != (other / path.name).read_bytes(), path.name


def test_a_longer_market_begins_like_the_shorter_one(history: pd.DataFrame, sets: dict[str, list[str]], tmp_path: Path) -> None:
    longer = written(resized(validation_eras=38), tmp_path / "longer")
    frame = pq.read_table(longer / "validation.parquet").to_pandas()
    ours = history[history["era"] > "0040"].reset_index(drop=True)
    same = frame[frame["era"] <= f"{LAST:04d}"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same[["id", "era", *sets["all"]]], ours[["id", "era", *sets["all"]]], check_dtype=False)
    known = ours["target"].notna()
    pd.testing.assert_series_equal(same.loc[known, "target"], ours.loc[known, "target"])


def test_stocks_leave_and_their_slots_wait_for_their_last_return() -> None:
    weeks = _first_weeks(30)
    left = [set(a.rows) - set(b.rows) for a, b in pairwise(weeks)]
    assert {len(slots) for slots in left} == {max(1, round(TURNOVER * SIZE.stocks))}
    for k, slots in enumerate(left[:17]):
        for week in weeks[k + 1 : k + 1 + AWAY]:
            assert not slots & set(week.rows)


def test_feature_groups_overlap_and_leave_some_out(sets: dict[str, list[str]]) -> None:
    found = {name: set(members) for name, members in groups.groups(sets).items()}
    assert set(found) == {*GROUPS, RISKY_GROUP}
    assert all(found.values())
    assert found["intelligence"] & found["charisma"]
    assert set.union(*found.values()) < set(sets["all"])
    assert set(sets["small"]) < set(sets["medium"]) < set(sets["all"])
    assert len(set(sets["all"])) == 40


def test_quantum_has_the_newest_features_and_fncv3_older_ones(sets: dict[str, list[str]]) -> None:
    assert sets["quantum"] == sets["all"][-len(sets["quantum"]) :]
    assert not set(sets["fncv3"]) & set(sets["quantum"])
    assert sets["fncv3"]
    assert set(sets["fncv3"]) < set(sets["all"])


def test_serenity_has_the_features_of_the_factors_that_are_risky_and_pay_nothing(sets: dict[str, list[str]]) -> None:
    law = draw_law(SIZE.features, strength(SIZE.stocks), np.random.default_rng(np.random.SeedSequence(SIZE.seed).spawn(1)[0]))
    weight = dict(zip(sets["all"], law.mixing, strict=True))
    inside = np.array([weight[name] for name in sets["serenity"]])
    assert (inside[:, :-RISKY_FACTORS] == 0).all()
    assert (law.premia[-RISKY_FACTORS:] == 0).all()
    assert np.linalg.norm(inside, axis=1) == pytest.approx(np.full(8, FACTOR_SHARE[1]))
    risks = factor_risks()
    assert np.square(risks).sum() == pytest.approx(FACTOR_RISK**2)
    assert risks[-RISKY_FACTORS:].min() > 2 * risks[:-RISKY_FACTORS].max()


def test_risky_factors_give_back_what_they_have_paid() -> None:
    rng = np.random.default_rng(6)
    levels, weeks, found = np.zeros(RISKY_FACTORS), 20_000, []
    for _ in range(weeks):
        shocks, levels = reverting(levels, rng)
        found.append(shocks)
    paid = np.cumsum(found, axis=0)
    np.testing.assert_allclose(paid[-1, -RISKY_FACTORS:], levels)
    assert np.std(found, axis=0) == pytest.approx(factor_risks(), rel=0.05)
    year = np.array(found)[: weeks // 52 * 52].reshape(-1, 52, FACTORS).sum(axis=1)
    after = [np.corrcoef(year[:-1, k], year[1:, k])[0, 1] for k in range(FACTORS)]
    assert max(after[-RISKY_FACTORS:]) < -0.15
    assert np.abs(after[:-RISKY_FACTORS]).max() < 0.2


def test_feature_names_are_unique_beyond_numerais_number() -> None:
    names = feature_names(12_000)
    assert len(set(names)) == 12_000
    assert feature_names(50) == names[:50]


def test_the_meta_model_starts_late_and_covers_whole_eras(raw: Path, frames: dict[str, pd.DataFrame]) -> None:
    meta = pq.read_table(raw / "meta_model.parquet").to_pandas()
    assert meta.columns.tolist() == ["id", "era", "data_type", "numerai_meta_model"]
    validation = frames["validation"]
    expected = validation[validation["era"] > "0044"]
    assert meta["id"].tolist() == expected["id"].tolist()
    assert meta["numerai_meta_model"].between(0, 1, inclusive="neither").all()


def test_benchmark_models_cover_all_rows(raw: Path, frames: dict[str, pd.DataFrame]) -> None:
    for part in PARTS:
        table = pq.read_table(raw / f"{part}_benchmark_models.parquet").to_pandas()
        assert table["id"].tolist() == frames[part]["id"].tolist()
        assert table.columns.tolist() == ["id", "era", *list(OPINIONS)[1:]]


def test_the_oracle_beats_a_linear_model_fitted_on_the_same_eras(raw: Path, history: pd.DataFrame, sets: dict[str, list[str]]) -> None:
    oracle = pq.read_table(raw / "oracle.parquet").to_pandas()
    assert oracle["id"].tolist() == [*history["id"], *pq.read_table(raw / "live.parquet")["id"].to_pylist()]
    known = (history["data_type"] != "test").to_numpy()
    train, later = (history["era"] <= "0040").to_numpy(), (history["era"] > "0056").to_numpy() & known
    features = history[sets["all"]].fillna(2).to_numpy(np.float64) - 2
    target = history["target"].to_numpy(np.float64)
    gram = features[train].T @ features[train] + 100 * np.eye(features.shape[1])
    linear = features @ solve_symmetric(gram, features[train].T @ (target[train] - 0.5))
    eras = history["era"].to_numpy()
    ceiling = mean_corr(oracle["oracle"].to_numpy(np.float64)[: len(history)][known], target[known], eras[known])
    assert 0.05 < ceiling < 0.2
    assert mean_corr(linear[later], target[later], eras[later]) < ceiling


def test_the_oracle_is_the_mean_of_the_target_over_many_futures() -> None:
    """Check with strong returns that the formula gives the average of simulated targets of the same week."""
    rng = np.random.default_rng(5)
    stocks, draws = 400, 1_000
    loadings = rng.standard_normal((FACTORS, stocks))
    premium, interactions = 0.05 * rng.standard_normal((2, stocks))
    own = volatility(loadings, NOISE)
    expected = expected_target(premium, interactions, loadings, own)
    reach = [sum(memory**week for week in range(LONG)) for memory in (LOADING_MEMORY, INTERACTION_MEMORY)]
    mean = premium * reach[0] + interactions * reach[1]
    shocks = factor_risks() * rng.standard_normal((draws, LONG, FACTORS))
    noise = np.sqrt(1 + LONG_NOISE) * own * rng.standard_normal((draws, LONG, stocks))
    total = mean + (shocks @ loadings + noise).sum(axis=1)
    simulated = (bins(total, thresholds(total, TARGET_SHARES)) / 4).mean(axis=0)
    assert np.corrcoef(expected, simulated)[0, 1] > 0.99
    assert np.abs(expected - simulated).max() < 0.03


def test_the_interactions_have_the_stated_size_and_no_linear_part() -> None:
    law = draw_law(60, 1.0, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    values = law.features(rng.standard_normal((FACTORS, 50_000)), rng.standard_normal((60, 50_000)))
    assert values.std(axis=1) == pytest.approx(np.ones(60), abs=0.02)
    binned = bins(values, thresholds(values, FEATURE_SHARES))
    found = law.interactions(binned)
    assert found.std() == pytest.approx(np.hypot(BEND, PAIR), rel=0.1)
    assert found.mean() == pytest.approx(0, abs=5e-4)
    assert np.abs(np.corrcoef(found, binned)[0, 1:]).max() < 0.03


def test_strength_grows_as_the_market_shrinks() -> None:
    assert strength(5_000) == strength(8_000) == 1
    assert strength(500) == pytest.approx(10**STRENGTH_EXPONENT)


@given(hnp.arrays(np.float64, st.integers(20, 60), elements=st.floats(-5, 5), unique=True))
def test_bins_match_a_plain_loop(values: np.ndarray) -> None:
    found = bins(values, thresholds(values, FEATURE_SHARES))
    bounds = [round(len(values) * share) for share in FEATURE_SHARES]
    for value, bin_number in zip(values.tolist(), found.tolist(), strict=True):
        below = int((values < value).sum())
        assert bin_number == sum(below >= bound for bound in bounds)


def test_row_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "ROW_GROUP", 1_000)
    raw = written(resized(train_eras=20, validation_eras=20), tmp_path / "raw")
    table = pq.ParquetFile(raw / "train.parquet").metadata
    assert [table.row_group(k).num_rows for k in range(table.num_row_groups)] == [900] * 6 + [600]
    assert pq.read_table(raw / "train.parquet")["era"].to_pylist()[-1] == "0020"


def test_the_smallest_market_that_the_settings_allow(tmp_path: Path) -> None:
    smallest = written(Market(seed=0, train_eras=20, validation_eras=20, stocks=20, features=10, drift=0.0), tmp_path / "raw")
    frame = pq.read_table(smallest / "train.parquet").to_pandas()
    assert len(frame) == 400
    assert frame["target"].notna().all()


def test_without_drift_a_market_has_the_bytes_of_the_release_before_it(tmp_path: Path) -> None:
    raw = written(Market(seed=0, train_eras=20, validation_eras=20, stocks=20, features=10, drift=0.0), tmp_path / "raw")
    values = [pq.read_table(raw / f"{part}.parquet").to_pandas().drop(columns=["id", "era", "data_type"]) for part in PARTS]
    digest = hashlib.sha256()
    for frame in values:
        digest.update((4 * frame.to_numpy(np.float64)).tobytes())
    assert digest.hexdigest() == "6edba4a97b7c97df6cd1723d3d1e2db069fbae4960929d65c18b74b7fe2fbf1d"


def _law() -> Law:
    return draw_law(SIZE.features, strength(SIZE.stocks), np.random.default_rng(SIZE.seed))


def _expected_returns(law: Law) -> np.ndarray:
    """Return the expected weekly returns of the law's own sample, with loadings that go with no bin."""
    loadings = np.random.default_rng(1).standard_normal((FACTORS, law.sample.shape[1]))
    return law.premia @ loadings + law.interactions(law.sample)


def test_laws_a_year_apart_correlate_as_the_drift_says() -> None:
    first, drift = _law(), 0.4
    rng, found, at_first = np.random.default_rng(2), [], _expected_returns(first)
    for _ in range(30):
        law = first
        for _ in range(YEAR):
            law = law.turned(kept_weekly(drift), rng)
        expected = _expected_returns(law)
        found.append(np.corrcoef(at_first, expected)[0, 1])
        assert np.linalg.norm(law.premia) == pytest.approx(np.linalg.norm(first.premia))
        assert expected.std() == pytest.approx(at_first.std(), rel=0.05)
        assert np.array_equal(law.bends != 0, first.bends != 0)
        assert (law.premia[-RISKY_FACTORS:] == 0).all()
    assert np.mean(found) == pytest.approx(1 - drift, abs=3 * np.std(found) / np.sqrt(30))


def test_the_oracle_is_that_of_the_eras_own_law() -> None:
    """Apply the first law in later eras, and a later law in the first eras: the features and the order of rows are the same."""
    span = 52
    drifting, weeks = resized(drift=0.8), 2 * YEAR + span
    own, first = (list(islice(simulate(size, _law()), weeks)) for size in (drifting, resized(drift=0.0)))
    last, rng = _law(), generators(SIZE.seed).drift
    for _ in range(weeks):
        last = last.turned(kept_weekly(drifting.drift), rng)
    late = list(islice(simulate(SIZE, last), span))
    assert all(np.array_equal(a.features, b.features) and np.array_equal(a.rows, b.rows) for a, b in zip(own, first, strict=True))

    def scores(predictors: list[Week], start: int) -> float:
        eras = range(start, start + span - LONG)
        known = [targets(own[era : era + LONG], np.random.default_rng(0))["target"] for era in eras]
        named = np.repeat(list(eras), SIZE.stocks)
        return mean_corr(np.concatenate([predictors[era - start].oracle for era in eras]), np.concatenate(known), named)

    later = weeks - span
    assert scores(own[later:], later) > scores(first[later:], later) + 0.02
    assert scores(own, 0) > scores(late, 0) + 0.02


@pytest.mark.parametrize(("drift", "rule"), [("-0.1", "greater than or equal to 0"), ("1.0", "less than 1"), (".nan", "finite number")])
def test_a_drift_out_of_its_range_is_one_line_with_path_and_value(drift: str, rule: str, tmp_path: Path) -> None:
    content = Path("params.yaml").read_text().replace("drift: 0.0 ", f"drift: {drift} ")
    (tmp_path / "params.yaml").write_text(content)
    with pytest.raises(InputError, match=rf"params.yaml: data.market.drift: Input should be a? ?{rule} \(it is"):
        params.load(tmp_path / "params.yaml")
