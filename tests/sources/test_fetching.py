"""Downloads over real HTTP from a server that fails: numerapi damages the file, ours is whole or isn't there."""

import logging
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numerai_server
import numerapi
import pytest
import requests
import waiting
from closure import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numerai_server import Fault, NumeraiServer
from numerapi import base_api

from erawise.base import files
from erawise.running.errors import InputError
from erawise.sources.numerai import answers, fetching
from erawise.sources.numerai.attempts import Address, Patience
from erawise.sources.numerai.client import Client
from erawise.sources.numerai.fetching import Download
from erawise.sources.numerai.records import Record, Remote
from erawise.sources.numerai.store import MANIFEST, Store

NAME = "v5.3/file.bin"
SIZE, HALF = 3 * 2**20, 3 * 2**19
OLD, NEW = (random.Random(seed).randbytes(SIZE) for seed in (1, 2))
"""Contents of more than the MiB that numerapi writes at once."""
QUICK = Patience(connection=1, silence=0.3, window=0.3, rate=100, tries=4, pause=0.01, longest_pause=0.02)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    put(tmp_path / "1", OLD)
    with numerai_server.serving(NumeraiServer({1: tmp_path / "1"}, current=1)) as state:
        monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", state.url)
        yield state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "file.bin"


def put(directory: Path, content: bytes) -> None:
    (directory / NAME).parent.mkdir(parents=True, exist_ok=True)
    (directory / NAME).write_bytes(content)


def fetch(server: NumeraiServer, path: Path, known: Record | None = None, patience: Patience = QUICK, **options: Any) -> Record:
    download = Download(lambda: Client(server.url).locate(NAME, None), path, NAME, patience=patience, **options)
    return fetching.fetch(download, lambda: known)


def theirs(path: Path) -> None:
    """Fetch as numerapi does, without its log."""
    logging.disable(logging.CRITICAL)
    try:
        numerapi.NumerAPI(show_progress_bars=False).download_dataset(NAME, str(path))
    finally:
        logging.disable(logging.NOTSET)


def cut_once(server: NumeraiServer, path: Path) -> None:
    """Leave the files of a download that was cut half-way and gave up."""
    server.file_faults[NAME] = [Fault("cut")]
    with pytest.raises(InputError, match=r"file\.bin can't be fetched: the connection was cut after 1,572,864 bytes \(1 tries\)"):
        fetch(server, path, patience=Patience(tries=1))
    server.file_faults.clear()


