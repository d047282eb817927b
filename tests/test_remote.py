"""A pipeline that one machine has run is reproduced on another from a remote: shown by real `dvc` in temporary clones."""

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3_server
import small
import ssh_server
from clones import Clone, clone_tree, stages_run
from closure import ROOT
from ruamel.yaml import YAML
from s3_server import S3Server

import stages.remote

RAW = "data/raw"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server.serving() as server:
        yield server


@pytest.fixture(autouse=True, scope="module")
def aws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the pipeline has run with one model, up to its scores; left as it is."""
    clone = clone_tree(tmp_path_factory.mktemp("finished"))
    yaml, path = YAML(), clone.directory / "params.yaml"
    content = yaml.load(path.read_text())
    content["models"] = {"ridge": dict(content["models"]["ridge"])}
    for name, value in {"data.market.features": 16, "select_features.method": "none"}.items():
        small.change(content, name, value)
    with path.open("w") as file:
        yaml.dump(content, file)
    clone.dvc("repro", "evaluate")
    clone.commit("first run")
    return clone


@pytest.fixture
def first(finished: Clone, tmp_path: Path) -> Clone:
    """The machine that has run everything."""
    return cloned(finished, tmp_path / "first", cache=finished.directory / ".dvc/cache")


def cloned(origin: Clone, directory: Path, cache: Path | None = None) -> Clone:
    """A clone with a cache of its own, empty, or with that of another."""
    origin.run("git", "clone", "-q", str(origin.directory), str(directory))
    clone = Clone(directory)
    if cache:
        clone.dvc("config", "--local", "cache.dir", str(cache))
        clone.dvc("checkout", "-q", "--allow-missing")
    return clone


def settle(directory: Path) -> None:
    """Workers of DVC's queue write a while longer, once the work is done."""
    for _ in range(50):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            break
        time.sleep(0.2)


def connect(clone: Clone, config: dict[str, str]) -> None:
    """Have a remote as the default one, in the configuration that Git keeps."""
    lines = "".join(f"    {key} = {value}\n" for key, value in config.items())
    path = clone.directory / ".dvc/config"
    path.write_text(path.read_text().replace("[core]\n", "[core]\n    remote = far\n") + f"['remote \"far\"']\n{lines}")
    clone.commit("remote")


def remote(clone: Clone, *arguments: str, check: bool = True) -> str:
    return clone.run(sys.executable, "-m", "stages.remote", *arguments, check=check)


def directory_remote(clone: Clone, path: Path) -> None:
    path.mkdir()
    connect(clone, {"url": str(path)})


def digest(clone: Clone, path: str) -> str:
    stages = YAML(typ="safe").load(clone.read("dvc.lock"))["stages"]
    return next(out["md5"] for stage in stages.values() for out in stage.get("outs", []) if out["path"] == path)


def test_a_second_clone_reproduces_from_s3_and_trains_nothing(first: Clone, s3: S3Server, tmp_path: Path) -> None:
    connect(first, s3.config("whole"))
    said = remote(first, "push")
    assert re.search(r"^pushed \d\d files, \d+\.\d MB; 0 were there$", said, re.MULTILINE)
    assert f"not pushed: {RAW} (" in said
    assert "outs are there" in remote(first, "check", "--verify")
    second = cloned(first, tmp_path / "second")
    said = second.dvc("repro", "--pull", "evaluate")
    assert stages_run(said) == {"download"}
    assert second.run("git", "status", "--porcelain") == ""
    for split in ("cv", "validation"):
        assert second.metrics(split) == first.metrics(split)
    assert second.read("dvc.lock") == first.read("dvc.lock")
    model = "data/models/ridge/linear.npz"
    assert (second.directory / model).read_bytes() == (first.directory / model).read_bytes()


