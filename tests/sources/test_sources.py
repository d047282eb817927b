"""The sources `local` and `numerai`, the latter over real HTTP against a server on this machine."""

import json
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numerai_server
import pandas as pd
import pytest
import raw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numerai_server import Fault, NumeraiServer
from numerapi import base_api

from erawise.base import files
from erawise.preparation import preparation
from erawise.running.errors import InputError
from erawise.sources import layout
from erawise.sources.local import source as local
from erawise.sources.numerai import source as numerai
from erawise.sources.numerai.attempts import Patience
from stages import download

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "real"
VERSION = "v5.3"
QUICK = Patience(connection=1, silence=0.5, tries=2, pause=0.01, longest_pause=0.02)


def make_layout(directory: Path, live_id: str = "n1") -> Path:
    """Make the smallest directory in Numerai's layout, with one of the optional files."""
    directory.mkdir(parents=True)
    frame = pd.DataFrame({"era": ["0001"], "data_type": ["train"], "feature_a": [2], "target": [0.5]}, index=pd.Index(["n0"], name="id"))
    frame.to_parquet(directory / "train.parquet")
    frame.assign(era="0002", data_type="validation").reset_index().to_parquet(directory / "validation.parquet", index=False)
    live = frame.drop(columns="target").assign(era="X", data_type="live").set_axis(pd.Index([live_id], name="id"))
    live.to_parquet(directory / "live.parquet")
    frame[["era"]].assign(numerai_meta_model=0.5).to_parquet(directory / "meta_model.parquet")
    (directory / "features.json").write_text(json.dumps({"feature_sets": {"all": ["feature_a"]}, "targets": ["target"]}))
    return directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_layout(tmp_path / "source")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    """Serve round 900 as the current one; 899 has another live file; there is also a file that nobody needs."""
    monkeypatch.setenv("NO_PROXY", "*")
    for number in (899, 900):
        directory = make_layout(tmp_path / str(number) / VERSION, live_id=f"n{number}")
        shutil.copy(directory / "live.parquet", directory / "live_example_preds.parquet")
    with numerai_server.serving(NumeraiServer({n: tmp_path / str(n) for n in (899, 900)}, current=900)) as state:
        monkeypatch.setenv("ERAWISE_API_URL", state.url)
        yield state


class Ended(NamedTuple):
    """The exit of a stage, and its output."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def prepared(source: Path, directory: Path) -> dict[str, bytes]:
    """Prepare raw files for their small set."""
    directory.mkdir()
    preparation.prepare(source, directory, preparation.Wanted("small", "target", every=1, demean=False, derived=[]))
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the stage for a source in the test's directory, with the repository's params edited and without pauses."""

    def run(source: str, old: str = "", new: str = "") -> Ended:
        text = (ROOT / "params.yaml").read_text()
        assert old in text
        (tmp_path / "params.yaml").write_text(text.replace("source: market", f"source: {source}").replace(old, new))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["download"])
        monkeypatch.setattr(time, "sleep", lambda _: None)
        code = 0
        try:
            download.main()
        except SystemExit as ended:
            code = int(str(ended.code))
        return Ended(code, *capsys.readouterr())

    return run


