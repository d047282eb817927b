"""Some columns of a Parquet file over real HTTP: equal to the whole file's, for a share of its bytes, whatever the server does."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numerai_server
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import waiting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numerai_server import Fault, NumeraiServer

from erawise.base import files
from erawise.running.errors import InputError
from erawise.sources.numerai import fetching, ranges
from erawise.sources.numerai.attempts import Patience
from erawise.sources.numerai.client import Client
from erawise.sources.numerai.columns import Columns
from erawise.sources.numerai.fetching import Download
from erawise.sources.numerai.records import Record
from erawise.sources.numerai.spans import Budget, plan
from erawise.sources.numerai.store import MANIFEST, Store

NAME = "v5.3/train.parquet"
ROWS, GROUPS, FEATURES = 1500, 3, 100
PLAIN: dict[str, Any] = {"rows": 500, "compression": "none", "use_dictionary": False}
"""Settings of files that differ only in their values, with the same length."""
QUICK = Patience(connection=1, silence=0.3, window=0.3, rate=100, tries=4, pause=0.01, longest_pause=0.02)
CLOSE = Budget(gap=0, piece=3000, connections=3)
"""A budget with a request for every range, and several for longer ones."""
WIDE = Budget(gap=3000, piece=30_000, connections=3)
"""A budget with fewer requests."""
ALL = [f"feature_{k}" for k in range(FEATURES)]
OTHERS = ["id", "era", "data_type", "weight", "target", "target_other_60"]
SETS = {"few": ALL[3:60:8], "fewer": ALL[3:30:8], "more": ALL[2:50:2], "most": ALL[2:]}


def columns(name: str) -> Columns:
    return Columns(name, frozenset(SETS[name]), frozenset(ALL))


def write(path: Path, seed: int, rows: int = ROWS, **options: Any) -> Path:
    """Write three groups of rows with dictionaries, plain values, nulls and categories, and `id` as the index that pandas would make."""
    rng, holes = np.random.default_rng(seed), np.random.default_rng(0)
    n = rows * GROUPS
    eras = pa.array([f"{number // 1000 + 1:04d}" for number in range(n)]).dictionary_encode()
    table: dict[str, Any] = {"id": [f"n{seed}{number:013x}" for number in range(n)], "era": eras, "data_type": ["train"] * n}
    for number, name in enumerate(ALL):
        table[name] = pa.array(rng.integers(0, 5, n, dtype=np.int8), mask=holes.random(n) < (0.01 if number % 3 else 0))
    table["weight"] = rng.normal(size=n)
    table["target"] = (rng.integers(0, 5, n) / 4).astype(np.float32)
    table["target_other_60"] = pa.array(rng.integers(0, 5, n) / 4, pa.float32(), mask=holes.random(n) < 0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = pa.table(table)
    written = pa.Table.from_pandas(plain.to_pandas().set_index("id"), plain.schema)
    pq.write_table(written, path, **{"row_group_size": rows, "use_dictionary": ["id", "era", *ALL[::2]]} | options)
    return path


@pytest.fixture(scope="session")
def contents(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Return two files of the same columns and length, with other values."""
    directory = tmp_path_factory.mktemp("contents")
    old, new = (write(directory / f"{seed}.parquet", seed, **PLAIN).read_bytes() for seed in (1, 2))
    assert len(old) == len(new)
    return old, new


