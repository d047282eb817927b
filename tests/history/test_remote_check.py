"""The check of a remote: a directory, a real S3 server and a real SSH server, in order and with faults."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import s3_server
import ssh_server
from dvc.repo import Repo
from s3_server import S3Server
from ssh_server import SSHServer
from workspace import command

from erawise.history import remote_check
from erawise.running.errors import InputError, Unavailable

WORKS = "an object was written and read back and deleted"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    with Repo.init(str(tmp_path), no_scm=True):
        return tmp_path


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, SSHServer]]:
    with s3_server.serving() as s3, ssh_server.serving(tmp_path_factory.mktemp("ssh")) as ssh:
        yield s3, ssh


@pytest.fixture
def s3(servers: tuple[S3Server, SSHServer], monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    for name, value in s3_server.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    yield servers[0]
    servers[0].reset()


@pytest.fixture
def ssh(servers: tuple[S3Server, SSHServer]) -> Iterator[SSHServer]:
    yield servers[1]
    servers[1].read_only = False


def configure(repository: Path, config: dict[str, str]) -> None:
    lines = "".join(f" {key} = {value}\n" for key, value in config.items())
    (repository / ".dvc/config").write_text(f"[core]\n no_scm = True\n remote = far\n['remote \"far\"']\n{lines}")


def wrong(repository: Path, config: dict[str, str], name: str | None = None) -> str:
    """Return the one line with which the check fails."""
    configure(repository, config)
    with pytest.raises(InputError) as caught:
        remote_check.check(repository, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_directory_works_and_nothing_is_left(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    far = tmp_path_factory.mktemp("far")
    configure(repository, {"url": str(far)})
    (repository / "params.yaml").touch()
    monkeypatch.chdir(repository)
    for arguments in ([], ["far"]):
        command("remote", "check", *arguments)
        assert capsys.readouterr().out == f"remote far ({far}): {WORKS}\n"
    assert not list(far.iterdir())


def test_s3_works_and_nothing_is_left(repository: Path, s3: S3Server) -> None:
    configure(repository, s3.config("a"))
    assert remote_check.check(repository) == f"remote far (s3://{s3_server.BUCKET}/a): {WORKS}"
    assert "Contents" not in s3.client.list_objects_v2(Bucket=s3_server.BUCKET)


def test_ssh_works_and_nothing_is_left(repository: Path, ssh: SSHServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    far = tmp_path_factory.mktemp("far")
    configure(repository, ssh.config(far))
    assert remote_check.check(repository).endswith(f"{far}): {WORKS}")
    assert not list(far.iterdir())


@pytest.mark.parametrize(
    ("config", "name", "expected"),
    [
        ("", None, "there is no default remote, none is configured; add it with `dvc remote add --default NAME URL`"),
        ("['remote \"a\"']\n url = /a", None, "there is no default remote, expected one of a; add it with"),
        ("['remote \"a\"']\n url = /a", "b", "there is no remote 'b', expected one of a; add it with"),
        ("['remote \"a\"']\n url = gs://a", "a", "gs is supported, but requires 'dvc-gs' to be installed"),
        ("['remote \"a\"']\n url = /a\n nonsense = 1", "a", "DVC's configuration: config file error: extra keys not allowed"),
    ],
)
def test_a_remote_that_is_not_configured_is_said(config: str, name: str | None, expected: str, repository: Path) -> None:
    (repository / ".dvc/config").write_text(f"[core]\n no_scm = True\n{config}\n")
    with pytest.raises(InputError) as caught:
        remote_check.check(repository, name)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_directory_that_is_no_repository_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^DVC's configuration: you are not inside of a DVC repository"):
        remote_check.check(tmp_path)


@pytest.mark.parametrize(
    ("refused", "code", "expected"),
    [
        ("PUT", "AccessDenied", "it can be read, but not written to; that is enough to pull"),
        (".", "AccessDenied", "it may not be read or written to; give this user or key the rights"),
        (".", "InvalidAccessKeyId", "the credentials are missing or refused; set them"),
        (".", "ExpiredToken", "the credentials are missing or refused; set them"),
        (".", "Nonsense", "it can't be used; see docs/remote.md"),
    ],
)
def test_what_s3_refuses_is_said(refused: str, code: str, expected: str, s3: S3Server, repository: Path) -> None:
    s3.refused, s3.code = refused, code
    assert f"remote far (s3://{s3_server.BUCKET}/a): {expected}" in wrong(repository, s3.config("a"))


def test_other_faults_of_s3_are_said(s3: S3Server, repository: Path) -> None:
    assert "there is no such bucket; make it" in wrong(repository, s3.config("a") | {"url": "s3://nosuch/a"})
    assert "the credentials are missing or refused" in wrong(repository, s3.config("a") | {"profile": "nosuch"})
    s3.ahead = timedelta(minutes=20)
    assert "this machine's clock is more than 15 minutes off the server's; set it (NTP)" in wrong(repository, s3.config("a"))
    s3.ahead, s3.refused = timedelta(), "DELETE"
    assert "stays, since it can't be deleted" in remote_check.check(repository)


def test_what_ssh_refuses_is_said(ssh: SSHServer, repository: Path, tmp_path: Path) -> None:
    ssh.read_only = True
    assert "it can be read, but not written to" in wrong(repository, ssh.config(tmp_path))
    ssh.read_only = False
    assert "there is no such directory; make it, or mount" in wrong(repository, ssh.config(tmp_path / "none"))
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "other")
    other = ssh.config(tmp_path) | {"keyfile": str(tmp_path / "other")}
    assert "the credentials are missing or refused" in wrong(repository, other)


@contextmanager
def nobody() -> Iterator[None]:
    """Return a user to whom file rights apply, even if root runs the tests."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("mode", "expected"), [(0o555, "it can be read, but not written to"), (0o000, "it may not be read or written to")])
