"""Where a remote is and by which digest a file lies there, read from DVC's configuration and dvc.lock."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import asyncssh
import fsspec
import pytest
import s3_server
import ssh_server
from closure import ROOT
from dvc.repo import Repo
from s3_server import S3Server
from ssh_server import SSHServer

import stages.remote
from erawise import places, remotes
from erawise.errors import InputError, Unavailable
from erawise.remotes import Remote

T = TypeVar("T")
NOW = partial(datetime.now, UTC)

LOCK = """schema: '2.0'
stages:
  one: {cmd: a, outs: [{path: data/a, md5: 11.dir}, {path: data/b, md5: '22'}]}
  two: {cmd: b, deps: [{path: data/b, md5: '33'}, {path: own.csv, md5: '44'}]}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    with Repo.init(str(tmp_path)):
        return tmp_path


class Far:
    """A repository whose default remote is a server of the tests, or a directory.

    Parameters
    ----------
    repository : its top.
    config : of the remote.
    place : the directory in which the remote's files lie; None where there is none, or they lie in S3.
    """

    def __init__(self, repository: Path, config: dict[str, str], place: Path | None, s3: S3Server | None = None) -> None:
        self.repository, self._place, self._s3 = repository, place, s3
        self.configure(config)

    @property
    def place(self) -> Path:
        assert self._place is not None
        return self._place

    @property
    def prefix(self) -> str:
        return self.config["url"].removeprefix(f"s3://{s3_server.BUCKET}/")

    def configure(self, config: dict[str, str]) -> None:
        self.config = config
        configure(self.repository, "[core]\n remote = far\n['remote \"far\"']\n" + "".join(f" {key} = {config[key]}\n" for key in config))

    def add(self) -> None:
        """Have DVC keep a directory of two files and a file."""
        (self.repository / "directory").mkdir()
        for name, content in (("directory/a", "a" * 1000), ("directory/b", "b"), ("file", "content")):
            (self.repository / name).write_text(content)
        with Repo(str(self.repository)) as repo:
            repo.add([str(self.repository / name) for name in ("directory", "file")])

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in (self.repository / ".dvc/cache/files").rglob("*") if path.is_file())

    def work(self, do: Callable[[Remote], T]) -> T:
        with remotes.opened(self.repository, now=NOW) as remote:
            return do(remote)

    def fails(self, do: Callable[[Remote], object]) -> str:
        """The one line that it fails with."""
        with pytest.raises(InputError) as caught:
            self.work(do)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def files(self) -> list[str]:
        """Names of the remote's files, from its top."""
        if self._s3 is None:
            return sorted(path.relative_to(self.place).as_posix() for path in self.place.rglob("*") if path.is_file())
        found = self._s3.client.list_objects_v2(Bucket=s3_server.BUCKET, Prefix=f"{self.prefix}/")
        return sorted(entry["Key"].removeprefix(f"{self.prefix}/") for entry in found.get("Contents", []))

    def write(self, name: str, content: bytes) -> None:
        """Replace a file of the remote behind DVC's back."""
        if self._s3 is None:
            (self.place / name).chmod(0o644)
            (self.place / name).write_bytes(content)
        else:
            self._s3.client.put_object(Bucket=s3_server.BUCKET, Key=f"{self.prefix}/{name}", Body=content)

    def forget(self) -> Path:
        """Become a machine that has nothing yet; the place where the cache is kept."""
        kept = self.repository / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        (self.repository / ".dvc/cache").rename(kept)
        shutil.rmtree(self.repository / "directory", ignore_errors=True)
        (self.repository / "file").unlink(missing_ok=True)
        return kept

    def remember(self, kept: Path) -> None:
        shutil.rmtree(self.repository / ".dvc/cache", ignore_errors=True)
        kept.rename(self.repository / ".dvc/cache")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, SSHServer]]:
    with s3_server.serving() as s3, ssh_server.serving(tmp_path_factory.mktemp("ssh")) as ssh:
        yield s3, ssh


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3(servers: tuple[S3Server, SSHServer], aws: None) -> Iterator[S3Server]:
    yield servers[0]
    servers[0].reset()


