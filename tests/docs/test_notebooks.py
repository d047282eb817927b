"""The notebooks run from start to end on a small run of two models, and are in Git without a run's outputs."""

import json
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
import strip
from closure import ROOT
from nbclient import NotebookClient
from workspace import Workspace

EXPLORE, FIRST_MODEL = "explore", "first_model"
PICTURES = {
    EXPLORE: {"eras_picture", "target_values", "feature_picture", "stability_picture", "folds", "live_picture"},
    FIRST_MODEL: {"folds_picture", "better_picture"},
}
SILENT = {EXPLORE: {"setup", "open"}, FIRST_MODEL: {"setup", "open", "protocol_code"}}
"""Cells of code that show nothing."""

Cells = dict[str, list[dict[str, Any]]]
"""The outputs of each cell of code."""


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / f"notebooks/{name}.ipynb", 4)


def run(name: str, directory: Path, settings: Path, commands: Path) -> Cells:
    """Run a notebook from its start to its end in a directory, in a fork that has loaded the packages."""
    book = read(name)
    client = NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(directory)}})
    kernel = client.create_kernel_manager().kernel_spec
    assert kernel
    kernel.argv[0] = str(commands / "python")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "IPYTHONDIR": str(settings)}
    client.execute(env=environment)
    return {cell.id: cell.outputs for cell in book.cells if cell.cell_type == "code"}


def files_of(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def outputs(finished: Workspace, commands: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cells]:
    """Run both notebooks, one from the top and one from the notebooks' directory; they change no file."""
    top, settings = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("ipython")
    shutil.copytree(finished.directory, top, dirs_exist_ok=True)
    (top / "notebooks").mkdir()
    before = files_of(top)
    with ThreadPoolExecutor(2) as pool:
        started = {
            EXPLORE: pool.submit(run, EXPLORE, top, settings, commands),
            FIRST_MODEL: pool.submit(run, FIRST_MODEL, top / "notebooks", settings, commands),
        }
        found = {name: one.result() for name, one in started.items()}
    assert files_of(top) == before
    return found


def text(cell: list[dict[str, Any]]) -> str:
    return "\n".join(output.get("text") or output["data"]["text/plain"] for output in cell)


@pytest.mark.parametrize("name", [EXPLORE, FIRST_MODEL])
def test_every_cell_shows_what_it_should_and_nothing_complains(name: str, outputs: dict[str, Cells]) -> None:
    cells = outputs[name]
    assert {key for key, cell in cells.items() if not cell} == SILENT[name]
    assert {key for key, cell in cells.items() if any("image/png" in output.get("data", {}) for output in cell)} == PICTURES[name]
    assert not [output for cell in cells.values() for output in cell if output.get("name") == "stderr"]


def test_the_scores_shown_are_those_of_the_run(finished: Workspace, outputs: dict[str, Cells]) -> None:
    for split, key in (("cv", "there_table"), ("cv", "score_summary"), ("validation", "validation_code")):
        for name in ("ridge", "lightgbm", "ensemble", "neutralized"):
            corr = round(finished.metrics(split)[name]["corr"]["mean"], 4)
            assert f"{corr:g}" in text(outputs[FIRST_MODEL][key])


def test_the_model_of_the_notebook_finds_what_is_there(outputs: dict[str, Cells]) -> None:
    """Check that the model finds the first feature, which makes the target of this run."""
    assert "feature_0" in text(outputs[FIRST_MODEL]["learnt"]).splitlines()[3]
    assert "feature_0" in text(outputs[EXPLORE]["stable_table"]).splitlines()[1]
    assert "cv, steady against ensemble: " in text(outputs[FIRST_MODEL]["better_code"])


@pytest.mark.parametrize("name", [EXPLORE, FIRST_MODEL])
def test_nothing_that_a_run_puts_in_is_in_git(name: str) -> None:
    content = (ROOT / f"notebooks/{name}.ipynb").read_text(encoding="utf-8")
    assert content == strip.stripped(content), "run python tests/strip.py notebooks/*.ipynb"


def test_what_a_run_puts_in_is_taken_out() -> None:
    content = json.loads((ROOT / "notebooks/explore.ipynb").read_text(encoding="utf-8"))
    cell = next(cell for cell in content["cells"] if cell["cell_type"] == "code")
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["here\n"]}]
    cell["execution_count"] = 7
    cell["metadata"] = {"collapsed": True}
    content["metadata"]["language_info"]["version"] = "3.11.7"
    assert strip.stripped(json.dumps(content)) == (ROOT / "notebooks/explore.ipynb").read_text(encoding="utf-8")


@pytest.mark.parametrize("directory", [ROOT, ROOT / "notebooks"])
@pytest.mark.parametrize("name", [EXPLORE, FIRST_MODEL])
def test_the_library_is_found_from_the_top_and_from_below(name: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(cell.source for cell in read(name).cells if cell.cell_type == "code")
    monkeypatch.chdir(directory)
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    exec(first, {})
    assert sys.path == [str(ROOT), "elsewhere"]


def test_prose_has_no_figure_that_changes_with_the_data() -> None:
    prose = [cell.source for name in (EXPLORE, FIRST_MODEL) for cell in read(name).cells if cell.cell_type == "markdown"]
    assert len(prose) > 20
    assert not [text for text in prose if re.search(r"\d\.\d\d|\d ?%|feature_[a-z]", text)]
