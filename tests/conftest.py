"""What several files of tests start from."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import raw
import served
from clones import Clone, checked_out, clone_tree, linked
from hypothesis import HealthCheck, settings
from workspace import WHOLE, Workspace

LONGEST = "test_dvc.py"

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # time on a busy machine is no failure

Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Return the directory of a name, filled by the first process of this run of the tests that asks for it; all others read it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        directory, whole = base / name, base / f"{name}.whole"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir()
                fill(directory)
                whole.touch()
        return directory

    return made


@pytest.fixture(scope="session")
def finished(once: Once) -> Workspace:
    """A workspace in which all stages have run; left as it is."""

    def fill(base: Path) -> None:
        frames = raw.write(base / "files")
        frames["train"].sample(frac=1, random_state=1).set_index("id").to_parquet(base / "files" / "train.parquet")
        Workspace(base, base / "files").run(*WHOLE)

    return Workspace(once("finished", fill))


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished one, to be spoiled."""
    for name in ("data", "files", "metrics"):
        shutil.copytree(finished.directory / name, tmp_path / name)
    shutil.copyfile(finished.directory / "params.yaml", tmp_path / "params.yaml")
    copied = Workspace(tmp_path)
    copied.change(lambda content: content["data"].update(local={"path": str(tmp_path / "files")}))
    return copied


@pytest.fixture(scope="session")
def commands(once: Once) -> Path:
    """The directory of the `dvc` and `python` that are forks of one process, shared by all processes of this run of the tests."""
    tests = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return once("served", lambda base: served.start(base, tests)) / "bin"


@pytest.fixture(scope="session")
def finished_clone(once: Once, commands: Path) -> Clone:
    """A clean clone of one in which the pipeline has run from scratch; left as it is, but for its cache, which its copies share."""

    def fill(base: Path) -> None:
        clone = clone_tree(base / "made", commands)
        clone.plain.dvc("repro")
        clone.commit("first run")
        checked_out(clone, base / "clone").dvc("repro", "-q", "check")

    return Clone(once("finished_clone", fill) / "clone", commands)


@pytest.fixture
def clone(finished_clone: Clone, tmp_path: Path) -> Iterator[Clone]:
    """A copy of the finished clone that shares its cache."""
    made = linked(finished_clone, tmp_path / "clone")
    yield made
    made.remove()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest comes first, so that another process has all the others meanwhile."""
    items.sort(key=lambda item: item.path.name != LONGEST)
