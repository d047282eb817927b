"""Sending a model over real HTTP: the same pickle that was proven, for the right model, and Numerai's words on it."""

import json
import pickle
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numerai_server
import numerapi
import pandas as pd
import pytest
from numerai_account import image
from numerai_server import Fault, NumeraiServer
from numerapi import base_api
from workspace import Workspace

from erawise.live import pickles
from erawise.live.pickles import Pickles
from erawise.running.errors import InputError, Unconfirmed
from erawise.sources.numerai.attempts import ADDRESS, Patience
from erawise.sources.numerai.client import PUBLIC_ID, SECRET_KEY
from erawise.upload import delivery, environments, proof

QUICK = Patience(connection=1, silence=1, tries=2, pause=0.01, longest_pause=0.02)
KEY = ("PUBLIC1D", "S3CRETKEY")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv(PUBLIC_ID, KEY[0])
    monkeypatch.setenv(SECRET_KEY, KEY[1])
    monkeypatch.setattr(delivery, "Pickles", partial(Pickles, patience=QUICK))
    monkeypatch.setattr(environments, "interpreters", lambda pythons: dict.fromkeys(pythons, Path(sys.executable)))
    with numerai_server.serving(NumeraiServer({7: tmp_path}, current=7)) as state:
        monkeypatch.setenv(ADDRESS, state.url)
        yield state


def outcomes(workspace: Workspace) -> list[str]:
    return [json.loads(line)["outcome"] for line in (workspace.directory / "journal.jsonl").read_text().splitlines()]


