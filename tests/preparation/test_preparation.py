"""From raw files to the prepared table: nothing is lost silently, and every value has its right position."""

import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import raw
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import matrix_of, read_chunks

from erawise.base import files, tabular
from erawise.panel import blocks
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.preparation import matrix, preparation, scales
from erawise.preparation.derived import derive
from erawise.preparation.matrix import Counts
from erawise.running.errors import InputError


def prepare(source: Path, threads: int = 1, **changes: Any) -> tuple[Path, dict, Counts]:
    directory = source.parent / "prepared"
    files.remove(directory)
    directory.mkdir()
    options: dict[str, Any] = {"feature_set": "all", "target": "target", "every": 1, "demean": False, "derived": [], "days": 20}
    metrics, counts = preparation.prepare(source, directory, preparation.Wanted(**(options | changes)), threads)
    return directory, metrics, counts


def store(frame: pd.DataFrame, source: Path, name: str) -> None:
    frame.set_index("id").to_parquet(source / f"{name}.parquet")


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_every_value_is_where_its_id_is(tmp_path: Path, dtype: str) -> None:
    frames = raw.write(tmp_path / "raw", dtype=dtype)
    shuffled = frames["train"].sample(frac=1, random_state=1)
    store(shuffled, tmp_path / "raw", "train")
    directory, metrics, counts = prepare(tmp_path / "raw")
    panel = Panel(directory / "panel")
    assert panel.dtype == dtype
    assert counts.unsorted == ["train.parquet"]
    assert metrics["train"] == {"rows": 2400, "eras": 60, "rows_without_target": 0}
    assert (panel.index[["era", "id"]].apply(tuple, axis=1)).is_monotonic_increasing
    raw_rows = pd.concat([frames["train"], frames["validation"]]).set_index("id").loc[panel.index["id"]]
    assert np.array_equal(matrix_of(panel), raw_rows[list(panel.feature_names)].to_numpy())
    assert np.array_equal(panel.row_eras, raw_rows["era"].astype(int))
    train = (panel.index["data_type"] == "train").to_numpy()
    assert np.array_equal(panel.index.loc[train, "target"], raw_rows.loc[train, "target"])


@pytest.mark.parametrize("weeks", [5, 30, 41])
def test_the_final_check_may_be_the_last_weeks_whatever_file_they_are_in(tmp_path: Path, weeks: int) -> None:
    frames = raw.write(tmp_path / "raw")
    directory, metrics, _ = prepare(tmp_path / "raw", holdout=weeks)
    index = tabular.read_parquet(directory / "panel/index.parquet")
    aside = tabular.read_parquet(directory / "validation_targets.parquet")
    missing = pd.read_csv(directory / "missing/eras.csv").set_index("era")["data_type"]
    known = pd.concat([frames["train"], frames["validation"]]).set_index("id")
    learned = index["data_type"] == "train"
    assert sorted(index.loc[~learned, "era"].unique()) == list(range(90 - weeks + 1, 91))
    assert missing[missing == "validation"].index.tolist() == list(range(90 - weeks + 1, 91))
    assert (metrics["train"]["eras"], metrics["validation"]["eras"]) == (90 - weeks, weeks)
    for name in ("target", "target_other_60"):
        assert np.array_equal(index.loc[learned, name], known.loc[index.loc[learned, "id"], name])
        assert index.loc[~learned, name].isna().all()
        assert np.array_equal(aside[name], known.loc[aside["id"], name])
    assert aside["id"].tolist() == index.loc[~learned, "id"].tolist()


