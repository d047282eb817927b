"""A model that is a file of predictions, in the pipeline from its file to what is handed in."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from ruamel.yaml import YAML
from workspace import Workspace

from erawise import params
from erawise.charts import figures, marks
from erawise.live import safeguards, served
from erawise.models.shared import stored
from erawise.report import drawing
from erawise.running import paths
from erawise.running.errors import InputError
from erawise.upload import build

FILE = "data/local/mine.parquet"
FAN_IN = ("check", "tune", "train mine", "explain mine", "ensemble", "neutralize", "evaluate")


@contextmanager
def _undrawn(*_: object) -> Iterator[Any]:
    yield lambda path, chart, table, *arguments: chart(table, *arguments)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> None:
    """Leave out searches, the layout of pictures and the drawing of charts, and let commands run in the workspace."""
    monkeypatch.setattr(figures, "drawing", _undrawn)
    monkeypatch.setattr(marks, "lay_out", lambda figure: None)
    for name in ("svg", "vega", "library"):
        monkeypatch.setattr(drawing, name, lambda *_: "")
    monkeypatch.chdir(workspace.directory)
    workspace.change(lambda content: (content["tuning"].update(models=[]), content["final"].update(refit=[])))


@pytest.fixture
def rows(workspace: Workspace) -> pd.DataFrame:
    """Return `id`, `era` and a prediction that is a little like a ridge's, of every row that the pipeline predicts."""
    table = workspace.predictions("models/ridge")
    noise = np.random.default_rng(0).normal(size=len(table))
    mixed = table["prediction"] + noise * table["prediction"].std() / 2
    return table[["id", "era", "split"]].assign(mine=mixed.rank(pct=True))


def add(workspace: Workspace, rows: pd.DataFrame, **settings: Any) -> None:
    """Write the file of a model `mine`, and add its entry."""
    path = workspace.directory / FILE
    path.parent.mkdir(exist_ok=True)
    rows.drop(columns="split").to_parquet(path, index=False)
    workspace.change(lambda content: content["models"].update(mine={"kind": "predictions", "path": FILE, **settings}))


def weights(workspace: Workspace) -> dict[str, float]:
    return dict(json.loads((workspace.directory / "data/weights.json").read_text()))


