"""Binned features in files: LightGBM's own bytes for any rows; shared, whole or not there, and refused if they don't fit."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import lightgbm as official
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from panels import matrix_of, view, write_panel

from erawise.base import jit
from erawise.models.lightgbm import binary, binned
from erawise.models.lightgbm import model as lightgbm
from erawise.models.lightgbm.settings import LightGBM
from erawise.models.shared.protocol import GIB, LIBRARY_BYTES, Resources
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.running.errors import InputError

SETTINGS = LightGBM(
    kind="lightgbm",
    target="target",
    trees=30,
    learning_rate=0.1,
    max_depth=4,
    leaves=8,
    feature_share=0.5,
    min_rows_leaf=5,
    l2=0.0,
    early_stopping=5,
    seed=1,
)


def options(dtype: np.dtype) -> dict[str, object]:
    return {**lightgbm._of_dataset(dtype), "num_threads": 1}


def official_bytes(x: NDArray, directory: Path, reference: official.Dataset | None = None) -> bytes:
    path = directory / "official.bin"
    path.unlink(missing_ok=True)
    names = [f"column_{k}" for k in range(x.shape[1])]
    official.Dataset(x, params=options(x.dtype), feature_name=names, reference=reference).construct().save_binary(path)
    return path.read_bytes()


def our_bytes(x: NDArray, layout: binary.Layout, sizes: list[int], directory: Path, threads: int = 1) -> bytes:
    def blocks() -> Iterator[tuple[int, NDArray]]:
        start = 0
        for era, size in enumerate(sizes):
            yield era, x[start : start + size]
            start += size

    path = directory / "ours"
    binary.write([(path, [layout], len(x), blocks())], threads)
    return (path / "0000.bin").read_bytes()


def draw(kind: str, rows: int, seed: int) -> NDArray:
    """Draw features of all sorts: common values, constants, two values, and for floats also ties and many values."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, (rows, 9)) if kind != "many" else rng.integers(-128, 128, (rows, 9))
    x[:, 1] = 3
    x[:, 2] = np.where(rng.random(rows) < 0.85, 2, x[:, 2])
    x[:, 3] = rng.integers(0, 2, rows) * 4
    x[:, 4] = 0
    if kind == "float":
        return np.column_stack([x[:, :5], rng.normal(size=(rows, 3)), rng.random(rows).round(1)]).astype(np.float32)
    return x.astype(np.int8)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@settings(max_examples=40)
@given(
    kind=st.sampled_from(["int8", "many", "float"]),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
    threads=st.integers(1, 3),
)
def test_a_file_has_the_bytes_that_lightgbm_itself_saves(kind: str, sizes: list[int], seed: int, threads: int, scratch: Path) -> None:
    x = draw(kind, sum(sizes) + 20, seed)[: sum(sizes)]
    saved = official_bytes(x, scratch)
    layout = binary.learn(saved, x)
    assert our_bytes(x, layout, sizes, scratch, threads) == saved


@pytest.mark.parametrize("kind", ["int8", "many", "float"])
def test_rows_beyond_the_sample_are_stored_as_lightgbm_would_with_its_bins(kind: str, scratch: Path) -> None:
    x = draw(kind, 1501, 5)
    sample = x[::3]
    own = our_bytes(x, binary.learn(official_bytes(sample, scratch), sample), [700, 1, 800], scratch)
    (scratch / "x.bin").write_bytes(own)
    reference = official.Dataset(sample, params=options(x.dtype)).construct()
    y = np.random.default_rng(0).normal(size=len(x)).astype(np.float32)
    fitting = {**options(x.dtype), "min_data_in_leaf": 5}
    loaded = official.train(fitting, official.Dataset(scratch / "x.bin", y), 20)
    usual = official.train(fitting, official.Dataset(x, y, reference=reference, params=fitting), 20)
    np.testing.assert_array_equal(loaded.predict(x), usual.predict(x))


@pytest.mark.parametrize("kind", ["int8", "float"])
def test_plain_and_compiled_packing_agree(kind: str, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "MIN_BYTES", 0)
    x = draw(kind, 403, 8)
    layout = binary.learn(official_bytes(x, scratch), x)
    compiled = our_bytes(x, layout, [101, 1, 301], scratch)
    monkeypatch.setattr(jit, "enabled", lambda: False)
    assert our_bytes(x, layout, [101, 1, 301], scratch) == compiled


def test_a_file_of_another_format_is_refused(scratch: Path) -> None:
    x = draw("int8", 60, 1)
    saved = official_bytes(x, scratch)
    for broken in (saved[:-9], saved[:30], b"x" + saved[1:], saved + b"\0" * 9, saved[:-20] + bytes([saved[-20] ^ 1]) + saved[-19:]):
        with pytest.raises(binary.FormatError):
            binary.learn(broken, x)


def test_blocks_that_are_too_few_leave_no_file(scratch: Path) -> None:
    x = draw("int8", 60, 1)
    layout = binary.learn(official_bytes(x, scratch), x)
    with pytest.raises(ValueError, match="60 rows and was given 59"):
        binary.write([(scratch / "short", [layout], 60, iter([(1, x[:59])]))], 1)
    assert not list(scratch.glob("*short*"))