def test_a_final_check_longer_than_the_history(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw")
    with pytest.raises(InputError, match=r"data\.holdout: the last 90 weeks are all resolved eras, 1 to 90, .* expected fewer than 90"):
        prepare(tmp_path / "raw", holdout=90)


def test_validation_targets_are_put_aside(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw")
    directory, _, _ = prepare(tmp_path / "raw")
    index = tabular.read_parquet(directory / "panel/index.parquet")
    aside = tabular.read_parquet(directory / "validation_targets.parquet")
    assert index.loc[index["data_type"] == "validation", ["target", "target_other_20"]].isna().all(axis=None)
    expected = frames["validation"].set_index("id").loc[aside["id"], "target"]
    assert np.array_equal(aside["target"], expected)


def test_unresolved_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw")
    validation = frames["validation"]
    validation.loc[validation["era"] == "0090", "data_type"] = "test"
    validation.loc[validation["era"] == "0089", "target"] = np.nan
    validation.loc[[0, 1], "target"] = np.nan
    store(validation, tmp_path / "raw", "validation")
    _, metrics, counts = prepare(tmp_path / "raw")
    assert metrics["validation"] == {"rows": 28 * 40 - 2, "eras": 28, "unresolved_rows": 80, "dropped_rows": 2}
    preparation.check_budgets(counts, 3500, 0.5, 0.1)
    with pytest.raises(InputError, match=r"preprocess\.max_dropped_share: 2 rows .* 0 of train and 2 of validation"):
        preparation.check_budgets(counts, 3500, 0.5, 0.0)


def test_missing_features_take_the_middle_bin_and_are_counted(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw")
    train = frames["train"]
    train["feature_3"] = train["feature_3"].astype("Int8").mask(train["era"] == "0002")
    train["feature_4"] = train["feature_4"].astype("float32").mask((train["era"] == "0003") & (train.groupby("era").cumcount() < 10))
    store(train.sample(frac=1, random_state=1), tmp_path / "raw", "train")
    live = frames["live"]
    live["feature_5"] = live["feature_5"].astype("Int8").mask(np.arange(40) < 4)
    store(live, tmp_path / "raw", "live")
    directory, metrics, counts = prepare(tmp_path / "raw")
    panel = Panel(directory / "panel")
    assert (panel.block(2)[:, 3] == 2).all()
    assert (panel.block(3)[:, 4] == 2).sum() >= 10
    assert counts.missing.tolist() == [0, 0, 0, 40, 10, 4, 0, 0]
    assert metrics["missing_features"]["values"] == 54
    by_feature = pd.read_csv(directory / "missing/features.csv").set_index("feature")
    assert by_feature.loc["feature_4"].tolist() == [10, 91 * 40, 0, 40]
    assert by_feature.loc["feature_5"].tolist() == [4, 91 * 40, 4, 40]
    by_era = pd.read_csv(directory / "missing/eras.csv")
    assert by_era["era"].tolist()[:-1] == panel.eras.tolist()
    assert by_era["era"].isna().tolist() == [False] * 90 + [True]
    assert by_era["data_type"].tolist() == ["train"] * 60 + ["validation"] * 30 + ["live"]
    assert by_era["missing_share"].tolist() == pytest.approx([0, 1 / 8, 1 / 32, *[0] * 87, 4 / 320])
    assert by_era["empty_features"].tolist() == [0, 1, *[0] * 89]
    with pytest.raises(InputError, match=r"preprocess\.max_missing_share"):
        preparation.check_budgets(counts, 3600, 0.001, 0.1)


def test_missing_floats_take_the_middle(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw", dtype="float32")
    frames["live"].loc[0, "feature_0"] = np.nan
    store(frames["live"], tmp_path / "raw", "live")
    directory, _, _ = prepare(tmp_path / "raw")
    assert matrix_of(Panel(directory / "live"))[0, 0] == 0.5


def test_every_nth_era_of_train_and_of_validation(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw")
    directory, _, _ = prepare(tmp_path / "raw", every=4)
    assert Panel(directory / "panel").eras.tolist() == [*range(1, 61, 4), *range(61, 91, 4)]


def test_rows_without_a_target_are_counted_in_the_kept_eras_alone(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw")
    for name, eras in (("train", ["0001", "0002"]), ("validation", ["0061", "0062"])):
        frame = frames[name]
        frame.loc[frame["era"].isin(eras) & (frame.groupby("era").cumcount() < 3), "target"] = np.nan
        store(frame, tmp_path / "raw", name)
    _, _, counts = prepare(tmp_path / "raw", every=4)
    assert (counts.train_without, counts.dropped) == (3, 3)
    _, _, counts = prepare(tmp_path / "raw")
    assert (counts.train_without, counts.dropped) == (6, 6)


def test_demeaned_blocks(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw")
    directory, _, _ = prepare(tmp_path / "raw", demean=True)
    panel = Panel(directory / "panel")
    block = panel.block(5)
    assert block.dtype == np.float32
    assert np.abs(block.mean(axis=0)).max() < 1e-6
    assert panel.dtype == np.int8
    columns = panel.columns(["feature_6", "feature_1"])
    assert np.array_equal(panel.block(5, columns), block[:, [6, 1]])


def test_derived_features_by_hand() -> None:
    block = np.array([[0, 4, 2, 2], [1, 1, 1, 1]], np.int8)
    assert derive(block, ["row_mean", "row_std", "extreme_share"], 4).tolist() == [[2.0, np.float32(np.sqrt(2)), 0.5], [1.0, 0.0, 0.0]]
    assert derive(np.array([[0.0, 0.19, 0.5, 0.9]], np.float32), ["extreme_share"], 1.0).tolist() == [[0.75]]


def test_derived_features_are_columns_of_the_panel(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw")
    directory, _, _ = prepare(tmp_path / "raw", derived=["row_std", "row_mean"])
    panel = Panel(directory / "panel")
    assert panel.names[-2:] == ("row_std", "row_mean")
    block = panel.block(7, panel.columns(["row_mean", "feature_2"]))
    assert np.allclose(block[:, 0], panel.block(7).mean(axis=1))
    assert np.array_equal(block[:, 1], panel.block(7)[:, 2])


def test_references_follow_the_rows(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw")
    meta = frames["validation"].iloc[100:].sample(frac=1, random_state=3)[["id", "era"]]
    meta["numerai_meta_model"] = np.linspace(0, 1, len(meta))
    store(meta, tmp_path / "raw", "meta_model")
    directory, _, _ = prepare(tmp_path / "raw")
    references = tabular.read_parquet(directory / "references.parquet")
    assert references.columns.tolist() == ["id", "era", "numerai_meta_model"]
    known = references.dropna().set_index("id")["numerai_meta_model"]
    assert len(known) == len(meta)
    assert np.allclose(known, meta.set_index("id").loc[known.index, "numerai_meta_model"])


def spoiled(frames: dict[str, pd.DataFrame], what: str) -> tuple[str, pd.DataFrame]:
    train, live = frames["train"], frames["live"]
    changed = {
        "duplicate id": ("train", pd.concat([train, train.iloc[[5]]])),
        "bad era": ("train", train.assign(era=train["era"].replace("0007", "seven"))),
        "live era": ("train", train.assign(era=train["era"].replace("0007", "X"))),
        "infinite target": ("train", train.assign(target=train["target"].replace(1.0, np.inf))),
        "text feature": ("train", train.assign(feature_2="two")),
        "overlap": ("validation", frames["validation"].assign(era=frames["validation"]["era"].replace("0061", "0060"))),
        "no id": ("train", train.assign(id=train["id"].mask(train.index == 3))),
        "empty": ("live", live.iloc[:0]),
        "feature gone": ("live", live.drop(columns="feature_5")),
        "fractions among integers": ("train", train.assign(feature_2=train["feature_2"] + 0.5)),
        "dates": ("train", train.assign(era=20180105 + 7 * train["era"].astype(int))),
        "days": ("validation", frames["validation"].assign(era=17536 + 7 * frames["validation"]["era"].astype(int))),
        "seconds": ("train", train.assign(era=(1515110400 + 604800 * train["era"].astype(int)).astype(str))),
        "no era": ("train", train.assign(era=None)),
        "text id": ("train", train.assign(id=[[number] for number in range(len(train))])),
        "text type": ("validation", frames["validation"].assign(data_type=[[0]] * len(frames["validation"]))),
        "bool feature": ("live", live.assign(feature_2=True)),
        "list feature": ("train", train.assign(feature_2=[[1]] * len(train))),
        "bool target": ("train", train.assign(target_other_20=True)),
        "null id": ("live", live.assign(id=None)),
    }
    return changed[what]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("duplicate id", "train.parquet: id 'n010000000000005' is there more than once in era 1"),
        ("bad era", "column 'era' holds 'seven'; expected a number such as '0001'"),
        ("live era", "is of the live era"),
        ("infinite target", "column 'target' holds 480 infinite values"),
        ("text feature", "feature 'feature_2' is of type"),
        ("overlap", "era 60 doesn't come after the last train era, 60"),
        ("no id", "row 3 has no id"),
        ("empty", "live.parquet: there are no rows"),
        ("feature gone", "live.parquet: column 'feature_5' is missing"),
        ("fractions among integers", "feature 'feature_2' isn't all small whole numbers"),
        ("dates", "train.parquet: column 'era' holds 20180112; expected a number such as '0001', which counts weeks up to 9999"),
        ("days", "validation.parquet: column 'era' holds 17963; expected a number such as '0001'"),
        ("seconds", "train.parquet: column 'era' holds '1515715200'; expected a number such as '0001'"),
        ("no era", "column 'era' holds None; expected a number such as '0001'"),
        ("text id", "column 'id' is of type list"),
        ("text type", "column 'data_type' is of type list"),
        ("bool feature", "live.parquet: feature 'feature_2' is of type bool; expected int8 or a float"),
        ("list feature", "train.parquet: feature 'feature_2' is of type list"),
        ("bool target", "target 'target_other_20' is of type bool; expected float32"),
        ("null id", "live.parquet: row 0 has no id"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, what: str, message: str) -> None:
    name, frame = spoiled(raw.write(tmp_path / "raw"), what)
    store(frame, tmp_path / "raw", name)
    with pytest.raises(InputError) as caught:
        prepare(tmp_path / "raw")
    assert message in str(caught.value)


def test_ids_may_be_numbers(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw")
    for name, frame in frames.items():
        store(frame.assign(id=np.random.default_rng(1).permutation(len(frame)) + 5), tmp_path / "raw", name)
    directory, _, _ = prepare(tmp_path / "raw")
    ids = Panel(directory / "panel").index["id"]
    assert ids.map(type).eq(str).all()


def test_columns_that_are_there_twice_are_named(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw")
    table = pq.read_table(tmp_path / "raw" / "train.parquet")
    pq.write_table(table.append_column("feature_3", table["feature_3"]), tmp_path / "raw" / "train.parquet")
    with pytest.raises(InputError, match=r"train\.parquet: column 'feature_3' is there more than once"):
        prepare(tmp_path / "raw")


def test_a_truncated_reference_is_named(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw")
    (tmp_path / "raw" / "meta_model.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"meta_model\.parquet: not a readable Parquet file"):
        prepare(tmp_path / "raw")


@pytest.mark.parametrize("size", [0, 5, 100, 5000])
def test_a_truncated_matrix_is_named(tmp_path: Path, size: int) -> None:
    raw.write(tmp_path / "raw")
    directory, _, _ = prepare(tmp_path / "raw")
    path = directory / "panel/features/0052.npy"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"panel/features/0052\.npy: not a readable array"):
        Panel(directory / "panel")


def test_infinite_features_are_refused(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw", dtype="float32")
    frames["validation"].loc[7, "feature_1"] = np.inf
    store(frames["validation"], tmp_path / "raw", "validation")
    with pytest.raises(InputError, match=r"validation.parquet: column 'feature_1' holds 1 infinite values"):
        prepare(tmp_path / "raw")


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw")
    path = tmp_path / "raw" / "validation.parquet"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"validation.parquet: not a readable Parquet file"):
        prepare(tmp_path / "raw")
    path.unlink()
    with pytest.raises(InputError, match=r"validation.parquet: the file is missing"):
        prepare(tmp_path / "raw")


def test_feature_sets_and_targets_that_are_not_there(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw")
    with pytest.raises(InputError, match=r"data\.feature_set: 'large' is no feature set .* it has small, all, wisdom"):
        prepare(tmp_path / "raw", feature_set="large")
    with pytest.raises(InputError, match=r"data\.target: 'target_x' is no target .* it has target, target_other_20"):
        prepare(tmp_path / "raw", target="target_x")


def test_a_feature_set_limits_matrix_and_groups(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw")
    directory, _, _ = prepare(tmp_path / "raw", feature_set="small")
    panel = Panel(directory / "panel")
    assert panel.feature_names == ("feature_0", "feature_1", "feature_2", "feature_3")
    assert panel.feature_sets["wisdom"] == ["feature_2", "feature_3"]


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("views")
    frames = raw.write(base / "raw", rows=10)
    frames["train"]["target_other_20"] = frames["train"]["target_other_20"].mask(frames["train"].index % 3 == 0)
    store(frames["train"], base / "raw", "train")
    return prepare(base / "raw", derived=["row_mean"])[0] / "panel"


@pytest.fixture(scope="module")
def panel(viewed: Path) -> Panel:
    return Panel(viewed)


@settings(max_examples=40)
@given(data=st.data())
def test_views_give_the_rows_that_they_name(viewed: Path, panel: Panel, data: st.DataObject) -> None:
    eras = data.draw(st.lists(st.integers(1, 60), unique=True, min_size=1))
    names = data.draw(st.lists(st.sampled_from(panel.names), unique=True, min_size=1))
    target = data.draw(st.sampled_from([None, "target", "target_other_20"]))
    view = View(panel, eras, FeatureMap(tuple(names)), target)
    whole = np.column_stack([read_chunks(viewed / "features"), read_chunks(viewed / "derived")])[:, panel.columns(names)]
    assert list(dict.fromkeys(view.era.tolist())) == eras
    assert np.array_equal(view.matrix(), whole[view.rows])
    assert np.array_equal(np.vstack(list(view.blocks())), whole[view.rows])
    if target is not None:
        assert np.array_equal(view.target, panel.index[target].to_numpy()[view.rows])
        assert view.n_rows + view.dropped == 10 * len(eras)


def test_a_sample_takes_the_same_share_of_every_era(panel: Panel) -> None:
    view = View(panel, [3, 1, 2], FeatureMap(panel.names), "target")
    x, rows = view.sample(15, np.random.default_rng(5))
    y = view.target[rows]
    assert len(x) == len(y) == 15
    whole = {tuple(row): value for row, value in zip(view.matrix(), view.target, strict=True)}
    assert all(whole[tuple(row)] == value for row, value in zip(x, y, strict=True))
    assert np.array_equal(x, view.sample(15, np.random.default_rng(5))[0])


def test_a_view_without_rows_is_empty(panel: Panel) -> None:
    view = View(panel, [61], FeatureMap(panel.names), "target")
    assert view.n_rows == 0
    assert view.dropped == 10
    assert view.matrix().shape == (0, len(panel.names))


@pytest.mark.parametrize(("batch_bytes", "group_rows", "every"), [(1, 7, 1), (1, 2400, 3), (100, 2400, 1), (100, 7, 3), (10**6, 7, 1)])
def test_pieces_of_any_size_give_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int, group_rows: int, every: int
) -> None:
    frames = raw.write(tmp_path / "raw", train=range(41, 59), validation=range(59, 71), rows=20)  # in two chunks of eras
    frames["train"]["feature_3"] = frames["train"]["feature_3"].astype("Int8").mask(frames["train"].index % 5 == 0)
    shuffled = frames["train"].sample(frac=1, random_state=1)
    store(shuffled, tmp_path / "raw", "train")
    directory, _, counts = prepare(tmp_path / "raw", every=every, derived=["row_std"], demean=True)
    expected = {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    monkeypatch.setattr(matrix, "BATCH_BYTES", batch_bytes)
    monkeypatch.setattr(matrix, "BATCH_ROWS", 1)
    monkeypatch.setattr(matrix, "SYNC_BYTES", 1)
    shuffled.set_index("id").to_parquet(tmp_path / "raw" / "train.parquet", row_group_size=group_rows)
    directory, _, again = prepare(tmp_path / "raw", every=every, derived=["row_std"], demean=True, threads=2)
    assert {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()} == expected
    assert again.missing.tolist() == counts.missing.tolist()
    assert again.values == counts.values


def test_digests_are_those_of_the_eras(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw")
    directory, _, _ = prepare(tmp_path / "raw", derived=["row_mean"])
    for name in (directory / "panel", directory / "live"):
        panel = Panel(name)
        stored = files.read_json(name / "features.json")["stored"]
        for array in ("features", "derived"):
            whole = read_chunks(name / array)
            expected = [f"{blocks.digest(np.ascontiguousarray(whole[panel.rows(era)])):016x}" for era in panel.eras]
            paths = [f"{array}/{chunk}" for chunk in (["0000.npy", "0052.npy"] if len(expected) > 1 else ["live.npy"])]
            assert [digest for path in paths for digest in stored[path]["eras"]] == expected
            assert [stored[path]["bytes"] for path in paths] == [(name / path).stat().st_size for path in paths]


def test_a_disk_without_space_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw.write(tmp_path / "raw")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=50_000))
    with pytest.raises(InputError, match=r"the prepared data needs about [\d,]+ bytes of disk and 50,000 are free; free some, or set"):
        prepare(tmp_path / "raw")
    assert not list((tmp_path / "prepared").iterdir())


def test_the_space_asked_for_is_about_what_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw.write(tmp_path / "raw", rows=100, features=200)
    asked = re.search(r"about ([\d,]+) bytes", failure(tmp_path, monkeypatch))
    directory, _, _ = prepare(tmp_path / "raw")
    taken = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    assert asked is not None
    assert 0.9 * taken < int(asked[1].replace(",", "")) < 1.5 * taken


def failure(base: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the message on a full disk."""
    usage = shutil.disk_usage(base)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
        with pytest.raises(InputError) as caught:
            prepare(base / "raw")
    return str(caught.value)


def test_ids_are_sorted_and_found_as_pandas_does(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw", rows=15)
    rng = np.random.default_rng(4)
    for name, frame in frames.items():
        ids = [f"{number:x}" for number in rng.choice(10**6, len(frame), replace=False)]
        frames[name] = frame.assign(id=ids).sample(frac=1, random_state=2)
        store(frames[name], tmp_path / "raw", name)
    for name in ("train", "validation"):
        some = frames[name].sample(frac=0.8, random_state=3)[["id", "era"]].assign(model=rng.random(int(len(frames[name]) * 0.8 + 0.5)))
        stray = some.iloc[:3].assign(id="nobody")
        stray["era"] = ["0001", "0070", "9999"]
        store(pd.concat([some, stray]), tmp_path / "raw", f"{name}_benchmark_models")
    directory, _, _ = prepare(tmp_path / "raw")
    joined = pd.concat([frames["train"], frames["validation"]]).assign(era=lambda table: table["era"].astype(int))
    joined = joined.sort_values(["era", "id"], ignore_index=True)
    index = Panel(directory / "panel").index
    assert index["id"].tolist() == joined["id"].tolist()
    models = pd.concat([pd.read_parquet(tmp_path / "raw" / f"{name}_benchmark_models.parquet") for name in ("train", "validation")])
    models = models.reset_index().assign(era=lambda table: table["era"].astype(int))
    expected = joined.merge(models, on=["era", "id"], how="left")["model"].astype(np.float32)
    assert np.array_equal(tabular.read_parquet(directory / "references.parquet")["model"], expected, equal_nan=True)


def test_two_files_of_benchmark_models_that_contradict(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw")
    for name in ("train_benchmark_models", "validation_benchmark_models"):
        store(frames["train"][["id", "era"]].assign(model=0.5), tmp_path / "raw", name)
    with pytest.raises(InputError, match=r"id 'n01\w+' of era 1 is in another file of benchmark models too"):
        prepare(tmp_path / "raw")


NO_PREDICTIONS = {
    "target": 0.5,
    "target_other_60": 0.5,
    "Target_Ender_20": 0.5,
    " target": 0.5,
    "feature_3": 0.5,
    "feature_unknown": 0.5,
    "numerai_meta_model": 0.5,
    "oracle": 0.5,
    "data_type": 0.5,
    "Era": 0.5,
    "ID": 0.5,
    "Unnamed: 0": 0.5,
    "index": 0.5,
    "__index_level_0__": 0.5,
    "y_20": 0.5,
    "rank": 7,
    "name": "x",
}


def test_what_is_no_prediction_is_no_benchmark_model(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw")
    described = files.read_json(tmp_path / "raw/features.json")
    files.write_json(described | {"targets": [*described["targets"], "y_20"]}, tmp_path / "raw/features.json")
    keys = frames["validation"][["id", "era"]]
    store(keys.assign(**NO_PREDICTIONS, model=0.25, empty=None), tmp_path / "raw", "validation_benchmark_models")
    store(keys.assign(data_type="validation", other=0.5, numerai_meta_model=0.75), tmp_path / "raw", "meta_model")
    directory, _, counts = prepare(tmp_path / "raw")
    found = tabular.read_parquet(directory / "references.parquet")
    assert found.columns.tolist() == ["id", "era", "numerai_meta_model", "model", "empty"]
    assert found["numerai_meta_model"].dropna().unique().tolist() == [0.75]
    assert found["empty"].isna().all()
    ignored = ", ".join(repr(name) for name in NO_PREDICTIONS if name != "data_type")
    assert counts.notes[0].startswith("target: looks 20 trading days ahead")
    assert counts.notes[1:] == [
        f"validation_benchmark_models.parquet: left out {ignored}, which is no prediction; taken model, empty",
        "meta_model.parquet: left out 'other', which is no prediction; taken numerai_meta_model",
        "benchmark models: model, empty",
    ]


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("meta_model", {"prediction": 0.5}, "column 'numerai_meta_model' is missing; it has id, era, prediction"),
        ("oracle", {"law": 0.5}, "column 'oracle' is missing; it has id, era, law"),
        ("meta_model", {"numerai_meta_model": "high"}, "column 'numerai_meta_model' is of type large_string; expected float32"),
        ("train_benchmark_models", {"target": 0.5}, "at least one of predictions; it has id, era, target"),
        ("train_benchmark_models", {"a\nb": 0.5}, r"the name 'a\nb' is blank or can't be printed"),
    ],
)
def test_a_file_of_predictions_without_its_column(tmp_path: Path, name: str, columns: dict[str, Any], message: str) -> None:
    frames = raw.write(tmp_path / "raw")
    frames["train"][["id", "era"]].assign(**columns).to_parquet(tmp_path / "raw" / f"{name}.parquet", index=False)
    with pytest.raises(InputError, match=rf"{name}\.parquet: .*{re.escape(message)}"):
        prepare(tmp_path / "raw")


class TestMatches:
    """Files of predictions with ids of the data, or without."""

    @pytest.fixture
    def frames(self, tmp_path: Path) -> dict[str, pd.DataFrame]:
        return raw.write(tmp_path / "raw")

    def found(self, tmp_path: Path, meta: pd.DataFrame, **options: Any) -> list[str]:
        store(meta.assign(numerai_meta_model=0.5), tmp_path / "raw", "meta_model")
        return prepare(tmp_path / "raw", **options)[2].warnings

    def test_none_is_an_error(self, tmp_path: Path, frames: dict[str, pd.DataFrame]) -> None:
        meta = frames["validation"][["id", "era"]].assign(id=lambda table: "x" + table["id"])
        message = r"meta_model\.parquet: not one of its 1,200 rows in the 30 eras that the data has too has an id of the data"
        with pytest.raises(InputError, match=message):
            self.found(tmp_path, meta)

    def test_few_are_a_warning_with_both_counts(self, tmp_path: Path, frames: dict[str, pd.DataFrame]) -> None:
        meta = frames["validation"][["id", "era"]]
        meta.loc[meta.index % 3 > 0, "id"] += "x"
        [line] = self.found(tmp_path, meta)
        assert "meta_model.parquet: 400 of its 1,200 rows in the 30 eras that the data has too have an id of the data" in line

    def test_no_era_of_the_data_is_a_warning(self, tmp_path: Path, frames: dict[str, pd.DataFrame]) -> None:
        meta = frames["validation"][["id", "era"]].assign(era="0500")
        [line] = self.found(tmp_path, meta)
        assert "meta_model.parquet: it has no era that is prepared" in line
        [line] = self.found(tmp_path, meta.iloc[:0])
        assert "meta_model.parquet: there are no rows" in line

    def test_rows_that_the_data_left_out_are_no_fault(self, tmp_path: Path, frames: dict[str, pd.DataFrame]) -> None:
        validation = frames["validation"]
        validation.loc[validation["era"] > "0070", "data_type"] = "test"
        validation.loc[(validation["era"] <= "0070") & (validation.groupby("era").cumcount() < 30), "target"] = np.nan
        store(validation, tmp_path / "raw", "validation")
        assert self.found(tmp_path, validation[["id", "era"]], every=4) == []
        assert self.found(tmp_path, validation[["id", "era"]].groupby("era").head(40)) == []


def test_eras_of_every_fourth_week_are_prepared_and_told(tmp_path: Path) -> None:
    raw.write(tmp_path / "raw", train=range(1, 241, 4), validation=range(241, 361))
    directory, _, counts = prepare(tmp_path / "raw")
    assert Panel(directory / "panel").eras.tolist() == [*range(1, 241, 4), *range(241, 361)]
    [line] = counts.warnings
    assert "train.parquet: neighbouring eras are usually 4 apart, and 1 was expected" in line
    assert "and so are purges counted. That is right for a file with one week in 4" in line
    raw.write(tmp_path / "raw")
    assert prepare(tmp_path / "raw", every=4)[2].warnings == []


def test_eras_may_be_whole_floats(tmp_path: Path) -> None:
    frames = raw.write(tmp_path / "raw")
    store(frames["train"].assign(era=frames["train"]["era"].astype(float)), tmp_path / "raw", "train")
    assert Panel(prepare(tmp_path / "raw")[0] / "panel").eras.tolist() == list(range(1, 91))


@pytest.mark.parametrize("name", ["train", "validation", "live"])
def test_columns_without_any_value_are_missing_whatever_their_type(tmp_path: Path, name: str) -> None:
    frames = raw.write(tmp_path / "raw", train=range(1, 13), validation=range(13, 25))
    written = []
    for empty in (None, np.nan, pd.array([None] * len(frames[name]), "Int8")):
        store(frames[name].assign(feature_5=empty), tmp_path / "raw", name)
        directory, metrics, _ = prepare(tmp_path / "raw")
        assert metrics["missing_features"]["values"] == len(frames[name])
        written.append({path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()})
    assert written[0] == written[1] == written[2]
    store(frames[name].assign(target_other_20=None), tmp_path / "raw", name)
    prepare(tmp_path / "raw")


class TestNames:
    """Names of features and targets, and feature sets."""

    def described(self, tmp_path: Path, sets: dict[str, Any]) -> None:
        files.write_json({"feature_sets": sets, "targets": ["target"]}, tmp_path / "raw" / "features.json")

    @pytest.mark.parametrize("name", ["feature\r_2", "feature_2\n", "feature_\t2", "feature_\x002", "feature_2\u200b"])
    @pytest.mark.parametrize("renamed", ["feature_2", "target_other_20"])
    def test_control_characters_are_refused(self, tmp_path: Path, renamed: str, name: str) -> None:
        frames = raw.write(tmp_path / "raw")
        name = f"target_{name}" if renamed != "feature_2" else name
        store(frames["train"].rename(columns={renamed: name}), tmp_path / "raw", "train")
        self.described(tmp_path, {"all": [f"feature_{k}" if k != 2 or renamed != "feature_2" else name for k in range(8)]})
        with pytest.raises(InputError) as caught:
            prepare(tmp_path / "raw")
        assert f"train.parquet: the name {name!r} is blank or can't be printed; rename it there" in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["", " "])
    def test_blank_names_are_refused(self, tmp_path: Path, name: str) -> None:
        frames = raw.write(tmp_path / "raw")
        store(frames["train"].rename(columns={"feature_2": name}), tmp_path / "raw", "train")
        self.described(tmp_path, {"all": ["feature_1", name]})
        with pytest.raises(InputError, match=rf"the name '{name}' is blank"):
            prepare(tmp_path / "raw")

    @pytest.mark.parametrize("name", ["id", "era", "data_type", "target", "target_other_20"])
    def test_a_set_has_features_alone(self, tmp_path: Path, name: str) -> None:
        raw.write(tmp_path / "raw")
        self.described(tmp_path, {"all": ["feature_0", name]})
        with pytest.raises(InputError, match=rf"features\.json: the set 'all' has '{name}', which is no feature"):
            prepare(tmp_path / "raw")

    def test_a_feature_counts_once_in_a_set(self, tmp_path: Path) -> None:
        raw.write(tmp_path / "raw")
        self.described(tmp_path, {"all": ["feature_1", "feature_0", "feature_1"], "wisdom": ["feature_0", "feature_0"], "none": []})
        panel = Panel(prepare(tmp_path / "raw")[0] / "panel")
        assert panel.feature_names == ("feature_1", "feature_0")
        assert panel.feature_sets == {"all": ["feature_1", "feature_0"], "wisdom": ["feature_0"], "none": []}

    def test_names_that_differ_in_case_or_have_spaces_or_dots_are_kept_apart(self, tmp_path: Path) -> None:
        frames = raw.write(tmp_path / "raw")
        names = {"feature_1": "Feature_0", "feature_2": "feature 0", "feature_3": "feature_0.x", "feature_4": " feature_0"}
        for name, frame in frames.items():
            store(frame.rename(columns=names), tmp_path / "raw", name)
        self.described(tmp_path, {"all": ["feature_0", *names.values()]})
        panel = Panel(prepare(tmp_path / "raw")[0] / "panel")
        train = frames["train"].set_index("id").loc[panel.index["id"][:2400]]
        assert np.array_equal(matrix_of(panel)[:2400], train[["feature_0", *names]])


Change = Callable[[pd.DataFrame], pd.DataFrame]
NAMES = [f"feature_{k}" for k in range(12)]

WHOLE: dict[str, tuple[Change, str]] = {
    "floats": (lambda values: values / 4, r"'feature_0' isn't all small whole numbers, 0 to 4, .* has fractions from 0 to 1;"),
    "centred": (lambda values: values - 2, r"'feature_0' isn't all small whole numbers, 0 to 4, .* has whole numbers from -2 to 2;"),
    "doubled": (lambda values: values * 2, r"'feature_0' isn't all small whole numbers, 0 to 4, .* has whole numbers from 0 to 8;"),
    "halved": (
        lambda values: values // 2,
        r"the others don't have the span of train's features, 0 to 4: it has whole numbers from 0 to 2;",
    ),
    "one": (lambda values: values.assign(feature_7=values["feature_7"] / 4), r"'feature_7' isn't all small .* fractions from 0 to 1;"),
    "one centred": (lambda values: values.assign(feature_7=values["feature_7"] - 2), r"'feature_7' isn't all small .* from -2 to 2;"),
    "five at most 1": (
        lambda values: values.assign(**values[NAMES[:5]].clip(upper=1)),
        r"'feature_0' and 4 others of 12 span less than they do in train, 0 to 4: it has whole numbers from 0 to 1;",
    ),
}
FLOATS: dict[str, tuple[Change, str]] = {
    "int8": (lambda values: (values * 4).astype(np.int8), r"'feature_0' isn't all floats 0 to 1, .* whole numbers from 0 to 4;"),
    "centred": (lambda values: values - 0.5, r"'feature_0' isn't all floats 0 to 1, .* fractions from -0\.5 to 0\.5;"),
    "multiplied": (lambda values: values * np.float32(0.9), r"'feature_0' isn't in the steps 0, 0\.25, \.\.\. 1 .* from 0 to 0\.9;"),
    "one": (lambda values: values.assign(feature_7=values["feature_7"] * 4), r"'feature_7' isn't all floats 0 to 1, .* from 0 to 4;"),
    "one halved": (lambda values: values.assign(feature_7=values["feature_7"] / 2), r"'feature_7' isn't in the steps .* from 0 to 0\.5;"),
}
CONTINUOUS: dict[str, tuple[Change, str]] = {
    "halved": (lambda values: values / 2, r"the others don't have the span of train's features, .* fractions from .* to 0\.49"),
    "six halved": (
        lambda values: values.assign(**values[NAMES[::2]] / 2),
        r"'feature_\d+' and \d others of 12 span less than they do in train, .* fractions from .* to 0\.4",
    ),
    "multiplied": (lambda values: values * 0.9, r"the others don't have the span of train's features, .* fractions from .* to 0\.89"),
    "centred": (lambda values: values - 0.5, r"'feature_0' isn't all floats 0 to 1, .* fractions from -0\.4"),
}


def scaled(directory: Path, dtype: str, rows: int = 40) -> dict[str, pd.DataFrame]:
    """Write raw files of whole numbers, of floats in five steps, or of any floats."""
    dtype_of_it = "int8" if dtype == "int8" else "float32"
    frames = raw.write(directory, train=range(1, 16), validation=range(16, 28), features=12, rows=rows, dtype=dtype_of_it)
    if dtype == "continuous":
        rng = np.random.default_rng(3)
        for name, frame in frames.items():
            frame[NAMES] = rng.random((len(frame), 12))
            store(frame, directory, name)
    return frames


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function to the prepared directory of `scaled` files of a type."""

    @cache
    def made(dtype: str) -> Path:
        directory = tmp_path_factory.mktemp(dtype)
        scaled(directory / "raw", dtype)
        return prepare(directory / "raw")[0]

    return made


class TestScale:
    """Files on the scale of train, or on another."""

    @pytest.mark.parametrize("name", ["validation", "live"])
    @pytest.mark.parametrize(
        ("dtype", "what"),
        [(dtype, what) for dtype, kinds in (("int8", WHOLE), ("float32", FLOATS), ("continuous", CONTINUOUS)) for what in kinds],
    )
    def test_another_one_is_refused_with_both(
        self, tmp_path: Path, prepared: Callable[[str], Path], name: str, dtype: str, what: str
    ) -> None:
        frames = scaled(tmp_path / "raw", dtype)
        change, message = {"int8": WHOLE, "float32": FLOATS, "continuous": CONTINUOUS}[dtype][what]
        frames[name][NAMES] = change(frames[name][NAMES])
        store(frames[name], tmp_path / "raw", name)
        if name == "live":
            (tmp_path / "round").mkdir()
            with pytest.raises(InputError, match=rf"live\.parquet: .*{message}") as alone:
                preparation.prepare_live(tmp_path / "raw" / "live.parquet", tmp_path / "round", Panel(prepared(dtype) / "live"))
        with pytest.raises(InputError, match=rf"{name}\.parquet: .*{message}.*expected one scale in train, validation and live") as caught:
            prepare(tmp_path / "raw")
        if name == "live" and dtype != "continuous":
            assert str(alone.value) == str(caught.value)

    @pytest.mark.parametrize("missing", [0.0, 0.1])
    @pytest.mark.parametrize(
        ("dtype", "files_of_it"),
        [
            *(("float32", (name,)) for name in ("train", "live")),
            *((dtype, ("train", "validation", "live")) for dtype in ("float32", "float64")),
        ],
    )
    def test_whole_floats_are_whole_numbers(self, tmp_path: Path, dtype: str, missing: float, files_of_it: tuple[str, ...]) -> None:
        frames = scaled(tmp_path / "raw", "int8")
        rng = np.random.default_rng(1)
        gaps = {name: rng.random((len(frames[name]), 12)) < missing for name in files_of_it}
        for name in files_of_it:
            store(frames[name].assign(**frames[name][NAMES].astype("Int8").mask(gaps[name])), tmp_path / "raw", name)
        directory, _, _ = prepare(tmp_path / "raw")
        expected = {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
        for name in files_of_it:
            store(frames[name].assign(**frames[name][NAMES].astype(dtype).mask(gaps[name])), tmp_path / "raw", name)
        directory, _, counts = prepare(tmp_path / "raw")
        assert {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()} == expected
        assert counts.missing.sum() == sum(gap.sum() for gap in gaps.values())

    def test_rows_without_values_tell_nothing_of_the_scale(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(matrix, "BATCH_ROWS", 100)
        frames = scaled(tmp_path / "raw", "int8")
        early = np.repeat((frames["train"]["era"] < "0010").to_numpy()[:, None], 12, axis=1)
        store(frames["train"].assign(**frames["train"][NAMES].astype(float).mask(early)), tmp_path / "raw", "train")
        assert Panel(prepare(tmp_path / "raw")[0] / "panel").dtype == np.int8

    def test_one_feature_of_train_on_another_scale_is_named(self, tmp_path: Path) -> None:
        frames = scaled(tmp_path / "raw", "float32")
        store(frames["train"].assign(feature_7=(frames["train"]["feature_7"] * 4).astype(np.int8)), tmp_path / "raw", "train")
        with pytest.raises(InputError, match=r"train\.parquet: feature 'feature_7' isn't all floats 0 to 1, .* whole numbers from 0 to 4"):
            prepare(tmp_path / "raw")

    @pytest.mark.parametrize("dtype", ["int8", "float32", "continuous"])
    @pytest.mark.parametrize(("rows", "constant"), [(1, 0), *((rows, constant) for rows in (3, 40) for constant in (0, 5, 11)), (40, 12)])
    def test_few_rows_and_features_without_variety_are_no_alarm(self, tmp_path: Path, dtype: str, rows: int, constant: int) -> None:
        frames = scaled(tmp_path / "raw", dtype)
        live = frames["live"].head(rows)
        live = live.assign(**{name: live[name].iloc[0] for name in NAMES[:constant]})
        store(live, tmp_path / "raw", "live")
        directory, _, _ = prepare(tmp_path / "raw")
        (tmp_path / "round").mkdir()
        preparation.prepare_live(tmp_path / "raw" / "live.parquet", tmp_path / "round", Panel(directory / "live"))

    @pytest.mark.parametrize("rows", [40, 44, 60])
    def test_ranks_of_more_stocks_are_on_the_same_scale(self, tmp_path: Path, rows: int) -> None:
        frames = raw.write(tmp_path / "raw", features=12, rows=60, dtype="float32")
        frames["live"] = frames["live"].head(rows)
        frames["train"] = frames["train"].groupby("era").head(40)
        for name, frame in frames.items():
            drawn = pd.DataFrame(np.random.default_rng(1).random((len(frame), 12)), columns=NAMES, index=frame.index)
            store(frame.assign(**drawn.groupby(frame["era"]).rank(pct=True)), tmp_path / "raw", name)
        directory, _, _ = prepare(tmp_path / "raw")
        (tmp_path / "round").mkdir()
        store(frames["live"].assign(**drawn.tail(len(frames["live"])).rank(pct=True)), tmp_path, "live")
        preparation.prepare_live(tmp_path / "live.parquet", tmp_path / "round", Panel(directory / "live"))

    def test_gaps_that_their_owner_filled_by_one_value_are_no_alarm(self, tmp_path: Path) -> None:
        frames = scaled(tmp_path / "raw", "float32")
        gaps = np.random.default_rng(1).random((len(frames["live"]), 3)) < 0.6
        store(frames["live"].assign(**frames["live"][NAMES[:3]].mask(gaps, 0.47)), tmp_path / "raw", "live")
        prepare(tmp_path / "raw")

    def test_a_file_of_train_on_no_scale_is_told_of_both(self, tmp_path: Path) -> None:
        frames = scaled(tmp_path / "raw", "continuous")
        store(frames["train"].assign(**frames["train"][NAMES] * 1.5 - 0.2), tmp_path / "raw", "train")
        message = (
            r"isn't all floats 0 to 1, as most features of the file are: .* expected small whole numbers, 0 to 4 or floats 0 to 1: bring"
        )
        with pytest.raises(InputError, match=message):
            prepare(tmp_path / "raw")

    @settings(max_examples=20)
    @given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0.02, 2), rows=st.integers(2, 400))
    def test_eras_of_one_law_are_on_one_scale(self, seed: int, spread: float, rows: int) -> None:
        rng = np.random.default_rng(seed)
        volatile = rng.uniform(0.8, 1.25, 24)
        drawn = [np.clip(0.5 + spread * v * rng.standard_normal((rows, 6)) / 4, 0, 1).astype(np.float32) for v in volatile]
        scales.require_same(drawn[:1], drawn[1:11], list("abcdef"), Path("x"))
        scales.require_same(drawn[:10], drawn[10:20], list("abcdef"), Path("x"))


def test_derived_features_of_many_rows_are_those_of_each() -> None:
    block = np.random.default_rng(1).integers(0, 5, (1300, 7)).astype(np.int8)
    found = derive(block, ["row_mean", "row_std"], 4)
    assert np.array_equal(found, np.column_stack([block.mean(axis=1), block.std(axis=1)]).astype(np.float32))
