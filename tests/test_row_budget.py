"""Kinds that are fitted on a budget of rows: what they need is said first, and the engine for many rows agrees with the one for few."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from panels import view, write_panel

from erawise import params
from erawise.errors import InputError
from erawise.models import common, logistic, random_forest
from erawise.models.protocol import GIB, Resources
from erawise.panel import Panel

LOGISTIC = params.Logistic(kind="logistic", target="target", l2=10.0, max_iterations=200, max_rows=10**6, seed=1)
FOREST = params.RandomForest(
    kind="random_forest",
    target="target",
    trees=5,
    max_depth=4,
    feature_share=0.5,
    min_rows_leaf=5,
    row_share=0.5,
    max_rows=10**6,
    seed=1,
)


@pytest.fixture(scope="module", params=["int8", "float32"])
def panel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Panel:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, (2400, 8)).astype(request.param)
    x[:, 3] = 2
    signal = x[:, 0] - 0.7 * x[:, 1] + 1.5 * rng.standard_normal(len(x))
    target = (np.searchsorted(np.quantile(signal, [0.05, 0.25, 0.75, 0.95]), signal) / 4).astype(np.float32)
    return write_panel(tmp_path_factory.mktemp("panel") / request.param, x, {"target": target}, np.repeat(np.arange(1, 13), 200))


def fit_logistic(panel: Panel, threads: int = 2, **values: Any) -> logistic.Logistic:
    resources = Resources(threads, 8 * GIB, Path("scratch"))
    return logistic.fit(LOGISTIC.model_copy(update=values), view(panel), None, None, resources)


# ---- logistic regression in chunks


@pytest.mark.parametrize("l2", [0.0, 10.0, 1000.0])
def test_chunks_find_what_scikit_learn_finds(l2: float, panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit_logistic(panel, l2=l2)
    monkeypatch.setattr(logistic, "WHOLE_BYTES", 0)
    chunked = fit_logistic(panel, l2=l2)
    np.testing.assert_allclose(chunked.coefficients, whole.coefficients, rtol=0, atol=2e-5)
    assert chunked.intercept == pytest.approx(whole.intercept, abs=2e-5)
    assert chunked.coefficients[3] == 0
    assert abs(chunked.coefficients[0]) > 0.3


def test_the_threads_change_no_bit(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "WHOLE_BYTES", 0)
    monkeypatch.setattr(logistic, "CHUNK_ROWS", 100)
    one, three = (fit_logistic(panel, threads) for threads in (1, 3))
    np.testing.assert_array_equal(one.coefficients, three.coefficients)
    assert one.intercept == three.intercept


def slow_loss(z: NDArray, above: NDArray, l2: float, w: NDArray, b: float) -> float:
    total = sum(np.logaddexp(0, -(2 * float(c) - 1) * (float(row @ w) + b)) for row, c in zip(z, above, strict=True))
    return (total + l2 / 2 * float(w @ w)) / len(z)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), st.floats(0, 20), st.integers(0, 2**32 - 1))
def test_loss_and_gradient_equal_a_plain_loop(rows: int, n: int, l2: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, above = rng.integers(0, 5, (rows, n)).astype(np.int8), rng.random(rows) < 0.5
    mean, std = common.standardisation([x], n)
    scale = common.inverse(std)
    z = (x - mean) * scale
    with ThreadPoolExecutor(2) as pool:
        loss = logistic._Loss(x, above, mean, scale, l2, pool)
        parameters = rng.standard_normal(n + 1)
        value, gradient = loss(parameters)
    assert value == pytest.approx(slow_loss(z, above, l2, parameters[:-1], parameters[-1]), rel=1e-12)
    step = 1e-6
    for k in range(n + 1):
        up, down = parameters.copy(), parameters.copy()
        up[k] += step
        down[k] -= step
        slope = (slow_loss(z, above, l2, up[:-1], up[-1]) - slow_loss(z, above, l2, down[:-1], down[-1])) / (2 * step)
        assert gradient[k] == pytest.approx(slope, abs=1e-7)


# ---- forests


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 40), st.integers(1, 6), st.sampled_from(["int8", "float32"]), st.integers(0, 2**32 - 1))
def test_compiled_leaves_are_those_of_plain_numpy(rows: int, n_trees: int, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    trees = [_random_tree(rng) for _ in range(n_trees)]
    left, right, feature, threshold = (np.concatenate(arrays) for arrays in zip(*trees, strict=True))
    counts = np.array([len(tree[0]) for tree in trees], np.int32)
    value = rng.standard_normal(len(left))
    x = rng.integers(0, 5, (rows, 3)).astype(dtype)
    plain, compiled = np.zeros(rows), np.zeros(rows)
    random_forest._add_leaves_plain(x, counts, left, right, feature, threshold, value, plain)
    random_forest._add_leaves_compiled(x, counts, left, right, feature, threshold, value, compiled)
    np.testing.assert_array_equal(compiled, plain)


def _random_tree(rng: np.random.Generator) -> tuple[NDArray, ...]:
    """Children, features and thresholds of a tree that grows at random leaves."""
    left, right = [random_forest.LEAF], [random_forest.LEAF]
    for _ in range(int(rng.integers(0, 6))):
        leaves = [node for node, child in enumerate(left) if child == random_forest.LEAF]
        node = int(rng.choice(leaves))
        left[node], right[node] = len(left), len(left) + 1
        left += [random_forest.LEAF] * 2
        right += [random_forest.LEAF] * 2
    n = len(left)
    return np.array(left, np.int32), np.array(right, np.int32), rng.integers(0, 3, n).astype(np.int32), rng.integers(0, 9, n) / 2


# ---- memory


@pytest.mark.parametrize(("kind", "chosen", "words"), [(logistic, LOGISTIC, "features"), (random_forest, FOREST, "features as floats")])
def test_too_many_rows_are_refused_by_the_setting(kind: Any, chosen: Any, words: str, panel: Panel) -> None:
    needed = kind.required_bytes(chosen, view(panel), 1)
    half = kind.required_bytes(chosen.model_copy(update={"max_rows": 1200}), view(panel), 1)
    assert half < needed
    with pytest.raises(InputError, match=rf"resources\.memory: 2,400 rows of 8 {words} \(max_rows\) need .* GiB"):
        kind.fit(chosen, view(panel), None, None, Resources(1, needed, Path("scratch")))