class TestLocal:
    def test_copies_the_layout_and_names_the_rest(self, source: Path, out: Path) -> None:
        expected = contents(source)
        (source / "notes.txt").write_text("mine")
        (source / "old").mkdir()
        assert local.write(source, out) == ["notes.txt", "old"]
        assert contents(out) == expected

    def test_takes_every_optional_file(self, source: Path, out: Path) -> None:
        for name in (*layout.OPTIONAL, *layout.MARKET):
            shutil.copyfile(source / "meta_model.parquet", source / name) if name != "meta_model.parquet" else None
        assert local.write(source, out) == []
        assert set(contents(out)) == {*layout.REQUIRED, *layout.OPTIONAL, *layout.MARKET}

    def test_a_copy_is_the_users_file_no_more(self, source: Path, out: Path) -> None:
        (source / "train.parquet").chmod(0o444)
        local.write(source, out)
        copy, original = (out / "train.parquet").stat(), (source / "train.parquet").stat()
        assert copy.st_ino != original.st_ino
        assert copy.st_mode & 0o200

    def test_a_directory_that_is_missing(self, tmp_path: Path, out: Path) -> None:
        with pytest.raises(InputError, match=r"nowhere: no such directory; data\.local\.path names"):
            local.write(tmp_path / "nowhere", out)

    @pytest.mark.parametrize("name", layout.REQUIRED)
    def test_a_file_that_is_missing(self, source: Path, out: Path, name: str) -> None:
        (source / name).unlink()
        with pytest.raises(InputError, match=rf"source: {name} missing; a directory in Numerai's layout has features\.json"):
            local.write(source, out)
        assert contents(out) == {}

    @pytest.mark.parametrize("name", [*layout.REQUIRED, "meta_model.parquet"])
    def test_a_file_that_is_cut_short(self, source: Path, out: Path, name: str) -> None:
        whole = (source / name).read_bytes()
        (source / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=rf"{name}: not a readable (Parquet|JSON) file"):
            local.write(source, out)
        assert contents(out) == {}

    @pytest.mark.parametrize("name", ["train.parquet", "features.json", "meta_model.parquet"])
    def test_a_directory_of_parts_or_a_dead_link_is_no_missing_file(self, source: Path, out: Path, name: str) -> None:
        whole = (source / name).rename(source / "part-0")
        (source / name).symlink_to("elsewhere")
        with pytest.raises(InputError, match=rf"{name}: it is a link to elsewhere, which isn't there"):
            local.write(source, out)
        (source / name).unlink()
        (source / name).mkdir()
        whole.rename(source / name / "part-0")
        with pytest.raises(InputError, match=rf"{name}: it is a directory; expected one file"):
            local.write(source, out)
        assert contents(out) == {}

    @pytest.mark.parametrize("name", ["train.parquet", "live.parquet", "meta_model.parquet"])
    def test_ids_in_the_metadata_of_pandas_alone(self, source: Path, out: Path, name: str) -> None:
        frame = pd.read_parquet(source / name)
        frame.set_axis(pd.RangeIndex(len(frame), name="id")).to_parquet(source / name)
        with pytest.raises(InputError, match=rf"{name}: 'id' isn't a column; pandas keeps it in the file's metadata, .*reset_index"):
            local.write(source, out)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
    @given(share=st.floats(0, 1, exclude_max=True))
    def test_a_cut_is_found_wherever_it_is(self, source: Path, share: float) -> None:
        for name in ("features.json", "live.parquet"):
            whole = (source / name).read_bytes()
            cut = source / "cut" / name
            cut.parent.mkdir(exist_ok=True)
            cut.write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(InputError, match=name):
                layout.check(cut)

    @pytest.mark.parametrize(
        ("name", "column", "rest"),
        [
            ("train.parquet", "era", "id, era, data_type"),
            ("validation.parquet", "id", "id, era, data_type"),
            ("live.parquet", "data_type", "id, era, data_type"),
        ],
    )
    def test_a_column_that_is_missing(self, source: Path, out: Path, name: str, column: str, rest: str) -> None:
        frame = pd.read_parquet(source / name)
        frame.drop(columns=column).to_parquet(source / name)
        with pytest.raises(InputError, match=rf"{name}: {column} missing among its columns; Numerai's layout has {rest} there"):
            local.write(source, out)

    @pytest.mark.parametrize(
        "text",
        [
            "[]",
            "{}",
            "null",
            '{"feature_sets": [], "targets": []}',
            '{"feature_sets": {}, "targets": []}',
            '{"feature_sets": {"all": ["a"]}}',
            '{"feature_sets": {"all": "feature_a"}, "targets": ["target"]}',
            '{"feature_sets": {"all": null}, "targets": ["target"]}',
            '{"feature_sets": {"all": ["a"]}, "targets": "target"}',
        ],
    )
    def test_a_features_file_of_another_shape(self, source: Path, out: Path, text: str) -> None:
        (source / "features.json").write_text(text)
        with pytest.raises(InputError, match=r'features\.json: expected \{"feature_sets"'):
            local.write(source, out)

    @pytest.mark.skipif(not REAL.is_dir(), reason="the real sample isn't here")
    def test_takes_the_real_sample_as_it_is(self, out: Path) -> None:
        assert local.write(REAL, out) == ["era_scores.csv"]
        assert contents(out) == {name: (REAL / name).read_bytes() for name in layout.REQUIRED}

    def test_the_stage_replaces_what_was_there(self, stage: Run, source: Path, tmp_path: Path) -> None:
        old = make_layout(tmp_path / "data" / "raw", live_id="old")
        (old / "oracle.parquet").write_bytes(b"of another source")
        (source / "notes.txt").write_text("mine")
        done = stage("local", "path: data/local", "path: source")
        assert (done.returncode, done.stderr) == (0, "")
        said, last = done.stdout.splitlines()
        assert said == "source: ignored notes.txt: not among the files of Numerai's layout"
        assert last.startswith("download: wrote data/raw; 3 rows, ")
        assert contents(tmp_path / "data" / "raw") == {n: b for n, b in contents(source).items() if n != "notes.txt"}
        assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["raw", "runs"]

    def test_the_stage_leaves_what_was_there_when_it_fails(self, stage: Run, source: Path, tmp_path: Path) -> None:
        before = contents(make_layout(tmp_path / "data" / "raw", live_id="old"))
        (source / "live.parquet").write_bytes(b"PAR1")
        done = stage("local", "path: data/local", "path: source")
        assert done.returncode == 1
        assert done.stderr.startswith("error: source/live.parquet: not a readable Parquet file")
        assert done.stderr.count("\n") == 1
        assert contents(tmp_path / "data" / "raw") == before
        assert [path.name for path in (tmp_path / "data").iterdir()] == ["raw"]


