"""Fixtures that several test files share."""

import fcntl
import gc
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import raw
import served
from clones import Clone, checked_out, clone_tree, linked
from hypothesis import HealthCheck, settings
from workspace import WHOLE, Workspace

LONGEST, MOST_SET_UP = "test_dvc.py", "test_cluster.py"
PROCESSES = 3
"""Processes of `make test`, of which each first has an equal share of the tests, in their order, and later takes from the others'."""

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # a slow run on a busy machine is no failure

Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Return the directory of a name. The first process of this test run that asks for it fills it; all others read it."""
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
    """Return a workspace in which all stages have run; tests don't change it."""

    def fill(base: Path) -> None:
        frames = raw.write(base / "files")
        frames["train"].sample(frac=1, random_state=1).set_index("id").to_parquet(base / "files" / "train.parquet")
        Workspace(base, base / "files").run(*WHOLE)

    return Workspace(once("finished", fill))


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the finished workspace, which a test may change."""
    for name in ("data", "files", "metrics"):
        shutil.copytree(finished.directory / name, tmp_path / name)
    shutil.copyfile(finished.directory / "params.yaml", tmp_path / "params.yaml")
    copied = Workspace(tmp_path)
    copied.change(lambda content: content["data"].update(local={"path": str(tmp_path / "files")}))
    return copied


@pytest.fixture(scope="session")
def commands(once: Once) -> Path:
    """Return the directory of `dvc` and `python` as forks of one process, shared by all processes of this test run."""
    tests = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return once("served", lambda base: served.start(base, tests)) / "bin"


@pytest.fixture(scope="session")
def finished_clone(once: Once, commands: Path) -> Clone:
    """Return a clean clone of a repository in which the pipeline has run from scratch; tests change only its cache, which copies share."""

    def fill(base: Path) -> None:
        clone = clone_tree(base / "made", commands)
        clone.dvc("repro")
        clone.commit("first run")
        checked_out(clone, base / "clone").dvc("repro", "-q", "check")

    return Clone(once("finished_clone", fill) / "clone", commands)


@pytest.fixture
def clone(finished_clone: Clone, tmp_path: Path) -> Iterator[Clone]:
    """Return a copy of the finished clone that shares its cache."""
    made = linked(finished_clone, tmp_path / "clone")
    yield made
    made.remove()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let one process of this test run collect first: it compiles the packages that all load, and the others read them."""
    with Path(__file__).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(file, fcntl.LOCK_SH)
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the first process begin with the slowest file, and the second with the file of most set-up, which no other shares then."""
    slow, shared = ([item for item in items if item.path.name == name] for name in (LONGEST, MOST_SET_UP))
    others = [item for item in items if item.path.name not in (LONGEST, MOST_SET_UP)]
    first = max(0, len(items) // PROCESSES - len(slow))
    items[:] = [*slow, *others[:first], *shared, *others[first:]]


def pytest_collection_finish() -> None:
    """Keep what is loaded by now out of the garbage collector, which would go through all of it again and again."""
    gc.freeze()
