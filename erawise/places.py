"""Where DVC's remotes are, where what the cache keeps is shared between machines, and by which digest a file lies there."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dvc.config import ConfigError, NoRemoteError
from dvc.exceptions import DvcException
from dvc.fs import get_cloud_fs
from dvc.repo import Repo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise.errors import InputError

S3, SSH, LOCAL = "s3", "ssh", "local"
KINDS = (S3, SSH, LOCAL)


@dataclass(frozen=True)
class Place:
    """Where a remote is, without what is secret: no key, no password.

    Attributes
    ----------
    name : as DVC's configuration calls it.
    protocol : 's3', 'ssh' or 'local'.
    path : the top of the remote in that file system: 'bucket/prefix', or an absolute path.
    options : what `fsspec.filesystem(protocol, **options)` takes: for s3 `endpoint_url`, `profile` and the region in `client_kwargs`,
        for ssh `host`, `port` and `username`, for local nothing. Keys come from the environment of whoever opens it.
    """

    name: str
    protocol: str
    path: str
    options: dict[str, Any]

    @property
    def url(self) -> str:
        """The remote as a message may name it."""
        if self.protocol == LOCAL:
            return self.path
        if self.protocol == S3:
            return f"s3://{self.path}"
        user = f"{self.options['username']}@" if "username" in self.options else ""
        port = f":{self.options['port']}" if "port" in self.options else ""
        return f"ssh://{user}{self.options['host']}{port}{self.path}"

    def object(self, digest: str) -> str:
        """The path of the file with a digest of DVC's in that file system; a digest that ends in '.dir' is a directory's listing."""
        return f"{self.path.rstrip('/')}/files/md5/{digest[:2]}/{digest[2:]}"


def place(repository: Path, name: str | None = None) -> Place:
    """Where a remote is, as DVC has it configured; nothing is asked of it.

    Parameters
    ----------
    repository : its top.
    name : of the remote; the default one where it is None.

    Raises
    ------
    InputError
        If there is no such remote, none is the default one, or it is of a kind that isn't supported.
    """
    try:
        with Repo(str(repository)) as repo:
            return place_in(repo, name)
    except DvcException as error:
        raise InputError(f"{line(error)}; expected a repository with DVC's configuration in .dvc/config") from None


def digests(lock: Path, paths: Iterable[str]) -> dict[str, str]:
    """The digests that a dvc.lock has for outs, or else for deps.

    Parameters
    ----------
    lock : the file.
    paths : as dvc.yaml writes them, 'data/prepared/features.npy'.

    Returns
    -------
    dict
        From path to md5; that of a directory ends in '.dir'.

    Raises
    ------
    InputError
        If the file can't be read, or has one of the paths nowhere.
    """
    wanted = list(paths)
    found: dict[str, str] = {}
    for stage in read_lock(lock).values():
        for entry in stage.get("deps", []):
            found.setdefault(entry["path"], entry["md5"])
        for entry in stage.get("outs", []):
            found[entry["path"]] = entry["md5"]
    if missing := [path for path in wanted if path not in found]:
        raise InputError(
            f"{lock}: it has no digest of {', '.join(missing)}; expected outs or deps of a stage that has run: run `dvc repro`"
        )
    return {path: found[path] for path in wanted}


def read_lock(lock: Path) -> dict[str, dict[str, Any]]:
    """The stages of a dvc.lock by name.

    Raises
    ------
    InputError
        If it isn't there or can't be read.
    """
    try:
        content = YAML(typ="safe").load(lock.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{lock}: there is no such file; run `dvc repro`, or check out a commit that has it") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{lock}: it can't be read: {line(error)}; get it back with `git checkout {lock}`") from None
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict):
        raise InputError(f"{lock}: it has no stages; get it back with `git checkout {lock}`")
    return stages


def place_in(repo: Repo, name: str | None) -> Place:
    """`place` of a repository that is open."""
    configured = sorted(repo.config["remote"])
    listed = f"configured are {', '.join(configured)}" if configured else "none is configured"
    chosen = name or repo.config["core"].get("remote")
    if not chosen:
        what = "name one with --remote or `dvc remote default NAME`" if configured else "add one with `dvc remote add --default NAME URL`"
        raise InputError(f"there is no default remote, {listed}; {what} (docs/remote.md)")
    if chosen.lower() not in repo.config["remote"]:
        raise InputError(f"there is no remote {chosen!r}, {listed}; see `dvc remote list`, add one with `dvc remote add {chosen} URL`")
    try:
        cls, config, path = get_cloud_fs(repo.config, name=chosen)
    except (ConfigError, NoRemoteError, ImportError) as error:
        raise InputError(
            f"remote {chosen}: {line(error)}; expected one of the kinds {', '.join(KINDS)}; see `dvc remote list` and .dvc/config"
        ) from None
    if cls.protocol not in KINDS:
        raise InputError(f"remote {chosen}: it is of the kind {cls.protocol!r}; expected {', '.join(KINDS)} (docs/remote.md)")
    return Place(chosen, cls.protocol, str(path), _options(cls.protocol, config))


def _options(protocol: str, config: dict[str, Any]) -> dict[str, Any]:
    if protocol == S3:
        region = {"region_name": config["region"]} if config.get("region") else None
        options = {"endpoint_url": bare(config.get("endpointurl")), "profile": config.get("profile"), "client_kwargs": region}
    elif protocol == SSH:
        options = {"host": config["host"], "port": config.get("port"), "username": config.get("user") or config.get("username")}
    else:
        options = {}
    return {key: value for key, value in options.items() if value is not None}


def line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())


def bare(address: str | None) -> str | None:
    """An address without the user and password that may be in it."""
    if address is None:
        return None
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
