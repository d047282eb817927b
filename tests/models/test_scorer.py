"""The fast prediction of LightGBM's trees: the same bits as `Booster.predict`."""

import functools
from collections.abc import Callable

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from erawise.models.lightgbm import scorer
from erawise.models.lightgbm.scorer import Scorer
from erawise.models.lightgbm.trees import Trees, walk
from erawise.running.errors import InputError

SPECIAL = np.array([0.0, -0.0, 1e-36, -1e-36, 1e-35, 1.1e-35, -1.1e-35, 0.5, 1.0, -1.0, np.nan, np.inf, -np.inf, 3e38, -3e38], np.float32)
FLAVOURS = ("ranks", "wide", "float", "zero_as_missing", "tied")


def draw(flavour: str, rows: int, features: int, seed: int, special: NDArray = SPECIAL) -> NDArray:
    """Draw features of a kind that leads to its own missing type and thresholds."""
    rng = np.random.default_rng(seed)
    if flavour == "ranks":
        return rng.integers(0, 5, (rows, features)).astype(np.int8)
    if flavour == "wide":
        return rng.integers(-128, 128, (rows, features)).astype(np.int8)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    if flavour == "tied":
        x = np.round(x)
    odd = rng.random(x.shape) < 0.2
    x[odd] = rng.choice(special, odd.sum())
    return x


@functools.cache
def trained(flavour: str, leaves: int, depth: int, trees: int, seed: int, features: int = 6) -> str:
    """Train a model, and return its text; feature 0 is constant, and with the seed 0 no tree has a split."""
    x = draw(flavour, 600, features, seed, SPECIAL[:11] if flavour == "float" else SPECIAL[:10])
    x[:, 0] = 2
    rng = np.random.default_rng(seed + 1)
    y = np.nan_to_num(x[:, 1].astype(np.float64)) * np.sign(x[:, 2]) / 10 + rng.normal(size=len(x))
    options = {
        "objective": "regression",
        "num_leaves": leaves,
        "max_depth": depth,
        "min_data_in_leaf": 2 if seed else 600,
        "learning_rate": 0.3,
        "zero_as_missing": flavour == "zero_as_missing",
        "use_missing": flavour != "tied",
        "num_threads": 1,
        "seed": seed,
        "verbosity": -1,
    }
    return lightgbm.train(options, lightgbm.Dataset(x.astype(np.float32), np.nan_to_num(y)), trees).model_to_string()


def theirs(text: str, x: NDArray) -> NDArray[np.float64]:
    return lightgbm.Booster(model_str=text).predict(x, num_threads=1) if len(x) else np.zeros(0)


def assert_same_bits(found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    np.testing.assert_array_equal(found.view(np.int64), expected.view(np.int64))


def text_of(*trees: dict[str, object], features: int = 2) -> str:
    """Write a model text by hand, from nodes and leaves given as lists."""
    blocks = []
    for number, tree in enumerate(trees):
        lines = {"num_leaves": len(tree["leaf_value"]), "num_cat": 0, **tree, "is_linear": 0, "shrinkage": 1}  # type: ignore[arg-type]
        shown = {key: " ".join(map(repr, value)) if isinstance(value, list) else value for key, value in lines.items()}
        blocks.append(f"Tree={number}\n" + "".join(f"{key}={value}\n" for key, value in shown.items()) + "\n\n")
    names = " ".join(f"f{k}" for k in range(features))
    infos = " ".join(["[-9:9]"] * features)
    header = ["tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0", f"max_feature_idx={features - 1}"]
    header += ["objective=regression", f"feature_names={names}", f"feature_infos={infos}"]
    header.append("tree_sizes=" + " ".join(str(len(block)) for block in blocks))
    return "\n".join(header) + "\n\n" + "".join(blocks) + "end of trees\n\nfeature_importances:\n\nparameters:\nend of parameters\n"


def stump(threshold: float, kind: int, values: tuple[float, float] = (1.0, 2.0), feature: int = 0) -> dict[str, object]:
    return {
        "split_feature": [feature],
        "split_gain": [1],
        "threshold": [threshold],
        "decision_type": [kind],
        "left_child": [-1],
        "right_child": [-2],
        "leaf_value": list(values),
        "leaf_count": [1, 1],
        "leaf_weight": [1, 1],
        "internal_value": [0],
        "internal_weight": [1],
        "internal_count": [2],
    }


CONSTANT: dict[str, object] = {key: [0.25] if key == "leaf_value" else [1] if key.startswith("leaf") else [] for key in stump(0, 0)}

cases = st.tuples(
    st.sampled_from(FLAVOURS),
    st.sampled_from([2, 3, 5, 31, 32, 33, 40, 100]),
    st.sampled_from([-1, 1, 5]),
    st.integers(1, 12),
    st.integers(0, 3),
)


@settings(max_examples=60)
@given(
    cases,
    st.integers(0, 1100),
    st.sampled_from(["C", "F", "strided"]),
    st.integers(1, 3),
    st.sampled_from([np.int8, np.float32, np.float64]),
)
def test_bits_are_those_of_lightgbm(case: tuple, rows: int, layout: str, threads: int, dtype: type) -> None:
    text = trained(*case)
    flavour = case[0] if dtype is not np.int8 or case[0] in ("ranks", "wide") else "wide"
    x: NDArray = draw(flavour, rows, 6, 99).astype(dtype)
    if layout == "F":
        x = np.asfortranarray(x)
    elif layout == "strided":
        x = np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3]
    assert_same_bits(Scorer.from_text(text).predict(x, threads), theirs(text, x))


