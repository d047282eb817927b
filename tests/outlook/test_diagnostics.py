"""The site's diagnostics over real HTTP, compared with ours."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numerai_server
import numerapi
import numpy as np
import pandas as pd
import pytest
from numerai_server import Fault, NumeraiServer
from numerapi import base_api
from workspace import Workspace

from erawise.base import files, tabular
from erawise.live import site_diagnostics, submission
from erawise.live.account import Account
from erawise.outlook import diagnosis
from erawise.sources.numerai.attempts import ADDRESS, Patience
from erawise.sources.numerai.client import PUBLIC_ID, SECRET_KEY

QUICK = Patience(connection=1, silence=1, tries=2, pause=0.01, longest_pause=0.02)
KEY = ("PUBLIC1D", "S3CRETKEY")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv(PUBLIC_ID, KEY[0])
    monkeypatch.setenv(SECRET_KEY, KEY[1])
    monkeypatch.setattr(site_diagnostics, "Account", partial(Account, patience=QUICK))
    with numerai_server.serving(NumeraiServer({7: tmp_path}, current=7)) as state:
        monkeypatch.setenv(ADDRESS, state.url)
        yield state


def site(workspace: Workspace, name: str, shift: float = 0.0) -> dict[str, Any]:
    """Return the site's results: ours, except for a shift of the mean CORR and of the first era."""
    own = workspace.metrics("validation")[name]
    scores = tabular.read_parquet(workspace.directory / "data/scores/validation.parquet")
    rows = scores[scores["prediction"] == name]
    eras = [{"era": str(row.era), "validationCorrV4": row.corr, "validationMmc": None} for row in rows.itertuples()]
    eras[0]["validationCorrV4"] += shift
    return {
        "status": "done",
        "validationCorrV4Mean": own["corr"]["mean"] + shift,
        "validationCorrV4Sharpe": own["corr"]["sharpe"],
        "validationFeatureCorrMax": own["exposure"]["max"],
        "validationMmcMean": None,
        "perEraDiagnostics": eras,
    }