def test_plain_dvc_pushes_all_but_the_raw_files_over_ssh_and_pulls_it(first: Clone, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "far").mkdir()
    with ssh_server.serving(tmp_path / "keys") as server:
        connect(first, server.config(tmp_path / "far"))
        first.dvc("push")
        assert not (tmp_path / "far/files/md5" / digest(first, RAW)[:2] / digest(first, RAW)[2:]).exists()
        second = cloned(first, tmp_path / "second")
        second.dvc("pull", "--allow-missing")
        assert not (second.directory / RAW).exists()
        assert stages_run(second.dvc("repro", "--allow-missing", "evaluate")) == set()
        server.read_only = True
        assert "it can be reached and read\n" in remote(second, "check", "--read-only")
        assert "it may not be written to (Permission denied)" in remote(second, "check", check=False)


@pytest.mark.parametrize(
    ("source", "number", "again"), [("market", None, True), ("numerai", 1100, True), ("numerai", None, False), ("local", None, False)]
)
def test_raw_files_come_again_where_source_and_round_say_so(
    source: str, number: int | None, again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    for name, value in {"data.source": source, "data.round": number}.items():
        Clone(tmp_path).set(name, value)
    monkeypatch.chdir(tmp_path)
    assert stages.remote.raw_comes_again() == again


def test_raw_files_go_where_they_cannot_come_again(first: Clone, tmp_path: Path) -> None:
    directory_remote(first, tmp_path / "far")
    first.set("data.source", "local")
    assert "not pushed" not in remote(first, "push")
    assert (tmp_path / "far/files/md5" / digest(first, RAW)[:2] / digest(first, RAW)[2:]).exists()


def test_a_clone_whose_lock_lacks_runs_takes_their_results_from_the_shared_run_cache(first: Clone, tmp_path: Path) -> None:
    directory_remote(first, tmp_path / "far")
    said = remote(first, "push", "--run-cache")
    assert re.search(r"^run cache: \d+ runs, and 3 more files of theirs", said, re.MULTILINE)
    third = cloned(first, tmp_path / "third")
    lock = YAML(typ="safe").load(third.read("dvc.lock"))
    for stage in ("train@ridge", "evaluate"):
        del lock["stages"][stage]
    with (third.directory / "dvc.lock").open("w") as file:
        YAML(typ="safe").dump(lock, file)
    shutil.rmtree(third.directory / "metrics")
    assert re.search(r"^run cache: \d+ runs$", remote(third, "pull", "--run-cache"), re.MULTILINE)
    said = third.dvc("repro", "--pull", "evaluate")
    assert all(f"Stage '{stage}' is cached - skipping run" in said for stage in ("train@ridge", "evaluate"))
    assert stages_run(said) == {"download"}
    assert YAML(typ="safe").load(third.read("dvc.lock")) == YAML(typ="safe").load(first.read("dvc.lock"))
    assert third.metrics() == first.metrics()
    assert not (third.directory / "ledger.jsonl").exists(), "nobody has looked at the validation eras again"


def test_what_is_wrong_with_a_remote_is_one_line_and_an_exit_code(first: Clone, s3: S3Server, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, str] | None, tuple[str, ...], str]] = [
        (None, ("check",), "error: there is no default remote, none is configured; add one with `dvc remote add --default NAME URL`"),
        (s3.config("empty"), ("pull",), "it lacks files of data/curves/ridge, "),
        ({"url": "ssh://me:hidden@127.0.0.1:9/far"}, ("push",), "(ssh://me@127.0.0.1:9/far): it can't be reached"),
    ]
    original = first.read(".dvc/config")
    for config, arguments, expected in cases:
        (first.directory / ".dvc/config").write_text(original)
        if config:
            connect(first, config)
        clone = cloned(first, tmp_path / "second") if arguments == ("pull",) else first
        with pytest.raises(AssertionError, match=r"ended with (1|75):") as caught:
            remote(clone, *arguments)
        said = str(caught.value)
        (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert expected in line
        assert "hidden" not in said.lower()
        assert "Traceback" not in said
        if clone is not first:
            assert not (clone.directory / "data/models").exists()
            shutil.rmtree(clone.directory)


def test_a_damaged_object_is_named_with_its_out_and_mended(first: Clone, tmp_path: Path) -> None:
    directory_remote(first, tmp_path / "far")
    remote(first, "push")
    name = digest(first, "data/weights.json")
    path = tmp_path / f"far/files/md5/{name[:2]}/{name[2:]}"
    path.chmod(0o644)
    path.write_text("{}")
    assert f"{path} of data/weights.json; run `python -m stages.remote push --verify`" in remote(first, "check", "--verify", check=False)
    second = cloned(first, tmp_path / "second")
    said = remote(second, "pull", check=False)
    assert f"{path} is not what its digest says, twice over, and is part of data/weights.json; put it there again" in said
    assert not (second.directory / "data/weights.json").exists()


STAGES = """stages:
  double:
    cmd: python double.py
    params: [value]
    outs: [out.json]
"""
DOUBLE = "import json, pathlib\n\nvalue = int(pathlib.Path('params.yaml').read_text().split()[1])\n"
DOUBLE += "pathlib.Path('out.json').write_text(json.dumps({'doubled': 2 * value}))\n"


def test_two_workers_run_a_queue_and_experiments_go_from_clone_to_clone(tmp_path: Path) -> None:
    for name in ("one", "far"):
        (tmp_path / name).mkdir()
    hub, one, two = Clone(tmp_path), Clone(tmp_path / "one"), Clone(tmp_path / "two")
    for command in (
        ("git", "init", "-q", "-b", "main"),
        ("dvc", "init", "-q"),
        ("dvc", "remote", "add", "-d", "far", str(tmp_path / "far")),
    ):
        one.run(*command)
    (one.directory / "dvc.yaml").write_text(STAGES)
    (one.directory / "double.py").write_text(DOUBLE)
    (one.directory / "params.yaml").write_text("value: 1\n")
    one.dvc("repro", "-q")
    one.commit("start")
    hub.run("git", "clone", "-q", "--bare", "one", "hub.git")
    hub.run("git", "clone", "-q", "hub.git", "two")
    one.run("git", "remote", "add", "origin", str(tmp_path / "hub.git"))

    one.dvc("exp", "run", "-q", "--queue", "-n", "idea", "-S", "value=5")
    one.dvc("exp", "run", "-q", "--queue", "-n", "other", "-S", "value=6")
    one.dvc("queue", "start", "--jobs", "2")
    deadline = time.monotonic() + 120
    while one.dvc("queue", "status").count("Success") < 2:
        assert time.monotonic() < deadline
        time.sleep(2)
    one.dvc("exp", "push", "origin", "idea", "other")

    two.dvc("exp", "run", "-q", "-n", "idea", "-S", "value=7")
    mine, theirs = sha(two, "idea"), sha(two, "idea", "origin")
    assert mine != theirs == sha(one, "idea")
    for action in ("push", "pull"):
        assert "has diverged from remote experiment with the same name" in " ".join(
            two.dvc("exp", action, "origin", "idea", check=False).split()
        )
    assert (sha(two, "idea"), sha(two, "idea", "origin")) == (mine, theirs)
    two.dvc("exp", "rename", "-q", "idea", "idea-of-two")
    two.dvc("exp", "pull", "origin", "idea")
    two.dvc("exp", "push", "origin", "idea-of-two")
    for where in (".", "origin"):
        assert (sha(two, "idea", where), sha(two, "idea-of-two", where)) == (theirs, mine)
    two.dvc("exp", "apply", "-q", "idea")
    assert json.loads(two.read("out.json")) == {"doubled": 10}
    settle(tmp_path / "one")


def sha(clone: Clone, name: str, where: str = ".") -> str:
    """The digest of an experiment, here or in a Git remote."""
    return clone.run("git", "ls-remote", where, f"refs/exps/*/{name}").split()[0]