class TestNumerai:
    def test_takes_the_files_of_the_version(self, server: NumeraiServer, out: Path, kept: Path) -> None:
        absent = numerai.write(out, VERSION, None, "all", kept, QUICK)
        expected = contents(server.rounds[900] / VERSION)
        del expected["live_example_preds.parquet"]
        assert contents(out) == expected
        assert absent == [f"{name}_benchmark_models.parquet" for name in ("train", "validation", "live")]
        assert sorted(server.fetched) == sorted(f"{VERSION}/{name}" for name in expected)

    def test_of_the_rows_only_the_columns_of_the_feature_set_come(self, server: NumeraiServer, out: Path, kept: Path) -> None:
        directory = server.rounds[900] / VERSION
        raw.write(directory, rows=200, features=300)
        numerai.write(out, VERSION, None, "small", kept, QUICK)
        small = files.read_json(out / "features.json")["feature_sets"]["small"]
        for name in layout.ROWS:
            whole = pd.read_parquet(directory / name)
            expected = whole[[column for column in whole if column in small or not column.startswith("feature_")]]
            pd.testing.assert_frame_equal(pd.read_parquet(out / name)[expected.columns], expected)
        assert set(pd.read_parquet(out / "train.parquet")) == {
            *small,
            "era",
            "data_type",
            *files.read_json(out / "features.json")["targets"],
        }
        assert server.sent[f"{VERSION}/train.parquet"] < (directory / "train.parquet").stat().st_size / 2
        assert prepared(out, kept / "of_columns") == prepared(directory, kept / "of_all")

    def test_a_feature_set_that_is_not_there(self, server: NumeraiServer, out: Path, kept: Path) -> None:
        with pytest.raises(InputError, match=r"^data\.feature_set: 'tiny' is no feature set of v5\.3/features\.json; it has all$"):
            numerai.write(out, VERSION, None, "tiny", kept, QUICK)
        assert server.fetched == [f"{VERSION}/features.json"]

    def test_a_round_pins_every_file(self, server: NumeraiServer, out: Path, kept: Path) -> None:
        numerai.write(out, VERSION, 899, "all", kept, QUICK)
        assert pd.read_parquet(out / "live.parquet").index.tolist() == ["n899"]
        assert {query["variables"]["round"] for query in server.queries} == {899}
        assert {query["variables"]["tournament"] for query in server.queries} == {8}

    def test_what_has_not_changed_comes_once(self, server: NumeraiServer, out: Path, kept: Path, tmp_path: Path) -> None:
        numerai.write(out, VERSION, None, "all", kept, QUICK)
        make_layout(tmp_path / "new", live_id="later")
        shutil.copy(tmp_path / "new" / "live.parquet", server.rounds[900] / VERSION / "live.parquet")
        again = tmp_path / "again"
        again.mkdir()
        server.sent.clear()
        numerai.write(again, VERSION, None, "all", kept, QUICK)
        assert pd.read_parquet(again / "live.parquet").index.tolist() == ["later"]
        assert pd.read_parquet(out / "live.parquet").index.tolist() == ["n900"]
        assert server.sent == {
            "v5.3/features.json": 0,
            "v5.3/train.parquet": 0,
            "v5.3/validation.parquet": 0,
            "v5.3/meta_model.parquet": 0,
        } | {"v5.3/live.parquet": (again / "live.parquet").stat().st_size}

    def test_no_key_is_sent_and_nothing_global_changes(
        self, server: NumeraiServer, out: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NUMERAI_PUBLIC_ID", "public")
        monkeypatch.setenv("NUMERAI_SECRET_KEY", "secret")
        address = base_api.API_TOURNAMENT_URL
        numerai.write(out, VERSION, None, "all", kept, QUICK)
        assert address == base_api.API_TOURNAMENT_URL
        assert len(server.headers) == len(server.queries) + len(server.fetched)
        assert not any("Authorization" in headers for headers in server.headers)

    @pytest.mark.parametrize("by", ["environment", "numerapi"])
    def test_without_an_address_it_asks_the_one_of_the_environment_or_numerai(
        self, server: NumeraiServer, out: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, by: str
    ) -> None:
        if by == "numerapi":
            monkeypatch.delenv("ERAWISE_API_URL")
            monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", server.url)
        numerai.write(out, VERSION, None, "all", kept, QUICK)
        assert (out / "train.parquet").exists()

    @pytest.mark.parametrize(
        ("name", "fault", "message"),
        [
            ("train.parquet", "404", "v5.3/train.parquet can't be fetched: the answer is HTTP status 404"),
            ("train.parquet", "cut_unsaid", "the file that came as v5.3/train.parquet can't be used: not a readable Parquet file"),
            ("live.parquet", "html", "the file that came as v5.3/live.parquet can't be used: not a readable Parquet file"),
            ("features.json", "html", "the file that came as v5.3/features.json can't be used: not a readable JSON file"),
            ("features.json", "cut_unsaid", "the file that came as v5.3/features.json can't be used: not a readable JSON file"),
        ],
    )
    def test_a_file_that_fails(self, server: NumeraiServer, out: Path, kept: Path, name: str, fault: str, message: str) -> None:
        server.file_faults[f"{VERSION}/{name}"] = [Fault(fault)]
        with pytest.raises(InputError) as caught:
            numerai.write(out, VERSION, None, "all", kept, QUICK)
        assert message in str(caught.value)
        assert str(caught.value).endswith("; or set data.source to market, which works offline")
        assert numerai_server.SIGNATURE not in str(caught.value)
        assert str(kept) not in str(caught.value)

    def test_a_version_that_is_not_there(self, server: NumeraiServer, out: Path, kept: Path) -> None:
        with pytest.raises(InputError, match=r"^data\.version: Numerai has no 'v9\.9' in round 899 \(data\.round\); it has v5\.3$"):
            numerai.write(out, "v9.9", 899, "all", kept, QUICK)

    def test_a_version_that_lacks_a_file(self, server: NumeraiServer, out: Path, kept: Path) -> None:
        (server.rounds[900] / VERSION / "live.parquet").unlink()
        with pytest.raises(InputError, match=r"^data\.version: v5\.3 lacks live\.parquet in the current round; choose another"):
            numerai.write(out, VERSION, None, "all", kept, QUICK)
        assert server.fetched == []

    def test_the_stage(self, stage: Run, server: NumeraiServer, tmp_path: Path) -> None:
        done = stage("numerai", "round: null", "round: 899")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Numerai has no train_benchmark_models.parquet, validation_benchmark_models.parquet, live_")
        assert pd.read_parquet(tmp_path / "data" / "raw" / "live.parquet").index.tolist() == ["n899"]
        assert sorted(json.loads((tmp_path / "data/downloads/v5.3/899/manifest.json").read_text())) == sorted(
            ["features.json", "live.parquet", "meta_model.parquet", "train.parquet", "validation.parquet"]
        )

    @pytest.mark.parametrize(("fault", "code"), [("no network", 75), ("404", 1)])
    def test_the_stage_leaves_what_was_there_when_it_fails(
        self, stage: Run, server: NumeraiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, code: int
    ) -> None:
        before = contents(make_layout(tmp_path / "data" / "raw", live_id="old"))
        server.file_faults[f"{VERSION}/live.parquet"] = [Fault("404")]
        url = server.url if fault == "404" else f"http://127.0.0.1:{free_port()}"
        monkeypatch.setenv("ERAWISE_API_URL", url)
        done = stage("numerai")
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith(f"error: {url}")
        assert done.stderr.count("\n") == 1
        assert contents(tmp_path / "data" / "raw") == before
        assert {path.name for path in (tmp_path / "data").iterdir()} <= {"raw", "downloads"}


def free_port() -> int:
    """Find a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
