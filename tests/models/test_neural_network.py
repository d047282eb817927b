"""The network's input: the order of its batches, data larger than the pool, and the memory that it needs."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from panels import view, write_panel
from threadpoolctl import threadpool_limits

from erawise.models.neural_network import batches
from erawise.models.neural_network import model as neural_network
from erawise.models.neural_network.settings import NeuralNetwork
from erawise.models.shared import common
from erawise.models.shared.protocol import GIB, Resources
from erawise.panel.panel import Panel
from erawise.running.errors import InputError

ERAS, ROWS = 12, 40
SETTINGS = NeuralNetwork(
    kind="neural_network",
    target="target",
    layers=[16, 8],
    dropout=0.1,
    learning_rate=0.01,
    l2=0.0001,
    batch_rows=64,
    epochs=6,
    early_stopping=3,
    seed=1,
)


def numbered(directory: Path, sizes: list[int], dtype: type = np.int8) -> Panel:
    """Make a panel whose features give the row's number in base 100, as the target does."""
    n = sum(sizes)
    rows = np.arange(n)
    features: NDArray = np.column_stack([rows % 100, rows // 100]).astype(dtype)
    return write_panel(directory, features, {"target": rows.astype(np.float32)}, np.repeat(np.arange(1, len(sizes) + 1), sizes))


def row_numbers(features: NDArray) -> NDArray[np.int64]:
    return features[:, 0].astype(np.int64) + 100 * features[:, 1].astype(np.int64)


def drawn(rows: batches.ViewRows, batch_rows: int, seed: int, n_epochs: int = 1) -> list[list[batches.Batch]]:
    return [list(epoch) for epoch in itertools.islice(batches.epochs(rows, "target", batch_rows, seed), n_epochs)]


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, (ERAS * ROWS, 10)).astype(np.int8)
    z = (x - 2.0) / np.sqrt(2)
    signal = 0.6 * z[:, 0] - 0.5 * z[:, 1] + 0.5 * rng.standard_normal(len(x))
    target = (np.searchsorted(np.quantile(signal, [0.05, 0.25, 0.75, 0.95]), signal) / 4).astype(np.float32)
    return write_panel(tmp_path_factory.mktemp("panel") / "planted", x, {"target": target}, np.repeat(np.arange(1, ERAS + 1), ROWS))


def fitted(panel: Panel, scratch: Path, inner: bool = False, rounds: int = 4) -> neural_network.Network:
    inner_view = view(panel, [11, 12]) if inner else None
    return neural_network.fit(SETTINGS, view(panel, range(1, 11)), inner_view, rounds, Resources(1, 8 * GIB, scratch))


@pytest.fixture(scope="module")
def networks(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, neural_network.Network]:
    """Return the network that stops early, and the one of four epochs; tests don't change them."""
    return {inner: fitted(panel, tmp_path_factory.mktemp("scratch"), inner) for inner in (True, False)}


# ---- batches


def test_rows_that_are_held_come_in_one_permutation_an_epoch(tmp_path: Path) -> None:
    rows = batches.ViewRows(view(numbered(tmp_path, [30, 50, 20])))
    rng = np.random.default_rng(5)
    for epoch in drawn(rows, 16, 5, 3):
        expected = rng.permutation(100)
        np.testing.assert_array_equal(np.concatenate([row_numbers(x) for x, _ in epoch]), expected)
        np.testing.assert_array_equal(np.concatenate([y for _, y in epoch]), expected)
        assert [len(x) for x, _ in epoch] == [16] * 6 + [4]


@settings(max_examples=40)
@given(st.lists(st.integers(1, 25), min_size=1, max_size=8), st.integers(1, 12), st.integers(1, 80), st.integers(0, 2**31))
def test_streamed_rows_come_once_an_epoch_with_their_targets(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], batch_rows: int, pool_bytes: int, seed: int
) -> None:
    rows = batches.ViewRows(view(numbered(tmp_path_factory.mktemp("panel"), sizes)), pool_bytes)
    for epoch in drawn(rows, batch_rows, seed, 2):
        found = np.concatenate([row_numbers(x) for x, _ in epoch])
        np.testing.assert_array_equal(np.sort(found), np.arange(sum(sizes)))
        np.testing.assert_array_equal(np.concatenate([y for _, y in epoch]), found)
        assert all(len(x) == batch_rows for x, _ in epoch[:-1])
        assert 1 <= len(epoch[-1][0]) <= batch_rows


def test_streamed_rows_are_shuffled_by_eras_and_within_the_pool(tmp_path: Path) -> None:
    sizes, pool_rows, batch_rows = [10] * 20, 40, 8
    rows = batches.ViewRows(view(numbered(tmp_path, sizes)), 2 * pool_rows)
    assert rows.held is None
    first, second = ([row_numbers(x) for x, _ in epoch] for epoch in drawn(rows, batch_rows, 3, 2))
    rng = np.random.default_rng(3)
    eras = rng.permutation(np.arange(20))
    pool = np.concatenate([np.arange(10 * era, 10 * era + 10) for era in eras[:4]])
    np.testing.assert_array_equal(np.concatenate(first[:5]), pool[rng.permutation(pool_rows)])
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))


@pytest.mark.parametrize("pool_bytes", [60, 10**6])
def test_the_order_hangs_on_the_seed_and_on_no_timing(pool_bytes: int, tmp_path: Path) -> None:
    rows = batches.ViewRows(view(numbered(tmp_path, [9] * 15)), pool_bytes)
    quick = drawn(rows, 7, 4, 2)
    slow: list[list[batches.Batch]] = []
    for epoch in itertools.islice(batches.epochs(rows, "target", 7, 4), 2):
        slow.append([])
        for batch in epoch:
            time.sleep(0.001)
            slow[-1].append(batch)
    other = drawn(rows, 7, 5, 2)
    as_one = [np.concatenate([y for epoch in run for _, y in epoch]) for run in (quick, slow, other)]
    np.testing.assert_array_equal(as_one[0], as_one[1])
    assert not np.array_equal(as_one[0], as_one[2])


