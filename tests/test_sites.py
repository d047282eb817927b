"""The prepared data on a machine that doesn't see it: what is read is fetched by digest from a real S3 server, and named where damaged."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import fsspec
import numpy as np
import pytest
from farm import farm
from moto.server import ThreadedMotoServer
from ruamel.yaml import YAML
from test_cluster import OUTS, content, on
from workspace import Workspace

from erawise import params, places, sites
from erawise.errors import InputError
from erawise.jobs import Source
from stages import modelling, workers

BUCKET = "erawise"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server of S3 with an empty bucket."""
    server = ThreadedMotoServer("0.0.0.0", port=0, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
        yield url
    fsspec.config.conf.clear()
    server.stop()


@pytest.fixture
def pushed(workspace: Workspace, s3: str, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose prepared data lies where DVC would have pushed it."""
    monkeypatch.chdir(workspace.directory)
    dvc("init", "--no-scm", "-q")
    dvc("remote", "add", "-q", "--default", "store", f"s3://{BUCKET}/store")
    dvc("remote", "modify", "-q", "store", "endpointurl", s3)
    client = boto3.client("s3", endpoint_url=s3)
    small, arrays = source(live=True).listed()
    for path in [*small, *arrays, Path("data/prepared/validation_targets.parquet")]:
        digest = sites.md5(path)
        client.put_object(Bucket=BUCKET, Key=f"store/files/md5/{digest[:2]}/{digest[2:]}", Body=path.read_bytes())
    outs = [{"path": path.as_posix(), "md5": sites.md5(path)} for path in arrays]
    with Path("dvc.lock").open("w") as file:
        YAML().dump({"schema": "2.0", "stages": {"preprocess": {"cmd": "x", "outs": outs}}}, file)
    return workspace


def dvc(*command: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *command], check=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"})


def source(*, live: bool) -> Source:
    p = params.load(Path("params.yaml"))
    return modelling.source_of(p.models["ridge"], p.data.target, p.data.target_horizon, live=live)


@pytest.fixture
def site(pushed: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sites.Site:
    """The data as seen by a machine on which it doesn't lie."""
    monkeypatch.setenv(sites.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(sites, "_last", {})
    monkeypatch.setattr(sites, "PIECE_BYTES", 2_000)
    return replace(sites.survey(source(live=True), workers.pushed), root=str(tmp_path / "nowhere"))


def eras_of(site: sites.Site) -> np.ndarray:
    return sites.opened(site, np.empty(0, np.int64)).data.panel.eras


def test_the_part_that_is_read_is_fetched_once_and_is_what_was_pushed(
    site: sites.Site, pushed: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    original = sites.Remote.read

    def counted(self: sites.Remote, name: str, start: int | None = None, end: int | None = None) -> bytes:
        found = original(self, name, start, end)
        read.append(len(found))
        return found

    monkeypatch.setattr(sites.Remote, "read", counted)
    eras = eras_of(site)
    read.clear()
    here = sites.opened(site, eras[10:20])
    panel, own = here.data.panel, source(live=True).panel()
    rows = own.starts[20] - own.starts[10]
    assert sum(read) == rows * own.matrix.shape[1] * own.matrix.itemsize, "the ten eras, and nothing else"
    for era in eras[10:20]:
        np.testing.assert_array_equal(panel.stored(era), own.stored(era))
    with pytest.raises(InputError, match="are not those that preprocess wrote"):
        panel.stored(eras[30])
    read.clear()
    sites._last.clear()
    sites.opened(site, eras[12:21])
    assert sum(read) == (own.starts[21] - own.starts[20]) * own.matrix.shape[1] * own.matrix.itemsize, "the one that wasn't there"
    assert here.root.parent == sites.cache()
    assert (here.root / "data/prepared/features.npy").resolve().parent == here.work


def test_a_machine_that_sees_the_files_maps_them(site: sites.Site, pushed: Workspace) -> None:
    seen = replace(site, root=str(pushed.directory), remote=None)
    assert sites.opened(seen, np.array([1])).root == pushed.directory
    assert not sites.cache().exists()


def test_what_was_fetched_may_be_removed_at_any_time(site: sites.Site) -> None:
    eras = eras_of(site)
    before = dict(sites._last)
    shutil.rmtree(sites.cache())
    sites._last.clear()
    sites.opened(site, eras[:1])  # as another process would
    sites._last.clear()
    sites._last.update(before)
    panel = sites.opened(site, eras[:3]).data.panel
    np.testing.assert_array_equal(panel.stored(eras[1]), source(live=True).panel().stored(eras[1]))


def test_the_same_files_are_opened_for_another_horizon_as_that_has_it(site: sites.Site, pushed: Workspace) -> None:
    seen = replace(site, root=str(pushed.directory))
    near = sites.opened(seen, np.array([1])).data
    far = sites.opened(replace(seen, source=replace(seen.source, days=60, targets=("target_other",))), np.array([1])).data
    assert (near.plan.weeks, far.plan.weeks) == (8, 16)
    assert "target" in near.panel.index
    assert "target" not in far.panel.index


def test_the_same_path_with_other_data_is_not_the_site(site: sites.Site, pushed: Workspace) -> None:
    shutil.copytree(pushed.directory / "data", Path(site.root) / "data")
    folds = Path(site.root) / "data/folds.json"
    assert replace(site, remote=None).is_seen()
    folds.write_text(folds.read_text() + " ")
    assert not site.is_seen()


def test_without_a_remote_it_is_said_what_to_do(site: sites.Site) -> None:
    with pytest.raises(InputError, match=r"doesn't see the prepared data there, and DVC has no remote .*; share the directory under"):
        sites.opened(replace(site, remote=None), np.array([1]))


def spoil(site: sites.Site, name: str, s3: str, body: bytes | None) -> None:
    assert site.remote
    client, key = boto3.client("s3", endpoint_url=s3), site.remote.objects[name].removeprefix(f"{BUCKET}/")
    if body is None:
        client.delete_object(Bucket=BUCKET, Key=key)
    else:
        client.put_object(Bucket=BUCKET, Key=key, Body=body)


@pytest.mark.parametrize("name", ["data/folds.json", "data/prepared/features.npy"])
def test_a_damaged_object_is_named(site: sites.Site, s3: str, name: str) -> None:
    eras = eras_of(site)
    shutil.rmtree(sites.cache())
    sites._last.clear()
    content = bytearray((Path.cwd() / name).read_bytes())
    content[len(content) // 2] ^= 1
    spoil(site, name, s3, bytes(content))
    with pytest.raises(InputError) as caught:
        sites.opened(site, eras)
    assert site.remote
    assert str(caught.value).startswith(f"s3://{BUCKET}/store: {site.remote.objects[name]}, which is {name}, is damaged: its ")
    assert str(caught.value).endswith("delete that object, and run `dvc push` where the file was made")
    assert not list(sites.cache().rglob("*.partial"))


def test_what_came_damaged_once_is_fetched_again(site: sites.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    original, spoiled = sites.Remote.read, set()

    def once(self: sites.Remote, name: str, start: int | None = None, end: int | None = None) -> bytes:
        found = original(self, name, start, end)
        if (name, start) in spoiled or start == 0:
            return found
        spoiled.add((name, start))
        return found[:-1] + bytes([found[-1] ^ 255])

    monkeypatch.setattr(sites.Remote, "read", once)
    panel = sites.opened(site, eras_of(site)).data.panel
    assert len(spoiled) > 10
    np.testing.assert_array_equal(np.concatenate([panel.stored(era) for era in panel.eras]), source(live=True).panel().matrix)


def test_what_was_not_pushed_is_named(site: sites.Site, s3: str) -> None:
    spoil(site, "data/folds.json", s3, None)
    with pytest.raises(InputError, match=rf"^s3://{BUCKET}/store: it has no {BUCKET}/store/files/md5/\S+, which is data/folds.json; run"):
        sites.opened(site, np.array([1]))


def test_a_remote_that_is_not_reached_is_one_clear_error(site: sites.Site) -> None:
    assert site.remote
    away = replace(site.remote, options={"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 1}}})
    with pytest.raises(InputError, match=rf"^s3://{BUCKET}/store: \S+ can't be read \(.*\); check that this machine reaches it"):
        sites.opened(replace(site, remote=away), np.array([1]))


def test_no_key_is_sent_to_workers(site: sites.Site, s3: str) -> None:
    dvc("remote", "modify", "--local", "store", "secret_access_key", "very-secret")
    place = places.place(Path())
    assert "very-secret" not in repr(place)
    assert site.remote
    assert site.remote.options == {"endpoint_url": s3}


@pytest.fixture
def hosts() -> Iterator[tuple[str, list[str]]]:
    """The address of a host of its own, and what runs a command there, where this machine allows that; else another loopback address.

    A host is a network namespace with a cable to this one, and its own view of the disk on which the workspaces are hidden.
    """
    name, cable = f"erawise{os.getpid()}", f"ew{os.getpid() % 10**8}"
    commands = [
        f"ip netns add {name}",
        f"ip link add {cable}a type veth peer name {cable}b netns {name}",
        f"ip address add 10.213.77.1/24 dev {cable}a",
        f"ip link set {cable}a up",
        f"ip -n {name} address add 10.213.77.2/24 dev {cable}b",
        f"ip -n {name} link set {cable}b up",
        f"ip -n {name} link set lo up",
    ]
    allowed = os.geteuid() == 0 and shutil.which("ip") and all(_runs(command) for command in commands)
    try:
        yield ("10.213.77.1", ["ip", "netns", "exec", name]) if allowed else ("127.0.0.2", [])
    finally:
        _runs(f"ip netns del {name}")


def _runs(command: str) -> bool:
    try:
        return subprocess.run(command.split(), capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def test_workers_on_another_host_fetch_what_they_need_and_give_the_same_bits(
    pushed: Workspace, s3: str, hosts: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, prefix = hosts
    pushed.run("tune_lightgbm lightgbm", "train_lightgbm lightgbm", "refit_lightgbm lightgbm")
    before = content(pushed.directory, "lightgbm", *OUTS, "final")
    dvc("remote", "modify", "-q", "store", "endpointurl", s3.replace("127.0.0.1", address))
    survey = sites.survey
    monkeypatch.setattr(sites, "survey", lambda *given: replace(survey(*given), root="/nowhere/at/all"))
    with farm(tmp_path / "farm", address) as found:
        found.work("--nworkers", "2", prefix=prefix)
        found.wait_for(2)
        pushed.change(on(found.address))
        pushed.run("train_lightgbm lightgbm", "refit_lightgbm lightgbm")
        assert content(pushed.directory, "lightgbm", *OUTS, "final") == before
        arrays = [path for path in (tmp_path / "farm/cache").rglob("features.npy") if path.parent.name != "live"]
        assert sorted(path.is_symlink() for path in arrays) == [False, True, True], "of train and of refit, and once what both have"
