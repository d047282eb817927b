"""Sending a model over real HTTP: the very pickle that was proven, for the right model, and what Numerai says of it."""

import json
import pickle
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numerai_server
import numerapi
import pandas as pd
import pytest
from numerai_server import Fault, NumeraiServer
from numerapi import base_api
from workspace import Workspace

from erawise.live.account import Account
from erawise.running.errors import InputError
from erawise.sources.numerai.attempts import ADDRESS, Patience
from erawise.sources.numerai.client import PUBLIC_ID, SECRET_KEY
from erawise.upload import delivery, proof

QUICK = Patience(connection=1, silence=1, tries=2, pause=0.01, longest_pause=0.02)
KEY = ("PUBLIC1D", "S3CRETKEY")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv(PUBLIC_ID, KEY[0])
    monkeypatch.setenv(SECRET_KEY, KEY[1])
    monkeypatch.setattr(delivery, "Account", partial(Account, patience=QUICK))
    monkeypatch.setattr(proof, "environment", lambda directory: Path(sys.executable))
    with numerai_server.serving(NumeraiServer({7: tmp_path}, current=7)) as state:
        monkeypatch.setenv(ADDRESS, state.url)
        yield state


def outcomes(workspace: Workspace) -> list[str]:
    return [json.loads(line)["outcome"] for line in (workspace.directory / "journal.jsonl").read_text().splitlines()]


def test_the_proven_pickle_is_sent_and_what_numerai_says_is_read_back(
    server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.run("upload --send alpha")
    [sent] = server.account.of("createComputePickleUpload", "id-alpha")
    content = server.account.objects[sent["filename"]]
    assert content == (workspace.directory / "data/upload/neutralized.pkl").read_bytes()
    assert (sent["dataVersionId"], sent["dockerImageId"], sent["tournament"]) == ("version-53", "image-311", 8)
    live = pd.read_parquet(workspace.directory / "data/raw/live.parquet")
    found = pickle.loads(content)(live, pd.DataFrame(index=live.index))["prediction"]
    check = json.loads((workspace.directory / "data/upload/check.json").read_text())
    assert check["largest_difference"] < 1e-6
    assert found.between(0, 1).all()
    said = capsys.readouterr().out
    assert f"alpha: neutralized.pkl is sent as {sent['id']}; Numerai tries it" in said
    assert "alpha: Numerai says success" in said
    assert "fitted on the eras 1 to 90" in said, "the models fitted on all eras, where final.refit names them"
    assert outcomes(workspace) == ["sent", "success"]
    for path in (path for path in workspace.directory.rglob("*") if path.is_file()):
        assert not any(part.encode() in path.read_bytes() for part in KEY), path


def test_a_model_that_numerai_refuses_or_does_not_try_is_no_success(
    server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.status = ["PENDING", "FAILED"]
    assert workspace.ended("upload --send alpha") == 4
    assert "Numerai says failed of the model that was sent (sent-2); its log is on the model's page" in capsys.readouterr().err
    server.account.status = ["PENDING"]
    assert workspace.ended("upload --send alpha --wait 0.001") == 4
    assert "hasn't tried the model that was sent (sent-4) in time, it says pending" in capsys.readouterr().err
    assert outcomes(workspace) == ["sent", "failed"] * 2


@pytest.mark.parametrize("prediction", ["neutralized", "ridge"])
def test_nothing_is_sent_that_is_not_proven(
    server: NumeraiServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], prediction: str
) -> None:
    workspace.change(lambda content: content["upload"].update(prediction=prediction))
    monkeypatch.setattr(proof, "TOLERANCE", -1.0)
    assert workspace.ended("upload --send alpha") == 1
    assert "more than -1; don't upload it" in capsys.readouterr().err
    assert not server.account.objects
    assert not (workspace.directory / "data/upload/check.json").exists()
    assert workspace.ended("upload --send alpha --no-check") == 2


def test_a_pickle_over_the_limit_is_neither_written_nor_sent(
    server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.change(lambda content: content["upload"].update(max_megabytes=0.001))
    assert workspace.ended("upload --send alpha") == 1
    assert "upload.max_megabytes: the pickle would have" in capsys.readouterr().err
    assert not server.account.objects


def test_a_model_that_goes_while_it_is_tried_is_named(server: NumeraiServer) -> None:
    account = Account(server.url, key=KEY)
    with pytest.raises(InputError, match=r"^the account has no model 'gamma'; its models are alpha, beta$"):
        account.tried("gamma", "sent-1", 1.0)


def test_what_keeps_it_from_being_sent(server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert workspace.ended("upload --send gamma") == 1
    assert "the account has no model 'gamma'; its models are alpha, beta" in capsys.readouterr().err
    server.put_faults = [Fault("500")]
    assert workspace.ended("upload --send alpha") == 75
    assert "the model can't be sent: the answer is HTTP status 500 (2 tries); nothing is submitted" in capsys.readouterr().err
    workspace.change(lambda content: content["data"].update(version="v9"))
    server.put_faults = []
    assert workspace.ended("upload --send alpha") == 1
    assert "data.version: Numerai runs no models on 'v9'; it does on v5.3" in capsys.readouterr().err
    assert not server.account.created


def test_numerapi_itself_uploads_to_the_server_and_takes_a_refusal_for_success(
    server: NumeraiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", server.url)
    theirs = numerapi.NumerAPI(*KEY, verbosity="error", show_progress_bars=False)
    path = tmp_path / "model.pkl"
    path.write_bytes(b"model")
    theirs.model_upload(str(path), model_id="id-alpha")
    assert list(server.account.objects.values()) == [b"model"]
    server.put_faults = [Fault("403")]
    assert theirs.model_upload(str(path), model_id="id-alpha").startswith("sent-")
    assert len(server.account.objects) == 1