def test_rows_without_a_target_are_never_drawn(tmp_path: Path) -> None:
    target = np.arange(60, dtype=np.float32)
    target[::7] = np.nan
    features = np.column_stack([np.arange(60), np.zeros(60)]).astype(np.int8)
    panel = write_panel(tmp_path, features, {"target": target}, np.repeat([1, 2, 3], 20))
    for pool_bytes in (40, 10**6):
        (epoch,) = drawn(batches.ViewRows(view(panel), pool_bytes), 8, 1)
        found = np.concatenate([row_numbers(x) for x, _ in epoch])
        np.testing.assert_array_equal(np.sort(found), np.flatnonzero(~np.isnan(target)))
        np.testing.assert_array_equal(np.concatenate([y for _, y in epoch]), found)


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_held_and_streamed_rows_have_the_same_blocks_and_standardisation(dtype: type, tmp_path: Path) -> None:
    seen = view(numbered(tmp_path, [30, 1, 50, 20], dtype))
    held, streamed = batches.ViewRows(seen), batches.ViewRows(seen, 100)
    assert held.held is not None
    assert streamed.held is None
    assert held.dtype == streamed.dtype == dtype
    np.testing.assert_array_equal(np.concatenate(list(streamed.blocks())), seen.matrix())
    for a, b in zip(held.standardisation(), streamed.standardisation(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0 if dtype is np.int8 else 1e-12)


# ---- batches made ahead


def test_what_is_made_ahead_keeps_its_order_and_its_bound() -> None:
    started = []

    def items() -> Iterator[int]:
        for k in range(20):
            started.append(k)
            yield k

    taken = []
    for item in batches.ahead(items(), 3):
        time.sleep(0.002)
        assert len(started) <= item + 1 + 3
        taken.append(item)
    assert taken == list(range(20))


def test_an_error_made_ahead_arrives_and_leaving_early_ends_the_thread() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise InputError("the file was changed")

    made = batches.ahead(items(), 4)
    assert next(made) == 1
    with pytest.raises(InputError, match="the file was changed"):
        next(made)
    threads = threading.active_count()
    endless: Any = batches.ahead(itertools.count(1), 4)
    assert next(endless) == 1
    endless.close()
    assert threading.active_count() == threads


# ---- networks


def test_data_beyond_the_pool_is_learned_the_same_between_runs(panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches.ViewRows.__init__, "__defaults__", (1500,))
    saved = []
    for inner in (False, False, True, True):
        network = fitted(panel, tmp_path, inner)
        network.save(tmp_path)
        saved.append((tmp_path / neural_network.FILE).read_bytes())
        score = common.EraCorrelation.from_view(view(panel, [11, 12]))
        assert score(network.predict(view(panel, [11, 12]).matrix())) > 0.5
    assert saved[0] == saved[1] != saved[2] == saved[3]


def test_a_streamed_inner_slice_finds_the_same_epoch(
    panel: Panel, networks: dict[bool, neural_network.Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = networks[True]
    whole = batches.ViewRows
    monkeypatch.setattr(batches, "ViewRows", lambda seen: whole(seen, 100) if len(np.unique(seen.era)) == 2 else whole(seen))
    streamed = fitted(panel, tmp_path, inner=True)
    assert streamed.rounds == held.rounds
    x = view(panel).matrix()
    np.testing.assert_array_equal(streamed.predict(x), held.predict(x))


def test_compiled_predictions_are_the_models_own(panel: Panel, networks: dict[bool, neural_network.Network]) -> None:
    network = networks[False]
    compiled = neural_network.compiled_prediction(network.model)
    x = view(panel).matrix()
    own = np.asarray(network.model(x.astype(np.float32), training=False))[:, 0]
    for given_x in (x, x.astype(np.float32)):
        np.testing.assert_array_equal(compiled(given_x), own)


@pytest.mark.parametrize("inner", [False, True])
def test_predictions_are_those_of_tensorflow_within_the_rounding_of_float32(
    panel: Panel, networks: dict[bool, neural_network.Network], inner: bool
) -> None:
    network = networks[inner]
    x = view(panel).matrix()
    whole = network.predict(x)
    np.testing.assert_allclose(whole, neural_network.compiled_prediction(network.model)(x), rtol=1e-5)
    assert np.ptp(whole) > 0.1
    for given_x in (x.astype(np.float32), x.astype(np.float64)):
        np.testing.assert_array_equal(network.predict(given_x), whole)


def test_a_prediction_hangs_on_no_number_of_threads_and_no_neighbour(panel: Panel, networks: dict[bool, neural_network.Network]) -> None:
    network = networks[False]
    x = np.tile(view(panel).matrix(), (5, 1))
    with threadpool_limits(1, user_api="blas"):
        alone = network.predict(x)
    with threadpool_limits(2, user_api="blas"):
        np.testing.assert_array_equal(network.predict(x), alone)
    np.testing.assert_array_equal(alone[: ERAS * ROWS], alone[-ERAS * ROWS :])


def test_too_little_memory_is_said_before_the_start(panel: Panel, tmp_path: Path) -> None:
    needed = neural_network.required_bytes(SETTINGS, view(panel))
    assert needed < GIB
    with pytest.raises(InputError, match="the network and its batches need"):
        neural_network.fit(SETTINGS, view(panel), None, 1, Resources(1, needed, tmp_path))