def their_cut(server: NumeraiServer, path: Path) -> None:
    server.file_faults[NAME] = [Fault("cut"), None]
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        theirs(path)
    assert path.with_name("file.bin.temp").stat().st_size < len(OLD)
    server.file_faults.clear()


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Record the options of each GET from now on."""
    asked: list[dict[str, Any]] = []
    request = requests.Session.request

    def note(session: requests.Session, *arguments: Any, **options: Any) -> requests.Response:
        asked.append({"verify": session.verify} | {name: value for name, value in options.items() if value is not None})
        return request(session, *arguments, **options)

    monkeypatch.setattr(requests.Session, "request", note)
    return asked


class TestTheFailuresOfNumerapi:
    """The table of faults: numerapi 3.1.1's behaviour in each, and ours."""

    def test_a_remote_file_that_changed_at_the_same_size(self, server: NumeraiServer, path: Path) -> None:
        theirs(path)
        known = fetch(server, path.with_name("ours"))
        put(server.rounds[1], NEW)
        theirs(path)
        assert path.read_bytes() == OLD, "numerapi keeps the stale file"
        fetch(server, path.with_name("ours"), known=known)
        assert path.with_name("ours").read_bytes() == NEW

    def test_a_connection_that_is_cut(self, server: NumeraiServer, path: Path) -> None:
        their_cut(server, path)
        server.file_faults[NAME] = [Fault("cut", at=1000), Fault("cut", at=3000), None]
        server.ranges.clear()
        fetch(server, path)
        assert path.read_bytes() == OLD
        assert server.ranges == [None, "bytes=1000-", "bytes=4000-"]

    def test_a_server_that_ignores_the_range(self, server: NumeraiServer, path: Path) -> None:
        their_cut(server, path)
        server.file_faults[NAME] = [None, Fault("whole")]
        theirs(path)
        assert len(path.read_bytes()) > len(OLD), "numerapi appends the whole file"
        path.unlink()
        server.file_faults[NAME] = [Fault("cut"), Fault("whole")]
        fetch(server, path)
        assert path.read_bytes() == OLD

    def test_a_500_on_the_range(self, server: NumeraiServer, path: Path) -> None:
        their_cut(server, path)
        server.file_faults[NAME] = [None, Fault("range_500")]
        theirs(path)
        assert path.read_bytes().endswith(numerai_server.HTML), "numerapi appends the error's page"
        path.unlink()
        server.file_faults[NAME] = [Fault("cut"), Fault("range_500"), Fault("range_500"), None]
        fetch(server, path)
        assert path.read_bytes() == OLD

    def test_a_remote_file_that_changed_between_two_tries(self, server: NumeraiServer, path: Path) -> None:
        their_cut(server, path)
        put(server.rounds[1], NEW)
        theirs(path)
        assert path.read_bytes() not in (OLD, NEW), "numerapi splices the two"
        assert path.stat().st_size == len(OLD)
        path.unlink()
        put(server.rounds[1], OLD)
        cut_once(server, path)
        put(server.rounds[1], NEW)
        fetch(server, path)
        assert path.read_bytes() == NEW

    def test_tls_is_verified_on_resume(self, server: NumeraiServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = recorded(monkeypatch)
        their_cut(server, path)
        theirs(path)
        assert [options["verify"] for options in asked if options.get("stream")] == [True, True, False], (
            "numerapi verifies nothing on resume"
        )
        asked.clear()
        path.unlink()
        server.file_faults[NAME] = [Fault("cut"), None]
        fetch(server, path)
        assert [options["verify"] for options in asked if options.get("stream")] == [True, True]

    def test_a_download_that_stalls(self, server: NumeraiServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            asked = recorded(patched)
            theirs(path)
        assert [options["timeout"] for options in asked if options.get("stream")] == [600], "numerapi waits for ten minutes"
        path.unlink()
        server.file_faults[NAME] = [Fault("stall", at=700), Fault("drip", at=300), None]
        server.ranges.clear()
        fetch(server, path)
        assert path.read_bytes() == OLD
        assert server.ranges[:2] == [None, "bytes=700-"]
        assert int(str(server.ranges[2]).removeprefix("bytes=").removesuffix("-")) >= 1000, "what dripped is kept"

    @pytest.mark.parametrize("fault", ["400", "html"])
    def test_no_key_error(self, server: NumeraiServer, path: Path, fault: str) -> None:
        server.api_faults = [Fault(fault)]
        with pytest.raises(KeyError, match="data"):
            theirs(path)
        with pytest.raises(InputError, match=rf"^{server.url}: the answer is (HTTP status 400|no JSON)"):
            Client(server.url, patience=QUICK).list_datasets()


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([Fault("404")], "the answer is HTTP status 404$"),
        ([Fault("503")], r"the answer is HTTP status 503 \(4 tries\)"),
        ([Fault("403")], r"the answer is HTTP status 403 \(4 tries\)"),
        ([Fault("cut", at=0)], r"the connection was cut after 0 bytes \(4 tries\)"),
        ([Fault("long")], r"the connection was cut after 3,145,728 bytes \(4 tries\)|the rest is HTTP status 416 \(4 tries\)"),
        ([Fault("stall", at=0)], r"no more bytes came in time after 0 bytes \(4 tries\)"),
    ],
)
def test_what_does_not_end_well_is_said_and_leaves_no_file(
    server: NumeraiServer, path: Path, faults: list[Fault | None], message: str
) -> None:
    server.file_faults[NAME] = faults
    with pytest.raises(InputError, match=message) as caught:
        fetch(server, path)
    assert not path.exists()
    assert str(caught.value).startswith(f"{server.url}/1/{NAME}: {NAME} can't be fetched: ")
    assert numerai_server.SIGNATURE not in str(caught.value)