def test_the_proven_pickle_is_sent_and_what_numerai_says_is_read_back(
    server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.run("upload --send alpha")
    [sent] = server.account.created_for("createComputePickleUpload", "id-alpha")
    content = server.account.objects[sent["filename"]]
    assert content == (workspace.directory / "data/upload/neutralized.pkl").read_bytes()
    assert (sent["dataVersionId"], sent["dockerImageId"], sent["tournament"]) == ("version-53", "image-3_12", 8)
    live = pd.read_parquet(workspace.directory / "data/raw/live.parquet")
    found = pickle.loads(content)(live, pd.DataFrame(index=live.index))["prediction"]
    check = json.loads((workspace.directory / "data/upload/check.json").read_text())
    assert list(check["pythons"]) == ["3.12"], "of the image that is asked for"
    assert check["pythons"]["3.12"]["largest_difference"] < 1e-6
    assert found.between(0, 1).all()
    assert server.account.assigned == {"id-alpha": sent["id"]}
    said = capsys.readouterr().out
    assert "alpha: asks for Numerai's default image, Python 3.12 (registry.example/numerai_predict_py_3_12:19d1769)\n" in said
    assert f"alpha: neutralized.pkl is sent as {sent['id']}; Numerai tries it" in said
    assert "alpha: Numerai says success" in said
    assert f"alpha: it runs {sent['id']} from now on; assigned\n" in said
    assert "fitted on the eras 1 to 90" in said, "the models fitted on all eras, where final.refit names them"
    assert outcomes(workspace) == ["sent", "success"]
    for path in (path for path in workspace.directory.rglob("*") if path.is_file()):
        assert not any(part.encode() in path.read_bytes() for part in KEY), path


def test_a_model_that_numerai_refuses_is_no_success_and_its_log_is_shown(
    server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.status = ["PENDING", "FAILED"]
    server.account.described = "Segmentation fault! Ensure python and library versions match our environment."
    server.account.logs["diagnosticsTriggerLogs"] = [
        "Traceback\n  File x\x1b[31m",
        f"got https://bucket.example/model.pkl?{numerai_server.SIGNATURE} by {KEY[1]}",
    ]
    assert workspace.ended("upload --send alpha") == 4
    said, problem = capsys.readouterr()
    assert f"Numerai says failed of the model that was sent (sent-2): {server.account.described}" in problem
    logged = [line for line in said.splitlines() if "log: " in line]
    assert logged == [
        f"alpha: Numerai's log: 2026-11-27T12:00:00Z {line}"
        for line in ("Traceback", "  File x [31m", "got https://bucket.example/model.pkl?… by …")
    ]
    assert not server.account.assigned
    assert outcomes(workspace) == ["sent", "failed"]


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


@pytest.fixture
def account(server: NumeraiServer) -> Pickles:
    """Serve the account's models; one of them was sent a pickle, sent-1."""
    found = Pickles(server.url, key=KEY, patience=QUICK)
    server.account.created.append({"kind": "createComputePickleUpload", "id": "sent-1", "modelId": "id-alpha"})
    server.account.status = ["VALIDATED"]
    return found


def asked(server: NumeraiServer, field: str) -> int:
    """Return how many queries had a field."""
    return sum(field in query["query"] for query in server.queries)


@pytest.mark.parametrize(
    ("assigns", "mutations", "how"),
    [("creation", 0, "it was assigned when it was sent"), ("mutation", 1, "assigned"), ("late", 1, "assigned")],
)
def test_a_model_that_works_is_assigned_unless_its_creation_did(
    server: NumeraiServer, account: Pickles, assigns: str, mutations: int, how: str
) -> None:
    server.account.assigns = assigns
    server.account.assigned = {"id-alpha": "sent-1"} if assigns == "creation" else {"id-alpha": "sent-before"}
    assert account.assigned("alpha", "id-alpha", "sent-1", 5) == how
    assert asked(server, "assignPickleToModel") == mutations
    assert server.account.assigned == {"id-alpha": "sent-1"}


def test_an_assignment_without_an_answer_is_read_back_and_not_repeated(server: NumeraiServer, account: Pickles) -> None:
    server.lost = ["cut"]
    assert account.assigned("alpha", "id-alpha", "sent-1", 5) == "assigned"
    assert asked(server, "assignPickleToModel") == 1


@pytest.mark.parametrize(("assigns", "runs"), [("lost", "runs none, not assigned"), ("other", "runs sent-by-another, not assigned")])
def test_an_assignment_that_does_not_show_is_no_success(server: NumeraiServer, account: Pickles, assigns: str, runs: str) -> None:
    server.account.assigns = assigns
    with pytest.raises(Unconfirmed, match=rf"^alpha: Numerai hasn't assigned the model that was sent \(sent-1\) in time, it says {runs};"):
        account.assigned("alpha", "id-alpha", "sent-1", 0)
    assert asked(server, "assignPickleToModel") == 1


def test_a_server_that_changes_its_answer(server: NumeraiServer, account: Pickles) -> None:
    server.account.absent, server.account.status = 2, ["RUNNING", "VALIDATED", "ERROR"]
    assert account.validated("alpha", "id-alpha", "sent-1", 5) == "validated"
    message = r"^alpha: Numerai says error of the model that was sent \(sent-1\); the error is Numerai's own, send it again later$"
    with pytest.raises(Unconfirmed, match=message):
        account.assigned("alpha", "id-alpha", "sent-1", 5)
    assert not server.account.assigned
    server.account.absent, server.account.status = 100, ["PENDING"]
    for said in ("absent", "pending"):
        with pytest.raises(Unconfirmed, match=rf"^alpha: Numerai hasn't tried the model that was sent \(sent-1\) in time, it says {said};"):
            account.validated("alpha", "id-alpha", "sent-1", 0)
        server.account.absent = 0
    server.account.models = {"beta": "id-alpha"}
    with pytest.raises(InputError, match=r"^the account has no model 'alpha'; its models are beta$"):
        account.validated("alpha", "id-alpha", "sent-1", 5)


def test_the_last_lines_of_both_logs_are_shown_and_a_log_that_cannot_be_had_hides_nothing(
    server: NumeraiServer, account: Pickles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pickles, "LOG_LINES", 2)
    server.account.logs = {"diagnosticsTriggerLogs": ["a", "b", "c"], "triggerLogs": ["d\ne\nf"]}
    found = list(account.logs("alpha", "id-alpha", "sent-1"))
    assert [line.removeprefix("2026-11-27T12:00:00Z ") for line in found] == ["b", "c", "e", "f"]
    goal = delivery.Goal(account, "alpha", "id-alpha", {}, "3.12")
    server.api_faults = [None, Fault("errors", message=f"no permission for {KEY[0]}")]
    delivery._show_logs(goal, "sent-1")
    *shown, said = capsys.readouterr().out.splitlines()
    assert [line[-1] for line in shown] == ["b", "c"]
    assert re.match(r"alpha: Numerai's log can't be read: \S+: the key lacks the permission", said)
    assert KEY[0] not in said
    server.api_faults, server.account.logs = [], {"diagnosticsTriggerLogs": [], "triggerLogs": []}
    delivery._show_logs(goal, "sent-1")
    assert capsys.readouterr().out == "alpha: Numerai has no log of it\n"


@pytest.mark.parametrize(
    ("images", "pythons", "chosen", "what"),
    [
        (
            [image("3.11"), image("3.12", default=True), image("3.13")],
            ["3.10", "3.12", "3.13"],
            "3_12",
            "Numerai's default image, Python 3.12 (",
        ),
        (
            [image("3.11"), image("3.12", default=True)],
            ["3.11"],
            "3_11",
            "the image Python 3.11 (registry.example/numerai_predict_py_3_11:19d1769)",
        ),
        ([image("3.9"), image("3.13"), image("3.10")], ["3.9", "3.10", "3.13"], "3_13", "of Python 3.13; Numerai names no default image"),
        (
            [image("3.13"), image("3.14", default=True)],
            ["3.12", "3.13"],
            "3_13",
            "of Python 3.13; Numerai's default image is Python 3.14 (",
        ),
        ([{"id": "image-x", "name": "Python 3.11", "default": True}], ["3.11"], "x", "Numerai's default image, Python 3.11"),
        (
            [{"id": "image-x", "name": "x", "image": "a3.9/py_3_11", "tag": "b"}],
            ["3.11"],
            "x",
            "the image x (a3.9/py_3_11:b) of Python 3.11",
        ),
    ],
)
def test_the_default_image_is_asked_for_or_another_and_named(
    server: NumeraiServer, account: Pickles, images: list[dict[str, object]], pythons: list[str], chosen: str, what: str
) -> None:
    server.account.images = images
    found, said = account.image(pythons)
    assert found.id == f"image-{chosen}"
    assert what in said


@pytest.mark.parametrize(("python", "image"), [("3.11", "3_11"), ("3.13", "3_13"), ("all", "3_12"), (None, "3_12")])
def test_the_image_of_a_chosen_python_is_asked_for(
    server: NumeraiServer, capsys: pytest.CaptureFixture[str], python: str | None, image: str
) -> None:
    server.account.images[2]["tag"] = "a78dedd"
    goal = delivery._goal("beta", "v5.3", python)
    other = "beta: the check has the packages of 19d1769; the image may have others, since its tag is a78dedd\n"
    assert (other in capsys.readouterr().out) == (image == "3_13")
    assert (goal.number, goal.python) == ("id-beta", image.replace("_", "."))
    assert goal.wanted == {"dataVersionId": "version-53", "dockerImageId": f"image-{image}"}


def test_what_keeps_it_from_being_sent(server: NumeraiServer, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert workspace.ended("upload --send gamma") == 1
    assert "the account has no model 'gamma'; its models are alpha, beta" in capsys.readouterr().err
    server.put_faults = [Fault("500")]
    assert workspace.ended("upload --send alpha") == 75
    assert "the model can't be sent: the answer is HTTP status 500 (2 tries); nothing is submitted" in capsys.readouterr().err
    workspace.change(lambda content: content["data"].update(version="v9"))
    server.put_faults = []
    assert workspace.ended("upload --send alpha") == 1
    assert "data.version: Numerai runs no models on 'v9', only on v5.2, v5.3" in capsys.readouterr().err
    server.account.images = [image("3.9"), {"id": "x"}]
    assert workspace.ended("upload --send alpha") == 1
    lacking = "upload: Numerai has no image of Python 3.10, 3.11, 3.12, 3.13; it has Python 3.9 (registry.example/numerai_predict_py_3_9:"
    assert lacking in capsys.readouterr().err
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