def test_what_the_site_finds_is_held_against_ours(server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    server.account.diagnostics = [{"status": "pending", "perEraDiagnostics": []}, site(workspace, "ridge", shift=0.01)]
    workspace.run("diagnostics alpha --prediction ridge --md")
    [sent] = server.account.created_for("createDiagnostics", "id-alpha")
    handed = submission.parsed(server.account.objects[sent["filename"]], "diagnostics")
    own = workspace.predictions("models/ridge").query("split == 'validation'").set_index("id")
    assert sorted(handed["id"]) == sorted(own.index)
    expected = own.groupby("era")["prediction"].transform(lambda part: (part.rank() - 0.5) / len(part))
    assert np.allclose(handed["prediction"], expected.loc[handed["id"]])
    said = capsys.readouterr().out
    assert "880 rows of ridge in 22 eras are sent as diagnostics sent-2" in said
    assert (
        "\nmain: target, which equals target_other_20, 20 trading days (early); pays: 60 days since round 1343, not these scores\n" in said
    )
    assert "| validationCorrV4Mean | corr.mean | 0.5000 | 0.4900 | +0.0100 |" in said
    assert "| validationCorrV4 | 22 | 0.99" in said
    assert "2 of 3 figures agree to within 0.0005; apart: validationCorrV4Mean" in said
    figures = pd.read_csv(workspace.directory / "data/diagnostics/figures.csv")
    assert figures["figure"].tolist() == ["validationCorrV4Mean", "validationCorrV4Sharpe", "validationFeatureCorrMax"]
    eras = pd.read_csv(workspace.directory / "data/diagnostics/eras.csv")
    assert eras["difference"].abs().round(6).tolist() == [0.01] + [0.0] * 21
    [line] = (workspace.directory / "journal.jsonl").read_text().splitlines()
    assert json.loads(line)["diagnostics"] == "sent-2"


def test_what_the_site_refuses_or_does_not_score_is_no_success(
    server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.diagnostics = [{"status": "failed", "message": "eras are missing", "perEraDiagnostics": []}]
    assert workspace.ended("diagnostics alpha") == 4
    assert "diagnostics sent-2: Numerai says failed: eras are missing" in capsys.readouterr().err
    server.account.diagnostics = [{"status": "pending"}]
    assert workspace.ended("diagnostics alpha --wait 0.001") == 4
    assert "hasn't scored them in time, it says pending" in capsys.readouterr().err
    server.put_faults = [Fault("403")]
    assert workspace.ended("diagnostics alpha") == 75
    assert "the validation predictions can't be sent: the answer is HTTP status 403" in capsys.readouterr().err
    assert len(server.account.created) == 2
    last = json.loads((workspace.directory / "journal.jsonl").read_text().splitlines()[-1])
    assert (last["outcome"], last["diagnostics"]) == ("failed", None)


def test_the_prediction_is_that_of_the_model(server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.change(lambda content: content["submit"].update(models={"alpha": "lightgbm"}))
    server.account.diagnostics = [site(workspace, "lightgbm")]
    workspace.run("diagnostics alpha")
    workspace.run("diagnostics beta")
    said = capsys.readouterr().out
    assert "rows of lightgbm in 22 eras" in said
    assert "rows of neutralized in 22 eras" in said
    assert workspace.ended("diagnostics alpha --prediction nothing") == 1
    assert "no prediction 'nothing' with validation scores; there are lightgbm, ridge, ensemble, neutralized" in capsys.readouterr().err
    assert workspace.ended("diagnostics gamma") == 1
    assert "the account has no model 'gamma'" in capsys.readouterr().err


def test_the_sites_fnc_of_version_3_is_held_against_that_of_ours() -> None:
    site = {"validationFeatureNeutralCorrV3Mean": 0.02, "validationFeatureNeutralCorrMean": 0.03}
    found = diagnosis.compared(site, {"fnc": {"mean": 0.01}, "fncv3": {"mean": 0.015}})
    assert found.set_index("figure")["ours"].to_dict() == {
        "validationFeatureNeutralCorrMean": 0.01,
        "validationFeatureNeutralCorrV3Mean": 0.015,
    }
    assert diagnosis.compared(site, {"fnc": {"mean": 0.01}})["figure"].tolist() == ["validationFeatureNeutralCorrMean"]


def test_scores_of_another_horizon_than_the_sites_are_not_sent(
    server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workspace.directory / "data/scores/evaluated.json"
    files.write_json(files.read_json(path) | {"target": "target_other_60", "days": 60, "equal": None}, path)
    assert workspace.ended("diagnostics alpha --prediction ridge") == 1
    said = "data.target: ours are scored against 'target_other_60', 60 trading days ahead, and the site scores against 'target', 20 ahead"
    assert said in capsys.readouterr().err
    assert not server.account.created


def test_nothing_in_common_is_said() -> None:
    figures = diagnosis.compared({"validationCorrMean": None}, {"corr": {"mean": 0.1}})
    assert figures.empty
    assert diagnosis.sentence(figures) == "the site gives no figure to compare with ours"
    eras = diagnosis.compared_eras([{"era": 1, "validationCorr": 0.1}], pd.DataFrame({"era": [2], "corr": [0.2]}))
    assert eras.empty


def test_numerapi_itself_uploads_and_reads_diagnostics(server: NumeraiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", server.url)
    server.account.diagnostics = [{"status": "done"}]
    theirs = numerapi.NumerAPI(*KEY, verbosity="error", show_progress_bars=False)
    number = theirs.upload_diagnostics(df=pd.DataFrame({"id": ["a"], "prediction": [0.5]}), model_id="id-alpha")
    assert server.account.created_for("createDiagnostics", "id-alpha")[0]["id"] == number
    assert theirs.diagnostics("id-alpha", number) == [{"status": "done"}]