@pytest.fixture
def server(tmp_path: Path, contents: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    put(tmp_path / "1", contents[0])
    with numerai_server.serving(NumeraiServer({1: tmp_path / "1"}, current=1)) as state:
        yield state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "train.parquet"


def put(directory: Path, content: bytes) -> None:
    (directory / NAME).parent.mkdir(parents=True, exist_ok=True)
    (directory / NAME).write_bytes(content)


def source(server: NumeraiServer) -> Path:
    return server.rounds[1] / NAME


def fetch(
    server: NumeraiServer, path: Path, name: str = "few", budget: Budget = CLOSE, known: Record | None = None, **options: Any
) -> Record:
    download = Download(lambda: Client(server.url).locate(NAME, None), path, NAME, **{"patience": QUICK} | options)
    return ranges.fetch(download, columns(name), budget, lambda: known)


def assert_columns(path: Path, whole: Path, names: list[str]) -> None:
    """Check that a file has some columns of another, in its order, with its types, values and rows."""
    expected = [name for name in pq.read_schema(whole).names if name in {*OTHERS, *names}]
    found, given = pq.ParquetFile(path).read(), pq.ParquetFile(whole).read(columns=expected)
    assert found.schema.equals(given.schema, check_metadata=True)
    texts = given.schema.set(given.schema.get_field_index("era"), pa.field("era", pa.string()))
    assert found.cast(texts).equals(given.cast(texts)), "Arrow calls the same texts in other dictionaries unequal"


class TestTheColumns:
    @pytest.mark.parametrize("name", ["fewer", "few"])
    @pytest.mark.parametrize(
        "options", [{}, {"compression": "zstd", "data_page_version": "2.0"}, {"compression": "none", "row_group_size": 9000}]
    )
    def test_are_those_of_the_whole_file_at_a_share_of_its_bytes(
        self, server: NumeraiServer, path: Path, name: str, options: dict[str, Any]
    ) -> None:
        write(source(server), 5, **options)
        record = fetch(server, path, name, Budget(gap=0, piece=20_000, connections=3))
        assert_columns(path, source(server), SETS[name])
        assert record.projected is not None
        assert (record.projected.columns, record.projected.of) == (len(SETS[name]) + len(OTHERS), FEATURES + len(OTHERS))
        assert server.sent[NAME] < 0.6 * source(server).stat().st_size
        assert all(asked and asked.startswith("bytes=") for asked in server.ranges)
        assert sorted(file.name for file in path.parent.iterdir()) == [".train.parquet.lock", "train.parquet"]

    def test_read_by_pandas_they_have_their_index(self, server: NumeraiServer, path: Path) -> None:
        import pandas as pd

        fetch(server, path)
        whole = pd.read_parquet(source(server))
        pd.testing.assert_frame_equal(pd.read_parquet(path), whole[[name for name in whole if name in {*OTHERS, *SETS["few"]}]])

    def test_requests_stay_within_the_budget(self, server: NumeraiServer, path: Path) -> None:
        asked = {}
        for requests in (100, 20, 8):
            server.ranges.clear()
            server.sent.clear()
            fetch(server, path, budget=Budget(requests=requests, gap=0, share=0.99))
            asked[requests] = len(server.ranges), server.sent[NAME]
            assert_columns(path, source(server), SETS["few"])
        assert all(number <= requests + 2 for requests, (number, _) in asked.items())
        assert asked[100][0] > asked[20][0] > asked[8][0]
        assert asked[100][1] < asked[20][1] < asked[8][1], "what lies between comes along"

    def test_where_they_are_most_of_the_file_it_comes_whole(
        self, server: NumeraiServer, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record = fetch(server, path, "most")
        assert record.projected is None
        assert path.read_bytes() == source(server).read_bytes()
        assert "v5.3/train.parquet: the columns of most need " in capsys.readouterr().err

    def test_names_that_the_file_lacks_are_left_to_who_needs_them(self, server: NumeraiServer, path: Path) -> None:
        wanted = Columns("odd", frozenset({"feature_3", "feature_none"}), frozenset({*ALL, "feature_none"}))
        ranges.fetch(Download(lambda: f"{server.url}/1/{NAME}", path, NAME, patience=QUICK), wanted, CLOSE)
        assert_columns(path, source(server), ["feature_3"])

    def test_a_footer_longer_than_what_came_first_is_fetched_to_its_start(
        self, server: NumeraiServer, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ranges, "TAIL_BYTES", 1000)
        fetch(server, path)
        assert_columns(path, source(server), SETS["few"])
        assert server.ranges[0] == "bytes=-1000"

    def test_nested_columns_make_it_come_whole(self, server: NumeraiServer, path: Path) -> None:
        table = pq.read_table(source(server))
        table = table.append_column("pairs", pa.array([{"a": 1, "b": 2}] * table.num_rows))
        pq.write_table(table, source(server))
        assert fetch(server, path).projected is None
        assert path.read_bytes() == source(server).read_bytes()


class TestThePlan:
    @given(
        st.lists(st.integers(0, 400), min_size=1, max_size=60),
        st.integers(2, 40),
        st.integers(0, 50),
        st.integers(1, 10_000),
    )
    def test_covers_what_is_wanted_within_the_budget(self, steps: list[int], requests: int, gap: int, piece: int) -> None:
        edges = np.cumsum([4, *steps]).tolist()
        wanted = list(pairwise(edges))[::2]
        planned = plan(wanted, edges[-1], Budget(requests=requests, gap=gap, piece=piece))
        assert len(planned) <= requests
        assert all(start < stop for start, stop in planned)
        assert all(before[1] <= after[0] for before, after in pairwise(planned))
        covered = {byte for start, stop in planned for byte in range(start, stop)}
        assert covered >= {byte for start, stop in wanted for byte in range(start, stop)}

    def test_joins_what_is_near_and_cuts_what_is_long(self) -> None:
        wanted = [(4, 10), (10, 20), (25, 30), (100, 180), (400, 401)]
        assert plan(wanted, 1000, Budget(requests=100, gap=0, piece=50)) == [(4, 20), (25, 30), (100, 150), (150, 180), (400, 401)]
        assert plan(wanted, 1000, Budget(requests=100, gap=5, piece=100)) == [(4, 30), (100, 180), (400, 401)]
        assert plan(wanted, 1000, Budget(requests=3, gap=0, piece=1000)) == [(4, 180), (400, 401)]


class TestTheServer:
    @pytest.mark.parametrize(
        ("faults", "reason"),
        [
            ([Fault("whole")], "the server doesn't send parts of it"),
            ([None, None, Fault("whole")], "the server doesn't send all parts of it"),
            ([None, None, Fault("chunked_cut"), None], "the server doesn't send all parts of it"),
            ([Fault("unsaid"), None], "the server doesn't say which part of it it sends"),
            ([None, None, Fault("unsaid"), None], "the server sends other parts of it than it is asked for"),
            ([None, None, Fault("shifted"), None], "the server sends other parts of it than it is asked for"),
            ([Fault("range_500")], "the answer is HTTP status 500"),
            ([None, None, None, Fault("range_500")], "the answer is HTTP status 500"),
            ([None, None, None, Fault("416"), None], "the server doesn't send all parts of it"),
        ],
    )
    def test_that_does_not_send_parts_as_it_should_gives_the_whole(
        self, server: NumeraiServer, path: Path, capsys: pytest.CaptureFixture[str], faults: list[Fault | None], reason: str
    ) -> None:
        server.file_faults[NAME] = faults
        assert fetch(server, path).projected is None
        assert path.read_bytes() == source(server).read_bytes()
        assert f"{reason}; the whole file is fetched" in capsys.readouterr().err
        assert sorted(file.name for file in path.parent.iterdir()) == [".train.parquet.lock", "train.parquet"]

    @pytest.mark.parametrize("etags", ["weak", None])
    def test_without_a_strong_etag_gives_the_whole(self, server: NumeraiServer, path: Path, etags: str | None) -> None:
        server.etags = etags
        assert fetch(server, path).projected is None
        assert path.read_bytes() == source(server).read_bytes()
        assert [asked is None for asked in server.ranges] == [False, True]

    @pytest.mark.parametrize(
        "faults",
        [
            [None, Fault("500"), Fault("503"), None],
            [Fault("cut"), None, Fault("cut"), Fault("cut", at=0), Fault("short"), Fault("long"), None],
            [None, Fault("stall", at=10), Fault("drip", at=100), None],
            [Fault("403"), None, Fault("410"), Fault("403"), None],
            [Fault("redirected")],
        ],
    )
    def test_that_fails_now_and_then_is_asked_again(self, server: NumeraiServer, path: Path, faults: list[Fault | None]) -> None:
        server.file_faults[NAME] = faults
        assert fetch(server, path).projected is not None
        assert_columns(path, source(server), SETS["few"])

    def test_a_part_that_was_cut_goes_on_where_it_was(self, server: NumeraiServer, path: Path) -> None:
        server.file_faults[NAME] = [None, Fault("cut", at=100), None]
        fetch(server, path, budget=Budget(gap=0, piece=3000, connections=1))
        first = int(str(server.ranges[1]).removeprefix("bytes=").split("-")[0])
        assert str(server.ranges[2]).startswith(f"bytes={first + 100}-")
        assert_columns(path, source(server), SETS["few"])

    def test_an_address_that_has_expired_is_asked_for_again(self, server: NumeraiServer, path: Path) -> None:
        server.file_faults[NAME] = [None, Fault("403"), Fault("403"), Fault("403"), None]
        fetch(server, path)
        assert_columns(path, source(server), SETS["few"])
        assert 2 <= len(server.queries) <= 4

    def test_that_is_busy_says_how_long(self, server: NumeraiServer, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        server.file_faults[NAME] = [None, Fault("429", after=1), None]
        start = time.monotonic()
        fetch(server, path, patience=Patience(tries=2, pause=0.01, longest_pause=0.1))
        assert time.monotonic() - start >= 1
        assert "the answer is HTTP status 429; again in 1 s" in capsys.readouterr().err
        assert_columns(path, source(server), SETS["few"])

    @pytest.mark.parametrize(
        ("faults", "message"),
        [
            ([Fault("404")], "the answer is HTTP status 404$"),
            ([None, Fault("404")], "the answer is HTTP status 404$"),
            ([None, None, Fault("429", after=0)], r"the answer is HTTP status 429 \(4 tries\)"),
            ([None, None, Fault("cut", at=0)], r"the connection was cut \(4 tries\)"),
            ([Fault("cut", at=0)], r"the connection was cut \(4 tries\)"),
        ],
    )
    def test_that_gives_nothing_is_said_and_leaves_no_file(
        self, server: NumeraiServer, path: Path, faults: list[Fault | None], message: str
    ) -> None:
        server.file_faults[NAME] = faults
        with pytest.raises(InputError, match=message) as caught:
            fetch(server, path)
        assert not path.exists()
        assert str(caught.value).startswith(f"{server.url}/1/{NAME}: {NAME} can't be fetched: ")
        assert numerai_server.SIGNATURE not in str(caught.value)

    def test_what_comes_encoded_is_refused(self, server: NumeraiServer, path: Path) -> None:
        server.file_faults[NAME] = [None, Fault("encoded")]
        with pytest.raises(InputError, match=r"comes encoded by gzip, which was not asked for; it isn't used$"):
            fetch(server, path)

    def test_a_file_that_changes_meanwhile_is_begun_anew(self, server: NumeraiServer, path: Path, contents: tuple[bytes, bytes]) -> None:
        server.watch = lambda number: put(server.rounds[1], contents[1]) if number == 8 else None
        record = fetch(server, path)
        assert record.projected is not None
        assert path.exists()
        assert_columns(path, source(server), SETS["few"])
        assert source(server).read_bytes() == contents[1]
        assert server.ranges.count(f"bytes=-{ranges.TAIL_BYTES}") == 2

    def test_a_file_that_keeps_changing_comes_whole(self, server: NumeraiServer, path: Path, contents: tuple[bytes, bytes]) -> None:
        server.watch = lambda number: put(server.rounds[1], contents[number % 2]) if server.ranges[-1] else None
        assert fetch(server, path, budget=Budget(gap=0, connections=1)).projected is None
        assert path.read_bytes() == source(server).read_bytes()

    def test_bytes_that_came_as_others_never_become_columns(self, server: NumeraiServer, path: Path) -> None:
        write(source(server), 5, **PLAIN, write_page_checksum=True)
        server.file_faults[NAME] = [None, None, None, Fault("garbled"), None]
        assert fetch(server, path, budget=Budget(gap=0, piece=3000, connections=1)).projected is None
        assert path.read_bytes() == source(server).read_bytes()
        assert server.ranges[2:4] == ["bytes=4-3003", "bytes=3004-6003"], "in the midst of values that aren't compressed"

    def test_what_came_is_removed_where_the_whole_is_to_come(self, server: NumeraiServer, path: Path) -> None:
        server.file_faults[NAME] = [None, None, None, Fault("416"), Fault("404")]
        with pytest.raises(InputError, match="HTTP status 404"):
            fetch(server, path, budget=Budget(gap=0, connections=1))
        assert [file.name for file in path.parent.iterdir()] == [".train.parquet.lock"]


def test_a_disk_that_is_too_small_is_told_before(server: NumeraiServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5000))
    with pytest.raises(InputError, match=r"train\.parquet: it needs 0\.07 GB, and .* has 0\.00 GB free; make room"):
        fetch(server, path)
    assert len(server.ranges) == 2, "the footer alone"


def test_what_cannot_be_used_does_not_take_the_name(server: NumeraiServer, path: Path) -> None:
    def refuse(given: Path) -> None:
        raise InputError(f"{given}: era missing among its columns")

    path.write_bytes(b"before")
    with pytest.raises(InputError, match=r"^the file that came as v5\.3/train\.parquet can't be used: era missing among its columns$"):
        fetch(server, path, check=refuse)
    assert path.read_bytes() == b"before"
    assert sorted(file.name for file in path.parent.iterdir()) == [".train.parquet.lock", "train.parquet"]


@pytest.fixture(scope="module")
def killed(contents: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str | None]]:
    """Return the directory of a download that was killed with some ranges, and these ranges."""
    directory = tmp_path_factory.mktemp("killed")
    put(directory / "1", contents[0])
    out = directory / "out" / "train.parquet"
    out.parent.mkdir()
    with numerai_server.serving(NumeraiServer({1: directory / "1"}, current=1)) as server:
        server.file_faults[NAME] = [*[None] * 12, Fault("stall", at=10)]
        code = (
            "from pathlib import Path; from erawise.sources.numerai.spans import Budget; "
            "from erawise.sources.numerai.ranges import Columns, Download, fetch; "
            f"fetch(Download(lambda: '{server.url}/1/{NAME}', Path('{out}'), 'file'), {columns('few')!r}, {CLOSE!r})"
        )
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "NO_PROXY": "*"}
        notes = out.with_name(".train.parquet.ranges.json")
        with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent, env=environment) as running:
            try:
                waiting.until(lambda: len(server.ranges) >= 15 and len(notes.read_text().splitlines()) >= 12)
            finally:
                running.kill()
        assert not out.exists()
        return out.parent, server.ranges[1:12]