def test_a_directory_without_rights_is_said(mode: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = remote_check._tried

    def as_nobody(files: Any, path: str) -> str:
        with nobody():
            return tried(files, path)

    monkeypatch.setattr(remote_check, "_tried", as_nobody)
    with tempfile.TemporaryDirectory() as above, Repo.init(above, no_scm=True):
        Path(above).chmod(0o755)
        Path(above, "far").mkdir(mode)
        assert expected in wrong(Path(above), {"url": f"{above}/far"})


def test_what_is_no_directory_is_said_and_not_made(repository: Path) -> None:
    assert "there is no such directory; make it, or mount" in wrong(repository, {"url": str(repository / "share")})
    assert not (repository / "share").exists()
    (repository / "some.txt").write_text("a")
    assert "its path leads to a file, or below one" in wrong(repository, {"url": str(repository / "some.txt")})


@pytest.mark.parametrize(
    "config",
    [
        {"url": "s3://b/a", "endpointurl": "http://127.0.0.1:9", "access_key_id": "hidden", "secret_access_key": "hidden"},
        {"url": "ssh://me:hidden@127.0.0.1:9/a"},
    ],
)
def test_a_remote_that_cannot_be_reached_is_unavailable(config: dict[str, str], repository: Path, s3: S3Server) -> None:
    configure(repository, config)
    with pytest.raises(Unavailable) as caught:
        remote_check.check(repository, seconds=3)
    assert "it can't be reached" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_remote_that_does_not_answer_is_waited_for_so_long(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure(repository, {"url": f"ssh://127.0.0.1:{silent.getsockname()[1]}/a"})
        with pytest.raises(Unavailable, match=r"it can't be reached; .*no answer within 0\.5 s"):
            remote_check.check(repository, seconds=0.5)


@pytest.mark.parametrize(
    ("config", "said", "expected"),
    [
        ({"url": "ssh://me:p%40ss@h/a"}, "p@ss and p%40ss", "remote far (ssh://me:***@h/a): it can't be used; "),
        ({"url": "ssh://me:p%40ss@h/a"}, "p@ss and p%40ss", "(OSError: *** and ***)"),
        ({"url": "s3://b/a", "endpointurl": "http://me:word@h"}, "at me:word@h", "(OSError: at me:***@h)"),
        ({"url": "s3://b/a", "secret_access_key": "wordword", "session_token": "word"}, "wordword", "(OSError: ***)"),
        ({"url": "s3://erawise/a"}, "no AKIDEXAMPLE", "see docs/remote.md (OSError: no ***)"),
    ],
)
def test_secrets_are_masked_in_what_others_say(
    config: dict[str, str], said: str, expected: str, s3: S3Server, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(files: object, path: str) -> str:
        raise OSError(said)

    monkeypatch.setattr(remote_check, "_tried", refused)
    assert expected in wrong(repository, config)
