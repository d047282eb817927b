"""The pages on adding to the code work: their blocks are applied to a copy of it, and the result runs."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from closure import ROOT
from workspace import Workspace

from erawise.base import files
from erawise.panel.panel import Panel


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Return language, text and file of each block that is Python or a difference; the file is the last one named before it."""
    text = (ROOT / "docs/howto" / page).read_text(encoding="utf-8")
    for found in re.finditer(r"^```(python|diff)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        before = re.sub(r"```.*?```", "", text[: found.start()], flags=re.DOTALL)
        named = re.findall(r"`([\w/]+\.(?:py|yaml))`[^`]*:\s*$|`([\w/]+\.(?:py|yaml))`", before)
        yield found[1], found[2], next(filter(None, named[-1]))


def follow(page: str, directory: Path) -> list[str]:
    """Follow a page in a copy of the code; return the files that were written or changed."""
    changed = []
    for language, block, file in blocks(page):
        path = directory / file
        if language == "python":
            assert not path.exists(), f"{file} is there already"
            path.parent.mkdir(exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(block, encoding="utf-8")
        else:
            lines = block.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            text = path.read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{page}: {file} has these lines {text.count(old)} times:\n{old}"
            path.write_text(text.replace(old, new), encoding="utf-8")
        changed.append(file)
    return changed


@pytest.fixture
def project(finished: Workspace, tmp_path: Path) -> Path:
    """Copy the code, with the data and the settings of a finished run."""
    for name in ("erawise", "stages", "tests", "manual", "plugins", "dvc.yaml", "params.yaml", "pyproject.toml"):
        copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copied(ROOT / name, tmp_path / name)
    for name in ("data", "files"):
        shutil.copytree(finished.directory / name, tmp_path / name)
    for name in ("data/local", "docs"):
        (tmp_path / name).mkdir()
    return tmp_path


def run(directory: Path, commands: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([str(commands / "python"), *arguments], cwd=directory, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def take_settings(project: Path, finished: Workspace, line: str) -> None:
    """Take the settings of the finished run, with a page's line in place of the line of the same key."""
    text = (finished.directory / "params.yaml").read_text(encoding="utf-8")
    key = line.partition(":")[0]
    (project / "params.yaml").write_text(re.sub(rf"^{key}:.*$", lambda _: line, text, flags=re.MULTILINE), encoding="utf-8")


FOLLOWED = """
__file__ = None  # else Dask's worker would run all of this too
import runpy, shutil, sys
from pathlib import Path

def run(module, *arguments):
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        assert not ended.code, ended

finished = sys.argv[1]
run("erawise", "check")
run("manual.parameters")

sys.path.insert(0, "tests")
import pytest
from ruamel.yaml import YAML
from workspace import Workspace

here, described = Workspace(Path.cwd()), YAML(typ="safe").load(Path("params.yaml"))
shutil.copyfile(finished, "params.yaml")

def add_momentum(content):
    for section in ("models", "spaces"):
        content[section].update(momentum=described[section]["momentum"])
    content["tuning"].update(models=["momentum"])
    content["execution"].update(workers=1)

here.change(add_momentum)
here.run("tune", "train momentum", "refit momentum", "explain momentum")
predicted = Path("data/predictions/models/momentum.parquet")
alone = predicted.read_bytes()
here.change(lambda content: content["execution"].update(engine="dask"))
predicted.unlink()
assert "distributed" not in sys.modules
here.run("train momentum")
assert predicted.read_bytes() == alone
assert "distributed" in sys.modules

Path(".dvc").mkdir()
Path(".dvc/config").write_text("[core]\\n    no_scm = true\\n")
tests = ["tests/pipeline/test_dag.py", "tests/models/test_models.py"]
sys.exit(pytest.main([*tests, "-p", "no:cacheprovider", "-k", "momentum or packages or imports_no_other"]))
"""
"""The commands of the page in one process, since each would load the same libraries. From `tune` on they use a finished run's settings."""


def test_a_new_kind_of_model_trains_as_the_page_says(project: Path, finished: Workspace, commands: Path) -> None:
    assert len(follow("add-a-model.md", project)) == 9
    (project / "followed.py").write_text(FOLLOWED, encoding="utf-8")
    said = run(project, commands, "followed.py", str(finished.directory / "params.yaml"))
    page = (project / "docs/parameters.md").read_text(encoding="utf-8")
    assert "| `models.momentum.eras` | integer ≥ 1 | `50` | the last eras, over which the mean is taken, >= 1 |" in page
    assert "params.yaml: all is well" in said
    assert files.read_json(project / "data/tuning/momentum.json")["settings"].keys() == {"eras"}
    assert files.read_json(project / "data/models/momentum/model.json")["kind"] == "momentum"
    assert " passed" in said


def test_momentum_weighs_features_by_their_mean_correlation(project: Path, commands: Path) -> None:
    follow("add-a-model.md", project)
    check = """
from pathlib import Path
import numpy as np
from erawise.models.momentum import model as momentum
from erawise.models.momentum.settings import Momentum
from erawise.models.shared.protocol import GIB, Resources
from erawise.panel.panel import FeatureMap, Panel, View
panel = Panel(Path("data/prepared/panel"), ["target"])
eras = panel.eras[:12]
train = View(panel, eras, FeatureMap(panel.feature_names), "target")
model = momentum.fit(Momentum(kind="momentum", target="target", eras=5), train, None, None, Resources(1, GIB, Path("scratch")))
x, std = train.matrix().astype(float), train.matrix().astype(float).std(axis=0)
expected = np.mean([[np.cov(x[train.era == e, k], train.target[train.era == e], bias=True)[0, 1] / max(std[k], 1e-9)
                     / train.target[train.era == e].std() for k in range(x.shape[1])] for e in eras[-5:]], axis=0)
np.testing.assert_allclose(model.coefficients, expected, atol=1e-7)
assert np.abs(expected).max() > 0.01
"""
    (project / "check.py").write_text(check, encoding="utf-8")
    run(project, commands, "check.py")


def test_a_new_derived_feature_comes_into_the_table_as_the_page_says(project: Path, finished: Workspace, commands: Path) -> None:
    assert len(follow("add-a-feature.md", project)) == 3
    run(project, commands, "-m", "erawise", "check")
    take_settings(project, finished, "  derived: [high_share]")
    shutil.rmtree(project / "data/prepared")
    run(project, commands, "-m", "stages.preprocess")
    panel = Panel(project / "data/prepared/panel", [])
    assert panel.names[-1] == "high_share"
    era = int(panel.eras[0])
    block = panel.block(era, panel.columns(list(panel.names)))
    np.testing.assert_allclose(block[:, -1], (block[:, :-1] > 3).mean(axis=1), rtol=1e-6)
    assert block[:, -1].std() > 0
    same = (
        "import numpy as np; from erawise.preparation import derived; from erawise.upload import build\n"
        "block = np.random.default_rng(0).integers(0, 5, (50, 8)).astype(np.int8)\n"
        "uploaded = {'__name__': 'x'}; exec(build.source(), uploaded)\n"
        "assert (derived.derive(block, ['high_share'], 4) == uploaded['derive'](block, ['high_share'], 4)).all()\n"
    )
    (project / "same.py").write_text(same, encoding="utf-8")
    run(project, commands, "same.py")


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs/howto").glob("*.md")))
def test_the_commands_that_a_page_shows_are_there(page: str) -> None:
    text = (ROOT / "docs/howto" / page).read_text(encoding="utf-8")
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert (ROOT / Path(*module.split("."))).with_suffix(".py").exists(), module
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in re.findall(r"\bmake (\w+)`?$", text, re.MULTILINE))
