"""What several files of tests start from."""

import shutil
from pathlib import Path

import pytest
import raw
from workspace import WHOLE, Workspace

LONGEST = "test_dvc.py"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    base = tmp_path_factory.mktemp("finished")
    frames = raw.write(base / "files")
    frames["train"].sample(frac=1, random_state=1).set_index("id").to_parquet(base / "files" / "train.parquet")
    workspace = Workspace(base, base / "files")
    workspace.run(*WHOLE)
    return workspace


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished one, to be spoiled."""
    for name in ("data", "files", "metrics"):
        shutil.copytree(finished.directory / name, tmp_path / name)
    return Workspace(tmp_path, tmp_path / "files")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest comes first, so that another process has all the others meanwhile."""
    items.sort(key=lambda item: item.path.name != LONGEST)