@settings(max_examples=25)
@given(cases, st.sampled_from([np.int8, np.float32]))
def test_the_plain_walk_gives_the_same_bits(case: tuple, dtype: type) -> None:
    text = trained(*case)
    x: NDArray = draw("wide" if dtype is np.int8 else case[0], 300, 6, 7).astype(dtype)
    assert_same_bits(walk(Trees.from_text(text), x), theirs(text, x))


@pytest.mark.parametrize(("leaves", "bits"), [(300, 9), (600, 10)])
def test_trees_whose_codes_take_more_than_a_byte(leaves: int, bits: int) -> None:
    x = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32)
    y = np.random.default_rng(1).normal(size=2000)
    options = {"num_leaves": leaves, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0, "num_threads": 1, "verbosity": -1}
    text = lightgbm.train({**options, "objective": "regression"}, lightgbm.Dataset(x, y), 4).model_to_string()
    found = Scorer.from_text(text)
    if found.program is not None:
        assert int(np.diff(found.program.first_bit).max()) >= bits
    assert_same_bits(found.predict(x), theirs(text, x))


@pytest.mark.parametrize("kind", [0, 2, 4, 6, 8, 10])
@pytest.mark.parametrize(
    "threshold", [-1e-35, -1e-40, 0.0, 1.0000000180025095e-35, 0.5, -0.5, 0.1, 1e300, -1e300, 127.0, 126.5, -128.5, -128.0]
)
def test_every_missing_type_and_default_side(kind: int, threshold: float) -> None:
    text = text_of(stump(threshold, kind), stump(threshold, kind ^ 2, (0.1, 0.7), feature=1), CONSTANT)
    x = np.stack([SPECIAL, SPECIAL[::-1]], axis=1)
    whole = np.array([[-128, 127], [127, -128], [0, 0], [1, 0], [0, 1], [-1, 126]], np.int8)
    blocks: list[NDArray] = [x, x.astype(np.float64), np.array([[0.1, np.nextafter(0.1, 1)]]), whole]
    for rows in blocks:
        assert_same_bits(Scorer.from_text(text).predict(rows), theirs(text, rows))
        assert_same_bits(walk(Trees.from_text(text), rows), theirs(text, rows))


def test_values_are_added_in_the_order_of_the_trees() -> None:
    big = stump(1.5, 0, (1e16, -1e16))
    text = text_of(big, stump(1.5, 0, (1.0, 1.0)), stump(1.5, 0, (-1e16, 1e16)), CONSTANT)
    found = Scorer.from_text(text).predict(np.array([[1, 0], [2, 0]], np.int8))
    np.testing.assert_array_equal(found, [1e16 + 1.0 - 1e16 + 0.25, -1e16 + 1.0 + 1e16 + 0.25])


def test_a_tree_by_hand() -> None:
    tree = stump(1.5, 2) | {"split_feature": [0, 1, 1], "threshold": [1.5, 0.5, 2.5], "decision_type": [2, 2, 2], "split_gain": [1, 1, 1]}
    tree |= {"left_child": [1, -1, -2], "right_child": [2, -3, -4], "leaf_value": [1.0, 2.0, 3.0, 4.0], "leaf_count": [1] * 4}
    found = Scorer.from_text(text_of(tree)).predict(np.array([[1, 0], [1, 1], [2, 2], [2, 3]], np.int8))
    np.testing.assert_array_equal(found, [1.0, 3.0, 2.0, 4.0])