class TestAfterAKill:
    """The files of a download that was killed with some ranges of the columns."""

    @pytest.fixture
    def held(self, path: Path, killed: tuple[Path, list[str | None]]) -> list[str | None]:
        """Return the file of the ranges that came, next to the path."""
        shutil.copytree(killed[0], path.parent, dirs_exist_ok=True)
        return killed[1]

    def test_the_next_goes_on(self, server: NumeraiServer, path: Path, held: list[str | None]) -> None:
        fetch(server, path)
        assert_columns(path, source(server), SETS["few"])
        assert len(held) == 11
        assert not set(held) & set(server.ranges)
        assert sorted(file.name for file in path.parent.iterdir()) == [".train.parquet.lock", "train.parquet"]

    def test_other_columns_use_what_they_share(self, server: NumeraiServer, path: Path, held: list[str | None]) -> None:
        fetch(server, path, "fewer")
        assert_columns(path, source(server), SETS["fewer"])
        assert not set(held) & set(server.ranges)

    def test_a_range_that_was_damaged_comes_again(self, server: NumeraiServer, path: Path, held: list[str | None]) -> None:
        start, stop = map(int, str(held[4]).removeprefix("bytes=").split("-"))
        with path.with_name(".train.parquet.ranges").open("r+b") as file:
            file.seek(start)
            file.write(bytes(stop - start))
        fetch(server, path)
        assert_columns(path, source(server), SETS["few"])
        assert set(held) & set(server.ranges) == {held[4]}

    @pytest.mark.parametrize("spoil", ["changed", "notes", "gone"])
    def test_nothing_of_another_file_or_without_notes_is_used(
        self, server: NumeraiServer, path: Path, held: list[str | None], contents: tuple[bytes, bytes], spoil: str
    ) -> None:
        match spoil:
            case "changed":
                put(server.rounds[1], contents[1])
            case "notes":
                path.with_name(".train.parquet.ranges.json").write_text('{"length"')
            case "gone":
                path.with_name(".train.parquet.ranges").unlink()
        fetch(server, path)
        assert_columns(path, source(server), SETS["few"])
        assert len(held) < len(server.ranges)

    def test_the_whole_file_leaves_nothing_of_it(self, server: NumeraiServer, path: Path, held: list[str | None]) -> None:
        fetching.fetch(Download(lambda: f"{server.url}/1/{NAME}", path, NAME, patience=QUICK))
        assert held
        assert path.read_bytes() == source(server).read_bytes()
        assert sorted(file.name for file in path.parent.iterdir()) == [".train.parquet.lock", "train.parquet"]


