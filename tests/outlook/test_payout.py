"""Payouts: the formula, the resulting year under each regime, and the split of the stake."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numerai_server
import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from numerai_server import NumeraiServer
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy.special import ndtr
from workspace import command

from erawise import params
from erawise.charts import figures, outlook_charts, style
from erawise.evaluation import significance
from erawise.live import payouts, score_names
from erawise.live.score_names import ScoreName
from erawise.live.scorebook import DTYPES, Scorebook
from erawise.outlook import payout_split, payout_tables, staking
from erawise.outlook.payout_contract import Mode, Model, Strategy
from erawise.outlook.staking import History, Terms, Year
from erawise.running.errors import InputError

Floats = NDArray[np.float64]

TERMS = Terms({"corr": 0.75, "mmc": 2.25}, payout_factor=0.12, clip=0.05, per_week=5, weeks=4)
CORR_ALONE = Terms({"corr": 1.0}, payout_factor=1.0, clip=0.05, per_week=5, weeks=4)
BY_ROUND = Terms({"corr": 1.0}, payout_factor=1.0, clip=1.0, per_week=5, weeks=13, concurrent=64)
YEAR = Year("compound", drawdown=0.2, replicates=1000, draws=100, seed=1)


def scores(eras: int = 60, **corr: Floats | float) -> pd.DataFrame:
    """Return scores without MMC, era 1 first."""
    parts = [{"era": np.arange(1, eras + 1), "prediction": name, "corr": values, "mmc": np.nan} for name, values in corr.items()]
    return pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)


def history(eras: int = 60, days: int = 20, terms: Terms = CORR_ALONE, **corr: Floats | float) -> History:
    return staking.history(scores(eras, **corr), list(corr), terms, days)


def rates(corr: float, mmc: float, terms: Terms) -> Floats:
    return staking.clipped(staking.unclipped({"corr": np.array([corr]), "mmc": np.array([mmc])}, terms), terms)


def overlapping(eras: int, seed: int, spread: float = 1.0) -> Floats:
    """Draw sums of four weeks each, as scores of a 20-day target are."""
    return spread * np.convolve(np.random.default_rng(seed).normal(size=eras + 3), np.ones(4), "valid") / 2


def outlook(found: History, year: Year = YEAR) -> pd.Series:
    return staking.outlook(found, year)[0].iloc[0]


@pytest.mark.parametrize(
    ("corr", "mmc", "factor", "rate"),
    [
        (0.02, 0.01, 0.5, 0.5 * (0.015 + 0.0225)),
        (-0.02, 0.01, 0.5, 0.5 * (-0.015 + 0.0225)),
        (-0.02, -0.01, 1.0, -0.0375),
        (0.1, 0.05, 1.0, 0.05),
        (-0.1, -0.05, 1.0, -0.05),
        (np.nan, 0.05, 1.0, np.nan),
        (0.1, np.nan, 1.0, np.nan),
    ],
)
def test_a_rate_is_the_formula_within_the_clip(corr: float, mmc: float, factor: float, rate: float) -> None:
    found = rates(corr, mmc, replace(TERMS, payout_factor=factor))
    np.testing.assert_allclose(found, [rate], atol=1e-15)


def test_a_score_that_is_not_paid_for_is_not_needed() -> None:
    assert rates(0.02, np.nan, CORR_ALONE).tolist() == [0.02]


def test_a_round_pays_on_the_stake_that_it_opened_on_when_its_target_is_over() -> None:
    found = staking.stakes(np.array([0.01, 0.02, -0.04]), 5, 2)
    second, third = 1 + 5 * 0.01, 1 + 5 * 0.01 + 5 * 0.02
    np.testing.assert_allclose(found, [1, 1, second, third, third - 5 * 0.04 * second])


def test_a_stake_never_falls_below_0_and_the_rounds_that_are_open_hit_it_all() -> None:
    found = staking.stakes(np.full(8, -0.05), 5, 4)
    np.testing.assert_allclose(found, [1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0], atol=1e-15)
    assert staking.stakes(np.full(8, -0.09), 5, 4).min() == 0


def test_scores_that_are_always_the_same_leave_nothing_open() -> None:
    found = history(a=0.01, b=-0.01)
    table, bands = staking.outlook(found, YEAR)
    expected = staking.stakes(np.full((52, 2), [0.01, -0.01]), 5, 4)[-1]
    for name in ("growth", "median", "p05", "p95"):
        for suffix in ("", "_low", "_high", "_all"):
            np.testing.assert_allclose(table[name + suffix], expected)
    assert table["burn"].tolist() == table["loss"].tolist() == table["loss_all"].tolist() == table["drawdown"].tolist() == [0, 1]
    np.testing.assert_allclose(table["rate"], [0.01, -0.01])
    assert np.isnan(table["burn_size"][0])
    assert table["burn_size"][1] == pytest.approx(-0.01)
    assert bands.groupby("prediction")["week"].max().tolist() == [55, 55]


def test_independent_normal_scores_give_what_the_normal_law_says() -> None:
    mean, spread, eras = 0.0002, 0.002, 5000
    normal = mean + spread * np.random.default_rng(3).normal(size=eras)
    row = outlook(history(eras, days=5, a=normal), replace(YEAR, replicates=20000))
    mean, spread = normal.mean(), normal.std()
    assert row["burn"] == pytest.approx(ndtr(-mean / spread), abs=0.02)
    assert row["growth"] == pytest.approx(staking.stakes(np.full(52, mean), 5, 4)[-1], rel=0.005)
    assert row["loss"] == pytest.approx(ndtr(-mean * np.sqrt(52) / spread), abs=0.02)
    assert np.log(row["p95"] / row["p05"]) == pytest.approx(2 * 1.645 * 5 * spread * np.sqrt(52), rel=0.05)


def test_scores_that_overlap_leave_more_open_than_the_same_scores_shuffled() -> None:
    def widths(series: list[Floats]) -> pd.Series:
        rows = pd.DataFrame([outlook(history(300, a=values)) for values in series])
        bounds = {"rate": ("rate_low", "rate_high"), "median": ("median_low", "median_high"), "year": ("p05", "p95")}
        return pd.Series({name: (rows[high] - rows[low]).mean() for name, (low, high) in bounds.items()} | {"loss": rows["loss"].mean()})

    alike = [0.003 + overlapping(300, seed, spread=0.01) for seed in range(8)]
    ratio = widths(alike) / widths([np.random.default_rng(0).permutation(series) for series in alike])
    assert (ratio > 1.5).all()


def test_what_a_bootstrap_cuts_between_its_blocks_is_made_up_for() -> None:
    alike = overlapping(4000, seed=0)
    order = significance.stationary_order(4000, 8.0, 400, np.random.default_rng(0))
    seen = 4000 * alike[order].mean(axis=1).var() / significance.long_run_variance(alike, 60)
    assert seen == pytest.approx(staking.variance_kept(8.0, 4), abs=0.1)
    assert staking.variance_kept(8.0, 4) < 0.9
    assert staking.variance_kept(8.0, 1) == 1
    row = outlook(history(4000, a=0.0005 * alike), replace(YEAR, replicates=4000))
    assert np.log(row["p95"] / row["p05"]) == pytest.approx(2 * 1.645 * 5 * 2 * 0.0005 * np.sqrt(52), rel=0.08)


def test_few_eras_leave_the_mean_open_and_many_do_not() -> None:
    few, many = (outlook(history(eras, a=0.003 + overlapping(eras, seed=5, spread=0.01))) for eras in (40, 2000))
    assert few["median_high"] / few["median_low"] > 3 * many["median_high"] / many["median_low"]
    assert few["median_low"] <= few["median"] <= few["median_high"]
    assert few["p95_all"] / few["p05_all"] > 1.5 * few["p95"] / few["p05"]
    assert many["p95_all"] / many["p05_all"] == pytest.approx(many["p95"] / many["p05"], rel=0.25)


def test_intervals_hold_the_truth_of_the_law_that_the_eras_are_drawn_from() -> None:
    mean, spread = 0.0024, 0.0144
    drawn = mean + overlapping(55 * 20000, 9, spread)[: 52 * 20000].reshape(20000, 52).T
    ends = staking.stakes(staking.clipped(drawn, CORR_ALONE), 5, 4)[-1]
    truth = {"median": np.median(ends), "loss": (ends < 1).mean()}
    rows = [outlook(history(120, a=mean + overlapping(120, seed, spread)), replace(YEAR, replicates=300)) for seed in range(60)]
    for name, value in truth.items():
        assert np.mean([row[f"{name}_low"] <= value <= row[f"{name}_high"] for row in rows]) > 0.85


def test_predictions_are_resampled_together() -> None:
    one = 0.002 + overlapping(60, seed=1, spread=0.01)
    table, _ = staking.outlook(history(a=one, b=one), YEAR)
    assert table.drop(columns="prediction").iloc[0].equals(table.drop(columns="prediction").iloc[1])
    opposite = history(a=one, b=-one)
    picks = staking._picks(opposite, 8.0, YEAR)
    np.testing.assert_allclose(opposite.raw[picks].sum(axis=2), 0, atol=1e-15)


def test_an_era_stands_for_the_weeks_up_to_the_next() -> None:
    values = 0.002 + 0.01 * np.random.default_rng(0).normal(size=60)
    table = scores(60, a=values).assign(era=lambda frame: 4 * frame["era"])
    found = staking.history(table, ["a"], CORR_ALONE, 20)
    assert (found.every, found.overlap) == (4, 1)
    picks = staking._picks(found, 8.0, YEAR)
    assert picks.shape == (52, 1000)
    assert (picks.reshape(13, 4, 1000) == picks[::4, None]).all()
    assert outlook(found)["eras"] == 60


def test_the_seed_decides() -> None:
    found = history(a=overlapping(60, 0, 0.01), b=overlapping(60, 1, 0.01))
    same = [staking.outlook(found, YEAR) for _ in range(2)]
    pd.testing.assert_frame_equal(same[0][0], same[1][0])
    pd.testing.assert_frame_equal(same[0][1], same[1][1])
    assert not same[0][0]["growth"].equals(staking.outlook(found, replace(YEAR, seed=2))[0]["growth"])
    assert payout_split.split(found, YEAR, 0.5).low.tolist() == payout_split.split(found, YEAR, 0.5).low.tolist()


def test_eras_without_a_score_that_is_paid_for_are_left_out_and_counted() -> None:
    table = scores(60, a=overlapping(60, 0, 0.01), b=overlapping(60, 1, 0.01)).assign(mmc=0.01)
    table.loc[(table["prediction"] == "b") & (table["era"] > 57), "mmc"] = np.nan
    table.loc[(table["prediction"] == "a") & (table["era"] == 1), "corr"] = np.nan
    found = staking.history(table, ["a", "b"], TERMS, 20)
    assert found.eras.tolist() == list(range(2, 58))
    assert found.left_out == 4
    assert np.isfinite(found.rates).all()
    assert staking.history(table.sample(frac=1, random_state=0), ["a", "a", "b"], TERMS, 20).raw.tolist() == found.raw.tolist()


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        (lambda table: table, ["a", "nobody"], "no prediction with scores is called 'nobody'; there are a, b"),
        (lambda table: table.drop(columns="mmc"), ["a", "b"], "a has no MMC in any era, and the round pays for it (multiplier 2.25)"),
        (lambda table: table.assign(mmc=np.nan), ["a", "b"], "a has no MMC in any era, and the round pays for it (multiplier 2.25)"),
        (
            lambda table: table[table["era"] <= 31],
            ["a", "b"],
            "31 eras have all scores of a, b (MMC needs a meta model); a year needs 32, 8 spans of a target of 4 eras; "
            "with an era every week there are enough about 2026-12-07; until then take --stand-in, or fewer models",
        ),
        (lambda table: table[(table["era"] > 30) == (table["prediction"] == "a")], ["a", "b"], "0 eras have all scores of a, b"),
        (lambda table: pd.concat([table, table.iloc[:1]]), ["a"], "era 1 of a is there twice"),
        (lambda table: table[:0], [], "no prediction has a score in any era; take others, such as --scores cv"),
    ],
)
def test_scores_that_cannot_do_are_refused(change: Callable[[pd.DataFrame], pd.DataFrame], names: list[str], message: str) -> None:
    table = scores(60, a=overlapping(60, 0, 0.01), b=overlapping(60, 1, 0.01)).assign(mmc=0.01)
    with pytest.raises(InputError, match=re.escape(message)):
        staking.history(change(table), names, TERMS, 20, today=date(2026, 11, 30))


def test_a_longer_target_needs_more_eras() -> None:
    assert staking.history(scores(100, a=overlapping(100, 0, 0.01)), ["a"], CORR_ALONE, 60).overlap == 12
    with pytest.raises(
        InputError, match=r"a year needs 96, 8 spans of a target of 12 eras; with an era every week there are enough about 2027-02-01;"
    ):
        staking.history(scores(87, a=overlapping(87, 0, 0.01)), ["a"], CORR_ALONE, 60, today=date(2026, 11, 30))


def test_eras_that_are_left_out_take_as_long_to_be_enough() -> None:
    every_4th = scores(23, a=overlapping(23, 0, 0.01)).assign(era=lambda frame: 4 * frame["era"])
    with pytest.raises(
        InputError, match=r"a year needs 24, 8 spans of a target of 3 eras; with an era every 4 weeks there are enough about 2026-12-28"
    ):
        staking.history(every_4th, ["a"], CORR_ALONE, 60, today=date(2026, 11, 30))


def test_two_models_that_are_the_same_grow_as_either_does() -> None:
    one = 0.003 + overlapping(60, 3, 0.01)
    found = payout_split.split(history(a=one, b=one), YEAR, 1.0)
    assert found.shares.sum() == pytest.approx(1, abs=1e-5)
    assert found.growth == pytest.approx(found.growth_equal, rel=1e-4)
    assert found.difference.verdict == significance.OPEN


def test_a_bad_model_gets_nothing_and_a_cap_is_kept() -> None:
    rng = np.random.default_rng(0)
    good, fair, bad = (mean + 0.005 * rng.normal(size=80) for mean in (0.01, 0.006, -0.01))
    found = payout_split.split(history(80, good=good, fair=fair, bad=bad), YEAR, 0.6)
    np.testing.assert_allclose(found.shares, [0.6, 0.4, 0.0], atol=1e-4)
    assert found.high[2] == 0
    assert (found.low <= found.shares).all()
    assert (found.shares <= found.high).all()
    assert found.difference.verdict == significance.BETTER
    assert found.growth > found.unseen - 1e-3
    assert found.unseen > found.growth_equal
    assert found.difference.mean == pytest.approx(found.unseen - found.growth_equal)


def test_a_cap_that_is_small_leaves_a_rest() -> None:
    found = payout_split.split(history(a=0.01, b=0.02), YEAR, 0.25)
    np.testing.assert_allclose(found.shares, 0.25)
    assert found.equal == 0.25
    assert "50% of the stake stays out" in payout_tables.sentence(found)


def test_models_that_only_burn_get_no_stake() -> None:
    found = payout_split.split(history(a=-0.01 + overlapping(60, 0, 0.001), b=-0.01 + overlapping(60, 1, 0.001)), YEAR, 1.0)
    assert found.shares.tolist() == [0, 0]
    assert found.growth == found.unseen == 0
    assert found.growth_equal < -1


def test_the_split_is_the_best_of_a_grid() -> None:
    found = history(120, a=0.004 + overlapping(120, 0, 0.02), b=0.003 + overlapping(120, 1, 0.015))
    together = payout_split._together(found)
    naive = np.array([found.rates[k : k + 4].sum(axis=0) * 5 for k in range(117)])
    np.testing.assert_allclose(together, naive, atol=1e-12)
    grid = np.array([(x, y) for x in np.linspace(0, 1, 101) for y in np.linspace(0, 1, 101) if x + y <= 1 + 1e-9])
    growth = np.log1p(naive @ grid.T).mean(axis=0)
    shares = payout_split._fitted(together, 1.0)
    assert np.log1p(naive @ shares).mean() >= growth.max() - 1e-9
    np.testing.assert_allclose(shares, grid[growth.argmax()], atol=0.02)


def test_burns_that_take_all_do_not_stop_the_search() -> None:
    found = history(60, a=np.where(np.arange(60) < 8, -1.0, 1.0), b=np.full(60, 0.001))
    shares = payout_split.split(found.under(replace(CORR_ALONE, per_week=7)), YEAR, 1.0)
    assert np.isfinite(shares.growth)
    assert shares.shares.min() >= 0
    assert shares.shares.sum() <= 1 + 1e-9


def test_each_era_is_judged_by_a_split_that_has_not_seen_it_or_its_neighbours() -> None:
    found = history(80, a=overlapping(80, 0, 0.01), b=overlapping(80, 1, 0.01))
    before = payout_split._unseen(found, 1.0)
    corr = found.scores["corr"].copy()
    corr[16:44] = [-0.05, 0.05]
    after = payout_split._unseen(replace(found, scores={"corr": corr}), 1.0)
    assert (before[20:40] == after[20:40]).all()
    assert (before[:20] != after[:20]).any()


def test_the_growth_is_that_of_a_stake_that_goes_through_the_eras() -> None:
    rate = overlapping(60, 0, 0.01)
    grown = payout_split._grown(rate, 1, CORR_ALONE)
    assert grown.shape == (60,)
    assert grown.sum() / 52 == pytest.approx(np.log(staking.stakes(rate, 5, 4)[-1]))
    assert payout_split._grown(rate, 4, CORR_ALONE).sum() / 52 * 4 == pytest.approx(np.log(staking.stakes(np.repeat(rate, 4), 5, 4)[-1]))


def test_the_growth_of_stakes_by_round_is_that_of_compound_positions() -> None:
    rate = 0.05 + overlapping(60, 0, 0.05)
    value = staking.positions(np.repeat(rate, 5), 64, "compound")
    assert payout_split._grown(rate, 1, BY_ROUND).sum() / 52 == pytest.approx(np.log(value[-1]))
    found = history(terms=BY_ROUND, a=rate, b=rate / 2)
    np.testing.assert_allclose(payout_split._together(found)[0], found.rates[:4].mean(axis=0))


@pytest.mark.parametrize(("mode", "chains"), [("compound", True), ("constant", False)])
def test_stakes_by_round_that_always_win_grow_by_their_mode(mode: Mode, chains: bool) -> None:
    found = staking.grown(np.full((52, 1), 0.1), BY_ROUND, mode)
    ends = sum(1.1 ** len(range(place, 260, 64)) for place in range(64)) / 64 if chains else 1 + 0.1 * 260 / 64
    assert found.shape == (53, 1)
    np.testing.assert_allclose(found[-1], ends)


def test_constant_and_compound_are_held_against_each_other_and_idle_tops_up() -> None:
    found = history(eras=100, terms=BY_ROUND, win=0.1, burn=-0.1, swing=0.1 * np.tile([1.0, -1.0], 50))
    table = staking.modes(found, YEAR).set_index("prediction")
    assert table.loc["win", "compound"] > table.loc["win", "constant"] > 1
    assert table["compound_better"].tolist()[:2] == [1, 0]
    np.testing.assert_allclose(table["idle"][:2], [0, 0.1 * (260 - 64) / 64])
    short = -np.cumsum(np.repeat(staking.Law(found, YEAR).drawn_weeks()[:, :, 2], 5, axis=0)[:196], axis=0).min(axis=0) / 64
    assert table.loc["swing", "idle"] == pytest.approx(np.quantile(np.maximum(short, 0), 0.95))


def test_the_idle_to_keep_is_what_keeps_constant_stakes_whole() -> None:
    rates = np.random.default_rng(0).normal(-0.02, 0.2, 300).clip(-1, 1)
    short = max(0.0, -np.cumsum(rates[:-64]).min())
    for idle, whole in ((short + 1e-9, True), (short - 1e-3, False)):
        strategy = Strategy(Decimal(64) + Decimal(idle), {"a": Model(Decimal(1), "constant")})
        staked = []
        for number in range(300):
            if number >= 64:
                strategy.settle("a", number - 64, Decimal(float(rates[number - 64])))
            strategy.submit(number, ["a"])
            staked.append(strategy.models["a"].positions[number])
        assert (min(staked) == 1) == whole


def test_the_same_eras_are_paid_under_each_of_several_terms() -> None:
    values = overlapping(60, 0, 0.02)
    table = scores(60, a=values).assign(mmc=0.01)
    known = {"old": TERMS, "new": replace(BY_ROUND, multipliers={"corr": 3.0, "mmc": 15.0})}
    found = staking.history(table, ["a"], known["new"], 20, also=[known["old"]])
    each = staking.under_each(found, known, YEAR)
    assert each[["regime", "mode"]].to_numpy().tolist() == [["old", ""], ["new", "constant"], ["new", "compound"]]
    expected = [0.12 * (0.75 * values + 0.0225).clip(-0.05 / 0.12, 0.05 / 0.12), (3 * values + 0.15).clip(-1, 1)]
    np.testing.assert_allclose(each["rate"], [expected[k].mean() for k in (0, 1, 1)])
    np.testing.assert_allclose(each["burn"], [(expected[k] < 0).mean() for k in (0, 1, 1)])
    row = outlook(found)
    assert each[["median", "p05", "p95", "loss", "drawdown"]].iloc[2].tolist() == [
        row[f"{name}_all"] for name in ("median", "p05", "p95", "loss", "drawdown")
    ]


def test_the_terms_are_those_of_the_regime() -> None:
    settings = params.load(ROOT / "params.yaml").payout
    known = payouts.known(settings)
    assert settings.regime is None
    assert staking.terms_of(known.named(None), settings.total_at_risk) == Terms({"corr": 3.0, "mmc": 15.0}, 1.0, 1.0, 5, 13, 64)
    legacy = staking.terms_of(known.named("corr_mmc_2026"), settings.total_at_risk)
    assert legacy == Terms({"corr": 0.75, "mmc": 2.25}, 0.12, 0.05, 5, 5, None)


def test_the_picture_shows_a_panel_each_and_no_stake_below_its_scale() -> None:
    table, bands = staking.outlook(history(a=0.03, b=np.full(60, -0.05)), YEAR)
    picture = payout_tables.picture(bands, table)
    assert picture.frame["p05"].min() == payout_tables.SMALLEST
    assert picture.headline.startswith("a: the median year makes ")
    figure = outlook_charts.payout(picture, table, style.colours(["a"]))
    assert 1.0 in figure.axes[0].get_yticks()
    assert len(figure.axes[0].get_yticks()) <= 8
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b", "rounds that burn, with 95 % interval"]


def looks_ahead(checkout: Path, days: int) -> None:
    """Write the horizon of the target, as preprocess does."""
    (checkout / "data/prepared/panel/features.json").write_text(json.dumps({"targets": ["target"], "horizons": {"target": days}}))


@pytest.fixture
def drawn() -> None:
    """Draw the picture as for a user."""


@pytest.fixture
def checkout(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory with settings and measured scores, in which the command runs, and draws its picture only for tests of it."""
    settings = (ROOT / "params.yaml").read_text()
    assert "replicates: 2000 " in settings
    (tmp_path / "params.yaml").write_text(settings.replace("replicates: 2000 ", "replicates: 200 "))
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(outlook_charts, "payout", lambda *_: None)
        monkeypatch.setattr(figures, "write", lambda figure, path: path.touch())
    table = scores(60, ridge=0.02 + overlapping(60, 0, 0.02), ensemble=0.02 + overlapping(60, 1, 0.02)).assign(mmc=0.01)
    (tmp_path / "data" / "scores").mkdir(parents=True)
    (tmp_path / "data/prepared/panel").mkdir(parents=True)
    looks_ahead(tmp_path, 20)
    table.to_parquet(tmp_path / "data/scores/validation.parquet")
    table.assign(mmc=np.nan).to_parquet(tmp_path / "data/scores/cv.parquet")
    (tmp_path / "data/scores/cv.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_prints_and_writes_all_of_it(checkout: Path, drawn: None, capsys: pytest.CaptureFixture) -> None:
    command("payout")
    out = capsys.readouterr().out
    assert out.startswith("This is no forecast: the scores are of the embedded market, a toy whose law is known.")
    assert "\n60 eras of validation\n" in out
    assert "atomic_ender60: payout of a round = stake · clip(1 · (3 · CORR + 15 · MMC), ±1)\n" in out
    assert "5 rounds a week, each on 1/64 of the stake, compound, and paid 13 weeks after it opens\n" in out
    assert "for regimes of another horizon the result is a stand-in: atomic_ender60 (60 days)\n" in out
    assert "nan" not in out
    written = {path.name: path.read_bytes() for path in sorted((checkout / "data/payout").iterdir())}
    assert list(written) == ["payout.csv", "payout.json", "payout.svg", "regimes.csv", "split.csv"]
    content = json.loads(written["payout.json"])
    assert [row["prediction"] for row in content["predictions"]] == ["ridge", "ensemble"]
    assert content["predictions"][0]["median"] == pytest.approx(pd.read_csv(checkout / "data/payout/payout.csv")["median"][0], abs=1e-6)
    assert content["regime"] == "atomic_ender60"
    assert content["terms"]["multipliers"] == {"corr": 3.0, "mmc": 15.0}
    shown = ["weekly_corr", "corr_mmc_2024", "corr_mmc_2026", "atomic_ender60"]
    assert list(dict.fromkeys(row["regime"] for row in content["regimes"])) == shown
    assert {row["mode"] for row in content["regimes"] if row["regime"] == "atomic_ender60"} == {"constant", "compound"}
    assert [row["prediction"] for row in content["modes"]] == ["ridge", "ensemble"]
    assert sum(row["share"] for row in content["split"]["models"]) <= 1 + 1e-5
    command("payout", "--json")
    assert json.loads(capsys.readouterr().out)["regime"] == "atomic_ender60"
    assert {path.name: path.read_bytes() for path in (checkout / "data/payout").iterdir()} == written
    command("payout", "--models", "ridge", "--out", "elsewhere")
    assert len(pd.read_csv(checkout / "elsewhere/split.csv")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scores", "cv"], "ridge has no MMC in any era, and the round pays for it (multiplier 15); take scores that have it"),
        (["--replay", "x.csv", "--stake", "1", "--deposit", "2"], "--replay needs --stake, --deposit and --concurrent."),
        (["--replay", "x.csv", "--account"], "--replay and --account are two things; expected one of them."),
        (["--stop-at", "3"], "--stake, --deposit, --concurrent and --stop-at go with --replay."),
        (["--replay", "x.csv", "--stake", "-1", "--deposit", "2", "--concurrent", "1"], "Must be > 0"),
        (["--replay", "x.csv", "--stake", "1", "--deposit", "2", "--concurrent", "1"], "x.csv: the file is missing"),
        (
            ["--replay", "x.csv", "--stake", "1", "--deposit", "2", "--concurrent", "65"],
            "--concurrent: atomic_ender60 has at most 64 rounds open at once (it is 65)",
        ),
        (["--models", "nobody"], "called 'nobody'; there are ridge, ensemble"),
    ],
)
@pytest.mark.usefixtures("checkout")
def test_the_command_says_in_a_line_what_is_wrong(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        command("payout", *arguments)
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_scores_that_are_not_there_are_named(checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    (checkout / "data/scores/validation.parquet").unlink()
    with pytest.raises(SystemExit):
        command("payout")
    assert "data/scores/validation.parquet: the file is missing; `dvc repro evaluate` makes it" in capsys.readouterr().err


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    with numerai_server.serving(NumeraiServer({7: tmp_path}, current=7)) as state:
        monkeypatch.setenv("ERAWISE_API_URL", state.url)
        yield state


def test_a_round_has_its_own_terms(
    checkout: Path, server: NumeraiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.multipliers = {"v2_corr20": 0.5, "mmc": 2.0, "corr60": 0.0}
    command("payout", "--round", "0")
    said = capsys.readouterr().out
    assert "round 7: payout of a round = stake · clip(0.5 · (0.5 · CORR + 2 · MMC), ±0.05)\n" in said
    assert "round 7 pays for v2_corr20 (correlation, version 6), mmc (meta_model_contribution, version 5)\n" in said
    server.account.multipliers = {"mmc": 3.0}
    command("payout", "--round", "7")
    assert "clip(0.5 · (3 · MMC), ±0.05)" in capsys.readouterr().out


def change_settings(checkout: Path, **sections: dict[str, Any]) -> None:
    content = YAML(typ="safe").load((checkout / "params.yaml").read_text())
    for section, values in sections.items():
        content[section].update(values)
    with (checkout / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)


@pytest.mark.parametrize(
    ("number", "days", "multipliers", "named", "expected"),
    [
        (1400, 60, {"corr60": 3.0, "mmc60": 15.0}, (None, None), "clip(1 · (3 · CORR + 15 · MMC), ±1)"),
        (1400, 60, {"corr60": 3.0, "mmc60": 15.0}, ("0.9", 0.5), "clip(0.9 · (3 · CORR + 15 · MMC), ±0.5)"),
        (1300, 20, {"v2_corr20": 0.75, "mmc": 2.25}, (None, None), "clip(0.12 · (0.75 · CORR + 2.25 · MMC), ±0.05)"),
    ],
)
def test_what_a_round_does_not_name_is_that_of_its_regime(
    checkout: Path,
    server: NumeraiServer,
    capsys: pytest.CaptureFixture[str],
    number: int,
    days: int,
    multipliers: dict[str, float],
    named: tuple[str | None, float | None],
    expected: str,
) -> None:
    looks_ahead(checkout, days)
    table = pd.read_parquet(checkout / "data/scores/validation.parquet")
    pd.concat([table, table.assign(era=table["era"] + 60)]).to_parquet(checkout / "data/scores/validation.parquet")
    server.rounds[number], server.account.multipliers = checkout, multipliers
    server.account.factor, server.account.clip = named
    command("payout", "--round", str(number), "--models", "ridge")
    said = capsys.readouterr().out
    assert f"round {number}: payout of a round = stake · {expected}\n" in said
    assert ("each on 1/64 of the stake" in said) == (number >= 1343)


@pytest.mark.parametrize(
    ("multipliers", "message"),
    [
        (
            {"corr60": 3.0, "mmc60": 15.0},
            "round 7: it pays for corr60, 60 days ahead, and the scores here look 20 days ahead; set data.target to a target of",
        ),
        ({"cort20": 3.0}, "round 7: it pays for cort20 (version 1), which erawise doesn't compute; leave --round out"),
        ({}, "round 7: Numerai names no score that it pays for, as for the oldest rounds; take a later round, or set"),
    ],
)
def test_a_round_that_pays_for_other_scores_is_refused(
    server: NumeraiServer,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    multipliers: dict[str, float],
    message: str,
) -> None:
    server.account.multipliers = multipliers
    with pytest.raises(SystemExit, match="1"):
        command("payout", "--round", "0")
    assert message in capsys.readouterr().err


def test_bmc_stands_in_where_there_is_no_meta_model(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = checkout / "data/scores/cv.parquet"
    pd.read_parquet(path).assign(bmc=0.005).to_parquet(path)
    command("payout", "--scores", "cv", "--stand-in", "--models", "ridge", "--md")
    said = capsys.readouterr().out
    assert "\nBMC in place of MMC, a stand-in: it is against the benchmark models, not against the meta model\n" in said
    assert "| ridge | 0.0" in said
    with pytest.raises(SystemExit, match="1"):
        command("payout", "--stand-in")
    assert "--stand-in: the scores of validation have no BMC; take scores that have it, or leave --stand-in out" in capsys.readouterr().err


def test_a_regime_of_one_s_own_is_reckoned_with(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "mine.yaml").write_text(
        "regimes:\n"
        "- {id: atomic_ender60, from: 1343, to: 1500, scores: {corr60: 3.0, mmc60: 15.0}, target: target_ender_60, horizon: 60,\n"
        "   factor: {fixed: 1.0}, clip: 1.0, stake: per_round, per_week: 5, concurrent: 64, resolve_days: 89, confidence: copy}\n"
        "- {id: mine, from: 1501, to: null, scores: {corr60: 4.0}, target: target_ender_60, horizon: 60, factor: {fixed: 0.5}, clip: 0.2,\n"
        "   stake: per_round, per_week: 5, concurrent: 32, resolve_days: 45, confidence: third}\n"
    )
    change_settings(checkout, payout={"regimes": "mine.yaml"})
    path = checkout / "data/scores/validation.parquet"
    table = pd.read_parquet(path)
    table.assign(mmc=table["mmc"].where(table["prediction"] == "ridge")).to_parquet(path)
    command("payout", "--md")
    assert "atomic" not in capsys.readouterr().out.partition("**A year under each regime, all told**")[2]
    command("payout", "--models", "ridge", "--md")
    said = capsys.readouterr().out
    assert "mine: payout of a round = stake · clip(0.5 · (4 · CORR), ±0.2)\n5 rounds a week, each on 1/32 of the stake, compound" in said
    assert "| atomic_ender60, constant | ridge |" in said
    change_settings(checkout, payout={"regime": "gone"})
    with pytest.raises(SystemExit, match="1"):
        command("payout")
    assert "regime 'gone': no regime has this id; there are weekly_corr, " in capsys.readouterr().err


def test_measured_live_scores_are_taken(checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        command("payout", "--scores", "live")
    assert "data/live_scores: no resolved round has live scores of 20 days; `erawise monitor` fetches" in capsys.readouterr().err
    weeks = [f"{pd.Timestamp('2025-01-06') + pd.Timedelta(weeks=week):%Y-%m-%d}" for week in range(60)]
    row = {"model": "alpha", "version": "6", "day": 20, "percentile": 0.5, "resolved": True}
    rows = [
        row | {"round": 100 + week, "score": score, "value": float(value), "closed": closed}
        for score, size in (("v2_corr20", 0.02), ("mmc", 0.01))
        for week, (closed, value) in enumerate(zip(weeks, size + size * overlapping(60, 1), strict=True))
    ]
    Scorebook(Path("data/live_scores")).extend(pd.DataFrame(rows).astype(DTYPES))
    named = (ScoreName(name, "6", metric, False, 159, {20: 159}) for name, metric in (("v2_corr20", "corr"), ("mmc", "mmc")))
    score_names.keep({(one.shown, one.version): one for one in named})
    command("payout", "--scores", "live", "--models", "alpha", "--md")
    said = capsys.readouterr().out
    assert said.startswith("This is no forecast: it is what these scores would have brought")
    assert "\n60 eras of live\n" in said
    assert "| alpha | 0.0" in said
