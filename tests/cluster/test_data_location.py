"""The prepared data on a machine that has it, and on one whose worker pulls it by real DVC into its checkout."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from clones import Clone
from closure import ROOT
from farm import farm
from panels import matrix_of, write_panel

from erawise.base import files
from erawise.cluster import connection, data_location
from erawise.cluster.data_location import DataLocation
from erawise.folds import splits
from erawise.folds.settings import Split
from erawise.models.shared.protocol import GIB, Resources, ignore
from erawise.panel import maps
from erawise.panel.panel import FeatureMap
from erawise.running.errors import InputError
from erawise.running.progress import UNCOUNTED
from erawise.training.jobs import Job, Source, TrainingData

cloudpickle.register_pickle_by_value(sys.modules[__name__])

SOURCE = Source(Path("data/prepared/panel"), Path("data/prepared/live"), Path("data/folds.json"), Path("data/features"), ("target",), 20)
OUTS = ["data/prepared/panel", "data/prepared/live", "data/folds.json", "data/features"]
STAGES = "stages:\n  prepare:\n    cmd: 'true'\n    outs:\n" + "".join(f"      - {out}\n" for out in OUTS)


def write(directory: Path, seed: int) -> None:
    """Write prepared rows, folds and selected features."""
    shutil.rmtree(directory / "data", ignore_errors=True)
    rng = np.random.default_rng(seed)
    era = np.repeat(np.arange(31, 71), 5)
    x = rng.integers(0, 5, (len(era), 6)).astype(np.int8)
    panel = write_panel(directory / SOURCE.prepared, x, {"target": rng.random(len(era))}, era)
    write_panel(directory / "data/prepared/live", x[:5], {}, np.full(5, -1), data_type="live")
    plan = splits.plan(panel.eras, panel.eras[:0], 20, Split(method="purged_kfold", folds=2, chunk=10, window=None))
    files.write_json(splits.to_json({20: plan}), directory / SOURCE.folds)
    (directory / SOURCE.features).mkdir()
    maps.write([FeatureMap(panel.names)] * 3, directory / SOURCE.features)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, commands: Path) -> Path:
    """Make a checkout, and next to it the directory to which its data is pushed."""
    base = tmp_path_factory.mktemp("original")
    for name in ("first", "far"):
        (base / name).mkdir()
    clone = Clone(base / "first", commands)
    clone.run("git", "init", "-q")
    clone.dvc("init", "-q")
    clone.dvc("remote", "add", "-q", "--default", "far", "../far")
    (clone.directory / "dvc.yaml").write_text(STAGES)
    (clone.directory / "params.yaml").touch()
    write(clone.directory, seed=1)
    clone.dvc("commit", "-q", "-f")
    clone.dvc("push", "-q")
    clone.commit()
    return base


@pytest.fixture
def first(original: Path, tmp_path: Path, commands: Path) -> Clone:
    """Copy the checkout whose data is given to workers and pushed to a directory; a test may change the copy."""
    for name in ("first", "far"):
        shutil.copytree(original / name, tmp_path / name)
    return Clone(tmp_path / "first", commands)


@pytest.fixture
def location(first: Clone, monkeypatch: pytest.MonkeyPatch) -> DataLocation:
    """Return the location of the data as a machine sees it on which the data isn't there."""
    monkeypatch.setattr(data_location, "_last", [])
    monkeypatch.chdir(first.directory)
    return replace(data_location.survey(SOURCE), root="/nowhere/at/all")


