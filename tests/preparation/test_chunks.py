"""The chunks of eras in which the prepared rows are stored: new eras leave earlier files as they are, and every row is in its own era."""

import errno
import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import raw
from numpy.typing import NDArray
from panels import read_chunks

from erawise.base import files
from erawise.panel import blocks
from erawise.panel.panel import FeatureMap, Panel, View, chunks
from erawise.preparation import matrix, preparation
from erawise.running.errors import InputError

ROWS, LAST = 10, 110
WANTED: dict[str, Any] = {"every": 1, "feature_set": "all", "target": "target", "demean": True, "derived": ["row_std"], "days": 20}


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Return raw rows up to era `LAST`. The train rows are in a random order."""
    found = raw.write(tmp_path_factory.mktemp("frames"), validation=range(61, LAST + 1), rows=ROWS)
    return found | {"train": found["train"].sample(frac=1, random_state=1)}


def prepared(directory: Path, frames: dict[str, pd.DataFrame], last: int, **changes: Any) -> Path:
    """Prepare the rows up to era `last`."""
    raw.write(directory / "raw", rows=ROWS)
    known = frames["validation"]["era"].astype(int) <= last
    for name, frame in (frames | {"validation": frames["validation"][known]}).items():
        frame.set_index("id").to_parquet(directory / "raw" / f"{name}.parquet")
    with files.replacing(directory / "prepared") as made:
        made.mkdir()
        preparation.prepare(directory / "raw", made, preparation.Wanted(**(WANTED | changes)))
    return directory / "prepared/panel"


def contents(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_grid_of_chunks_depends_on_no_era() -> None:
    assert chunks(np.array([-1])) == [("live.npy", slice(0, 1))]
    assert chunks(np.array([0, 51, 52, 103, 1196])) == [("0000.npy", slice(0, 2)), ("0052.npy", slice(2, 4)), ("1196.npy", slice(4, 5))]
    assert chunks(np.array([], np.int64)) == []


def test_new_eras_change_only_the_files_of_the_last_chunk(tmp_path: Path, frames: dict[str, pd.DataFrame]) -> None:
    small = {"features.json", "index.parquet", "era_means.npy"}
    found = [contents(prepared(tmp_path / str(last), frames, last, every=2)) for last in (94, 106, LAST)]
    changed = [{name for name in later if earlier.get(name) != later[name]} for earlier, later in itertools.pairwise(found)]
    of = {number: {f"features/{number}.npy", f"derived/{number}.npy"} for number in ("0052", "0104")}
    assert changed == [small | of["0052"] | of["0104"], small | of["0104"]]
    assert contents(prepared(tmp_path / "94", frames, LAST, every=2)) == found[-1]


@pytest.mark.parametrize(("batch_rows", "group_rows"), [(7, 1000), (4096, 1000), (4096, 37)])
def test_every_era_has_its_rows_also_at_the_borders_of_chunks(
    tmp_path: Path, frames: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch, batch_rows: int, group_rows: int
) -> None:
    monkeypatch.setattr(matrix, "BATCH_ROWS", batch_rows)
    monkeypatch.setattr(matrix, "BATCH_BYTES", 1)
    monkeypatch.setattr(matrix, "SYNC_BYTES", 1)
    panel = Panel(prepared(tmp_path, frames, LAST, demean=False))
    of_raw = pd.concat([frames["train"], frames["validation"]]).set_index("id").loc[panel.index["id"]]
    expected = of_raw[list(panel.feature_names)].to_numpy()
    for era in (1, 51, 52, 53, 103, 104, LAST):
        rows = panel.rows(era)
        assert np.array_equal(panel.stored(era), expected[rows])
        np.testing.assert_allclose(panel.block(era, panel.columns(["row_std"]))[:, 0], expected[rows].std(axis=1), rtol=1e-6)
    view = View(panel, [104, 51, 103, 52], FeatureMap(panel.feature_names[::-1]), None)
    assert np.array_equal(view.matrix(), expected[view.rows][:, ::-1])


def test_a_disk_that_is_full_is_an_error_before_any_row_is_written(
    tmp_path: Path, frames: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [ROWS * 51 * 8 + 128]

    def allocate(descriptor: int, offset: int, size: int) -> None:
        free[0] -= size
        if free[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def scatter(*arguments: NDArray) -> None:
        raise AssertionError("a row was written")

    monkeypatch.setattr(os, "posix_fallocate", allocate, raising=False)
    monkeypatch.setattr(blocks, "scatter", scatter)
    with pytest.raises(InputError, match=r"prepared: cannot be written \(No space left on device\); check free space and permissions$"):
        prepared(tmp_path, frames, LAST)
    assert free[0] < 0
    assert not (tmp_path / "prepared").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, frames: dict[str, pd.DataFrame]) -> Path:
    return prepared(tmp_path_factory.mktemp("whole"), frames, LAST)


class TestDamage:
    @pytest.fixture
    def directory(self, tmp_path: Path, whole: Path) -> Path:
        return Path(shutil.copytree(whole, tmp_path / "panel"))

    @pytest.mark.parametrize("array", ["features", "derived"])
    @pytest.mark.parametrize("chunk", ["0000", "0052", "0104"])
    def test_of_a_chunk_is_named(self, directory: Path, array: str, chunk: str) -> None:
        path = directory / array / f"{chunk}.npy"
        content, known = path.read_bytes(), Panel(directory)
        columns = np.arange(len(known.names))
        os.truncate(path, len(content) - 1)
        with pytest.raises(InputError, match=rf"{array}/{chunk}\.npy: not a readable array \(it has .* bytes instead of .*\); run preproc"):
            Panel(directory)
        self.fails(known, int(chunk), columns, rf"{array}/{chunk}\.npy: the file was changed while it was read, from .*; run preprocess ag")
        path.unlink()
        with pytest.raises(InputError, match=rf"{array}/{chunk}\.npy: the file is missing; run preprocess$"):
            Panel(directory)
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        opened = Panel(directory)
        last = max(era for era in opened.eras if era < int(chunk) + 52)
        self.fails(opened, last, columns, rf"{array}/{chunk}\.npy: preprocess wrote other rows of era {last}: the file is damaged or was")
        for era in opened.eras[opened.eras != last]:
            opened.block(era, columns)

    def fails(self, panel: Panel, era: int, columns: NDArray[np.int64], message: str) -> None:
        with pytest.raises(InputError, match=message):
            panel.block(max(era, 1), columns)

    def test_by_chunks_that_were_exchanged_is_found(self, directory: Path) -> None:
        one, other = (directory / f"features/{name}.npy" for name in ("0052", "0104"))
        one.write_bytes(other.read_bytes())
        with pytest.raises(InputError, match=r"features/0052\.npy: not a readable array"):
            Panel(directory)

    @pytest.mark.parametrize(
        ("kept", "message"),
        [
            (range(1, 104), r"features/0104\.npy: index\.parquet has no rows of its eras; run preprocess again"),
            (range(1, 110), r"features/0104\.npy: it has 70 rows and index\.parquet 60 in 6 eras; run preprocess again"),
            (range(52, 111), r"features/0000\.npy: index\.parquet has no rows of its eras; run preprocess again"),
        ],
    )
    def test_by_an_index_of_other_eras(self, directory: Path, kept: Sequence[int], message: str) -> None:
        index = pd.read_parquet(directory / "index.parquet")
        index[index["era"].isin(kept)].to_parquet(directory / "index.parquet")
        with pytest.raises(InputError, match=message):
            Panel(directory)

    def test_by_an_earlier_version_that_stored_one_file(self, directory: Path) -> None:
        np.save(directory / "features.npy", read_chunks(directory / "features"))
        content = files.read_json(directory / "features.json")
        files.write_json(content | {"stored": {"features.npy": {"bytes": 1, "eras": []}}}, directory / "features.json")
        with pytest.raises(InputError, match=r"features\.json: it has no record of features/0000\.npy; run preprocess again$"):
            Panel(directory)