class TestTheStore:
    @pytest.fixture
    def get(self, server: NumeraiServer, tmp_path: Path) -> Callable[[str | None], tuple[Path, bool]]:
        """Get the file for a feature set, or the whole; return whether more than its end was fetched."""

        def run(name: str | None) -> tuple[Path, bool]:
            server.sent.clear()
            store = Store(tmp_path / "kept", QUICK, WIDE)
            wanted = None if name is None else columns(name)
            found = store.get("train.parquet", NAME, lambda: f"{server.url}/1/{NAME}", lambda path: None, wanted)
            return found, server.sent[NAME] > 0

        return run

    def test_keeps_a_projection_for_its_columns_and_fewer(
        self, server: NumeraiServer, get: Callable[[str | None], tuple[Path, bool]], contents: tuple[bytes, bytes]
    ) -> None:
        for name, comes, held in (
            ("few", True, "few"),
            ("few", False, "few"),
            ("fewer", False, "few"),
            ("more", True, "more"),
            ("few", True, "few"),
            ("fewer", False, "few"),
        ):
            path, came = get(name)
            assert came == comes
            assert_columns(path, source(server), SETS[held])
        put(server.rounds[1], contents[1])
        path, came = get("fewer")
        assert came
        assert_columns(path, source(server), SETS["fewer"])
        path.write_bytes(path.read_bytes()[:-100])
        path, came = get("fewer")
        assert came
        assert_columns(path, source(server), SETS["fewer"])

    def test_takes_no_projection_for_the_whole_and_the_whole_for_any(
        self, server: NumeraiServer, get: Callable[[str | None], tuple[Path, bool]]
    ) -> None:
        whole = source(server).read_bytes()
        get("few")
        for name, comes in ((None, True), (None, False), ("few", False)):
            path, came = get(name)
            assert (came, path.read_bytes() == whole) == (comes, True)

    def test_says_in_the_manifest_what_is_there(
        self, tmp_path: Path, server: NumeraiServer, get: Callable[[str | None], tuple[Path, bool]]
    ) -> None:
        path, _ = get("few")
        record = files.read_json(tmp_path / "kept" / MANIFEST)["train.parquet"]
        assert record["projected"] == {
            "feature_set": "few",
            "columns": len(SETS["few"]) + len(OTHERS),
            "of": FEATURES + len(OTHERS),
            "features": columns("more").fingerprint,
        }
        assert record["sha256"] == fetching.digest(path)
        assert record["remote"]["length"] == source(server).stat().st_size
        get(None)
        assert files.read_json(tmp_path / "kept" / MANIFEST)["train.parquet"]["projected"] is None

    def test_a_manifest_of_before_still_counts(
        self, tmp_path: Path, server: NumeraiServer, get: Callable[[str | None], tuple[Path, bool]]
    ) -> None:
        get(None)
        content = files.read_json(tmp_path / "kept" / MANIFEST)
        del content["train.parquet"]["projected"]
        files.write_json(content, tmp_path / "kept" / MANIFEST)
        assert [get(None)[1], get("few")[1]] == [False, False]

    def test_other_columns_that_count_as_features_make_it_come_again(
        self, tmp_path: Path, server: NumeraiServer, get: Callable[[str | None], tuple[Path, bool]]
    ) -> None:
        get("few")
        wanted = Columns("few", frozenset(SETS["few"]), frozenset(ALL[:-1]))
        store = Store(tmp_path / "kept", QUICK, WIDE)
        path = store.get("train.parquet", NAME, lambda: f"{server.url}/1/{NAME}", lambda path: None, wanted)
        assert_columns(path, source(server), [*SETS["few"], ALL[-1]])


