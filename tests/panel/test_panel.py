"""Reading the prepared data: the same values as numpy reads, and never values of a file that was damaged or changed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from panels import read_chunks, write_panel

from erawise.base import files, tabular
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.running.errors import InputError

ROWS, WIDTH, ERAS = 40, 9, (3, 4, 7)
HEADER = 128
FIRST = "features/0000.npy"


def values(dtype: str = "int8") -> NDArray:
    found = np.random.default_rng(1).integers(0, 5, (len(ERAS) * ROWS, WIDTH))
    return (found / (1 if dtype == "int8" else 4)).astype(dtype)


def write(directory: Path, dtype: str = "int8", derived: bool = True) -> NDArray:
    matrix = values(dtype)
    extra = {"row_mean": matrix.mean(axis=1), "row_std": matrix.std(axis=1)} if derived else None
    write_panel(directory, matrix, {"target": np.full(len(matrix), 0.5)}, np.repeat(ERAS, ROWS), derived=extra)
    return matrix


def overwrite(path: Path, offset: int, byte: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(byte)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("panel")
    write(made)
    return made


@settings(max_examples=30)
@given(era=st.sampled_from(ERAS), columns=st.lists(st.integers(0, WIDTH + 1)))
def test_blocks_are_the_values_on_disk(directory: Path, era: int, columns: list[int]) -> None:
    panel = Panel(directory)
    whole = np.hstack([read_chunks(directory / "features"), read_chunks(directory / "derived")])
    block = panel.block(era, np.array(columns, np.int64))
    assert np.array_equal(block, whole[panel.rows(era)][:, columns])
    assert block.dtype == (np.float32 if any(column >= WIDTH for column in columns) else np.int8)
    assert block.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_stored_rows_are_mapped_and_not_writable(tmp_path: Path, dtype: str) -> None:
    matrix = write(tmp_path, dtype)
    panel = Panel(tmp_path)
    block = panel.stored(4)
    assert np.array_equal(block, matrix[ROWS : 2 * ROWS])
    assert np.shares_memory(block, panel.stored(4))
    assert not block.flags.writeable
    assert np.array_equal(panel.block(4), block)


class TestDamage:
    @pytest.mark.parametrize("era", ERAS)
    def test_one_bit_is_found_in_its_era_alone(self, tmp_path: Path, era: int) -> None:
        write(tmp_path)
        path = tmp_path / FIRST
        position = HEADER + (ERAS.index(era) * ROWS + 11) * WIDTH + 5
        overwrite(path, position, bytes([path.read_bytes()[position] ^ 1]))
        panel = Panel(tmp_path)
        message = rf"features/0000\.npy: preprocess wrote other rows of era {era}: .* run preprocess again$"
        for read in (panel.stored, panel.block, lambda era: panel.block(era, np.array([0]))):
            with pytest.raises(InputError, match=message):
                read(era)
        for other in set(ERAS) - {era}:
            panel.block(other)

    def test_derived_features_are_checked_where_they_are_read(self, tmp_path: Path) -> None:
        write(tmp_path)
        overwrite(tmp_path / "derived/0000.npy", HEADER + 3, b"\x01")
        panel = Panel(tmp_path)
        panel.block(3)
        with pytest.raises(InputError, match=r"derived/0000\.npy: preprocess wrote other rows of era 3"):
            panel.block(3, panel.columns(["row_std"]))

    @pytest.mark.parametrize("name", [FIRST, "derived/0000.npy"])
    @pytest.mark.parametrize("cut", [1, ROWS * WIDTH, 10**6])
    def test_a_file_cut_short(self, tmp_path: Path, name: str, cut: int) -> None:
        write(tmp_path)
        path = tmp_path / name
        size = path.stat().st_size
        os.truncate(path, max(size - cut, 0))
        with pytest.raises(InputError, match=rf"{name}: not a readable array .*; run preprocess again$"):
            Panel(tmp_path)

    def test_a_file_that_has_grown(self, tmp_path: Path) -> None:
        write(tmp_path)
        with (tmp_path / FIRST).open("ab") as file:
            file.write(bytes(WIDTH))
        with pytest.raises(InputError, match=r"features/0000\.npy: not a readable array \(it has 1,217 bytes instead of 1,208\)"):
            Panel(tmp_path)

    def test_a_whole_file_of_other_rows(self, tmp_path: Path) -> None:
        matrix = write(tmp_path)
        np.save(tmp_path / FIRST, matrix[:-1])
        with pytest.raises(InputError, match=r"features/0000\.npy: not a readable array \(it has 1,199 bytes instead of 1,208\)"):
            Panel(tmp_path)

    def test_a_file_cut_short_under_the_mapping(self, tmp_path: Path) -> None:
        write(tmp_path)
        panel = Panel(tmp_path)
        panel.block(3)
        os.truncate(tmp_path / FIRST, 0)
        for era in ERAS:
            with pytest.raises(InputError, match=r"features/0000\.npy: the file was changed while it was read, from 1,208 to 0 bytes; run"):
                panel.block(era)

    def test_a_file_written_over_under_the_mapping(self, tmp_path: Path) -> None:
        write(tmp_path)
        panel = Panel(tmp_path)
        panel.block(3)
        overwrite(tmp_path / FIRST, HEADER, b"\x07")
        os.utime(tmp_path / FIRST, ns=(0, 0))
        with pytest.raises(InputError, match="the file was changed while it was read"):
            panel.block(3)

    def test_a_file_that_takes_its_place_changes_nothing(self, tmp_path: Path) -> None:
        matrix = write(tmp_path)
        panel = Panel(tmp_path)
        tabular.write_npy(matrix[::-1].copy(), tmp_path / FIRST)
        for k, era in enumerate(ERAS):
            assert np.array_equal(panel.block(era), matrix[k * ROWS : (k + 1) * ROWS])

    def test_a_directory_of_an_earlier_version(self, tmp_path: Path) -> None:
        write(tmp_path)
        content = json.loads((tmp_path / "features.json").read_text())
        files.write_json({name: value for name, value in content.items() if name != "stored"}, tmp_path / "features.json")
        with pytest.raises(InputError, match=r"features\.json: it has no record of features/0000\.npy; run preprocess again"):
            Panel(tmp_path)

    def test_an_index_of_other_eras(self, tmp_path: Path) -> None:
        write(tmp_path)
        index = tabular.read_parquet(tmp_path / "index.parquet")
        tabular.write_parquet(index.assign(era=[*index["era"][:-1], 8]), tmp_path / "index.parquet")
        with pytest.raises(InputError, match=r"features/0000\.npy: it has 120 rows and index\.parquet 120 in 4 eras; run preprocess again"):
            Panel(tmp_path)

    def test_a_column_order_that_is_not_ours(self, tmp_path: Path) -> None:
        matrix = write(tmp_path)
        np.save(tmp_path / FIRST, np.asfortranarray(matrix))
        with pytest.raises(InputError, match=r"features/0000\.npy: not a readable array"):
            Panel(tmp_path)


def test_without_derived_features_there_is_nothing_to_check(tmp_path: Path) -> None:
    matrix = write(tmp_path, derived=False)
    panel = Panel(tmp_path)
    assert not (tmp_path / "derived").exists()
    assert np.array_equal(panel.block(7, np.array([8, 0])), matrix[2 * ROWS :, [8, 0]])


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("kind", ["stored", "derived", "demeaned", "projected"])
def test_a_view_says_the_dtype_of_its_blocks(tmp_path: Path, dtype: str, kind: str) -> None:
    features = np.arange(12).reshape(4, 3).astype(dtype)
    derived = {"row_mean": np.zeros(4, np.float32)} if kind == "derived" else None
    means = np.ones((2, 3), np.float32) if kind == "demeaned" else None
    panel = write_panel(tmp_path, features, {}, np.array([1, 1, 2, 2]), derived=derived, era_means=means)
    projection = (np.zeros(3), np.eye(3)[:, :2]) if kind == "projected" else (None, None)
    view = View(panel, panel.eras, FeatureMap(panel.names, *projection))
    assert {block.dtype for block in view.blocks()} == {view.dtype}
