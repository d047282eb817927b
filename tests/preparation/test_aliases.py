"""The horizon of a target without one in its name: found by comparing values, or set, or else a stop."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from erawise.base import files
from erawise.panel.panel import Panel, days_ahead
from erawise.preparation import preparation
from erawise.preparation.matrix import Counts
from erawise.running.errors import InputError

EARLY, LATE = "target_ender_20", "target_ender_60"
REAL = Path(__file__).parents[3] / "shared" / "real"

VALUES = {
    EARLY: [0.0, 0.25, 0.5, 0.75, 1.0, 0.5, np.nan, 0.5],
    LATE: [0.25, 0.25, 0.5, 0.5, 1.0, 0.0, np.nan, np.nan],
}
"""Two rows of each of four eras; the 60 days of the last era are still to come."""


def write(directory: Path, name: str, first: int, targets: dict[str, list[float]]) -> None:
    directory.mkdir(exist_ok=True)
    era = np.repeat(range(first, first + 4), 2)
    frame = pd.DataFrame({"id": [f"{name}{row}" for row in range(8)], "era": [f"{number:04d}" for number in era]})
    frame["feature_a"] = np.arange(8, dtype=np.int8) % 5
    if name == "live":
        frame = frame.assign(era="X")
    for target, values in targets.items():
        frame[target] = np.array(values, np.float32)
    frame.to_parquet(directory / f"{name}.parquet", index=False)
    files.write_json({"feature_sets": {"all": ["feature_a"]}, "targets": []}, directory / "features.json")


def prepare(directory: Path, train: dict, validation: dict, target: str = "target", days: int | None = None) -> tuple[Path, Counts]:
    raw, out = directory / "raw", directory / "out"
    for name, first, targets in (("train", 1, train), ("validation", 5, validation), ("live", 9, {})):
        write(raw, name, first, targets)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    _, counts = preparation.prepare(raw, out, preparation.Wanted("all", target, 1, demean=False, derived=[], days=days))
    return out / "panel", counts


def like(named: str, **changes: list[float]) -> dict[str, list[float]]:
    return {"target": VALUES[named], **VALUES} | changes


@pytest.mark.parametrize(("named", "days"), [(EARLY, 20), (LATE, 60)])
@pytest.mark.parametrize("setting", [None, "same"])
def test_a_target_has_the_horizon_of_the_named_one_that_it_equals(tmp_path: Path, named: str, days: int, setting: str | None) -> None:
    panel, counts = prepare(tmp_path, like(named), like(named), days=days if setting else None)
    assert days_ahead(panel, "target") == days
    assert Panel(panel).equal == {"target": named}
    assert json.loads((panel / "features.json").read_text())["horizons"] == {"target": days, EARLY: 20, LATE: 60}
    assert f"target: looks {days} trading days ahead: it equals {named}, value by value" in counts.notes


def test_a_setting_of_another_horizon_stops_with_both_names_and_horizons(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        prepare(tmp_path, like(LATE), like(LATE), days=20)
    assert str(caught.value) == (
        "data.target_horizon: 'target' looks 20 trading days ahead by the setting, but it equals 'target_ender_60' (60 trading days); "
        "set the same days, or null"
    )


def test_train_and_validation_that_disagree_stop_whatever_is_set(tmp_path: Path) -> None:
    for days in (None, 20, 60):
        with pytest.raises(InputError) as caught:
            prepare(tmp_path, like(EARLY), like(LATE), days=days)
        assert str(caught.value) == (
            f"'target' equals 'target_ender_20' (20 trading days) in {tmp_path}/raw/train.parquet and 'target_ender_60' (60 trading days) "
            f"in {tmp_path}/raw/validation.parquet: the files have different targets of this name; fetch both anew, on the same day"
        )


OTHER = [1.0, 0.0, 0.5, 0.25, 0.0, 0.5, np.nan, np.nan]


@pytest.mark.parametrize(
    "target",
    [OTHER, [0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 0.5, 0.5], [0.0, 0.25, 0.5, 0.75, 1.0, np.nan, np.nan, 0.5], [*VALUES[LATE][:6], 0.5, np.nan]],
    ids=["other values", "a value where the named one has none", "none where it has one", "a value where the other has none"],
)
def test_a_target_that_equals_none_stops_unless_its_horizon_is_set(tmp_path: Path, target: list[float]) -> None:
    content = like(EARLY, target=target)
    with pytest.raises(InputError) as caught:
        prepare(tmp_path, content, content)
    assert str(caught.value) == (
        f"data.target_horizon: 'target' equals no named target in {tmp_path}/raw/train.parquet and "
        f"{tmp_path}/raw/validation.parquet: set the trading days that it looks ahead, such as 20 or 60"
    )
    panel, counts = prepare(tmp_path, content, content, days=40)
    assert days_ahead(panel, "target") == 40
    assert Panel(panel).equal == {}
    assert "target: looks 40 trading days ahead: the settings say so" in counts.notes


def test_a_target_that_equals_two_stops_unless_its_horizon_is_set_to_one_of_theirs(tmp_path: Path) -> None:
    content = {"target": OTHER, EARLY: OTHER, LATE: OTHER}
    with pytest.raises(
        InputError, match=r"equals several, 'target_ender_20' \(20 trading days\) and 'target_ender_60' \(60 trading days\)"
    ):
        prepare(tmp_path, content, content)
    panel, _ = prepare(tmp_path, content, content, days=60)
    assert (days_ahead(panel, "target"), Panel(panel).equal) == (60, {"target": LATE})
    with pytest.raises(InputError, match="looks 40 trading days ahead by the setting, but it equals 'target_ender_20'"):
        prepare(tmp_path, content, content, days=40)


def test_a_file_in_which_two_are_equal_is_told_apart_by_the_other(tmp_path: Path) -> None:
    panel, _ = prepare(tmp_path, {"target": OTHER, EARLY: OTHER, LATE: OTHER}, like(LATE))
    assert (days_ahead(panel, "target"), Panel(panel).equal) == (60, {"target": LATE})


def test_a_file_without_a_value_of_the_target_says_nothing(tmp_path: Path) -> None:
    nothing = {name: [np.nan] * 8 for name in ("target", EARLY, LATE)}
    panel, _ = prepare(tmp_path, like(LATE), nothing)
    assert days_ahead(panel, "target") == 60


def test_a_named_target_can_be_the_main_one_beside_a_bare_one_of_any_kind(tmp_path: Path) -> None:
    panel, _ = prepare(tmp_path, like(EARLY), like(EARLY), target=LATE, days=20)
    assert (days_ahead(panel, LATE), days_ahead(panel, "target")) == (60, 20)
    content = like(EARLY, target=OTHER)
    panel, counts = prepare(tmp_path, content, content, target=LATE)
    assert days_ahead(panel, LATE) == 60
    with pytest.raises(InputError, match=r"data\.target_horizon: 'target' equals no named target"):
        days_ahead(panel, "target")
    assert any(note.startswith("data.target_horizon: 'target' equals no named target") for note in counts.notes)


def test_what_differs_after_many_rows_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("erawise.preparation.aliases.BATCH_ROWS", 3)
    panel, _ = prepare(tmp_path, like(LATE), like(LATE))
    assert Panel(panel).equal == {"target": LATE}
    late = [*VALUES[LATE][:5], 0.75, np.nan, np.nan]
    with pytest.raises(InputError, match="equals no named target"):
        prepare(tmp_path, like(LATE), like(LATE, target=late))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real sample is not part of the repository")
def test_the_real_sample_has_bernie_as_its_target(tmp_path: Path) -> None:
    preparation.prepare(REAL, tmp_path, preparation.Wanted("all", "target", 1, demean=False, derived=[]))
    assert (days_ahead(tmp_path / "panel", "target"), Panel(tmp_path / "panel").equal) == (20, {"target": "target_bernie_20"})