def test_two_at_once_take_turns(server: NumeraiServer, path: Path) -> None:
    def get() -> Path:
        return Store(path.parent, QUICK, CLOSE).get(path.name, "file", lambda: f"{server.url}/1/{NAME}", lambda _: None, columns("few"))

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(get) for _ in range(2)]
    assert [each.result() for each in found] == [path, path]
    assert_columns(path, source(server), SETS["few"])
    assert server.ranges.count(f"bytes=-{ranges.TAIL_BYTES}") == 2
    assert len(set(server.ranges)) == len(server.ranges) - 1, "whoever waited finds the file"


FAULTS = st.sampled_from(
    [
        None,
        *(Fault(kind, at) for kind in ("cut", "cut_unsaid", "short") for at in (0, 1, 1000)),
        *(
            Fault(kind)
            for kind in ("whole", "range_500", "spliced", "silent", "chunked_cut", "long", "503", "shifted", "unsaid", "403", "html")
        ),
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(FAULTS, max_size=12),
    st.sampled_from(["strong", "strong", "weak", None]),
    st.lists(st.tuples(st.booleans(), st.sampled_from(["few", "fewer", "more"])), min_size=1, max_size=3),
)
def test_whatever_happens_the_columns_are_those_of_a_file_that_the_server_had(
    server: NumeraiServer,
    path: Path,
    contents: tuple[bytes, bytes],
    faults: list[Fault | None],
    etags: str | None,
    calls: list[tuple[bool, str]],
) -> None:
    def opens(given: Path) -> None:
        try:
            pq.ParquetFile(given)
        except (pa.ArrowException, OSError):
            raise InputError("it is cut short") from None

    server.etags, known = etags, None
    put(server.rounds[1], contents[0])
    for changed, name in calls:
        server.file_faults[NAME] = [*faults, None]
        if changed:
            put(server.rounds[1], contents[1])
        try:
            known = fetch(
                server,
                path,
                name,
                known=known,
                check=opens,
                patience=Patience(1, 1, tries=3, pause=0, longest_pause=0),
                budget=WIDE,
            )
        except InputError:
            continue
        if known.projected is None:
            assert path.read_bytes() == source(server).read_bytes()
        else:
            assert_columns(path, source(server), SETS[known.projected.feature_set])
            assert set(SETS[name]) <= set(pq.read_schema(path).names)
    for left in path.parent.iterdir():
        left.unlink()
