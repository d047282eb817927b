"""Where a remote is and by which digest a file lies there, read from DVC's configuration and dvc.lock."""

import subprocess
from pathlib import Path

import fsspec
import pytest
from dvc.repo import Repo

from erawise import remotes
from erawise.errors import InputError

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
    found = remotes.place(repository)
    assert (found.name, found.protocol, found.path, dict(found.options), found.url) == ("far", protocol, path, options, url)
    assert "hidden" not in repr(found)
    assert remotes.place(repository, "far") == found
    assert found.object("ab12") == f"{path}/files/md5/ab/12"


def test_what_dvc_has_pushed_lies_where_a_place_says(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    far = tmp_path_factory.mktemp("far")
    configure(repository, f"[core]\n remote = far\n['remote \"far\"']\n url = {far}\n")
    (repository / "a.txt").write_text("content")
    with Repo(str(repository)) as repo:
        (stage,) = repo.add(str(repository / "a.txt"))
        repo.push()
    found = remotes.place(repository)
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
        remotes.place(repository, name)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_digests_are_those_of_outs_before_those_of_deps(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text(LOCK)
    assert remotes.digests(lock, ["own.csv", "data/b", "data/a"]) == {"own.csv": "44", "data/b": "22", "data/a": "11.dir"}


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
        remotes.digests(lock, ["data/c", "data/b", "data/d"])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
