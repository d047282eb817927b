"""What several files of tests start from."""

import shutil
from pathlib import Path

import pytest
import raw
from workspace import WHOLE, Workspace


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
