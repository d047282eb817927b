"""Drift: by hand, by a plain loop, and on data that doesn't allow it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from panels import write_panel

from erawise.base import tabular
from erawise.base.schema import LIVE_ERA
from erawise.exploration import drift, exploration
from erawise.panel.panel import Panel
from erawise.running.errors import InputError


def panel_of(directory: Path, blocks: list[NDArray], validation: int = 0) -> Panel:
    """Make eras 1, 2, ... of the given features; the last `validation` of them are validation eras."""
    era = np.repeat(np.arange(1, len(blocks) + 1), [len(block) for block in blocks])
    write_panel(directory, np.concatenate(blocks), {"target": np.full(len(era), 0.5)}, era)
    index = tabular.read_parquet(directory / "index.parquet")
    index["data_type"] = np.where(era > len(blocks) - validation, "validation", "train")
    tabular.write_parquet(index, directory / "index.parquet")
    return Panel(directory)


def live_of(directory: Path, block: NDArray) -> Panel:
    return write_panel(directory, block, {}, np.full(len(block), LIVE_ERA), data_type="live")


def column(*values: int) -> NDArray[np.int8]:
    return np.array(values, np.int8)[:, None]


def test_by_hand(tmp_path: Path) -> None:
    # shares at 0, 1, 2: (.5, .5, 0), (.5, 0, .5), and in validation all at 4, which doesn't count; live (0, 0, 1)
    panel = panel_of(tmp_path, [column(0, 0, 1, 1), column(0, 2), column(4, 4, 4)], validation=1)
    found = drift.drift(panel, live_of(tmp_path / "live", column(2, 2, 2)), np.array([0.25])).iloc[0]
    assert (found["train_mean"], found["live_mean"], found["eras"], found["missing_live"]) == (0.75, 2, 2, 0.25)
    assert found["distance"] == pytest.approx((0.5 + 0.25 + 0.75) / 2)
    assert [found[name] for name in ("expected", "usual_p95", "usual_max")] == pytest.approx([0.5, 0.5, 0.5])
    assert drift.summary(pd.DataFrame([found])).startswith("1 of 1 features lie further from the last 2 train eras in live")


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), eras=st.integers(2, 6), floats=st.booleans())
def test_against_a_plain_loop(tmp_path_factory: pytest.TempPathFactory, seed: int, eras: int, floats: bool) -> None:
    rng = np.random.default_rng(seed)
    blocks = [rng.integers(0, 5, (int(rng.integers(1, 12)), 3)).astype(np.int8) for _ in range(eras + 1)]
    stored = [(block / 4).astype(np.float32) for block in blocks] if floats else blocks
    directory = tmp_path_factory.mktemp("drift")
    found = drift.drift(panel_of(directory, stored[:-1]), live_of(directory / "live", stored[-1]), np.zeros(3))

    def shares(block: NDArray, feature: int) -> NDArray:
        return np.array([(block[:, feature] == value).mean() for value in range(5)])

    for feature in range(3):
        of_eras = [shares(block, feature) for block in blocks[:-1]]
        apart = [
            0.5 * np.abs(own - np.mean([other for k, other in enumerate(of_eras) if k != left], axis=0)).sum()
            for left, own in enumerate(of_eras)
        ]
        row = found.iloc[feature]
        assert row["distance"] == pytest.approx(0.5 * np.abs(shares(blocks[-1], feature) - np.mean(of_eras, axis=0)).sum(), abs=1e-12)
        assert row["expected"] == pytest.approx(np.mean(apart), abs=1e-12)
        assert row["usual_p95"] == pytest.approx(np.quantile(apart, 0.95), abs=1e-12)
        assert row["usual_max"] == pytest.approx(max(apart), abs=1e-12)


def test_an_era_like_the_others_is_beyond_them_by_luck_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    blocks = [rng.integers(0, 5, (60, 400)).astype(np.int8) for _ in range(11)]
    found = drift.drift(panel_of(tmp_path, blocks[:-1]), live_of(tmp_path / "live", blocks[-1]), np.zeros(400))
    share = drift.is_beyond(found).mean()
    assert abs(share - 1 / 11) < 4 * np.sqrt(1 / 11 * 10 / 11 / 400)


def test_a_feature_that_has_lost_its_data_stands_out(tmp_path: Path) -> None:
    blocks = [np.stack([np.arange(20) % 5, np.arange(20) // 4], axis=1).astype(np.int8) for _ in range(6)]
    blocks[-1][:, 1] = 2
    found = drift.drift(panel_of(tmp_path, blocks[:-1]), live_of(tmp_path / "live", blocks[-1]), np.array([0, 1.0]))
    assert drift.is_beyond(found).tolist() == [False, True]
    assert found["distance"].tolist() == pytest.approx([0, 0.8])


def test_the_last_train_eras_alone_are_read_and_threads_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "USUAL_ERAS", 3)
    rng = np.random.default_rng(9)
    blocks = [rng.integers(0, 5, (9, 4)).astype(np.int8) for _ in range(8)]
    live = live_of(tmp_path / "live", blocks[-1])
    whole = drift.drift(panel_of(tmp_path / "whole", blocks[:-1], validation=1), live, np.zeros(4), threads=3)
    pd.testing.assert_frame_equal(whole, drift.drift(panel_of(tmp_path / "last", blocks[3:6]), live, np.zeros(4)), check_exact=True)
    assert whole["eras"].tolist() == [3] * 4


def test_other_live_features_and_too_few_eras(tmp_path: Path) -> None:
    panel = panel_of(tmp_path, [column(0, 1), column(1, 2)])
    with pytest.raises(InputError, match=r"^data/prepared/live: it has other features than data/prepared/panel; run preprocess again$"):
        drift.drift(panel, live_of(tmp_path / "two", np.zeros((2, 2), np.int8)), np.zeros(2))
    live = live_of(tmp_path / "live", column(0, 1))
    with pytest.raises(InputError, match="drift needs at least 2 train eras and there is 1; add eras"):
        drift.drift(panel_of(tmp_path / "one", [column(0, 1), column(1, 2)], validation=1), live, np.zeros(1))


def test_live_counts(tmp_path: Path) -> None:
    path = tmp_path / "missing.csv"
    path.write_text("feature,missing,rows,missing_live,rows_live\nNA,1,10,1,4\nb,0,10,0,4\n")
    assert exploration.read_missing(path, ("b", "NA"), "_live").tolist() == [0, 0.25]
    with pytest.raises(InputError, match="expected feature, missing_live and rows_live for every feature"):
        exploration.read_missing(path, ("c",), "_live")
    with pytest.raises(InputError, match="the file is missing; run preprocess"):
        exploration.read_missing(tmp_path / "none.csv", ("b",), "_live")
