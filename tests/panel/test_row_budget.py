"""Kinds that are fitted on a budget of rows: their needs are stated first, and compiled trees equal plain numpy's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from panels import view, write_panel

from erawise.models.logistic import model as logistic
from erawise.models.logistic.settings import Logistic
from erawise.models.random_forest import model as random_forest
from erawise.models.random_forest import nodes_compiled, nodes_plain
from erawise.models.random_forest.settings import RandomForest
from erawise.models.shared.protocol import GIB, Resources
from erawise.panel.panel import Panel
from erawise.running.errors import InputError

LOGISTIC = Logistic(kind="logistic", target="target", l2=10.0, max_iterations=200, max_rows=10**6, seed=1)
FOREST = RandomForest(
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


# ---- forests


@settings(max_examples=25)
@given(st.integers(0, 40), st.integers(1, 6), st.sampled_from(["int8", "float32"]), st.integers(0, 2**32 - 1))
def test_compiled_leaves_are_those_of_plain_numpy(rows: int, n_trees: int, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    trees = [_random_tree(rng) for _ in range(n_trees)]
    left, right, feature, threshold = (np.concatenate(arrays) for arrays in zip(*trees, strict=True))
    counts = np.array([len(tree[0]) for tree in trees], np.int32)
    value = rng.standard_normal(len(left))
    x = rng.integers(0, 5, (rows, 3)).astype(dtype)
    plain, compiled = np.zeros(rows), np.zeros(rows)
    forest = nodes_plain.TreeArrays(counts, left, right, feature, threshold, value)
    nodes_plain.add_leaves(x, forest, plain)
    nodes_compiled.add_leaves(x, forest, compiled)
    np.testing.assert_array_equal(compiled, plain)


def _random_tree(rng: np.random.Generator) -> tuple[NDArray, ...]:
    """Draw children, features and thresholds of a tree that grows at random leaves."""
    left, right = [nodes_plain.LEAF], [nodes_plain.LEAF]
    for _ in range(int(rng.integers(0, 6))):
        leaves = [node for node, child in enumerate(left) if child == nodes_plain.LEAF]
        node = int(rng.choice(leaves))
        left[node], right[node] = len(left), len(left) + 1
        left += [nodes_plain.LEAF] * 2
        right += [nodes_plain.LEAF] * 2
    n = len(left)
    return np.array(left, np.int32), np.array(right, np.int32), rng.integers(0, 3, n).astype(np.int32), rng.integers(0, 9, n) / 2


# ---- memory


@pytest.mark.parametrize(("kind", "chosen"), [(logistic, LOGISTIC), (random_forest, FOREST)])
def test_too_many_rows_are_refused_by_the_setting(kind: Any, chosen: Any, panel: Panel) -> None:
    ample = Resources(1, GIB, Path("scratch"))
    (needed,) = kind.needs(chosen, [(view(panel), None)], ample)
    (half,) = kind.needs(chosen.model_copy(update={"max_rows": 1200}), [(view(panel), None)], ample)
    assert half < needed
    with pytest.raises(InputError, match=r"resources\.memory: 2,400 rows of 8 features as floats \(max_rows\) need .* GiB"):
        kind.fit(chosen, view(panel), None, None, Resources(1, needed, Path("scratch")))
