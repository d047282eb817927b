"""Folds over eras: the purge, counted in weeks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erawise.base.schema import distance_warning, named_horizon, overlap_line, purge_weeks, usual_distance
from erawise.folds import splits
from erawise.folds.settings import Split
from erawise.running.errors import InputError

with_gaps = st.tuples(st.integers(60, 200), st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.sort(np.random.default_rng(drawn[1]).choice(400, drawn[0], replace=False) + 1)
)
eras = st.one_of(st.integers(60, 200).map(lambda count: np.arange(1, count + 1)), with_gaps)


def test_purge_is_that_of_the_official_walk_forward() -> None:
    assert (purge_weeks(20), purge_weeks(60)) == (8, 16)
    assert (named_horizon("target_ender_60"), named_horizon("target_ender_20")) == (60, 20)


@pytest.mark.parametrize("target", ["target", "target_1", "target_v2_3", "target_x_40", "target_120", "target_20_v2", "target_20d"])
def test_a_horizon_is_in_the_names_that_numerai_gives_alone(target: str) -> None:
    assert named_horizon(target) is None


@pytest.mark.parametrize(
    ("eras", "days", "purge", "overlap", "least"),
    [
        (range(1, 61), 60, "16 weeks is 16 eras", "a target spans 12 eras, which overlap", 96),
        (range(1, 61), 20, "8 weeks is 8 eras", "a target spans 4 eras, which overlap", 32),
        (range(1, 241, 4), 60, "16 weeks is 4 eras", "a target spans 3 eras, which overlap", 24),
        (range(1, 241, 4), 20, "8 weeks is 2 eras", "eras don't overlap", 8),
        ([], 60, "16 weeks is 16 eras", "a target spans 12 eras, which overlap", 96),
    ],
)
def test_the_purge_the_span_and_the_eras_of_an_interval_are_told(eras: range, days: int, purge: str, overlap: str, least: int) -> None:
    expected = f"a purge of {purge} on each side; {overlap}; an interval needs {least} eras, and there are {len(eras)}"
    assert overlap_line(eras, days) == expected


@pytest.mark.parametrize(
    ("found", "distance"),
    [([], None), ([7], None), ([1, 2, 3, 9], 1), ([4, 1, 8, 12, 13], 4), ([1, 8, 15, 16, 17], 1), ([1, 8, 15, 22, 23], 7), ([2, 2, 5], 3)],
)
def test_the_usual_distance_of_eras(found: list[int], distance: int | None) -> None:
    assert usual_distance(found) == distance


def test_eras_that_are_not_as_far_apart_as_they_should_be_are_told() -> None:
    assert distance_warning("x", range(1, 40), 1) == distance_warning("x", range(1, 80, 4), 4) == distance_warning("x", [5], 1) == []
    [line] = distance_warning("train.parquet", range(1, 400, 7), 1, 20)
    assert line.startswith("train.parquet: neighbouring eras are usually 7 apart, and 1 was expected.")
    assert "a purge of 8 weeks takes 1 of them on each side of a test block" in line
    assert "a purge of 16 weeks takes 2 of them" in distance_warning("train.parquet", range(1, 400, 7), 1, 60)[0]


def test_kfold_by_hand() -> None:
    first, second, third = splits.purged_kfold(np.arange(1, 61), 3, 8)
    assert first.test.tolist() == list(range(1, 21))
    assert first.purged.tolist() == list(range(21, 29))
    assert second.purged.tolist() == [*range(13, 21), *range(41, 49)]
    assert second.train.tolist() == [*range(1, 13), *range(49, 61)]
    assert third.train.tolist() == list(range(1, 33))


def test_walk_forward_by_hand_leaves_exactly_the_purge_between() -> None:
    folds = splits.walk_forward(np.arange(1, 61), 20, 8)
    assert [(f.test[0], f.test[-1]) for f in folds] == [(21, 40), (41, 60)]
    assert folds[0].train.tolist() == list(range(1, 13))
    assert folds[1].train[-1] == 32


def test_every_fourth_era_is_purged_by_weeks_not_by_positions() -> None:
    fold = splits.purged_kfold(np.arange(1, 201, 4), 2, 8)[0]
    assert fold.test[-1] == 97
    assert fold.purged.tolist() == [101, 105]


@given(eras=eras, folds=st.integers(2, 5), weeks=st.integers(0, 16))
def test_kfold_properties(eras: np.ndarray, folds: int, weeks: int) -> None:
    try:
        made = splits.purged_kfold(eras, folds, weeks)
    except InputError:
        return
    assert np.array_equal(np.concatenate([f.test for f in made]), eras)
    for fold in made:
        assert sorted([*fold.train, *fold.purged, *fold.test]) == eras.tolist()
        assert np.abs(fold.train[:, None] - fold.test).min() > weeks
        if len(fold.purged):
            assert np.abs(fold.purged[:, None] - fold.test).min(axis=1).max() <= weeks


@given(eras=eras, chunk=st.integers(10, 80), weeks=st.integers(0, 16))
def test_walk_forward_never_sees_the_future(eras: np.ndarray, chunk: int, weeks: int) -> None:
    try:
        made = splits.walk_forward(eras, chunk, weeks)
    except InputError:
        return
    for fold in made:
        assert fold.train.max() + weeks < fold.test.min()


@given(eras=eras, others=eras, weeks=st.integers(0, 30))
def test_near_any_is_the_plain_loop(eras: np.ndarray, others: np.ndarray, weeks: int) -> None:
    expected = [any(abs(int(a) - int(b)) <= weeks for b in others) for a in eras]
    assert splits.near_any(eras, others, weeks).tolist() == expected


def test_inner_slice_is_the_last_and_purged() -> None:
    fitted, inner = splits.inner_slice(np.arange(1, 101), 0.2, 8)
    assert inner.tolist() == list(range(81, 101))
    assert fitted[-1] == 72


def test_inner_slice_is_purged_across_the_gap_of_a_test_block() -> None:
    train = np.array([*range(1, 41), *range(60, 81)])
    fitted, inner = splits.inner_slice(train, 0.35, 8)
    assert inner[0] == 60
    assert fitted[-1] == 40


def test_the_first_validation_weeks_are_purged() -> None:
    made = splits.plan(np.arange(1, 61), np.arange(61, 101), 20, Split(method="purged_kfold", folds=3, chunk=10, window=None))
    assert made.validation_purged.tolist() == list(range(61, 69))
    assert made.validation[0] == 69


def test_json_round_trip() -> None:
    made = splits.plan(np.arange(1, 61), np.arange(61, 101), 60, Split(method="purged_kfold", folds=2, chunk=10, window=None))
    back = splits.from_json(splits.to_json({60: made}), 60)
    assert back.weeks == 16
    assert np.array_equal(back.folds[1].train, made.folds[1].train)
    assert np.array_equal(back.validation_purged, made.validation_purged)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "purged_kfold", "folds": 9, "chunk": 10, "window": None}, r"split\.folds: 9 folds need"),
        ({"method": "purged_kfold", "folds": 2, "chunk": 10, "window": None}, r"split\.folds: .* leave no era to train on"),
        ({"method": "walk_forward", "folds": 2, "chunk": 10, "window": None}, r"split\.chunk: .* lower it"),
    ],
)
def test_too_few_eras(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        splits.plan(np.arange(1, 9), np.arange(20, 40), 20, Split(**settings))


def test_validation_may_be_purged_to_nothing() -> None:
    made = splits.plan(np.arange(1, 61), np.arange(61, 66), 20, Split(method="purged_kfold", folds=2, chunk=10, window=None))
    assert not len(made.validation)
    assert splits.describe(made, 20)[0] == "8 weeks purged on each side of a test block: [8, 8] eras; no validation eras left"


def test_a_horizon_without_folds_is_an_error_for_who_asks_for_it() -> None:
    made = splits.plan(np.arange(1, 61), np.arange(61, 101), 20, Split(method="purged_kfold", folds=2, chunk=10, window=None))
    content = splits.to_json({20: made, 60: "too few eras"})
    assert splits.from_json(content, 20).weeks == 8
    with pytest.raises(InputError, match="no folds for a target of 60 days: too few eras"):
        splits.from_json(content, 60)
    with pytest.raises(InputError, match="no target of the data looks 40 trading days ahead"):
        splits.from_json(content, 40)


def test_no_slice_left_for_early_stopping() -> None:
    with pytest.raises(InputError, match=r"training\.inner_share"):
        splits.inner_slice(np.arange(1, 9), 0.2, 8)


@given(eras=eras, chunk=st.integers(10, 80), weeks=st.integers(0, 16), window=st.integers(1, 60))
def test_a_rolling_window_is_the_last_weeks_before_the_purge(eras: np.ndarray, chunk: int, weeks: int, window: int) -> None:
    try:
        made = splits.walk_forward(eras, chunk, weeks, window)
    except InputError:
        return
    for rolling, expanding in zip(made, splits.walk_forward(eras, chunk, weeks), strict=True):
        assert np.array_equal(rolling.test, expanding.test)
        distance = rolling.test[0] - expanding.train
        assert np.array_equal(rolling.train, expanding.train[distance <= weeks + window])


@given(eras=eras, blocks=st.integers(2, 6), weeks=st.integers(0, 6), data=st.data())
def test_combinatorial_folds_test_every_choice_of_blocks(eras: np.ndarray, blocks: int, weeks: int, data: st.DataObject) -> None:
    tested = data.draw(st.integers(1, blocks - 1))
    try:
        made = splits.combinatorial(eras, blocks, tested, weeks)
    except InputError:
        return
    assert len(made) == math.comb(blocks, tested)
    assert len({tuple(fold.test) for fold in made}) == len(made)
    counts = np.bincount(np.concatenate([np.searchsorted(eras, fold.test) for fold in made]), minlength=len(eras))
    assert set(counts) == {math.comb(blocks - 1, tested - 1)}
    for fold in made:
        assert sorted([*fold.train, *fold.purged, *fold.test]) == eras.tolist()
        assert np.abs(fold.train[:, None] - fold.test).min() > weeks


def test_combinatorial_folds_need_blocks_to_train_on() -> None:
    with pytest.raises(InputError, match="3 of 3 blocks of 30 eras can't be tested"):
        splits.combinatorial(np.arange(30), 3, 3, 0)


def expected_blocks(known: np.ndarray, scored: np.ndarray, first: int, weeks: int, every: int) -> list[tuple[list[int], list[int]]]:
    """Return the eras that each block after the first learns from and predicts, by loops over weeks."""
    by_block: dict[int, list[int]] = {}
    for era in scored.tolist():
        by_block.setdefault((era - first) // every, []).append(era)
    return [([era for era in known.tolist() if era < test[0] - weeks], test) for test in list(by_block.values())[1:]]


@given(eras=eras, every=st.integers(1, 60), held=st.integers(1, 100), later=st.integers(0, 5))
def test_a_block_learns_from_all_that_was_resolved_before_it_and_new_eras_move_none(
    eras: np.ndarray, every: int, held: int, later: int
) -> None:
    train, validation = eras[: -min(held, len(eras) - 2)], eras[-min(held, len(eras) - 2) :]
    settings = Split(method="purged_kfold", folds=2, chunk=10, window=None)
    try:
        made = splits.plan(train, validation, 20, settings, every)
        grown = splits.plan(train, np.append(validation, validation[-1] + 1 + np.arange(later)), 20, settings, every)
    except InputError:
        return
    assert np.array_equal(np.concatenate([block.test for block in made.blocks] or [eras[:0]]), made.validation)
    for block in made.blocks[:1]:
        assert block.train is train
    found = [(block.train.tolist(), block.test.tolist()) for block in made.blocks[1:]]
    assert found == expected_blocks(eras, made.validation, int(train[0]), 8, every)
    for block, same in zip(made.blocks[:-1], grown.blocks, strict=False):
        assert np.array_equal(block.train, same.train)
        assert np.array_equal(block.test, same.test)
    back = splits.from_json(splits.to_json({20: made}), 20)
    assert [block.train.tolist() for block in back.blocks] == [block.train.tolist() for block in made.blocks]
    if made.staleness is not None:
        ages = [int(era - block.train[-1]) for block in made.blocks for era in block.test]
        assert made.staleness == (min(ages), max(ages))


def test_the_lines_of_a_plan_say_how_stale_the_models_are() -> None:
    settings = Split(method="purged_kfold", folds=2, chunk=10, window=None)
    train, validation = np.arange(1, 61), np.arange(61, 101)
    [frozen] = splits.staleness_lines(splits.plan(train, validation, 20, settings))
    assert frozen == "validation is predicted by one model whose last training era lies 9 to 40 weeks before the era that it predicts"
    [fresh] = splits.staleness_lines(splits.plan(train, validation, 20, settings, 10))
    assert "by 4 models, fitted one after the other, whose last training era lies 9 to 18 weeks before" in fresh


def test_a_cadence_shorter_than_the_distance_of_eras() -> None:
    settings = Split(method="purged_kfold", folds=2, chunk=10, window=None)
    message = r"final\.retrain_every: a fit every 3 weeks, and neighbouring eras are 4 weeks apart.*expected at least 4"
    with pytest.raises(InputError, match=message):
        splits.plan(np.arange(1, 101, 4), np.arange(101, 181, 4), 20, settings, 3)


def test_a_chunk_within_the_purge() -> None:
    settings = Split(method="walk_forward", folds=2, chunk=8, window=None)
    with pytest.raises(InputError, match=r"split\.chunk: the test eras 9 to 16 and a purge of 8 weeks leave no era to train on"):
        splits.plan(np.arange(1, 101), np.arange(101, 121), 20, settings)
