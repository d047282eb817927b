"""Stakes by round: worked examples to the last digit, claims in their order, debt, grace, and the same for many years at once."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from closure import ROOT
from hypothesis import given
from hypothesis import strategies as st
from workspace import command

from erawise.outlook import payout_replay, staking
from erawise.outlook.payout_contract import Mode, Model, Strategy, rate
from erawise.outlook.payout_replay import Plan
from erawise.regimes import regimes
from erawise.running.errors import InputError

ATOMIC = regimes.load().named("atomic_ender60")

A = "1,.0123,.0034\n2,-.0040,-.0022\n3,.0205,.0068\n"
B = A + "4,.0101,.0009\n"
C = "1,-.0150,-.0050\n2,-.0050,-.0010\n3,.0100,.0040\n4,.0150,.0037\n5,-.0100,-.0027\n6,.0050,.0003\n"

TOTAL = ("locked", "idle", "committed", "profit", "return", "burned")


def decimal(value: float) -> Decimal:
    return Decimal(str(value))


def options(**values: Any) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def strategy(deposit: float, **models: Model) -> Strategy:
    return Strategy(decimal(deposit), models)


def own(stake: float, mode: Mode = "constant", **more: Any) -> Model:
    return Model(decimal(stake), mode, **more)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a file to replay, next to settings."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "rounds.csv"


# weighted_score, settlement, claimable, debt, net_payout, next_stake, idle
STEPS_A = [
    (0.0879, 0.879, 10.879, 0, 0.879, 10, 0.879),
    (-0.0450, -0.450, 9.550, 0.450, 0, 10, 0.429),
    (0.1635, 1.635, 11.635, 0, 1.185, 10, 2.064),
]
STEPS_B = [
    (0.0879, 0.879, 10.879, 0, 0.879, 10.879, 0),
    (-0.0450, -0.450, 9.550, 0.450, 0, 9.550, 0),
    (0.1635, 1.7787165, 12.6577165, 0, 1.3287165, 12.6577165, 0),
    (0.0438, 0.41829, 9.96829, 0, 0.41829, 9.96829, 0),
]
STEPS_C = [
    (-0.1200, -1.2, 8.8, 1.2, 0, 10, 3.8),
    (-0.0300, -0.3, 9.7, 1.5, 0, 10, 3.5),
    (0.0900, 0.9, 10.9, 0.6, 0, 10, 4.4),
    (0.1005, 1.005, 11.005, 0, 0.405, 10, 5.405),
    (-0.0705, -0.705, 9.295, 0.705, 0, 10, 4.7),
    (0.0195, 0.195, 10.195, 0, 0, None, 14.895),
]


@pytest.mark.parametrize(
    ("rows", "plan", "steps", "total"),
    [
        (A, options(mode="constant", stake=10, deposit=20, concurrent=2), STEPS_A, (20, 2.064, 20, 2.064, 0.1032, 0)),
        (B, options(mode="compound", stake=10, deposit=20, concurrent=2), STEPS_B, (22.6260065, 0, 20, 2.6260065, 0.131300325, 0)),
        (
            C,
            options(mode="constant", stake=10, deposit=15, concurrent=1, stop_at=6),
            STEPS_C,
            (0, 14.895, 11.5, -0.105, -0.105 / 11.5, 0.510),
        ),
    ],
    ids=["a", "b", "c"],
)
def test_the_worked_examples_come_out(
    rows: str, plan: list[str], steps: list[tuple], total: tuple, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"round,corr60,mmc60\n{rows}")
    command("payout", "--replay", file.name, *plan, "--json")
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["steps", "total"]
    assert [tuple(step) for step in found["steps"]] == [payout_replay.COLUMNS] * len(steps)
    assert [step["round"] for step in found["steps"]] == list(range(1, len(steps) + 1))
    for step, expected in zip(found["steps"], steps, strict=True):
        assert list(step.values())[1:] == pytest.approx(list(expected), abs=1e-9)
    assert tuple(found["total"]) == TOTAL
    assert list(found["total"].values()) == pytest.approx(list(total), abs=1e-9)


def test_constant_over_the_rounds_of_the_second_example() -> None:
    found = replayed(B, "constant", 10, 20, 2)
    assert (found["total"]["idle"], found["total"]["profit"], found["total"]["return"]) == pytest.approx((2.502, 2.502, 0.1251), abs=1e-9)


def replayed(rows: str, mode: Mode, stake: float, deposit: float, concurrent: int, stop_at: int | None = None) -> dict[str, Any]:
    given = [row.split(",") for row in rows.split()]
    rounds = [payout_replay.Scored(int(n), {"corr60": Decimal(corr), "mmc60": Decimal(mmc)}) for n, corr, mmc in given]
    return payout_replay.replay(rounds, Plan(mode, decimal(stake), decimal(deposit), concurrent, stop_at), ATOMIC, 1.0)


def test_a_person_reads_a_line_of_each_settlement_and_the_totals(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f"round,corr60,mmc60\n{C}")
    command("payout", "--replay", file.name, *options(stake=10, deposit=15, concurrent=1, mode="constant", stop_at=6))
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == list(payout_replay.COLUMNS)
    assert said[1].split() == ["1", "-0.12", "-1.2", "8.8", "1.2", "0", "10", "3.8"]
    assert said[6].split() == ["6", "0.0195", "0.195", "10.195", "0", "0", "–", "14.895"]
    assert said[8:] == ["locked: 0", "idle: 14.895", "committed: 11.5", "profit: -0.105", "return: -0.009130435", "burned: 0.51"]


def test_the_page_shows_what_a_replay_prints(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/payout.md").read_text(encoding="utf-8")
    rows, shown = (re.findall(rf"<!-- {name} -->\n```\n(.*?)```", page, re.DOTALL)[0] for name in ("rounds", "replay"))
    file.write_text(rows)
    words, _, expected = shown.partition("\n")
    command(*words.removeprefix("erawise ").split())
    assert capsys.readouterr().out == expected


def test_rounds_that_open_after_the_stop_are_counted(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f"round,corr60,mmc60\n{C}")
    command("payout", "--replay", file.name, *options(stake=10, deposit=20, concurrent=2, stop_at=2), "--json")
    said = capsys.readouterr()
    assert [step["next_stake"] is None for step in json.loads(said.out)["steps"]] == [False, True, True]
    assert said.err == "warning: 3 rounds at the end of rounds.csv open after --stop-at: they have no position\n"


def test_what_is_available_is_staked_if_it_is_less() -> None:
    found = replayed("1,.0123,.0034\n2,-.0400,0\n", "constant", 10, 20, 2)
    assert found["steps"][1]["settlement"] == pytest.approx(-1.2, abs=1e-12)
    assert (found["steps"][1]["next_stake"], found["steps"][1]["idle"]) == pytest.approx((9.679, 0), abs=1e-12)
    opened = strategy(15, a=own(10))
    for number in (1, 2, 3):
        opened.submit(number, ["a"])
    assert list(opened.models["a"].positions.values()) == [10, 5, 0]


@pytest.mark.parametrize(
    ("scores", "weighted", "won"),
    [((0.0123, 0.0034), "0.0879", "0.0879"), ((0.5, 0.1), "3.0", "1.0"), ((-0.5, -0.1), "-3.0", "-1.0"), ((0.0, 0.0), "0", "0")],
)
def test_the_clip_binds_beyond_1(scores: tuple[float, float], weighted: str, won: str) -> None:
    named = dict(zip(("corr60", "mmc60"), map(decimal, scores), strict=True))
    assert rate(named, {"corr60": 3.0, "mmc60": 15.0}, 1.0, 1.0) == (Decimal(weighted), Decimal(won))
    assert rate(named, {"corr60": 3.0, "mmc60": 15.0}, 0.5, 0.05)[1] == max(-decimal(0.05), min(decimal(0.05), Decimal(weighted) / 2))


def two_models(x: float, y: float) -> Strategy:
    found = strategy(0, x=own(10, positions={1: decimal(10)}), y=own(12, positions={1: decimal(12)}))
    found.settle("x", 1, decimal(x) / 10)
    found.settle("y", 1, decimal(y) / 12)
    return found


def test_payouts_come_before_burns() -> None:
    found = two_models(1.0, -0.8)
    steps = found.submit(65, ["y", "x"])
    assert [(step.model, step.next_stake, step.idle) for step in steps] == [
        ("x", 10, 1),
        ("y", pytest.approx(12), pytest.approx(decimal(0.2))),
    ]


def test_the_larger_stake_comes_first_then_the_name() -> None:
    found = two_models(1.0, 1.2)
    assert [step.model for step in found.submit(65, ["x", "y"])] == ["y", "x"]
    found = two_models(-1.0, -1.2)
    assert [step.model for step in found.submit(65, ["x", "y"])] == ["y", "x"]
    alike = strategy(30, b=own(10), a=own(10), c=own(5))
    alike.submit(1, ["b", "a"])
    for name in "ab":
        alike.settle(name, 1, decimal(0.01))
    assert [step.model for step in alike.submit(2, ["c", "b", "a"])] == ["a", "b"]
    assert alike.models["c"].positions == {2: 5}


def test_a_model_without_a_claim_gets_what_claims_leave() -> None:
    found = strategy(1, old=own(10, positions={1: decimal(10)}), new=own(20))
    found.settle("old", 1, decimal(-0.05))
    found.submit(65, ["new", "old"])
    assert [model.positions for model in found.models.values()] == [{65: 10}, {65: decimal(0.5)}]


def test_debt_is_of_one_model_and_a_direct_claim_burns_the_rest() -> None:
    found = two_models(-1.0, 1.2)
    found.submit(65, ["x", "y"])
    assert (found.models["x"].debt, found.models["y"].debt, found.burned) == (1, 0, 0)
    claim = found.settle("x", 65, decimal(0.05))
    step = found.pay_out("x", claim)
    assert (step.offset, step.net_payout, step.burned, step.debt, step.next_stake) == (decimal(0.5), 0, decimal(0.5), 0, None)
    assert found.burned == decimal(0.5)


def paused() -> Strategy:
    """Return the second example without a submission to round 5: the claims of rounds 3 and 4 wait."""
    found = strategy(20, a=own(10, "compound"))
    for number in (1, 2):
        found.submit(number, ["a"])
    for number, weighted in ((1, "0.0879"), (2, "-0.0450")):
        found.settle("a", number, Decimal(weighted), day=number)
        found.submit(number + 2, ["a"])
    found.settle("a", 3, Decimal("0.1635"), day=10)
    found.settle("a", 4, Decimal("0.0438"), day=11)
    return found


def test_the_newest_claim_is_staked_alone_and_older_ones_are_paid_out_after_the_grace() -> None:
    found = paused()
    [step] = found.submit(6, ["a"])
    assert (step.claim.round, step.next_stake, found.idle) == (4, Decimal("9.96829"), 0)
    assert found.score(day=17) == []
    [late] = found.score(day=18)
    assert (late.claim.round, late.next_stake, found.idle) == (3, None, Decimal("12.6577165"))
    assert found.models["a"].claims == []
    assert found.score(day=30) == []
    assert found.idle + found.locked == Decimal("22.6260065")


def test_claims_that_wait_are_profit_and_locked() -> None:
    found = paused()
    assert found.models["a"].positions == {}
    assert found.locked == found.models["a"].locked == Decimal("22.6260065")
    assert found.capital.profit == Decimal("2.6260065")
    constant = paused()
    constant.models["a"].mode = "constant"
    [step] = constant.submit(6, ["a"])
    assert (step.claim.round, step.next_stake) == (4, Decimal("9.96829"))


def test_a_late_submission_has_no_position() -> None:
    found = strategy(20, a=own(10), b=own(5))
    found.submit(1, ["a"])
    assert [list(model.positions) for model in found.models.values()] == [[1], []]


@pytest.mark.parametrize("change", [{"is_staking": False}, {"stake": Decimal(0)}])
@pytest.mark.parametrize("mode", ["constant", "compound"])
def test_a_model_that_is_off_stakes_no_more_as_its_rounds_settle(change: dict[str, Any], mode: Mode) -> None:
    found = strategy(20, a=own(10, mode))
    for number in (1, 2):
        found.submit(number, ["a"])
    for key, value in change.items():
        setattr(found.models["a"], key, value)
    assert found.submit(3, ["a"]) == []
    found.settle("a", 1, decimal(0.1))
    [step] = found.submit(4, ["a"])
    assert (step.next_stake, found.idle, found.models["a"].positions) == (None, 11, {2: 10})


def test_a_lower_stake_binds_constant_and_not_compound() -> None:
    modes: tuple[Mode, ...] = ("constant", "compound")
    for mode, expected in zip(modes, (4, 11), strict=True):
        found = strategy(10, a=own(10, mode))
        found.submit(1, ["a"])
        found.models["a"].stake = Decimal(4)
        found.settle("a", 1, decimal(0.1))
        assert found.submit(2, ["a"])[0].next_stake == expected


def test_a_strategy_ramps_in_by_a_position_a_round() -> None:
    found = strategy(64, a=own(1))
    for number in range(1, 65):
        found.submit(number, ["a"])
        assert (found.locked, found.idle, len(found.models["a"].positions)) == (number, 64 - number, number)


def test_a_return_is_by_what_was_put_in_of_a_model_and_of_the_account() -> None:
    found = strategy(40, a=own(10), b=own(5))
    found.submit(1, ["a", "b"])
    found.settle("a", 1, decimal(-0.2))
    found.settle("b", 1, decimal(0.5))
    found.submit(2, ["a", "b"])
    capital = {name: model.capital for name, model in found.models.items()}
    assert (capital["a"].committed, capital["a"].rate) == (12, Decimal(-2) / 12)
    assert (capital["b"].committed, capital["b"].rate) == (5, Decimal("0.5"))
    assert (found.capital.committed, found.capital.profit) == (15, decimal(0.5))
    assert strategy(0).capital.rate is None


# ---- properties

SCORES = st.integers(-10000, 10000).map(lambda value: Decimal(value) / 10000)
MODES: st.SearchStrategy[Mode] = st.sampled_from(["constant", "compound"])


@given(st.lists(st.lists(st.sampled_from("abc"), unique=True), min_size=1, max_size=12), st.data())
def test_nothing_is_lost_and_debt_is_what_numerai_has_not_burned(submitted: list[list[str]], data: st.DataObject) -> None:
    found = Strategy(Decimal(30), {name: Model(Decimal(data.draw(st.integers(0, 12))), data.draw(MODES)) for name in "abc"})
    won, paid = Decimal(0), Decimal(0)
    for number, names in enumerate(submitted):
        for name, model in found.models.items():
            for position in list(model.positions):
                if data.draw(st.booleans()):
                    won += found.settle(name, position, data.draw(SCORES), day=number).settlement
        for step in found.submit(number, names) + found.score(day=number):
            paid += step.net_payout
            assert step.idle >= 0
            assert step.debt >= 0
            assert step.net_payout + step.offset == max(step.claim.settlement, 0)
        waiting = sum(claim.settlement for model in found.models.values() for claim in model.claims)
        assert found.idle + found.locked == 30 + won
        assert won - waiting == paid - found.burned - sum(model.debt for model in found.models.values())
        assert all(stake >= 0 for model in found.models.values() for stake in model.positions.values())
        assert found.capital.profit == won == sum(model.capital.profit for model in found.models.values())
        assert 0 <= found.capital.committed <= sum(model.capital.committed for model in found.models.values())


def plainly(rates: list[float], mode: Mode, concurrent: int) -> list[float]:
    """Simulate a deposit of 1 after each settlement, in a plain loop over the amounts in each place."""
    size, idle, opened = 1 / concurrent, 1.0, [0.0] * 0
    for _ in range(min(concurrent, len(rates))):
        opened.append(min(size, idle))
        idle -= opened[-1]
    values = []
    for number, rate_ in enumerate(rates):
        back = opened[number] * (1 + rate_)
        if number + concurrent < len(rates):
            stake = min(size if mode == "constant" else max(size, back), idle + back)
            opened.append(stake)
            idle += back - stake
        else:
            idle += back
        values.append(idle + sum(opened[number + 1 :]))
    return values


@given(st.lists(SCORES, min_size=1, max_size=30), MODES, st.integers(1, 8))
def test_many_years_at_once_are_what_the_contract_does_one_by_one(won: list[Decimal], mode: Mode, concurrent: int) -> None:
    rates = np.array([[float(rate), -float(rate)] for rate in won])
    found = staking.positions(rates, concurrent, mode)
    for column in range(2):
        np.testing.assert_allclose(found[:, column], plainly(list(rates[:, column]), mode, concurrent), atol=1e-12)
    strategy = Strategy(Decimal(concurrent), {"a": Model(Decimal(1), mode)})
    for number in range(min(concurrent, len(won))):
        strategy.submit(number, ["a"])
    for number, one in enumerate(won):
        strategy.settle("a", number, one)
        strategy.models["a"].is_staking = number + concurrent < len(won)
        strategy.submit(number + concurrent, ["a"])
        assert found[number, 0] == pytest.approx(float((strategy.idle + strategy.locked) / concurrent), abs=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), MODES)
def test_a_year_by_weeks_is_the_year_by_rounds(weekly: list[float], mode: Mode) -> None:
    terms = staking.Terms({"corr": 1.0}, 1.0, 1.0, per_week=5, weeks=13, concurrent=64)
    found = staking.grown(np.array(weekly), terms, mode)
    value = plainly([rate for rate in weekly for _ in range(5)], mode, 64)
    np.testing.assert_allclose(found, [1.0, *value[4::5]], atol=1e-12)


# ---- files that are refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns round, corr60, mmc60 (it has none)"),
        ("round,corr20,mmc\n1,.1,.1\n", "expected the columns round, corr60, mmc60 (it has round, corr20, mmc)"),
        ("round,corr60,mmc60\n", "no round is in it"),
        ("round,corr60,mmc60\n1,.1\n", ", line 2: expected a round and its scores (it has '1,.1')"),
        ("round,corr60,mmc60\n1,.1,.1,.1\n", ", line 2: expected 3 values (it has 4)"),
        ("round,corr60,mmc60\n1,.1,.1\n1.5,.1,.1\n", ", line 3: expected a round and its scores (it has '1.5,.1,.1')"),
        ("round,corr60,mmc60\n1,x,.1\n", ", line 2: expected a round and its scores (it has '1,x,.1')"),
        ("round,corr60,mmc60\n1,nan,.1\n", ", line 2: round 1 has a score that isn't a number"),
        ("round,corr60,mmc60\n1,1.23,.1\n", ", line 2: round 1: corr60 is 1.23; expected -1 to 1, and not percent"),
        ("round,corr60,mmc60\n1,.1,-1e999999999\n", ", line 2: round 1: mmc60 is -1E+999999999; expected -1 to 1, and not percent"),
        ("\n \n", "expected the columns round, corr60, mmc60 (it has none)"),
        (f"round,corr60,mmc60\n1,.1,.{'1' * 200_000}\n", "not readable as CSV: field larger than field limit (131072)"),
        ("round,corr60,mmc60\n1,.1,.1\n\n1,.2,.2\n", ", line 4: round 1 is there twice"),
    ],
)
def test_a_file_that_cannot_do_is_said_in_a_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rounds.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{re.escape(message)}$") as caught:
        payout_replay.read(path, ATOMIC)
    assert "\n" not in str(caught.value)


def test_a_position_without_a_stake_loses_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("round,corr60,mmc60\n1,-.01,0\n2,-.01,0\n")
    command("payout", "--replay", file.name, *options(stake=10, deposit=10, concurrent=2), "--json")
    assert '"settlement": 0.0, "claimable": 0.0' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (options(concurrent=1.5), "--concurrent: expected a whole number (it is '1.5')."),
        (options(concurrent=2, stop_at="2e0"), "--stop-at: expected a whole number (it is '2e0')."),
        (options(concurrent=2, round=0), "--replay has no use for --round; leave it out."),
        ([*options(concurrent=2, models="ridge"), "--csv"], "--replay has no use for --models and --csv; leave it out."),
    ],
)
def test_what_a_replay_cannot_use_is_refused(words: list[str], message: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f"round,corr60,mmc60\n{A}")
    with pytest.raises(SystemExit, match="2"):
        command("payout", "--replay", file.name, *options(stake=10, deposit=20), *words)
    assert message in capsys.readouterr().err


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "rounds.csv"
    path.write_text("mmc60,round,corr60\r\n.2,7,.1\r\n")
    assert payout_replay.read(path, ATOMIC) == [payout_replay.Scored(7, {"corr60": Decimal(".1"), "mmc60": Decimal(".2")})]


def test_a_regime_of_whole_stakes_is_not_replayed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("  regime: null ", "  regime: corr_mmc_2026 "))
    file.write_text(f"round,corr60,mmc60\n{A}")
    with pytest.raises(SystemExit, match="1"):
        command("payout", "--replay", file.name, *options(stake=10, deposit=20, concurrent=2))
    assert capsys.readouterr().err.startswith("error: payout.regime: corr_mmc_2026 puts the whole stake on each round; --replay is for one")
