"""Regimes of payout: the built-in ones, additions by a file of one's own, and files that are refused."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from closure import ROOT
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from erawise.base.schema import spanned_weeks
from erawise.regimes import regimes
from erawise.running.errors import InputError

KNOWN = regimes.load()

MINE = {
    "id": "mine",
    "from": 1501,
    "to": None,
    "scores": {"corr60": 2.0, "bmc": 5.0},
    "target": "target_ender_60",
    "horizon": 60,
    "factor": {"fixed": 0.8},
    "clip": 0.5,
    "stake": "per_round",
    "per_week": 5,
    "concurrent": 64,
    "resolve_days": 89,
    "confidence": "third",
}
ATOMIC = MINE | {
    "id": "atomic_ender60",
    "from": 1343,
    "to": 1500,
    "scores": {"corr60": 3.0, "mmc60": 15.0},
    "factor": {"fixed": 1.0},
    "clip": 1.0,
}


def written(tmp_path: Path, *entries: Any) -> Path:
    path = tmp_path / "mine.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump({"regimes": list(entries)}, file)
    return path


@pytest.mark.parametrize(
    ("number", "name", "multipliers", "clip", "factor"),
    [
        (250, "weekly_corr", {"corr": 1.0}, 0.25, 0.6),
        (310, "weekly_corr", {"corr": 1.0}, 0.25, 0.6),
        (650, "corr_mmc_2024", {"corr": 0.5, "mmc": 2.0}, 0.05, 0.12),
        (1171, "corr_mmc_2024", {"corr": 0.5, "mmc": 2.0}, 0.05, 0.12),
        (1172, "corr_mmc_2026", {"corr": 0.75, "mmc": 2.25}, 0.05, 0.12),
        (1342, "corr_mmc_2026", {"corr": 0.75, "mmc": 2.25}, 0.05, 0.12),
        (1343, "atomic_ender60", {"corr": 3.0, "mmc": 15.0}, 1.0, 1.0),
        (9999, "atomic_ender60", {"corr": 3.0, "mmc": 15.0}, 1.0, 1.0),
    ],
)
def test_a_round_pays_by_its_regime(number: int, name: str, multipliers: dict[str, float], clip: float, factor: float) -> None:
    found = regimes.load().of_round(number)
    assert (found.id, found.multipliers(), found.clip, found.factor.for_total(600000.0)) == (name, multipliers, clip, factor)


def test_today_s_regime_is_the_one_without_an_end() -> None:
    found = regimes.load().named(None)
    assert (found.id, found.stake, found.concurrent, found.weeks, found.target) == (
        "atomic_ender60",
        "per_round",
        64,
        13,
        "target_ender_60",
    )
    assert [one.id for one in regimes.load().regimes if one.last is None] == ["atomic_ender60"]
    assert [one.weeks for one in regimes.load().regimes[:-1]] == [5] * 6


@given(st.integers(1, 3000))
def test_every_round_has_exactly_one_regime(number: int) -> None:
    assert [one for one in KNOWN.regimes if (one.first or 1) <= number <= (one.last or number)] == [KNOWN.of_round(number)]
    assert KNOWN.of_round(number).weeks > spanned_weeks(KNOWN.of_round(number).horizon)


def test_below_its_threshold_a_round_pays_in_full() -> None:
    factor = regimes.load().named("corr_mmc_2026").factor
    assert [factor.for_total(total) for total in (10.0, 72000.0, 144000.0)] == [1.0, 1.0, 0.5]


@pytest.mark.parametrize("name", ["weekly_tc", "daily_tc", "daily_2x_tc"])
def test_what_a_participant_chose_is_not_made_up(name: str) -> None:
    with pytest.raises(InputError, match=f"regime {name}: each participant chose the multiplier of "):
        regimes.load().named(name).multipliers()


def test_a_file_of_one_s_own_adds_a_regime_and_replaces_one(tmp_path: Path) -> None:
    known = regimes.load(written(tmp_path, ATOMIC, MINE))
    assert known.named(None).id == known.of_round(1501).id == "mine"
    assert known.named("mine").multipliers() == {"corr": 2.0, "bmc": 5.0}
    assert known.of_round(1500).last == 1500
    assert len(known.regimes) == len(regimes.load().regimes) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "atomic_ender60 and mine overlap: it has no end, and mine begins with round 1501"),
        ({"from": 1100, "to": 1200}, "corr_mmc_2024 and mine overlap: it ends with round 1171, and mine begins with round 1100"),
        ({"from": None, "to": 5}, "weekly_corr and mine overlap: it ends with round 310, and mine begins with round 1"),
        ({"from": 1600, "to": 1599}, "mine: to: it ends with round 1599, before it begins with round 1600"),
        ({"scores": {"alpha": 1.0}}, "mine: scores: no score is called 'alpha'; there are corr20, v2_corr20, corr60"),
        ({"scores": {"corr20": 1.0}, "target": None}, "mine: corr20: it looks 20 days ahead, and horizon is 60"),
        ({"target": "target_ender_20"}, "mine: target_ender_20: it looks 20 days ahead, and horizon is 60"),
        ({"target": "target_ender_90"}, "mine: target: 'target_ender_90' is neither one of 20 nor one of 60 days"),
        ({"horizon": 40}, "mine: horizon: expected 20 or 60 days (it is 40)"),
        ({"factor": {"fixed": 1.0, "threshold": 5.0}}, "mine.factor: expected either fixed or threshold"),
        ({"factor": {}}, "mine.factor: expected either fixed or threshold"),
        ({"clip": 1.5}, "mine.clip: Input should be less than or equal to 1 (it is 1.5)"),
        ({"max": {"corr60": 2.0}}, "mine: max: only a score whose multiplier is null has one"),
        ({"from": 0}, "mine.from: Input should be greater than or equal to 1 (it is 0)"),
        ({"colour": "red"}, "mine.colour: unknown key"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = written(tmp_path, MINE | change)
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")) as caught:
        regimes.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("regimes: [", "not readable as YAML"),
        ("[]", "expected keys with values"),
        ("regimes: []", "regimes: List should have at least 1 item"),
        ("regimes: [3]", "regime 1: expected keys with values"),
        ("regimes: [{to: 3}]", "regime 1.id: the key is missing"),
    ],
)
def test_a_file_of_another_form_is_said_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")) as caught:
        regimes.load(path)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the file is missing; expected regimes in the form of"):
        regimes.load(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="regime 'atomic': no regime has this id; there are weekly_corr, "):
        regimes.load().named("atomic")
    gap = regimes.Regimes.model_validate({"regimes": [MINE]})
    with pytest.raises(InputError, match=re.escape("round 7: no regime has it; there are mine 1501–")):
        gap.of_round(7)


def test_the_regimes_are_in_the_package() -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "regimes/regimes.yaml" in content["tool"]["setuptools"]["package-data"]["erawise"]
    assert regimes.PACKAGED.relative_to(ROOT) == Path("erawise/regimes/regimes.yaml")