def test_a_model_without_a_split() -> None:
    text = text_of(CONSTANT, CONSTANT)
    for dtype in (np.int8, np.float32, np.float64):
        np.testing.assert_array_equal(Scorer.from_text(text).predict(np.zeros((3, 2), dtype)), [0.5, 0.5, 0.5])


def test_a_mapped_file_is_read_where_it_is(tmp_path) -> None:  # type: ignore[no-untyped-def]
    text, x = trained("ranks", 31, 5, 8, 1), draw("ranks", 700, 6, 3)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")[100:650]
    assert_same_bits(Scorer.from_text(text).predict(mapped, 2), theirs(text, x[100:650]))


def test_threads_and_neighbours_change_nothing() -> None:
    text, x = trained("ranks", 31, 5, 12, 1), draw("ranks", 9000, 6, 4)
    found = Scorer.from_text(text)
    whole = found.predict(x)
    for threads in (2, 3, 16):
        assert_same_bits(found.predict(x, threads), whole)
    assert_same_bits(np.concatenate([found.predict(x[a : a + 777]) for a in range(0, 9000, 777)]), whole)


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_without_numba(monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    text = trained("ranks", 31, 5, 12, 1)
    x: NDArray = draw("ranks", 900, 6, 4).astype(dtype)
    fast = Scorer.from_text(text).predict(x)
    monkeypatch.setattr(scorer, "FAST", False)
    plain = Scorer.from_text(text)
    assert plain.program is None
    assert_same_bits(plain.predict(x, 2), fast)


def test_another_number_of_features() -> None:
    with pytest.raises(InputError, match="fitted on 6 features and is given 7; train it again"):
        Scorer.from_text(trained("ranks", 5, -1, 2, 1)).predict(np.zeros((3, 7), np.int8))


def test_another_dtype() -> None:
    with pytest.raises(ValueError, match="not int64"):
        Scorer.from_text(trained("ranks", 5, -1, 2, 1)).predict(np.zeros((3, 6), np.int64))


GOOD = text_of(stump(1.5, 2), CONSTANT)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("objective=regression", "objective=binary sigmoid:1"), "no plain regression"),
        (lambda text: text.replace("num_class=1", "num_class=3"), "no plain regression"),
        (lambda text: text.replace("\n\nTree=0", "\naverage_output\n\nTree=0"), "no plain regression"),
        (lambda text: text.replace("num_cat=0", "num_cat=1", 1), "categorical"),
        (lambda text: text.replace("is_linear=0", "is_linear=1", 1), "categorical splits or linear"),
        (lambda text: text.replace("threshold=1.5", "threshold="), "too few"),
        (lambda text: text.replace("left_child=-1", "left_child=1"), "outside of its tree"),
        (lambda text: text.replace("left_child=-1", "left_child=0"), "outside of its tree"),
        (lambda text: text.replace("right_child=-2", "right_child=-3"), "outside of its tree"),
        (lambda text: text.replace("split_feature=0", "split_feature=2"), "doesn't have"),
        (lambda text: text.replace("split_feature=0", "split_feature=-1"), "doesn't have"),
        (lambda text: text.replace("threshold=1.5\n", ""), "too few"),
        (lambda text: text.replace("max_feature_idx", "max"), "has no 'max_feature_idx'"),
        (lambda text: text.replace("leaf_value", "leaf"), "has no 'leaf_value'"),
    ],
)
def test_what_it_cannot_do_is_refused(change: Callable[[str], str], reason: str) -> None:
    Scorer.from_text(GOOD)
    assert change(GOOD) != GOOD
    with pytest.raises(ValueError, match=reason):
        Scorer.from_text(change(GOOD))


def test_a_node_of_two_parents_is_refused() -> None:
    tree = {key: value * 2 if key.startswith(("split", "thr", "dec", "int")) else value for key, value in stump(1.5, 2).items()}  # type: ignore[operator]
    tree |= {"left_child": [1, -1], "right_child": [1, -2], "leaf_value": [1.0, 2.0, 3.0]}
    with pytest.raises(ValueError, match="no parent or two"):
        Scorer.from_text(text_of(tree))


def test_too_many_leaves_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "MOST_LEAVES", 4)
    Scorer.from_text(trained("ranks", 3, -1, 2, 1))
    with pytest.raises(ValueError, match="more than 4 leaves"):
        Scorer.from_text(trained("ranks", 5, -1, 2, 1))