def test_a_file_with_gaps_goes_through_the_pipeline_and_its_scores_of_cv_are_marked(
    workspace: Workspace, rows: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    late = rows["split"].eq("validation") & rows["era"].gt(80)
    given = rows[~late & rows["split"].ne("live")]
    add(workspace, given.drop(given.index[5:8]))
    workspace.run(*FAN_IN, "plot")
    said = capsys.readouterr().out
    assert "mine: 1 eras covered in part\n" in said
    assert "mine: 3 rows without a prediction are put in the middle of their era\n" in said
    assert "mine: it lacks 10 eras of validation, the live era\n" in said
    assert "mine: nothing to explain" in said
    assert "mine: kept out of the weights, which are fitted on cv" in said
    table = workspace.predictions("models/mine")
    assert len(table) == len(given)
    middle = table[table["id"].isin(given["id"].iloc[5:8])]
    assert middle["prediction"].nunique() == 1
    assert weights(workspace)["mine"] == 0
    marked = {name for name, block in workspace.metrics("cv").items() if block.get("out_of_fold") == 0}
    assert marked == {"mine"}
    assert workspace.metrics("validation")["mine"]["eras"] == 12
    assert workspace.metrics("validation")["ensemble"]["eras"] == 22
    best = json.loads((workspace.directory / "metrics/summary.json").read_text())["best"]["name"]
    assert best != "mine"
    assert stored.describe(paths.MODELS / "mine").kind == "predictions"
    workspace.run("show", "report --quiet")
    assert re.search(r"mine .*not known", capsys.readouterr().out)
    assert "(not known to be out of fold)" in Path("report.html").read_text(encoding="utf-8")


def test_what_is_known_to_be_out_of_fold_is_weighed_as_other_models_are(
    workspace: Workspace, rows: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    add(workspace, rows[rows["era"].isna() | rows["era"].gt(12)], out_of_fold=True)
    workspace.run(*FAN_IN)
    assert "mine: it lacks 12 eras of cv, in which the others are blended\n" in capsys.readouterr().out
    assert weights(workspace)["mine"] > 0
    assert not any("out_of_fold" in block for block in workspace.metrics("cv").values())
    found = served.read(params.load(paths.PARAMS), ["mine", "neutralized"])
    live = workspace.predictions("models/mine").query("split == 'live'")
    handed = found.pipeline.predict(found.live, ["mine"]).set_index("id")["mine"]
    pd.testing.assert_series_equal(handed[live["id"]], live.set_index("id")["prediction"], check_names=False)
    workspace.change(lambda content: content["submit"].update(models={"theirs": "mine"}))
    own = safeguards.Own(params.load(paths.PARAMS), found, pd.DataFrame())
    assert own.predict(found.live)["mine"].notna().all()
    with pytest.raises(InputError, match=rf"^models.mine: {FILE} has no prediction of 2 of the 2 live rows; add these rows to it"):
        found.pipeline.require(["other", "round"], ["neutralized"])
    with pytest.raises(InputError, match=r"upload.prediction: mine, of which neutralized is made, is a file of predictions"):
        build.content(found.pipeline, "neutralized", found.live)


def test_equal_weights_blend_it_where_it_is_and_mark_what_is_made_of_it(workspace: Workspace, rows: pd.DataFrame) -> None:
    add(workspace, rows[rows["split"] == "validation"])
    workspace.change(lambda content: content["ensemble"].update(weights={"mine": 1.0, "ridge": 1.0}))
    workspace.run(*FAN_IN, "plot")
    ensemble, ridge = (workspace.predictions(name).set_index("id") for name in ("ensemble", "models/ridge"))
    ranked = [table.groupby(table["era"].fillna(-1))["prediction"].rank()[ensemble.index] for table in (ensemble, ridge)]
    same = (ranked[0] == ranked[1]).groupby(ensemble["split"]).all().to_dict()
    assert same == {"cv": True, "live": True, "validation": False}
    assert not any("out_of_fold" in block for block in workspace.metrics("cv").values()), "nothing of it is in cv"
    add(workspace, rows[rows["era"].gt(30)])
    workspace.run("tune", "train mine", "ensemble", "neutralize", "evaluate")
    assert {name for name, block in workspace.metrics("cv").items() if block.get("out_of_fold") == 0} == {"mine", "ensemble", "neutralized"}


def test_a_file_with_other_live_rows_is_the_same_model(workspace: Workspace, rows: pd.DataFrame) -> None:
    digests = []
    for more in (rows, pd.concat([rows, pd.DataFrame({"id": ["next"], "era": [pd.NA], "mine": [0.5]})])):
        add(workspace, more, out_of_fold=True)
        workspace.run("check", "tune", "train mine")
        digests.append(stored.digest(paths.MODELS / "mine"))
    assert digests[0] == digests[1]
    assert "next" in set(pd.read_parquet(paths.MODELS / "mine/served/live.parquet")["id"])


def test_the_example_of_the_page_is_a_model(workspace: Workspace) -> None:
    page = (ROOT / "docs/howto/own-predictions.md").read_text(encoding="utf-8")
    [program] = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    Path("data/local").mkdir()
    exec(program, {})
    [entry] = re.findall(r"-S '\+models\.mine=(.*)'", page)
    workspace.change(lambda content: content["models"].update(mine=YAML(typ="safe").load(entry)))
    workspace.run("check", "tune", "train mine")
    assert len(workspace.predictions("models/mine")) == len(workspace.predictions("models/ridge"))


def test_a_directory_of_files_is_one_model(workspace: Workspace, rows: pd.DataFrame) -> None:
    add(workspace, rows, path="data/local/mine")
    Path("data/local/mine").mkdir()
    rows[:1000].drop(columns="split").to_csv("data/local/mine/first.csv", index=False)
    rows[1000:].drop(columns="split").to_parquet("data/local/mine/second.parquet", index=False)
    workspace.run("check", "tune", "train mine")
    assert len(workspace.predictions("models/mine")) == len(rows)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "elsewhere": ({"path": "files/mine.parquet"}, {}, "models.mine.path: 'files/mine.parquet' isn't in data/local"),
    "upwards": ({"path": "data/local/../mine.csv"}, {}, "isn't in data/local"),
    "a target": ({"target": "target"}, {}, "models.mine.target: unknown key"),
    "tuned": ({}, {"tuning": {"models": ["mine"]}}, "tuning.models: mine is a file of predictions, which has no setting to tune"),
    "refitted": ({}, {"final": {"refit": ["mine"]}}, "final.refit: mine is a file of predictions, which is served as it is"),
    "alone": (
        {},
        {"models": {"ridge": None, "lightgbm": None}, "ensemble": {"weights": "nnls"}},
        "ensemble.weights: nnls is fitted out of fold, and no model is known to be; set equal, or models.mine.out_of_fold",
    ),
}
"""Settings that are refused: of the model, of other sections (None: removed), and the message."""


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_a_file_of_predictions_cannot_have_are_refused(case: str, workspace: Workspace) -> None:
    own, others, message = REFUSED[case]

    def change(content: Any) -> None:
        content["models"]["mine"] = {"kind": "predictions", "path": FILE} | own
        for section, values in others.items():
            content[section].update(values)
            content[section] = {key: value for key, value in content[section].items() if value is not None or section != "models"}

    workspace.change(change)
    with pytest.raises(InputError, match=re.escape(message)):
        params.load(paths.PARAMS)


def test_a_file_that_does_not_fit_stops_training_by_one_line(
    workspace: Workspace, rows: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    add(workspace, rows[::2])
    workspace.run("check", "tune")
    error = workspace.failure("train mine", capsys)
    assert "models.mine: data/local/mine.parquet: 1,660 of 3,320 rows of its 83 eras (50.0%) have no prediction" in error
    assert "predict the missing rows, or raise max_missing_share" in error
    add(workspace, rows.assign(other=0.5))
    assert "mine.parquet: has changed since `tune`; run `dvc repro`" in workspace.failure("train mine", capsys)
    workspace.run("tune")
    assert "it has 2 columns of numbers (mine, other); name one by column" in workspace.failure("train mine", capsys)
