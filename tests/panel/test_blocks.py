"""The loops over blocks: equal to numpy, to each other, and to the definition of the digest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from closure import ROOT
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from erawise.base import jit
from erawise.panel import blocks, blocks_compiled, blocks_plain


@pytest.fixture(params=["compiled", "plain"])
def _either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MIN_BYTES", 0)
    monkeypatch.setattr(blocks, "MIN_SCATTERED", 0)
    if request.param == "plain":
        monkeypatch.setattr(jit, "enabled", lambda: False)
    elif not jit.enabled():
        pytest.skip("numba is off")


FROZEN = ("b04ff9d766bd4f0c", "fcb5a99cee93b898")


def slow_digest(data: bytes) -> int:
    """Compute the definition with Python's whole numbers."""
    padded = data + bytes(-len(data) % 32)
    words = [int.from_bytes(padded[k : k + 8], "little") for k in range(0, len(padded), 8)]
    value = len(data)
    for lane in range(4):
        total = 0
        for word in words[lane::4]:
            total = (total * 0x9E3779B97F4A7C15 + (word ^ word >> 32)) % 2**64
        value = (value * 0x9E3779B97F4A7C15 + total) % 2**64
    return value


def drawn(rows: int, columns: int, dtype: str = "int8", seed: int = 1) -> NDArray:
    return np.random.default_rng(seed).integers(0, 5, (rows, columns)).astype(dtype)


@pytest.mark.usefixtures("_either")
class TestEither:
    @pytest.mark.parametrize("size", [0, 1, 7, 8, 31, 32, 33, 64, 1000])
    def test_the_digest_is_what_its_definition_says(self, size: int) -> None:
        data = np.random.default_rng(size).bytes(size)
        assert blocks.digest(np.frombuffer(data, np.uint8)) == slow_digest(data)

    def test_frozen_digests(self) -> None:
        assert f"{blocks.digest(np.arange(40, dtype=np.int8).reshape(5, 8)):016x}" == FROZEN[0]
        assert f"{blocks.digest(np.arange(6, dtype=np.float32).reshape(2, 3)):016x}" == FROZEN[1]

    @pytest.mark.parametrize("dtype", ["int8", "float32"])
    @pytest.mark.parametrize("more", [0, 1, 8])
    @pytest.mark.parametrize(("rows", "columns"), [(1, 1), (8, 8), (3, 200), (200, 3), (130, 129), (64, 24), (72, 16)])
    def test_rows_are_placed(self, rows: int, columns: int, more: int, dtype: str) -> None:
        rng = np.random.default_rng(2)
        values = rng.integers(-128, 128, (columns, rows + more)).astype(dtype)
        places = rng.permutation(rows + 5)[:rows].astype(np.int64)
        matrix = np.full((rows + 5, columns), 9, dtype)
        blocks.scatter(values, places, matrix)
        assert np.array_equal(matrix[places], values[:, :rows].T)
        assert (np.delete(matrix, places, axis=0) == 9).all()

    @pytest.mark.parametrize("dtype", ["int8", "float32"])
    @pytest.mark.parametrize("columns", [[], [4], [3, 0, 3], list(range(7))])
    def test_columns_are_taken(self, columns: list[int], dtype: str) -> None:
        block = drawn(11, 7, dtype)
        block.flags.writeable = False
        found = blocks.take_columns(block, np.array(columns, np.int64))
        assert np.array_equal(found, block[:, columns])
        assert found.flags.c_contiguous
        assert found.flags.writeable

    @pytest.mark.parametrize("column", [-1, 7])
    def test_a_column_that_is_not_there(self, column: int) -> None:
        with pytest.raises(IndexError):
            blocks.take_columns(drawn(2, 7), np.array([0, column], np.int64))


@given(data=st.binary(max_size=300), start=st.integers(0, 20))
def test_both_digests_agree_wherever_the_bytes_begin(data: bytes, start: int) -> None:
    array = np.frombuffer(bytes(start) + data, np.uint8)[start:]
    lanes = np.zeros((2, 4), np.uint64)
    words = array[: len(array) // 32 * 32].view("<u8")
    blocks_plain.add_words(words, lanes[0])
    blocks_compiled.add_words(words, lanes[1])
    assert np.array_equal(*lanes)
    assert blocks.digest(array) == slow_digest(data)


@given(
    seed=st.integers(0, 1000), row=st.integers(0, 49), column=st.integers(0, 15), change=st.sampled_from([1, 2, -1, 64]), both=st.booleans()
)
def test_a_change_of_a_value_or_of_a_column_shows(seed: int, row: int, column: int, change: int, both: bool) -> None:
    block = drawn(50, 16, seed=seed)
    other = block.copy()
    other[slice(None) if both else row, column] += np.int8(change)
    assert blocks.digest(block) != blocks.digest(other)


def test_a_column_of_top_bytes_is_digested_whole() -> None:
    digests = set()
    for seed in range(2000):
        block = np.zeros((64, 8), np.int8)
        block[:, 7] = 4 * np.random.default_rng(seed).integers(0, 2, 64)
        digests.add(blocks.digest(block))
    assert len(digests) == 2000


def test_rows_that_are_swapped_cut_or_zeroed_show() -> None:
    block = drawn(4096, 8)
    for stride in (1, 2, 1024, 2048):
        other = block.copy()
        other[[0, stride]] = other[[stride, 0]]
        assert np.array_equal(block, other) or blocks.digest(block) != blocks.digest(other)
    assert blocks.digest(np.zeros((4, 8), np.int8)) != blocks.digest(np.zeros((5, 8), np.int8))
    assert blocks.digest(np.vstack([block[:-512], np.zeros((512, 8), np.int8)])) != blocks.digest(block)


def test_only_c_order_has_a_digest() -> None:
    with pytest.raises(ValueError, match="C-ordered"):
        blocks.digest(drawn(4, 6).T)


@pytest.mark.skipif(not jit.enabled(), reason="numba is off")
def test_without_a_place_for_what_is_compiled_there_is_one_warning_and_the_same_digest(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "erawise", tmp_path / "erawise", ignore=shutil.ignore_patterns("__pycache__"))
    for directory in [path for path in (tmp_path / "erawise").rglob("*") if path.is_dir()] + [tmp_path / "erawise"]:
        (directory / "__pycache__").touch()  # a file: nobody, not even root, can make the directory
    code = (
        "import numpy as np; from erawise.panel import blocks; import erawise.scores.compiled, erawise.models.lightgbm.packing_compiled; "
        "import erawise.models.lightgbm.scorer, erawise.models.random_forest.contributions; "
        "print(blocks.digest(np.arange(2**20, dtype=np.uint8)), blocks.load(2**20, 0).__name__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(blocks.digest(np.arange(2**20, dtype=np.uint8))), "erawise.panel.blocks_compiled"]
    assert done.stderr.startswith("warning: numba finds no directory for its compiled code")
    assert "set NUMBA_CACHE_DIR" in done.stderr
    assert done.stderr.count("\n") == 1