def test_a_full_disk_is_said_and_leaves_no_file(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    x = draw("int8", 60, 1)
    layout = binary.learn(official_bytes(x, scratch), x)
    monkeypatch.setattr(binary, "_allocate", full)
    with pytest.raises(InputError, match=r"no space for the [\d,]+ bytes of the binned features"):
        our_bytes(x, layout, [60], scratch)
    assert not list(scratch.glob("*ours.partial"))


@pytest.fixture
def panel(tmp_path: Path) -> Panel:
    rng = np.random.default_rng(4)
    features = rng.integers(0, 5, (400, 12)).astype(np.int8)
    target = np.where(rng.random(400) < 0.1, np.nan, rng.random(400)).astype(np.float32)
    return write_panel(tmp_path / "panel", features, {"target": target, "other": rng.random(400)}, np.repeat(np.arange(1, 11), 40))


def datasets(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_dir()]


def resources(directory: Path, memory: int = 8 * GIB, threads: int = 1) -> Resources:
    return Resources(threads, memory, directory)


def test_targets_and_seeds_share_files_and_other_rows_or_features_have_their_own(panel: Panel, tmp_path: Path) -> None:
    directory = tmp_path / "scratch"
    whole = View(panel, range(1, 9), FeatureMap(panel.names), "other")
    lightgbm.prepare(SETTINGS, [(whole, None)], resources(directory))
    [path] = datasets(directory)
    written = path.stat().st_mtime_ns
    lightgbm.fit(SETTINGS, whole, None, 3, resources(directory))
    lightgbm.fit(SETTINGS.model_copy(update={"seed": 9, "min_rows_leaf": 9}), whole, None, 3, resources(directory))
    assert [found.stat().st_mtime_ns for found in datasets(directory)] == [written]
    lightgbm.fit(SETTINGS, View(panel, range(1, 9), FeatureMap(panel.names), "target"), None, 3, resources(directory))
    assert len(datasets(directory)) == 2
    lightgbm.fit(SETTINGS, View(panel, range(1, 9), FeatureMap(panel.names[:5]), "other"), None, 3, resources(directory))
    assert len(datasets(directory)) == 3


def test_files_of_other_prepared_data_are_not_used(panel: Panel, tmp_path: Path) -> None:
    directory = tmp_path / "scratch"
    lightgbm.prepare(SETTINGS, [(view(panel, range(1, 9)), None)], resources(directory))
    features = matrix_of(panel)[:, ::-1].copy()
    other = write_panel(tmp_path / "other", features, {"target": panel.index["target"].to_numpy()}, np.repeat(np.arange(1, 11), 40))
    lightgbm.prepare(SETTINGS, [(view(other, range(1, 9)), None)], resources(directory))
    assert len(datasets(directory)) == 2


def test_files_depend_on_their_own_eras_and_on_no_others(panel: Panel, tmp_path: Path) -> None:
    directory, known = tmp_path / "scratch", matrix_of(panel)
    lightgbm.prepare(SETTINGS, [(view(panel, range(2, 9), "other"), None)], resources(directory))
    later = np.vstack([known[::-1][:35], known[40:], known[:40]])
    more = write_panel(tmp_path / "more", later, {"target": np.ones(len(later))}, np.repeat(np.arange(1, 12), [35, *[40] * 10]))
    lightgbm.prepare(SETTINGS, [(view(more, range(2, 9)), None)], resources(directory))
    assert len(datasets(directory)) == 1
    later[35 + 6 * 40 + 3, 0] ^= 1
    other = write_panel(tmp_path / "other", later, {"target": np.ones(len(later))}, more.row_eras)
    lightgbm.prepare(SETTINGS, [(view(other, range(2, 9)), None)], resources(directory))
    assert len(datasets(directory)) == 2


def test_a_fit_is_the_same_with_files_there_or_not_and_with_other_threads(panel: Panel, tmp_path: Path) -> None:
    train, inner = view(panel, range(1, 8)), view(panel, range(9, 11))
    first = lightgbm.fit(SETTINGS, train, inner, None, resources(tmp_path / "a"))
    lightgbm.prepare(SETTINGS, [(train, inner), (view(panel, range(1, 11)), None)], resources(tmp_path / "b", threads=2))
    second = lightgbm.fit(SETTINGS, train, inner, None, resources(tmp_path / "b", threads=2))
    x = matrix_of(panel)
    np.testing.assert_array_equal(first.predict(x), second.predict(x))
    assert first.rounds == second.rounds


def test_a_fit_that_needs_more_memory_than_it_may_have_is_refused_before_it_starts(panel: Panel, tmp_path: Path) -> None:
    train = view(panel, range(1, 9))
    with pytest.raises(InputError, match=r"resources\.memory: LightGBM on \d+ rows and 12 features need 0\.25 GiB, more than 0\.25 GiB"):
        lightgbm.fit(SETTINGS, train, None, 3, resources(tmp_path / "scratch", memory=LIBRARY_BYTES))


def test_memory_grows_with_what_a_fit_holds() -> None:
    base = {"rows": 10**6, "features": 100, "leaves": 31, "bins": 5}
    least = lightgbm.required_bytes([10**8] * 10, **base)
    assert least > 1.3 * 10**9
    assert lightgbm.required_bytes([10**8] * 20, **base) > least + 10**9
    assert all(lightgbm.required_bytes([10**8] * 10, **{**base, key: 2 * value}) > least for key, value in base.items())


def test_too_little_disk_is_said_before_anything_is_written(panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(InputError, match=r"binned features need .* GB of disk and 0\.00 GB are free"):
        lightgbm.prepare(SETTINGS, [(view(panel, range(1, 9)), None)], resources(tmp_path / "scratch"))
    assert not datasets(tmp_path / "scratch")


@pytest.mark.parametrize(
    ("device", "fault", "message"),
    [
        (
            "cuda",
            "CUDA isn't in this build",
            r"resources\.device: LightGBM can't grow trees on 'cuda' \(CUDA isn't in this build\); set it to cpu",
        ),
        ("cpu", "std::bad_alloc", r"LightGBM was given less memory than the 0\.00 GiB that it needs"),
    ],
)
def test_what_lightgbm_lacks_is_said(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, fault: str, message: str
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise official.basic.LightGBMError(fault)

    monkeypatch.setattr(official, "train", fail)
    with pytest.raises(InputError, match=message):
        lightgbm.fit(SETTINGS, view(panel, range(1, 9)), None, 3, Resources(1, 8 * GIB, tmp_path / "scratch", device))


@pytest.mark.parametrize("kind", ["int8", "float"])
def test_a_dataset_of_several_files_is_fitted_as_lightgbm_fits_the_whole(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(6)
    rows, width = 40 * 30, 2 * binary.PART + 7
    features = np.column_stack([draw(kind, rows, seed) for seed in range(15)])[:, :width]
    target = (features[:, 1].astype(float) + features[:, 70] * 0.3 - features[:, -1] + rng.normal(size=rows)).astype(np.float32)
    panel = write_panel(tmp_path / "panel", features, {"target": target}, np.repeat(np.arange(1, 31), 40))
    train, inner = view(panel, range(1, 25)), view(panel, range(25, 31))
    ours = lightgbm.fit(SETTINGS, train, inner, None, resources(tmp_path / "scratch"))
    assert sorted(len(list(path.iterdir())) for path in datasets(tmp_path / "scratch")) == [3, 3]
    boosting = {**lightgbm._options(0.1, 8, 1, resources(tmp_path)), **options(features.dtype)}
    boosting |= {"max_depth": 4, "feature_fraction": 0.5, "min_data_in_leaf": 5, "lambda_l2": 0.0}
    whole = official.Dataset(features[: len(train.rows)], train.target, params=boosting)
    usual = official.train(boosting, whole, ours.rounds or 1)
    np.testing.assert_array_equal(ours.predict(features), usual.predict(features))


def test_two_processes_that_write_the_same_files_wait_for_each_other(panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, slow = threading.Event(), binned._blocks

    def slowly(view: View) -> Iterator[tuple[int, NDArray]]:
        for block in slow(view):
            started.set()
            time.sleep(0.02)
            yield block

    monkeypatch.setattr(binned, "_blocks", slowly)
    train, own = view(panel, range(1, 9)), resources(tmp_path / "scratch")
    first = threading.Thread(target=lightgbm.prepare, args=(SETTINGS, [(train, None)], own))
    first.start()
    assert started.wait(10)
    fitted = lightgbm.fit(SETTINGS, train, None, 3, own)
    first.join()
    alone = lightgbm.fit(SETTINGS, train, None, 3, resources(tmp_path / "other"))
    assert fitted.text == alone.text
    assert len(datasets(tmp_path / "scratch")) == 1


def test_what_does_not_fit_is_refused_before_any_file_is_written(panel: Panel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"resources\.memory: LightGBM on"):
        lightgbm.prepare(SETTINGS, [(view(panel, range(1, 9)), None)], resources(tmp_path / "scratch", memory=LIBRARY_BYTES))
    assert not (tmp_path / "scratch").exists()


def test_a_target_without_values_is_said_before_anything_is_written(tmp_path: Path) -> None:
    features = np.zeros((20, 3), np.int8)
    empty = write_panel(tmp_path / "panel", features, {"target": np.full(20, np.nan)}, np.repeat([1, 2], 10))
    with pytest.raises(InputError, match="target 'target' has no value in the eras to fit on"):
        lightgbm.prepare(SETTINGS, [(view(empty), None)], resources(tmp_path / "scratch"))


def test_a_damaged_file_is_named_with_the_way_out(panel: Panel, tmp_path: Path) -> None:
    train, own = view(panel, range(1, 9)), resources(tmp_path / "scratch")
    lightgbm.prepare(SETTINGS, [(train, None)], own)
    [path] = datasets(tmp_path / "scratch")
    (path / "0000.bin").write_bytes((path / "0000.bin").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"LightGBM: .*; remove .*scratch if its files may be damaged"):
        lightgbm.fit(SETTINGS, train, None, 3, own)