def test_an_address_that_has_expired_is_asked_for_again(server: NumeraiServer, path: Path) -> None:
    server.file_faults[NAME] = [Fault("403"), Fault("403"), None]
    fetch(server, path)
    assert path.read_bytes() == OLD
    assert len(server.queries) == 3


def test_who_finds_an_address_expired_that_was_renewed_asks_for_none() -> None:
    addresses = iter("abc")
    address = Address(lambda: next(addresses))
    for expired, current in (("a", "b"), ("a", "b"), ("b", "c")):
        address.renew(expired)
        assert address.current == current


def test_a_server_that_is_busy_says_how_long(server: NumeraiServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.file_faults[NAME] = [Fault("429", after=7), Fault("503"), Fault("429", after=10**9), None]
    fetch(server, path, patience=Patience(tries=5, pause=4, longest_pause=20))
    assert waited[0] == 7
    assert 4 <= waited[1] <= 12
    assert waited[2] == 200


def test_pauses_grow_with_jitter_up_to_the_longest() -> None:
    patience = Patience(pause=1, longest_pause=8)
    for again, middle in ((1, 1), (2, 2), (3, 4), (4, 8), (9, 8)):
        drawn = {patience.before(again) for _ in range(50)}
        assert len(drawn) > 40
        assert middle / 2 <= min(drawn) < max(drawn) <= middle * 1.5


@pytest.mark.parametrize("etags", ["weak", None])
def test_without_a_strong_validator_it_begins_anew(server: NumeraiServer, path: Path, etags: str | None) -> None:
    server.etags = etags
    server.file_faults[NAME] = [Fault("cut"), None]
    fetch(server, path)
    assert path.read_bytes() == OLD
    assert server.ranges == [None, None]


def test_a_rest_of_another_file_is_not_taken(server: NumeraiServer, path: Path) -> None:
    server.file_faults[NAME] = [Fault("cut"), Fault("spliced"), None]
    fetch(server, path)
    assert path.read_bytes() == OLD
    assert server.ranges == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize("fault", ["silent", "range_500"])
def test_a_server_that_cannot_continue_is_asked_for_the_whole(server: NumeraiServer, path: Path, fault: str) -> None:
    cut_once(server, path)
    put(server.rounds[1], NEW)
    server.ranges.clear()
    server.file_faults[NAME] = [Fault(fault)]
    fetch(server, path)
    assert path.read_bytes() == NEW
    assert server.ranges == [f"bytes={HALF}-", None]


def test_a_chunk_that_is_cut_is_no_end(server: NumeraiServer, path: Path) -> None:
    server.file_faults[NAME] = [Fault("chunked_cut"), None]
    fetch(server, path)
    assert path.read_bytes() == OLD


def test_what_comes_encoded_is_refused(server: NumeraiServer, path: Path) -> None:
    server.file_faults[NAME] = [Fault("encoded")]
    with pytest.raises(InputError, match=r"file\.bin comes encoded by gzip, which was not asked for; it isn't used$"):
        fetch(server, path)
    assert not path.exists()


@pytest.mark.parametrize("at", ["require_room", "_receive", "_finish"])
def test_an_interrupt_between_two_contents_splices_nothing(
    server: NumeraiServer, path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    cut_once(server, path)
    put(server.rounds[1], NEW)
    with monkeypatch.context() as patched:
        patched.setattr(Download if at == "require_room" else fetching._Fetching, at, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(server, path)
    fetch(server, path)
    assert path.read_bytes() == NEW


def test_an_empty_file_is_one(server: NumeraiServer, path: Path) -> None:
    put(server.rounds[1], b"")
    fetch(server, path)
    assert path.read_bytes() == b""


def test_progress_on_a_changed_file_is_progress(server: NumeraiServer, path: Path) -> None:
    cut_once(server, path)
    put(server.rounds[1], NEW)
    server.file_faults[NAME] = [*[Fault("cut", at=100_000)] * 6, None]
    fetch(server, path)
    assert path.read_bytes() == NEW


def test_nothing_of_a_netrc_is_sent_also_where_it_is_sent_on(
    server: NumeraiServer, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hush\nmachine localhost login me password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.file_faults[NAME] = [Fault("redirected")]
    fetch(server, path)
    assert len(server.fetched) == 2
    assert not any("Authorization" in headers for headers in server.headers)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Content-MD5": "abcde"}, None),
        ({"Content-MD5": "d41d8cd98f00b204e9800998ecf8427e"}, None),
        ({"x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=-3"}, None),
        ({"x-goog-hash": "crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg=="}, "md5:d41d8cd98f00b204e9800998ecf8427e"),
        (
            {"Repr-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"},
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
    ],
)
def test_checksums_are_read_where_they_are_ones(headers: dict[str, str], expected: str | None) -> None:
    response = requests.Response()
    response.headers.update({"Content-Length": "²"} | headers)
    assert answers.described(response) == Remote(checksum=expected)


@pytest.mark.parametrize("notes", ["{", "[]", '{"length": 9}', '{"length": "abc", "etag": "\\"a\\"", "modified": null, "checksum": null}'])
def test_notes_that_are_damaged_are_none(server: NumeraiServer, path: Path, notes: str) -> None:
    cut_once(server, path)
    path.with_name(".file.bin.partial.json").write_text(notes)
    server.ranges.clear()
    fetch(server, path)
    assert path.read_bytes() == OLD
    assert server.ranges == [None]


def test_a_checksum_is_held_to(server: NumeraiServer, path: Path) -> None:
    server.checksums = True
    server.file_faults[NAME] = [Fault("garbled"), Fault("cut"), Fault("garbled"), None]
    fetch(server, path)
    assert path.read_bytes() == OLD
    server.file_faults[NAME] = [Fault("garbled")]
    with pytest.raises(InputError, match=r"the bytes that came don't fit the sha256 that the server gives \(4 tries\)"):
        fetch(server, path)
    assert path.read_bytes() == OLD, "the file that was there stays"


def test_what_cannot_be_used_does_not_take_the_name(server: NumeraiServer, path: Path) -> None:
    def refuse(given: Path) -> None:
        raise InputError(f"{given}: not a readable Parquet file")

    path.write_bytes(b"before")
    with pytest.raises(InputError, match=r"^the file that came as v5\.3/file\.bin can't be used: not a readable Parquet file$"):
        fetch(server, path, check=refuse)
    assert path.read_bytes() == b"before"
    assert not path.with_name(".file.bin.partial").exists()


def test_a_disk_that_is_too_small_is_told_before(server: NumeraiServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5000))
    with pytest.raises(InputError, match=r"file\.bin: it needs 0\.07 GB, and .* has 0\.00 GB free; make room"):
        fetch(server, path)
    assert not path.exists()


def test_a_killed_download_goes_on_where_it_was(server: NumeraiServer, path: Path) -> None:
    server.file_faults[NAME] = [Fault("stall", at=6000), None]
    code = (
        "from pathlib import Path; from erawise.sources.numerai.fetching import Download, fetch; "
        f"fetch(Download(lambda: '{server.url}/1/{NAME}', Path('{path}'), 'file'))"
    )
    partial = path.with_name(".file.bin.partial")
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as running:
        try:
            waiting.until(lambda: partial.stat().st_size)
        finally:
            running.kill()
    assert not path.exists()
    held = partial.stat().st_size
    server.ranges.clear()
    fetch(server, path)
    assert path.read_bytes() == OLD
    assert server.ranges == [f"bytes={held}-"]
    assert sorted(file.name for file in path.parent.iterdir()) == [".file.bin.lock", "file.bin"]


IN_A_PROCESS = """
import sys
from pathlib import Path
from erawise.sources.numerai.attempts import Patience
from erawise.sources.numerai.store import Store
url, kept, name = sys.argv[1:]
Store(Path(kept), Patience()).get("file.bin", name, lambda: f"{url}/1/{name}", lambda path: None)
"""


def test_downloads_at_once_take_turns(server: NumeraiServer, path: Path) -> None:
    command = [sys.executable, "-c", IN_A_PROCESS, server.url, str(path.parent), NAME]
    with ExitStack() as stack:
        with files.exclusive_lock(path, NAME):
            processes = [stack.enter_context(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)) for _ in range(2)]
            for process in processes:
                assert process.stderr
                assert process.stderr.readline() == f"{NAME}: another process works on it; waiting for its end\n"
            assert server.fetched == [], "the lock is held"
        said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert path.read_bytes() == OLD
    assert (len(server.fetched), server.sent[NAME]) == (2, SIZE), "whoever waited finds the file"


LITTLE = 10_240
FAULTS = st.sampled_from(
    [
        None,
        *(Fault(kind, at) for kind in ("cut", "cut_unsaid", "short") for at in (0, 1, 5000, LITTLE - 1)),
        *(Fault(kind) for kind in ("whole", "range_500", "spliced", "silent", "chunked_cut", "long", "503", "html")),
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FAULTS, max_size=8), st.sampled_from(["strong", "weak", None]), st.lists(st.booleans(), max_size=3))
def test_whatever_happens_the_file_is_one_that_the_server_had(
    server: NumeraiServer, path: Path, faults: list[Fault | None], etags: str | None, changes: list[bool]
) -> None:
    old, new = OLD[:LITTLE], NEW[:LITTLE]

    def has_its_end(given: Path) -> None:
        if not given.read_bytes().endswith((old[-8:], new[-8:])):
            raise InputError("it is cut short")

    put(server.rounds[1], old)
    server.etags, known = etags, None
    for changed in [False, *changes]:
        server.file_faults[NAME] = [*faults, None]
        if changed:
            put(server.rounds[1], new)
        try:
            known = fetch(server, path, known, Patience(1, 1, tries=3, pause=0, longest_pause=0), check=has_its_end)
        except InputError:
            assert not path.exists() or path.read_bytes() in (old, new)
        else:
            assert path.read_bytes() == (server.rounds[1] / NAME).read_bytes()
    for left in path.parent.iterdir():
        left.unlink()


def test_the_store_asks_each_time_and_takes_what_is_new_or_damaged(server: NumeraiServer, tmp_path: Path) -> None:
    def get() -> bytes:
        server.sent.clear()
        return Store(tmp_path / "kept", QUICK).get("file.bin", NAME, lambda: f"{server.url}/1/{NAME}", lambda path: None).read_bytes()

    assert get() == OLD
    assert server.sent[NAME] == len(OLD)
    assert (get(), server.sent[NAME]) == (OLD, 0)
    (tmp_path / "kept" / "file.bin").write_bytes(OLD[:-1] + b"?")
    assert (get(), server.sent[NAME]) == (OLD, len(OLD))
    put(server.rounds[1], NEW)
    assert (get(), server.sent[NAME]) == (NEW, len(NEW))
    (tmp_path / "kept" / MANIFEST).write_text("{")
    assert (get(), server.sent[NAME]) == (NEW, len(NEW))
    (tmp_path / "kept" / MANIFEST).write_text('{"file.bin": {"remote": {"etag": 5}, "size": 1, "sha256": ""}}')
    assert (get(), server.sent[NAME]) == (NEW, len(NEW))
    server.etags = None
    assert (get(), get()) == (NEW, NEW)
    assert server.sent[NAME] == len(NEW), "nothing says that it is the same"