@pytest.fixture
def second(first: Clone, location: DataLocation, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """Make the checkout in which a worker runs; this process does its work, and pulls by forks of a loaded DVC."""
    assert first.commands
    monkeypatch.setattr(sys, "executable", str(first.commands / "python"))
    directory = first.directory.with_name("second")
    first.run("git", "clone", "-q", str(first.directory), str(directory))
    monkeypatch.chdir(directory)
    return Clone(directory, first.commands)


def test_every_chunk_is_known_by_its_size_and_every_other_file_by_its_digest(location: DataLocation) -> None:
    assert list(location.sizes) == ["data/prepared/panel/features/0000.npy", "data/prepared/panel/features/0052.npy"]
    assert {"data/prepared/panel/index.parquet", "data/prepared/live/features/live.npy", "data/folds.json"} < set(location.digests)
    assert not location.sizes.keys() & location.digests.keys()


def test_a_machine_that_sees_the_files_maps_them_there(first: Clone, location: DataLocation, second: Clone) -> None:
    seen = replace(location, root=str(first.directory))
    assert data_location.opened(seen).root == first.directory
    assert not (second.directory / "data/prepared/panel/features/0000.npy").exists()
    (first.directory / "data/folds.json").write_text("{}")
    assert not seen.is_seen()


def test_a_source_of_another_horizon_is_another_site(first: Clone, location: DataLocation) -> None:
    seen = replace(location, root=str(first.directory))
    assert data_location.opened(seen) is data_location.opened(replace(seen))
    with pytest.raises(InputError, match="60"):
        data_location.opened(replace(seen, source=replace(SOURCE, days=60)))


def test_another_machine_pulls_the_data_once_into_its_checkout(
    first: Clone, location: DataLocation, second: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert location.outs() == sorted(OUTS)
    pulled: list[list[str]] = []
    pull = data_location._pull

    def noted(outs: list[str]) -> str:
        pulled.append(outs)
        return pull(outs)

    monkeypatch.setattr(data_location, "_pull", noted)
    with ThreadPoolExecutor(3) as pool:
        found = [one.result() for one in [pool.submit(data_location._pulled, location, second.directory) for _ in range(3)]]
    assert found == [second.directory] * 3
    assert pulled == [sorted(OUTS)]
    here = data_location.opened(location)
    assert here.root == second.directory
    np.testing.assert_array_equal(matrix_of(here.data.panel), matrix_of(SOURCE.below(first.directory).panel()))
    assert here.data.live is not None


def test_a_checkout_of_another_commit_is_said(first: Clone, location: DataLocation, second: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    write(first.directory, seed=2)
    monkeypatch.chdir(first.directory)
    later = replace(data_location.survey(SOURCE), root=location.root)
    monkeypatch.chdir(second.directory)
    with pytest.raises(InputError, match=r"`dvc pull` doesn't give it the same data/prepared/\S+: its checkout is at another commit, or"):
        data_location.opened(later)


def test_data_that_was_not_pushed_is_said_with_the_state_of_the_remote(
    first: Clone, location: DataLocation, second: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.rmtree(first.directory.with_name("far") / "files")
    with pytest.raises(
        InputError, match=r"the same data/prepared/panel/features/0000.npy \(remote far .*: an object was written .*\): its checkout"
    ):
        data_location.opened(location)


def test_a_pull_that_fails_tells_no_password(
    location: DataLocation, second: Clone, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    second.dvc("remote", "add", "--default", "closed", "ssh://me:hunter22@127.0.0.1:9/srv/dvc")
    with pytest.raises(InputError, match=r"\(remote closed \(ssh://me:\*\*\*@127.0.0.1:9/srv/dvc\): it can't be reached") as caught:
        data_location.opened(location)
    assert "hunter22" not in str(caught.value) + "".join(capfd.readouterr())


def test_a_worker_outside_a_checkout_is_said(location: DataLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"can't pull it, since it wasn't started at the top of a checkout of the repository\. Start it"):
        data_location.opened(location)


def test_a_file_that_is_missing_before_the_work_is_handed_out_is_said(first: Clone, location: DataLocation) -> None:
    (first.directory / "data/folds.json").unlink()
    with pytest.raises(InputError, match=r"^data/folds.json: the file is missing; run the stages before this one"):
        data_location.survey(SOURCE)


def _where(data: TrainingData, resources: Resources) -> tuple[str, int]:
    return str(Path.cwd()), data.panel.n_rows


def test_a_worker_of_dask_does_its_jobs_on_what_it_has_pulled(
    first: Clone, location: DataLocation, second: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data: Any = SOURCE.below(first.directory)
    data = data.around(data.panel())
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with farm(tmp_path / "farm") as found:
        found.work("--no-nanny", at=second.directory)
        found.wait_for(1)
        resources = Resources(1, GIB, Path("data/scratch"), notify=lambda line: None)
        with connection.engine(location, found.address, 1, resources) as engine:
            assert not engine.scratch_is_seen
            job = Job("the job", _where, 0, 1)
            assert engine.run([job], data, resources, 1, UNCOUNTED, ignore) == [(str(second.directory), 200)]