@pytest.fixture
def ssh(servers: tuple[S3Server, SSHServer]) -> Iterator[SSHServer]:
    yield servers[1]
    servers[1].read_only = False


@pytest.fixture
def s3_far(s3: S3Server, repository: Path) -> Far:
    far = Far(repository, s3.config(repository.name), None, s3)
    far.add()
    return far


@pytest.fixture
def ssh_far(ssh: SSHServer, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Far:
    place = tmp_path_factory.mktemp("far")
    far = Far(repository, ssh.config(place), place)
    far.add()
    return far


@pytest.fixture
def local_far(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Far:
    place = tmp_path_factory.mktemp("far")
    far = Far(repository, {"url": str(place)}, place)
    far.add()
    return far


@pytest.fixture(params=["s3", "ssh", "local"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def far(kind: str, request: pytest.FixtureRequest) -> Far:
    return request.getfixturevalue(f"{kind}_far")


def command(far: Far, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run `python -m stages.remote`, in this process."""
    monkeypatch.chdir(far.repository)
    monkeypatch.setattr(sys, "argv", ["remote", *arguments])
    shutil.copyfile(ROOT / "params.yaml", far.repository / "params.yaml")
    stages.remote.main()


def configure(repository: Path, text: str) -> None:
    (repository / ".dvc/config").write_text(text)


@pytest.mark.parametrize(
    ("config", "protocol", "path", "options", "url"),
    [
        (
            "url = s3://bucket/dvc\n endpointurl = http://127.0.0.1:9\n region = eu-west-1\n profile = me\n access_key_id = AK\n"
            " secret_access_key = hidden",
            "s3",
            "bucket/dvc",
            {"endpoint_url": "http://127.0.0.1:9", "client_kwargs": {"region_name": "eu-west-1"}, "profile": "me"},
            "s3://bucket/dvc",
        ),
        (
            "url = ssh://bob:hidden@host:2222/srv/dvc",
            "ssh",
            "/srv/dvc",
            {"host": "host", "port": 2222, "username": "bob"},
            "ssh://bob@host:2222/srv/dvc",
        ),
        (
            "url = ssh://host/srv/dvc\n user = ann\n password = hidden",
            "ssh",
            "/srv/dvc",
            {"host": "host", "username": "ann"},
            "ssh://ann@host/srv/dvc",
        ),
        ("url = /srv/dvc", "local", "/srv/dvc", {}, "/srv/dvc"),
    ],
)
def test_a_place_has_all_but_the_secrets(
    config: str, protocol: str, path: str, options: dict[str, object], url: str, repository: Path
) -> None:
    configure(repository, f"[core]\n remote = far\n['remote \"far\"']\n {config}\n")
    found = places.place(repository)
    assert (found.name, found.protocol, found.path, dict(found.options), found.url) == ("far", protocol, path, options, url)
    assert "hidden" not in repr(found)
    assert places.place(repository, "far") == found
    assert found.object("ab12") == f"{path}/files/md5/ab/12"


def test_what_dvc_has_pushed_lies_where_a_place_says(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    far = tmp_path_factory.mktemp("far")
    configure(repository, f"[core]\n remote = far\n['remote \"far\"']\n url = {far}\n")
    (repository / "a.txt").write_text("content")
    with Repo(str(repository)) as repo:
        (stage,) = repo.add(str(repository / "a.txt"))
        repo.push()
    found = places.place(repository)
    files = fsspec.filesystem(found.protocol, **found.options)
    assert files.cat_file(found.object(stage.outs[0].hash_info.value)) == b"content"


@pytest.mark.parametrize(
    ("config", "name", "expected"),
    [
        ("", None, "there is no default remote, none is configured; add one with `dvc remote add --default NAME URL`"),
        ("['remote \"a\"']\n url = /a", None, "there is no default remote, configured are a; name one with --remote"),
        ("['remote \"a\"']\n url = /a", "b", "there is no remote 'b', configured are a; see `dvc remote list`"),
        (
            "['remote \"a\"']\n url = gs://a",
            "a",
            "remote a: gs is supported, but requires 'dvc-gs' to be installed; expected one of the kinds s3, ssh, local",
        ),
        ("['remote \"a\"']\n url = https://a", "a", "remote a: it is of the kind 'https'; expected s3, ssh, local"),
        ("['remote \"a\"']\n url = /a\n nonsense = 1", "a", "expected a repository with DVC's configuration in .dvc/config"),
    ],
)
def test_a_remote_that_is_none_is_an_error(config: str, name: str | None, expected: str, repository: Path) -> None:
    configure(repository, config + "\n")
    with pytest.raises(InputError) as caught:
        places.place(repository, name)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_digests_are_those_of_outs_before_those_of_deps(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text(LOCK)
    assert places.digests(lock, ["own.csv", "data/b", "data/a"]) == {"own.csv": "44", "data/b": "22", "data/a": "11.dir"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no such file; run `dvc repro`"),
        (LOCK, "it has no digest of data/c, data/d; expected outs or deps of a stage that has run"),
        ("stages: [", "it can't be read: "),
        ("<<<<<<< HEAD\n", "it has no stages; get it back with `git checkout"),
    ],
)
def test_a_lock_without_the_digests_is_an_error(content: str | None, expected: str, tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    if content is not None:
        lock.write_text(content)
    with pytest.raises(InputError) as caught:
        places.digests(lock, ["data/c", "data/b", "data/d"])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- what goes there and comes from there


def test_what_is_pushed_is_there_and_comes_back(kind: str, far: Far) -> None:
    with remotes.opened(far.repository, now=NOW) as remote:
        assert remote.reach(write=True) == ""
        assert (remote.skew is None) == (kind != "s3")
        assert far.files() == []
        assert remote.push(remote.held(remote.outs())) == (4, far.size)
        held = remote.held(remote.outs(), verify=True)
        assert remote.push(held) == (0, 0)
    assert [(one.out.path, len(one.objects), one.whole) for one in held] == [("directory", 3, True), ("file", 1, True)]
    far.forget()
    assert not (far.repository / "file").exists()
    with remotes.opened(far.repository, now=NOW) as remote:
        assert remote.fetch(remote.outs()) == (4, far.size)
        remote.checkout(remote.outs(), force=False)
    assert (far.repository / "file").read_text() == "content"
    assert (far.repository / "directory/b").read_text() == "b"
    assert far.files() == sorted(f"files/md5/{digest[:2]}/{digest[2:]}" for one in held for digest in one.objects)


def test_of_a_larger_repository_the_outs_of_the_project_are_shared(local_far: Far) -> None:
    project = local_far.repository / "numerai"
    project.mkdir()
    (project / "own").write_text("own")
    with Repo(str(project)) as repo:
        repo.add(str(project / "own"))
    with remotes.opened(project, now=NOW) as remote:
        assert [out.path for out in remote.outs()] == ["own"]
        remote.push(remote.held(remote.outs()))
        (project / "own").unlink()
        remote.checkout(remote.outs(), force=False)
    assert (project / "own").read_text() == "own"
    assert len(local_far.files()) == 1


def test_a_damaged_object_is_found_named_never_taken_over_and_mended(kind: str, far: Far) -> None:
    far.work(lambda remote: remote.push(remote.held(remote.outs())))
    digest = hashlib.md5(b"b").hexdigest()
    far.write(f"files/md5/{digest[:2]}/{digest[2:]}", b"spoiled")
    (found,) = [one for one in far.work(lambda remote: remote.held(remote.outs(), verify=True)) if not one.whole]
    assert (found.out.path, found.damaged) == ("directory", (digest,))
    cache = far.forget()
    said = far.fails(lambda remote: remote.fetch(remote.outs()))
    assert f"{digest[:2]}/{digest[2:]} is not what its digest says, twice over, and is part of directory; put it there again with" in said
    assert not (far.repository / f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}").exists()
    assert not (far.repository / "directory").exists()
    far.remember(cache)
    far.work(lambda remote: remote.push(remote.held(remote.outs(), verify=True)))
    far.forget()
    far.work(lambda remote: remote.fetch(remote.outs()))


def test_what_came_damaged_once_is_fetched_again(local_far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    local_far.work(lambda remote: remote.push(remote.held(remote.outs())))
    local_far.forget()
    digest = hashlib.md5(b"content").hexdigest()
    path, copy, told = f"files/md5/{digest[:2]}/{digest[2:]}", remotes.Remote._copy, []

    def spoiling(self: remotes.Remote, source: object, target: object, digests: list[str], action: str, what: str) -> None:
        local_far.write(path, b"content" if what.startswith("pulling again") else b"spoiled")
        told.append(what)
        copy(self, source, target, digests, action, what)

    monkeypatch.setattr(remotes.Remote, "_copy", spoiling)
    local_far.work(lambda remote: remote.fetch(remote.outs()))
    assert told[-1] == "pulling again what came damaged"
    local_far.work(lambda remote: remote.checkout(remote.outs(), force=False))
    assert (local_far.repository / "file").read_text() == "content"


def test_a_listing_that_is_damaged_is_found(local_far: Far) -> None:
    local_far.work(lambda remote: remote.push(remote.held(remote.outs())))
    digest = next(one.digest for one in local_far.work(lambda remote: remote.outs()) if one.path == "directory")
    local_far.write(f"files/md5/{digest[:2]}/{digest[2:]}", b"[]")
    local_far.forget()
    assert "is part of directory" in local_far.fails(lambda remote: remote.fetch(remote.outs()))


def test_what_is_missing_on_both_sides_is_named_before_anything_is_sent(local_far: Far) -> None:
    digest = hashlib.md5(b"b").hexdigest()
    (local_far.repository / f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}").unlink()
    said = local_far.fails(lambda remote: remote.push(remote.held(remote.outs())))
    assert "directory can't be pushed, as it is not in this machine's cache either; make it with `dvc repro`" in said
    assert local_far.files() == []
    local_far.forget()
    assert "it lacks files of directory; push them from the machine that has them" in local_far.fails(
        lambda remote: remote.fetch(remote.outs())
    )


def test_what_is_damaged_in_the_cache_is_not_pushed(local_far: Far) -> None:
    digest = hashlib.md5(b"content").hexdigest()
    path = local_far.repository / f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}"
    path.chmod(0o644)
    path.write_text("spoiled")
    path.chmod(0o444)
    assert "file is damaged in this machine's cache and nothing was pushed" in local_far.fails(
        lambda remote: remote.push(remote.held(remote.outs()))
    )
    assert local_far.files() == []


def test_what_was_changed_in_the_workspace_is_not_replaced_unless_told_to(local_far: Far) -> None:
    (local_far.repository / "file").unlink()
    (local_far.repository / "file").write_text("mine")
    said = local_far.fails(lambda remote: remote.checkout(remote.outs(), force=False))
    assert "everything is in the cache: see `dvc status`, then add --force" in said
    assert (local_far.repository / "file").read_text() == "mine"
    local_far.work(lambda remote: remote.checkout(remote.outs(), force=True))
    assert (local_far.repository / "file").read_text() == "content"


@pytest.mark.parametrize("content", [b"{", b"", b"- a", b"outs: 3", b"outs: [{path: a}]", b"\xff"])
def test_a_damaged_record_of_the_run_cache_is_dropped_and_the_next_push_works(
    content: bytes, local_far: Far, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(local_far, monkeypatch, "push", "--run-cache")
    name = f"runs/ab/ab12/{'cd' * 4}"
    for path, text in ((name, content), ("runs/ab/ab12/sound", b"cmd: a\nouts: [{path: file, md5: '22', size: 3}]\n")):
        (local_far.place / path).parent.mkdir(parents=True, exist_ok=True)
        (local_far.place / path).write_bytes(text)
    command(local_far, monkeypatch, "pull", "--run-cache")
    assert f"run cache: removed here, as they can't be read: .dvc/cache/{name}\n" in capsys.readouterr().out
    command(local_far, monkeypatch, "push", "--run-cache")
    assert "run cache: 1 runs, and 0 more files" in capsys.readouterr().out
    local_far.place.joinpath(name).rename(local_far.repository / ".dvc/cache" / name)
    command(local_far, monkeypatch, "push", "--run-cache")
    assert "run cache: 1 runs, and 0 more files" in capsys.readouterr().out
    assert not local_far.place.joinpath(name).exists()


def test_a_listing_that_was_read_and_is_damaged_is_so_without_verifying(kind: str, far: Far) -> None:
    far.work(lambda remote: remote.push(remote.held(remote.outs())))
    digest = next(one.digest for one in far.work(lambda remote: remote.outs()) if one.path == "directory")
    far.write(f"files/md5/{digest[:2]}/{digest[2:]}", b"[]")
    kept = far.forget()
    held = {one.out.path: one for one in far.work(lambda remote: remote.held(remote.outs()))}
    assert (held["directory"].damaged, held["directory"].missing, held["file"].whole) == ((digest,), (), True)
    far.remember(kept)
    far.work(lambda remote: remote.push(remote.held(remote.outs(), verify=True)))
    assert all(one.whole for one in far.work(lambda remote: remote.held(remote.outs(), verify=True)))


def test_several_users_may_write_to_a_directory_set_up_as_the_docs_say(local_far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    local_far.configure(local_far.config | {"shared": "group"})
    local_far.place.chmod(0o2775)
    record = local_far.repository / ".dvc/cache/runs/ab/ab12/cd34"
    record.parent.mkdir(parents=True)
    record.write_text("cmd: a\nouts: [{path: file, md5: '22', size: 3}]\n")
    before = os.umask(0o002)
    try:
        command(local_far, monkeypatch, "push", "--run-cache")
    finally:
        os.umask(before)
    made = [path for path in local_far.place.rglob("*") if path.is_dir()]
    assert {path.relative_to(local_far.place).parts[0] for path in made} == {"files", "runs"}
    assert {path.stat().st_mode & 0o7777 for path in made} == {0o2775}


def test_a_pull_that_verifies_mends_the_cache_and_the_workspace(local_far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    command(local_far, monkeypatch, "push")
    sound = {name: (local_far.repository / name).read_text() for name in ("file", "directory/a", "directory/b")}
    for digest in (hashlib.md5(b"content").hexdigest(), hashlib.md5(b"b").hexdigest()):
        path = local_far.repository / f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}"
        content = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        path.chmod(0o444)
    for name in ("file", "directory/b"):
        (local_far.repository / name).unlink(missing_ok=True)
    command(local_far, monkeypatch, "pull")
    assert (local_far.repository / "file").read_text() == "bontent", "the cache is taken as sound"
    command(local_far, monkeypatch, "pull", "--verify")
    assert {name: (local_far.repository / name).read_text() for name in sound} == sound


def test_a_pull_that_verifies_leaves_what_was_changed_in_the_workspace(local_far: Far) -> None:
    local_far.work(lambda remote: remote.push(remote.held(remote.outs())))
    (local_far.repository / "file").unlink()
    (local_far.repository / "file").write_text("mine")
    said = local_far.fails(lambda remote: remote.checkout(remote.outs(), force=False, anew=True))
    assert "everything is in the cache" in said
    assert (local_far.repository / "file").read_text() == "mine"


def test_what_can_be_pushed_is_and_the_rest_is_named(
    local_far: Far, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.md5(b"b").hexdigest()
    (local_far.repository / f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}").unlink()
    with pytest.raises(SystemExit) as caught:
        command(local_far, monkeypatch, "push")
    said = capsys.readouterr()
    assert caught.value.code == 1
    assert "pushed 1 files, 7 B; 0 were there" in said.out
    assert "directory can't be pushed, as it is not in this machine's cache either" in said.err
    whole = hashlib.md5(b"content").hexdigest()
    assert local_far.files() == [f"files/md5/{whole[:2]}/{whole[2:]}"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("push", "--read-only"), "--read-only changes nothing in push, only in check; leave it out"),
        (("push", "--force"), "--force changes nothing in push, only in pull; leave it out"),
        (("check", "--run-cache"), "--run-cache changes nothing in check, only in push and pull; leave it out"),
        *((("check", "--timeout", text), f"'{text}' is no number of seconds, more than 0") for text in ("0", "-1", "nan", "inf", "a")),
    ],
)
def test_flags_that_would_do_nothing_are_refused(
    arguments: tuple[str, ...], expected: str, local_far: Far, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        command(local_far, monkeypatch, *arguments)
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err
    assert local_far.files() == []


# ---- remotes that refuse


@pytest.mark.parametrize(
    ("refused", "code", "expected"),
    [
        ("PUT", "AccessDenied", "it may not be written to (Refused by the test., AccessDenied); give the key the rights of docs/remote.md"),
        ("GET", "AccessDenied", "it may not be read (Refused by the test., AccessDenied); give the key the rights of docs/remote.md"),
        (".", "InvalidAccessKeyId", "the key isn't accepted (Refused by the test., InvalidAccessKeyId); set AWS_ACCESS_KEY_ID and"),
        (".", "ExpiredToken", "the key isn't accepted (Refused by the test., ExpiredToken); set AWS_ACCESS_KEY_ID and"),
        (".", "Nonsense", "it can't be read (Refused by the test., Nonsense); see docs/remote.md"),
    ],
)
def test_what_s3_refuses_is_said(refused: str, code: str, expected: str, s3: S3Server, s3_far: Far) -> None:
    s3.refused, s3.code = refused, code
    assert expected in s3_far.fails(lambda remote: remote.reach(write=True))
    s3.reset()
    assert s3_far.files() == []


def test_rights_that_are_lost_between_a_try_and_the_push_are_said(s3: S3Server, s3_far: Far) -> None:
    s3.refused = "PUT"
    assert "it may not be written to (Refused by the test." in s3_far.fails(lambda remote: remote.push(remote.held(remote.outs())))
    assert s3_far.files() == []


def test_a_key_that_may_not_delete_is_enough(s3: S3Server, s3_far: Far) -> None:
    s3.refused = "DELETE"
    assert "stays, as nothing may be deleted there" in s3_far.work(lambda remote: remote.reach(write=True))
    assert s3_far.work(lambda remote: remote.push(remote.held(remote.outs())))[0] == 4


@pytest.mark.parametrize(("minutes", "expected"), [(20, "20 min behind the server's"), (-20, "20 min ahead of the server's")])
def test_a_clock_that_s3_refuses_is_said_with_how_far_it_is_off(minutes: int, expected: str, s3: S3Server, s3_far: Far) -> None:
    s3.ahead = timedelta(minutes=minutes)
    said = s3_far.fails(lambda remote: remote.reach(write=True))
    assert f"this machine's clock is {expected}, and S3 refuses what is signed more than 15 minutes off; set it (NTP)" in said
    s3.ahead /= 3
    assert s3_far.work(lambda remote: (remote.reach(write=False), remote.skew)[1]) == pytest.approx(-minutes / 3 * 60, abs=3)


def test_a_bucket_that_is_none(s3: S3Server, s3_far: Far) -> None:
    s3_far.configure(s3.config("a") | {"url": "s3://nosuch/a"})
    assert "there is no bucket 'nosuch'; make it, or set another" in s3_far.fails(lambda remote: remote.reach(write=True))


def test_what_ssh_refuses_is_said(ssh: SSHServer, ssh_far: Far, tmp_path: Path) -> None:
    ssh.read_only = True
    assert "it may not be written to (Permission denied); give the user on 127.0.0.1" in ssh_far.fails(
        lambda remote: remote.reach(write=True)
    )
    assert "it may not be written to" in ssh_far.fails(lambda remote: remote.push(remote.held(remote.outs())))
    ssh.read_only = False
    assert ssh_far.files() == []
    ssh_far.configure(ssh.config(tmp_path / "none"))
    assert "there is no such directory; mount it or make it with" in ssh_far.fails(lambda remote: remote.reach(write=True))
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "other")
    ssh_far.configure(ssh.config(tmp_path) | {"keyfile": str(tmp_path / "other")})
    assert "the server doesn't let this user in (Permission denied for user" in ssh_far.fails(lambda remote: remote.reach(write=True))


@contextmanager
def nobody() -> Iterator[None]:
    """Somebody to whom the rights of files apply, also where the tests are run by root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("mode", "expected"), [(0o555, "it may not be written to ("), (0o000, "it may not be read (")])
def test_a_directory_without_rights_is_said(mode: int, expected: str, repository: Path) -> None:
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        far = Far(repository, {"url": f"{above}/far"}, Path(above, "far"))
        far.place.mkdir()
        far.place.chmod(mode)
        try:
            with remotes.opened(repository, now=NOW) as remote, nobody(), pytest.raises(InputError) as caught:
                remote.reach(write=True)
        finally:
            far.place.chmod(0o755)
    assert expected in str(caught.value)
    assert "give this user (" in str(caught.value)


def test_a_directory_that_is_not_mounted_is_not_made(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    far = Far(repository, {"url": str(tmp_path_factory.mktemp("above") / "share")}, None)
    assert "there is no such directory; mount it or make it" in far.fails(lambda remote: remote.reach(write=True))
    assert not Path(far.config["url"]).exists()


def test_files_of_a_directory_that_may_not_be_read_are_not_called_missing(repository: Path) -> None:
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        far = Far(repository, {"url": f"{above}/far"}, Path(above, "far"))
        far.place.mkdir()
        far.add()
        far.work(lambda remote: remote.push(remote.held(remote.outs())))
        digest = hashlib.md5(b"content").hexdigest()
        closed = far.place / f"files/md5/{digest[:2]}"
        closed.chmod(0o000)
        try:
            with remotes.opened(repository, now=NOW) as remote:
                outs = [out for out in remote.outs() if out.path == "file"]
                with nobody(), pytest.raises(InputError) as caught:
                    remote.held(outs)
        finally:
            closed.chmod(0o755)
    assert "it may not be read (" in str(caught.value)
    assert str(closed / digest[2:]) in str(caught.value)


@pytest.mark.parametrize(("kind", "below"), [("ssh", ""), ("local", ""), ("local", "/far")])
def test_a_remote_that_is_a_file_is_said(kind: str, below: str, far: Far, tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("a")
    far.configure(far.config | {"url": far.config["url"].replace(str(far.place), str(tmp_path / "some.txt")) + below})
    said = far.fails(lambda remote: remote.reach(write=True))
    assert "it is a file, or in one, and no directory; set the path of a directory with `dvc remote modify far url PATH`" in said


def test_a_profile_that_is_none_is_a_missing_key(s3: S3Server, s3_far: Far) -> None:
    s3_far.configure(s3_far.config | {"profile": "nosuch"})
    assert "no key was found (The config profile (nosuch) could not be found); set AWS_ACCESS_KEY_ID and" in s3_far.fails(
        lambda remote: remote.reach(write=True)
    )


def test_a_clock_that_is_off_is_said_by_all_commands(
    s3: S3Server, s3_far: Far, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.ahead = timedelta(minutes=7)
    for action in ("push", "pull", "check"):
        command(s3_far, monkeypatch, action)
        assert "this machine's clock is 7 min behind the server's, and S3 refuses 15 minutes: set it (NTP)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "config",
    [
        {"url": "s3://b/a", "endpointurl": "http://127.0.0.1:9", "access_key_id": "hidden", "secret_access_key": "hidden"},
        {"url": "ssh://me:hidden@127.0.0.1:9/a"},
    ],
)
def test_a_remote_that_cannot_be_reached_is_unavailable(config: dict[str, str], repository: Path, aws: None) -> None:
    with remotes.opened(Far(repository, config, None).repository, now=NOW) as remote, pytest.raises(Unavailable) as caught:
        remote.reach(write=False)
    assert "it can't be reached" in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "environment", "error", "expected"),
    [
        ({"url": "s3://erawise/a"}, {"AWS_ACCESS_KEY_ID": "a"}, "a b", "remote far (s3://erawise/a): it can't be read: OSError: a b; see"),
        (
            {"url": "s3://erawise/a"},
            {"AWS_ACCESS_KEY_ID": "erawise"},
            "no erawise",
            "remote far (s3://erawise/a): it can't be read: OSError: no ***; ",
        ),
        ({"url": "ssh://me:p%40ss@h/a"}, {}, "p@ss and p%40ss", "remote far (ssh://me@h/a): it can't be read: OSError: *** and ***; "),
        ({"url": "s3://b/a", "endpointurl": "http://me:word@127.0.0.1:9"}, {}, "at me:word@h", "OSError: at me:***@h; "),
        ({"url": "s3://b/a", "secret_access_key": "wordword", "session_token": "word"}, {}, "wordword", "OSError: ***; "),
    ],
)
def test_secrets_are_masked_in_what_others_say_alone(
    config: dict[str, str], environment: dict[str, str], error: str, expected: str, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in remotes.SECRET_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def refused(self: Remote) -> None:
        raise OSError(error)

    monkeypatch.setattr(remotes.Remote, "_look", refused)
    assert expected in Far(repository, config, None).fails(lambda remote: remote.reach(write=False))


def test_secrets_are_masked_in_what_dvc_says(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "dvc-gs")
    far = Far(repository, {"url": "gs://a"}, None)
    assert "remote far: gs is supported, but requires '***' to be installed; expected one of the kinds" in far.fails(lambda _: None)
    configure(repository, "[core]\n remote = far\n['remote \"far\"']\n url = /a\n dvc-gs = 1\n")
    assert "dvc-gs" not in far.fails(lambda _: None)


def test_a_remote_that_does_not_answer_is_waited_for_so_long(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        far = Far(repository, {"url": f"ssh://127.0.0.1:{silent.getsockname()[1]}/a"}, None)
        with remotes.opened(far.repository, now=NOW, seconds=0.5) as remote, pytest.raises(Unavailable, match=r"no answer within 0\.5 s"):
            remote.reach(write=False)


def test_a_workspace_without_outs_is_said(repository: Path) -> None:
    assert "it has no out that DVC's cache keeps; run `dvc repro`" in Far(repository, {"url": "/"}, None).fails(
        lambda remote: remote.outs()
    )


@pytest.mark.parametrize(("count", "expected"), [(0, "0 B"), (999, "999 B"), (18_200_000_000, "18.2 GB"), (5_400_000, "5.4 MB")])
def test_sizes_are_readable(count: int, expected: str) -> None:
    assert remotes.size(count) == expected
