"""Submission over real HTTP: the right file, once, in spite of faults on the way, and nothing if something is wrong."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numerai_server
import numerapi
import numpy as np
import pandas as pd
import pytest
import raw
import requests
from clones import Clone
from closure import ROOT
from numerai_server import Fault, NumeraiServer
from numerapi import base_api
from workspace import WHOLE, Workspace

from erawise import params
from erawise.base import files, tabular
from erawise.base.files import HELD
from erawise.live import handing_in, keys, schedule, served, submission
from erawise.live.account import PREDICTIONS, Account
from erawise.models.shared import arrays, stored
from erawise.running import errors
from erawise.running.errors import InputError, NotOpen, Unconfirmed
from erawise.sources.numerai.attempts import ADDRESS, Patience
from erawise.sources.numerai.client import PUBLIC_ID, SECRET_KEY

QUICK = Patience(connection=1, silence=1, tries=3, pause=0.01, longest_pause=0.02)
KEY = ("PUBLIC1D", "S3CRETKEY")
OPEN = 7
MODELS = {"alpha": "neutralized", "beta": "ridge"}
"""The predictions that are handed in for each model of the account."""

Read = tuple[params.Params, list[str], served.Served]
"""The settings and predictions of a call of `served.read`, and its result."""


def live(seed: int) -> pd.DataFrame:
    return raw.frame([0], 40, 8, "live", seed)


@pytest.fixture(scope="module")
def files_of_rounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files of two rounds, of which each test has its own copy."""
    top = tmp_path_factory.mktemp("rounds")
    for number in (OPEN, OPEN + 1):
        directory = top / str(number) / "v5.3"
        directory.mkdir(parents=True)
        table = live(seed=number)
        table.set_index("id").to_parquet(directory / "live.parquet")
        benchmark = pd.DataFrame({"benchmark": (table["feature_0"] / 4).astype(np.float32)}).set_index(table["id"])
        benchmark.to_parquet(directory / "live_benchmark_models.parquet")
    return top


@pytest.fixture
def server(files_of_rounds: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    copied = shutil.copytree(files_of_rounds, tmp_path_factory.mktemp("rounds") / "own")
    rounds = {number: copied / str(number) for number in (OPEN, OPEN + 1)}
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv(PUBLIC_ID, KEY[0])
    monkeypatch.setenv(SECRET_KEY, KEY[1])
    monkeypatch.setattr(handing_in, "PATIENCE", QUICK)
    monkeypatch.setattr(schedule, "due", lambda now: True)
    with numerai_server.serving(NumeraiServer(rounds, current=OPEN)) as state:
        monkeypatch.setenv(ADDRESS, state.url)
        yield state


@pytest.fixture
def operator(workspace: Workspace) -> Workspace:
    """Return a trained pipeline with two models to submit for."""
    workspace.change(lambda content: content["submit"].update(models=MODELS))
    return workspace


@pytest.fixture(scope="module")
def trained(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[Read]]:
    """Return a trained pipeline for all tests that leave it as it is, and room for what the first of them reads of it."""
    directory = tmp_path_factory.mktemp("trained")
    shutil.copytree(finished.directory, directory, dirs_exist_ok=True)
    workspace = Workspace(directory)
    workspace.change(lambda content: content["submit"].update(models=MODELS))
    return workspace, []


@pytest.fixture
def standing(trained: tuple[Workspace, list[Read]], monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return the trained pipeline of `operator` without what other tests handed in; it is read once, since they don't change it."""
    workspace, known = trained
    for name in ("data/rounds", "data/promises", "journal.jsonl"):
        files.remove(workspace.directory / name)
    real = served.read

    def read(p: params.Params, wanted: Sequence[str]) -> served.Served:
        if not known:
            known.append((p, [*wanted], real(p, wanted)))
        *asked, found = known[0]
        assert asked == [p, [*wanted]]
        return found

    monkeypatch.setattr(served, "read", read)
    return workspace


def journal(workspace: Workspace) -> list[dict[str, Any]]:
    path = workspace.directory / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def handed(server: NumeraiServer, model: str) -> list[pd.DataFrame]:
    """Return the files that the server has of a model, in their order."""
    found = server.account.created_for("create_submission", f"id-{model}")
    return [submission.parsed(server.account.objects[one["filename"]], model) for one in found]


def test_every_model_gets_its_prediction_and_the_server_holds_it(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.run("submit")
    said = capsys.readouterr().out
    assert "round 7 is open until" in said
    assert "live data: 40 rows, 8 features, 0.00% of their values missing" in said
    assert "alpha: neutralized is sent, and the server holds it as submission sent-" in said
    features = live(seed=OPEN)
    [alpha], [beta] = handed(server, "alpha"), handed(server, "beta")
    for table in (alpha, beta):
        assert table["id"].tolist() == sorted(features["id"])
        assert table["prediction"].between(0, 1, inclusive="neither").all()
    signal_feature = features.set_index("id").loc[beta["id"], "feature_0"].to_numpy()
    assert np.corrcoef(beta["prediction"], signal_feature)[0, 1] > 0.8
    assert not submission.same(alpha, beta)
    for model, table in (("alpha", alpha), ("beta", beta)):
        path = operator.directory / f"data/rounds/7/{model}.csv"
        assert submission.same(submission.parsed(path.read_bytes(), str(path)), table)
    entries = journal(operator)
    assert [(entry["model"], entry["prediction"], entry["outcome"], entry["round"]) for entry in entries] == [
        ("alpha", "neutralized", "sent", 7),
        ("beta", "ridge", "sent", 7),
    ]


def test_run_again_it_sends_nothing_and_says_so(server: NumeraiServer, standing: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    standing.run("submit", "submit")
    assert len(handed(server, "alpha")) == len(handed(server, "beta")) == 1
    assert "alpha: neutralized is already there" in capsys.readouterr().out
    assert [entry["outcome"] for entry in journal(standing)] == ["sent", "sent", "already there", "already there"]


def test_a_later_round_is_compared_with_what_was_sent_before(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.change(lambda content: content["final"].update(refit=[]))
    operator.run("submit")
    assert "alpha: there is no earlier round here to compare with" in capsys.readouterr().out
    server.current = OPEN + 1
    server.account.opens = datetime.now(UTC)
    operator.run("submit")
    said = capsys.readouterr().out
    assert "alpha: rank correlation 1.000 of neutralized now with what was sent in round 7, on the data of that round" in said
    assert len(handed(server, "alpha")) == 2
    operator.change(lambda content: content["submit"]["models"].update(alpha="ridge", beta="neutralized"))
    operator.change(lambda content: content["submit"].update(min_earlier_corr=0.999))
    (operator.directory / "data/rounds/8").rename(operator.directory / "data/rounds/9")
    assert operator.ended("submit") == 1
    assert "submit.min_earlier_corr: on the data of round 7 the models of now" in capsys.readouterr().err
    assert len(handed(server, "alpha")) == 2


def test_an_earlier_submission_of_something_else_is_replaced(server: NumeraiServer, standing: Workspace) -> None:
    other = submission.table(live(seed=OPEN)[["id", "feature_1"]], "feature_1")
    Account(server.url, KEY, QUICK).send(PREDICTIONS, "by_hand.csv", submission.content(other), "id-alpha")
    standing.run("submit")
    assert [entry["outcome"] for entry in journal(standing)] == ["replaced", "sent"]
    assert len(handed(server, "alpha")) == 2


def test_a_dry_run_sends_nothing_and_takes_no_key(
    server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(SECRET_KEY)
    standing.run("submit --dry-run")
    assert "alpha: neutralized would be handed in as data/rounds/dry/alpha.csv" in capsys.readouterr().out
    assert not server.account.created
    assert not server.account.objects
    assert not journal(standing)
    assert standing.ended("submit") == 1
    assert "NUMERAI_SECRET_KEY: not set" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["_put_once", "send", "read_back"])
def test_interrupted_anywhere_and_run_again_there_is_one_submission(
    server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    real: Callable[..., Any] = getattr(Account, stage)
    calls: list[str] = []

    def interrupted(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        calls.append(stage)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Account, stage, interrupted)
        assert standing.ended("submit") == errors.INTERRUPTED
    assert calls == [stage]
    standing.run("submit")
    assert len(handed(server, "alpha")) == len(handed(server, "beta")) == 1
    expected = {"_put_once": "sent", "send": "already there", "read_back": "already there"}[stage]
    assert [(entry["model"], entry["outcome"]) for entry in journal(standing)] == [("alpha", expected), ("beta", "sent")]


def test_killed_while_the_server_thinks_and_run_again_there_is_one_submission(
    server: NumeraiServer, operator: Workspace, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put_faults = [Fault("stall"), None]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    until = time.monotonic() + 120
    with Clone(operator.directory, commands).started("python", "-m", "erawise", "submit", stdout=subprocess.DEVNULL) as killed:
        while len(server.put_faults) > 1 and time.monotonic() < until:
            time.sleep(0.05)
        assert killed.poll() is None
    assert killed.returncode == -signal.SIGKILL
    assert not server.account.created
    operator.run("submit")
    assert len(handed(server, "alpha")) == len(handed(server, "beta")) == 1


def test_an_upload_that_is_refused_creates_nothing_where_numerapi_creates_a_submission(
    server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", server.url)
    server.put_faults = [Fault("403")]
    theirs = numerapi.NumerAPI(*KEY, verbosity="error", show_progress_bars=False)
    table = submission.table(live(seed=OPEN)[["id", "feature_0"]], "feature_0")
    assert theirs.upload_predictions(df=table, model_id="id-alpha").startswith("sent-")
    assert not server.account.objects, "a submission without a file"
    server.account.created.clear()
    assert standing.ended("submit") == 75
    assert not server.account.created
    errors = capsys.readouterr().err
    assert "the predictions can't be sent: the answer is HTTP status 403 (3 tries); nothing is submitted" in errors
    assert errors.endswith("error: alpha, beta: no confirmed submission in round 7\n")
    assert "5ecret" not in errors
    server.put_faults = [Fault("403"), Fault("503", after=0), None]
    standing.run("submit")
    assert len(handed(server, "alpha")) == len(handed(server, "beta")) == 1


def test_an_id_in_the_index_is_lost_by_numerapi_and_kept_by_us(server: NumeraiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", server.url)
    table = submission.table(live(seed=OPEN)[["id", "feature_0"]], "feature_0")
    numerapi.NumerAPI(*KEY, verbosity="error", show_progress_bars=False).upload_predictions(df=table.set_index("id"), model_id="id-alpha")
    [name] = server.account.objects
    assert server.account.objects[name].startswith(b"prediction\n")
    with pytest.raises(InputError, match="its columns are prediction; expected id and prediction"):
        submission.parsed(server.account.objects[name], "theirs")
    assert submission.content(table).startswith(b"id,prediction\n")


def test_a_submission_whose_fate_is_unknown_is_looked_for_before_it_is_sent_again(server: NumeraiServer, standing: Workspace) -> None:
    server.lost = ["500"]
    standing.run("submit")
    assert len(handed(server, "alpha")) == len(handed(server, "beta")) == 1
    assert [entry["outcome"] for entry in journal(standing)] == ["sent", "sent"]


@pytest.mark.parametrize("fault", ["html", "stall", "cut", "null"])
def test_no_answer_of_the_server_is_taken_for_a_submission_that_is_not_there(server: NumeraiServer, fault: str) -> None:
    ours = Account(server.url, KEY, QUICK)
    table = submission.table(live(seed=OPEN)[["id", "feature_0"]], "feature_0")
    taken_by = ours.round()
    server.lost = [fault]
    assert submission.hand_in(ours, "id-alpha", taken_by, table, "7_alpha.csv").how == "sent"
    assert not server.lost
    assert len(handed(server, "alpha")) == 1


@pytest.mark.parametrize("fault", ["500", "html", "cut"])
def test_a_submission_that_never_came_is_sent_again(server: NumeraiServer, fault: str) -> None:
    ours = Account(server.url, KEY, QUICK)
    table = submission.table(live(seed=OPEN)[["id", "feature_0"]], "feature_0")
    taken_by = ours.round()
    server.api_faults = [None, None, None, Fault(fault), None]
    assert submission.hand_in(ours, "id-alpha", taken_by, table, "7_alpha.csv").how == "sent"
    assert len(handed(server, "alpha")) == 1
    assert len(server.account.objects) == 2


def test_a_submission_without_a_file_is_replaced(server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", server.url)
    server.put_faults = [Fault("403"), None]
    theirs = numerapi.NumerAPI(*KEY, verbosity="error", show_progress_bars=False)
    theirs.upload_predictions(df=submission.table(live(seed=OPEN)[["id", "feature_0"]], "feature_0"), model_id="id-alpha")
    server.sent_faults = [Fault("404"), None]
    standing.run("submit")
    assert [entry["outcome"] for entry in journal(standing)] == ["replaced", "sent"]


def test_what_cannot_be_read_back_is_not_confirmed(server: NumeraiServer, standing: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    server.sent_faults = [Fault("404")]
    assert standing.ended("submit") == 4
    error = capsys.readouterr().err
    assert "sent-2 can't be read back: " in error
    assert error.endswith("error: alpha, beta: no confirmed submission in round 7\n")
    server.sent_faults = []
    standing.run("submit")
    assert len(handed(server, "alpha")) == len(handed(server, "beta")) == 1


def test_of_several_failures_the_one_to_look_at_gives_the_exit_code(server: NumeraiServer, standing: Workspace) -> None:
    server.account.spoils = b"id,prediction\nn1,0.5\n"
    server.put_faults = [None, Fault("500")]
    assert standing.ended("submit") == 4
    assert [entry["outcome"] for entry in journal(standing)] == ["failed", "failed"]


@pytest.mark.parametrize("how", ["closed", "another round"])
def test_a_round_that_ends_meanwhile_gets_nothing(
    server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    real = submission.table

    def slow(*given: Any) -> pd.DataFrame:
        if how == "closed":
            server.account.closes = datetime.now(UTC)
        else:
            server.current = OPEN + 1
        return real(*given)

    monkeypatch.setattr(submission, "table", slow)
    assert standing.ended("submit") == 3
    error = capsys.readouterr().err
    assert ("round 7 closed at" if how == "closed" else "round 7 is over, the current one is 8") in error
    assert not server.account.created


def test_what_was_taken_after_the_round_is_no_success(server: NumeraiServer) -> None:
    ours = Account(server.url, KEY, QUICK)
    table = submission.table(live(seed=OPEN)[["id", "feature_0"]], "feature_0")
    ended_before = replace(ours.round(), closes=datetime.now(UTC) - timedelta(minutes=1))
    with pytest.raises(Unconfirmed, match="it was taken after round 7 had closed"):
        submission.hand_in(ours, "id-alpha", ended_before, table, "7_alpha.csv")


def test_the_live_data_of_an_earlier_round_is_waited_out(
    server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    standing.run("submit")
    server.current = OPEN + 1
    server.account.opens = datetime.now(UTC)
    late = server.rounds[OPEN + 1] / "v5.3/live.parquet"
    own = late.read_bytes()
    late.write_bytes((server.rounds[OPEN] / "v5.3/live.parquet").read_bytes())
    assert standing.ended("submit") == 3
    assert "round 8: its live data is still the data of round 7" in capsys.readouterr().err
    monkeypatch.setattr(time, "sleep", lambda seconds: late.write_bytes(own))
    standing.run("submit --wait 1")
    assert len(handed(server, "alpha")) == 2


def test_an_earlier_round_that_cannot_be_used_does_not_keep_the_next_from_being_handed_in(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.run("submit")
    path = operator.directory / "data/rounds/7/live.parquet"
    live(seed=OPEN).drop(columns="feature_3").set_index("id").to_parquet(path)
    server.current = OPEN + 1
    server.account.opens = datetime.now(UTC)
    operator.run("submit")
    assert "round 7 can't be compared with: data/rounds/7/live.parquet: column 'feature_3' is missing" in capsys.readouterr().out


def test_what_was_not_sent_is_no_earlier_submission_and_a_killed_run_leaves_nothing_for_long(
    server: NumeraiServer, operator: Workspace
) -> None:
    operator.run("submit")
    sent = operator.directory / "data/rounds/7/alpha.csv"
    before = sent.read_bytes()
    operator.change(lambda content: content["submit"]["models"].update(alpha="ridge"))
    server.put_faults = [Fault("400")]
    left = operator.directory / "data/rounds/scratch_a1b2c3d4/features.npy"
    left.parent.mkdir()
    left.write_bytes(b"left")
    left.with_name(HELD).touch()
    assert operator.ended("submit") == 75
    assert sent.read_bytes() == before
    assert sent.with_suffix(".unsent.csv").exists()
    assert not left.parent.exists()


def test_data_of_another_version_than_the_models_have_seen_is_refused(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = {"stages": {"download": {"params": {"params.yaml": {"data.version": "v5.1"}}}}}
    (operator.directory / "dvc.lock").write_text(json.dumps(lock))
    assert operator.ended("submit") == 1
    assert "data.version: it is v5.3, and the last dvc repro ran with v5.1; run dvc repro" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("members.json", "{}", "data/members.json: it has no list of models"),
        ("weights.json", "[]", "data/weights.json: it has no weight for each model"),
        ("neutralized_to.json", "{}", "data/neutralized_to.json: features, method or proportion is missing"),
        ("final/ridge/model.json", "{}", "data/final/ridge/model.json: it doesn't say what the model is"),
    ],
)
def test_a_spoilt_file_of_the_pipeline_is_named(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str], name: str, content: str, message: str
) -> None:
    path = operator.directory / "data" / name
    path.unlink()
    path.write_text(content)
    assert operator.ended("submit") == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", ["submit --wait nan", "submit --wait -1", "submit --round 0", "submit --round -3", "submit --round x"])
def test_a_wrong_command_line(server: NumeraiServer, standing: Workspace, command: str) -> None:
    assert standing.ended(command) == 2


@pytest.mark.parametrize("value", ["S3CRET\r", " S3CRET "])
def test_a_key_with_spaces_around_it_is_the_key(tmp_path: Path, value: str) -> None:
    assert keys.values(["ONE"], {"ONE": value}, tmp_path / ".env") == ["S3CRET"]


def test_a_key_of_other_characters_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ONE: it has characters that no key has") as caught:
        keys.values(["ONE"], {"ONE": "S3C…RET"}, tmp_path / ".env")
    assert "RET" not in str(caught.value)


def test_benchmark_models_of_another_round_are_waited_out(
    server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late = server.rounds[OPEN] / "v5.3/live_benchmark_models.parquet"
    own = late.read_bytes()
    late.write_bytes((server.rounds[OPEN + 1] / "v5.3/live_benchmark_models.parquet").read_bytes())
    assert standing.ended("submit") == 3
    assert "round 7: the benchmark models are still from another round" in capsys.readouterr().err
    monkeypatch.setattr(time, "sleep", lambda seconds: late.write_bytes(own))
    standing.run("submit --wait 1")
    assert len(handed(server, "alpha")) == 1


def test_live_data_that_is_listed_and_absent_is_waited_out(
    server: NumeraiServer, standing: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.file_faults["v5.3/live.parquet"] = [Fault("404")]
    assert standing.ended("submit") == 3
    assert "round 7: v5.3/live.parquet isn't there yet" in capsys.readouterr().err


def test_a_list_that_fails_after_the_submission_is_not_taken_for_nothing_sent(
    server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Account.send

    def send(*given: Any, **named: Any) -> str:
        number = real(*given, **named)
        server.api_faults = [Fault("errors", message="no such thing")]
        return number

    monkeypatch.setattr(Account, "send", send)
    assert standing.ended("submit") == 4
    assert "can't be read back" in capsys.readouterr().err


def test_a_model_that_may_yet_be_handed_in_is_tried_again_beside_one_that_may_not(server: NumeraiServer, standing: Workspace) -> None:
    server.account.spoils = b"id,prediction\nn1,0.5\n"
    server.put_faults = [None, *([Fault("500")] * 4), None]
    assert standing.ended("submit --wait 1") == 4
    assert len(handed(server, "alpha")) == len(handed(server, "beta")) == 1


@pytest.mark.parametrize("said", ["Internal server error", "rate limit exceeded"])
def test_what_passes_is_waited_out(server: NumeraiServer, standing: Workspace, said: str) -> None:
    server.api_faults = [Fault("errors", message=said)]
    assert standing.ended("submit") == 75
    server.api_faults = [*([Fault("errors", message=said)] * 3), None]
    standing.run("submit --wait 1")
    assert len(handed(server, "alpha")) == 1


def test_a_list_that_lags_is_asked_again(server: NumeraiServer) -> None:
    ours = Account(server.url, KEY, QUICK)
    table = submission.table(live(seed=OPEN)[["id", "feature_0"]], "feature_0")
    server.account.hides = 2
    assert submission.hand_in(ours, "id-alpha", ours.round(), table, "7_alpha.csv").how == "sent"
    assert len(handed(server, "alpha")) == 1


def test_what_is_read_back_as_something_else_is_no_success(
    server: NumeraiServer, standing: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.spoils = b"id,prediction\nn1,0.5\n"
    assert standing.ended("submit") == 4
    assert "what the server holds isn't what was sent; see on numer.ai, and run again" in capsys.readouterr().err
    assert [entry["outcome"] for entry in journal(standing)] == ["failed", "failed"]


def test_a_round_that_opens_is_waited_for(
    server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.opens = datetime.now(UTC) + timedelta(seconds=1)
    assert standing.ended("submit") == 3
    assert "error: round 7 opens at" in capsys.readouterr().err
    looks = iter(range(1000))
    monkeypatch.setattr(time, "sleep", lambda seconds: setattr(server.account, "opens", datetime.now(UTC)) if next(looks) else None)
    standing.run("submit --wait 1")
    assert len(handed(server, "alpha")) == 1


def test_a_server_that_fails_is_tried_until_the_time_is_over(
    server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.api_faults = [*([Fault("503")] * 9), None]
    server.put_faults = [*([Fault("503")] * 7), None]
    standing.run("submit --wait 1")
    assert len(handed(server, "alpha")) == len(handed(server, "beta")) == 1
    assert "HTTP status 503" in capsys.readouterr().err
    outcomes = [entry["outcome"] for entry in journal(standing)]
    assert outcomes[0] == "failed"
    assert {"sent", "failed"} <= set(outcomes) <= {"sent", "failed", "already there"}


@pytest.mark.parametrize(
    ("spoil", "command", "code", "message"),
    [
        (lambda s: setattr(s.account, "numbered", False), "submit", 3, "the round isn't open"),
        (lambda s: setattr(s.account, "closes", datetime.now(UTC)), "submit", 3, "and no other is open"),
        (lambda s: setattr(s.account, "closes", datetime.now(UTC)), "submit --round 7 --wait 9", 6, "error: round 7 closed at"),
        (lambda s: (s.rounds[OPEN] / "v5.3/live.parquet").unlink(), "submit", 3, "v5.3/live.parquet isn't there yet"),
        (lambda s: None, "submit --round 99", 3, "there is no round 99 now"),
        (lambda s: setattr(s.account, "key", ("other", "key")), "submit", 1, "the key isn't accepted"),
        (lambda s: setattr(s, "slow", 3600), "submit", 1, "s ahead of the server's; set it (NTP), then run again"),
        (lambda s: setattr(s, "slow", -3600), "submit", 1, "s behind the server's"),
        (lambda s: setattr(s, "api_faults", [Fault("500")]), "submit", 75, "HTTP status 500"),
        (lambda s: setattr(s, "api_faults", [Fault("html")]), "submit", 75, "the answer is no JSON"),
    ],
)
def test_what_the_server_is_not_ready_for(
    server: NumeraiServer,
    standing: Workspace,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[NumeraiServer], object],
    command: str,
    code: int,
    message: str,
) -> None:
    spoil(server)
    assert standing.ended(command) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not server.account.created
    [entry] = journal(standing)
    assert entry["outcome"] == "failed"
    assert error == f"error: {entry['problem']}\n"


def test_when_no_round_is_due_the_code_says_that_trying_again_is_of_no_use(
    server: NumeraiServer, standing: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schedule, "due", lambda now: False)
    server.account.numbered = False
    assert standing.ended("submit") == 6
    server.api_faults = [Fault("500")]
    assert standing.ended("submit") == 6
    assert ["the round isn't open" in capsys.readouterr().err, [entry["outcome"] for entry in journal(standing)]] == [True, 2 * ["failed"]]


def test_a_round_from_before_the_data_has_no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"number": 3, "openTime": None, "closeTime": None, "closeStakingTime": None, "payoutFactor": None}
    monkeypatch.setattr(Account, "list_rounds", lambda *_, **__: [answer])
    with pytest.raises(NotOpen, match="round 3 has no times: it is from before the data; take a later one"):
        Account("https://example.org").round(3)


def test_a_model_that_is_gone_from_the_account_is_named_and_the_others_are_handed_in(
    server: NumeraiServer, standing: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.models.pop("beta")
    for command in ("submit", "submit --dry-run"):
        assert standing.ended(command) == 1
        assert "the account has no model 'beta'; its models are alpha\n" in capsys.readouterr().err
    assert len(handed(server, "alpha")) == 1
    assert [(entry["model"], entry["outcome"]) for entry in journal(standing)] == [("alpha", "sent"), ("beta", "failed")]


@pytest.mark.parametrize("command", ["submit --dry-run", "upload --no-check", "explain ridge"])
def test_a_stored_model_of_a_kind_that_is_gone_is_named(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for directory in ("models", "final"):
        path = operator.directory / f"data/{directory}/ridge/model.json"
        path.write_text(path.read_text().replace('"ridge"', '"momentum"'))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"trained": stored.digest(operator.directory / "data/models/ridge")}))
    assert operator.ended(command) == 1
    error = capsys.readouterr().err
    assert "ridge/model.json: the model is of the kind 'momentum', and " in error
    assert error.count("\n") == 1


def test_a_file_of_predictions_is_handed_in_if_it_has_the_rows_of_the_round(
    server: NumeraiServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workspace.directory / "data/local/mine.csv"
    path.parent.mkdir()
    history = workspace.predictions("models/ridge")[["id", "era", "prediction"]]
    history.to_csv(path, index=False)
    workspace.change(
        lambda content: (
            content["models"].update(mine={"kind": "predictions", "path": "data/local/mine.csv"}),
            content["tuning"].update(models=[]),
            content["submit"].update(models={"alpha": "mine"}),
        )
    )
    workspace.run("check", "tune", "train mine", "ensemble", "neutralize", "evaluate")
    assert workspace.ended("submit") == 1
    error = capsys.readouterr().err
    assert "models.mine: data/local/mine.csv has no prediction of 40 of the 40 live rows; add these rows to it, and run dvc repro" in error
    assert error.count("\n") == 1
    rows = live(seed=OPEN).assign(era="X", prediction=lambda frame: frame["feature_0"] + frame["feature_1"] / 10)
    pd.concat([history, rows[["id", "era", "prediction"]]]).to_csv(path, index=False)
    workspace.run("tune", "train mine", "submit")
    assert "alpha: mine is sent" in capsys.readouterr().out
    [table] = handed(server, "alpha")
    expected = rows.set_index("id").loc[table["id"], "prediction"].rank().to_numpy()
    np.testing.assert_array_equal(table["prediction"].rank().to_numpy(), expected)


SPOILED: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "eras": (lambda table: table.assign(era=["0575", "0576"] * 20), "its rows are of 2 eras; expected only rows of the live era"),
    "validation rows": (lambda table: table.assign(data_type="validation"), "rows of the type 'validation' are among them"),
    "few rows": (lambda table: table.head(7), "live data: it has 7 rows, and the last dvc repro had 40; nothing is handed in"),
    "missing": (
        lambda table: table.assign(**{f"feature_{k}": pd.array([None] * 40, "Int8") for k in range(6)}),
        "preprocess.max_missing_share: 75.0% of the live data is missing, more than 50.0%",
    ),
    "empty": (lambda table: table.iloc[:0], "there are no rows; nothing is handed in"),
    "repeated ids": (lambda table: pd.concat([table, table.head(3)]), "is there more than once in the live era (3 duplicate rows)"),
    "a feature is missing": (lambda table: table.drop(columns="feature_3"), "column 'feature_3' is missing"),
    "floats": (lambda table: table.astype({f"feature_{k}": np.float32 for k in range(8)}).assign(feature_0=np.float32(0.25)), "one scale"),
    "another scale": (
        lambda table: table.assign(feature_2=(25 * table["feature_2"]).astype(np.int8)),
        "feature 'feature_2' isn't all small whole numbers, 0 to 4, as the features of train are: it has whole numbers from 0 to 100",
    ),
    "floats of all": (
        lambda table: table.assign(**{f"feature_{k}": table[f"feature_{k}"] / 4 for k in range(8)}),
        "feature 'feature_0' isn't all small whole numbers, 0 to 4, as the features of train are: it has fractions from 0 to 1",
    ),
    "halved": (
        lambda table: table.assign(**{f"feature_{k}": table[f"feature_{k}"] // 2 for k in range(8)}),
        "feature 'feature_0' and the others don't have the span of train's features, 0 to 4: it has whole numbers from 0 to 2",
    ),
    "without variety": (
        lambda table: table.assign(**{f"feature_{k}": np.int8(2) for k in range(7)}),
        "live features: 7 of 8 have only one value, and had several in training",
    ),
    "infinite": (lambda table: table.assign(feature_1=np.inf), "holds 40 infinite values"),
    "text": (lambda table: table.assign(feature_1="a"), "feature 'feature_1' is of type"),
    "all alike": (lambda table: table.assign(**{f"feature_{k}": table[f"feature_{k}"].iloc[0] for k in range(8)}), "live features: 8 of 8"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_live_data_that_is_not_right_is_not_handed_in(
    server: NumeraiServer, standing: Workspace, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    spoil, message = SPOILED[name]
    spoil(live(seed=OPEN)).set_index("id").to_parquet(server.rounds[OPEN] / "v5.3/live.parquet")
    assert standing.ended("submit") == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not server.account.objects


def test_the_benchmark_bounds_what_is_handed_in(server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    operator.change(lambda content: content["submit"].update(max_benchmark_corr=0.1))
    assert operator.ended("submit") == 1
    said = capsys.readouterr()
    assert "error: submit.max_benchmark_corr: " in said.err
    assert "with the benchmark model, on 40 rows" in said.out
    assert not server.account.objects
    operator.change(lambda content: content["evaluate"].update(benchmark="absent"))
    assert operator.ended("submit") == 1
    assert "the live data has no benchmark model 'absent'; it has benchmark" in capsys.readouterr().err


def test_a_target_or_feature_is_no_benchmark_model_of_a_round(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = server.rounds[OPEN] / "v5.3/live_benchmark_models.parquet"
    found = pd.read_parquet(path)
    for place, name in enumerate(("target", "target_ender_20", "feature_0", "feature_9", "numerai_meta_model")):
        found.insert(place, name, 0.5)
    found.to_parquet(path)
    operator.run("submit --dry-run")
    said = capsys.readouterr().out
    assert "benchmark: left out 'target', 'target_ender_20', 'feature_0', 'feature_9', 'numerai_meta_model', which is no prediction" in said
    assert "with the benchmark model, on 40 rows" in said
    operator.change(lambda content: content["evaluate"].update(benchmark="target"))
    assert operator.ended("submit --dry-run") == 1
    assert "the live data has no benchmark model 'target'; it has benchmark" in capsys.readouterr().err


def test_a_benchmark_model_of_another_horizon_is_taken_only_if_it_is_named(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = server.rounds[OPEN] / "v5.3/live_benchmark_models.parquet"
    found = pd.read_parquet(path)
    found.rename(columns={"benchmark": "v53_lgbm_ender60"}).to_parquet(path)
    operator.run("submit --dry-run")
    said = capsys.readouterr().out
    assert "benchmark: no model of 20 trading days, only v53_lgbm_ender60; evaluate.benchmark may name one" in said
    assert "with the benchmark model" not in said
    found.assign(v53_lgbm_ender60=1 - found["benchmark"]).drop(columns="benchmark").assign(v53_lgbm_ender20=found["benchmark"]).to_parquet(
        path
    )
    operator.run("submit --dry-run")
    assert "rank correlation -" not in capsys.readouterr().out
    operator.change(lambda content: content["evaluate"].update(benchmark="v53_lgbm_ender60"))
    operator.change(lambda content: content["submit"].update(min_benchmark_corr=-1.0))
    operator.run("submit --dry-run")
    assert "rank correlation -" in capsys.readouterr().out


def test_models_that_give_other_predictions_than_the_pipeline_did_hand_in_nothing(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = operator.directory / "data/models/ridge/linear.npz"
    with np.load(path) as content:
        found = dict(content)
    found["coefficients"][0] *= -1
    arrays.save_arrays(found, path)
    assert operator.ended("submit") == 1
    made_of_another = "data/final/ridge: it was made of another model than data/models/ridge; run dvc repro refit@ridge, then again"
    assert made_of_another in capsys.readouterr().err
    operator.run("refit ridge")
    assert operator.ended("submit") == 1
    assert "neutralized.parquet: the stored models give other live predictions than this file has" in capsys.readouterr().err
    assert not server.account.objects


def test_the_final_models_are_handed_in_and_must_resemble_those_that_were_scored(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.run("submit")
    assert "models: lightgbm, ridge, fitted on the eras 1 to 90" in capsys.readouterr().out
    [on_all] = handed(server, "beta")
    operator.change(lambda content: content["final"].update(refit=[]))
    operator.run("submit")
    said = capsys.readouterr().out
    assert "fitted on the eras 1 to 60" in said
    assert "alpha: neutralized is replaced" in said
    corr, rows = submission.rank_correlation(on_all, handed(server, "beta")[-1])
    assert rows == 40
    assert 0.9 < corr < 1
    operator.change(lambda content: content["final"].update(refit=["lightgbm", "ridge"]))
    operator.change(lambda content: content["submit"].update(min_earlier_corr=0.9999))
    assert operator.ended("submit") == 1
    assert "with the models that validation scores, less than 0.9999" in capsys.readouterr().err


def trained_again(operator: Workspace, *others: str) -> None:
    """Train the ridge without a search, and run other stages before the blend."""
    operator.change(lambda content: content["tuning"].update(models=[]))
    operator.run("tune", "train ridge", *others, "ensemble", "neutralize", "evaluate")


@pytest.mark.parametrize("other", ["settings", "features", "data"])
def test_a_final_model_of_before_is_not_handed_in(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    commands = ("submit", "upload --no-check")
    if other == "settings":
        operator.change(lambda content: content["models"]["ridge"].update(l2=2000.0))
        trained_again(operator)
    elif other == "features":
        operator.change(lambda content: content["select_features"].update(keep_share=0.4))
        operator.run("select_features")
        trained_again(operator, "train lightgbm", "refit lightgbm")
    else:
        path = operator.directory / "data/prepared/validation_targets.parquet"
        targets = tabular.read_parquet(path)
        path.unlink()
        tabular.write_parquet(targets.assign(target=1 - targets["target"]), path)
    name, expected = "ridge", f"was fitted with other {other} than data/models/ridge"
    if other == "data":
        name, expected = "lightgbm", "was fitted on other data than data/prepared/panel holds"
    for command in commands:
        capsys.readouterr()
        assert operator.ended(command) == 1
        error = capsys.readouterr().err
        assert f"error: data/final/{name}: it {expected}" in error
        assert error.endswith(f"; run dvc repro refit@{name}, then again\n")
        assert not server.account.objects
    operator.run("refit ridge", "refit lightgbm", *commands)


def test_a_prediction_that_was_not_scored_is_not_handed_in(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.change(lambda content: content["neutralize"].update(proportion=0.5))
    operator.run("neutralize")
    assert operator.ended("submit") == 1
    assert "data/scores: neutralized was scored when data/predictions/neutralized.parquet was another one; run dvc repro evaluate" in (
        capsys.readouterr().err
    )
    assert not server.account.objects
    operator.run("evaluate", "submit")
    (operator.directory / "data/scores/evaluated.json").unlink()
    assert operator.ended("submit") == 1
    assert "data/scores/evaluated.json: it doesn't say what was scored; run dvc repro evaluate" in capsys.readouterr().err


def test_a_final_model_that_is_not_there_and_features_that_were_selected_anew(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(operator.directory / "data/final/lightgbm")
    assert operator.ended("submit") == 1
    missing = "data/final/lightgbm: there is no final model, and final.refit names it; run dvc repro refit@lightgbm"
    assert missing in capsys.readouterr().err
    operator.change(lambda content: content["select_features"].update(keep_share=0.4))
    operator.run("select_features")
    assert operator.ended("submit") == 1
    assert "data/models/lightgbm: it was fitted with other features than data/features holds; run dvc repro" in capsys.readouterr().err


def test_models_that_do_not_say_what_they_were_fitted_on_are_trained_again(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = operator.directory / "data/final/ridge/model.json"
    content = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "basis"}))
    assert operator.ended("submit") == 1
    assert "data/final/ridge: it doesn't say what it was fitted on; run dvc repro refit@ridge" in capsys.readouterr().err


def test_with_no_resolved_era_to_add_the_final_models_are_handed_in(server: NumeraiServer, finished: Workspace, tmp_path: Path) -> None:
    shutil.copytree(finished.directory / "files", tmp_path / "files")
    path = tmp_path / "files/validation.parquet"
    tabular.read_parquet(path).assign(target=np.float32(np.nan)).to_parquet(path)
    operator = Workspace(tmp_path, tmp_path / "files")
    operator.change(lambda content: (content["submit"].update(models={"alpha": "ridge"}), content["tuning"].update(models=[])))
    operator.change(lambda content: (content["models"].pop("lightgbm"), content["final"].update(refit=["ridge"])))
    stages = [line for line in WHOLE[: WHOLE.index("explain ridge")] if not line.endswith("lightgbm")]
    operator.run(*stages, "ensemble", "neutralize", "evaluate", "submit")
    assert len(handed(server, "alpha")) == 1


def test_the_settings_are_read_once_however_long_the_round_is_waited_for(
    server: NumeraiServer, operator: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.account.opens = datetime.now(UTC) + timedelta(hours=1)

    def meanwhile(seconds: float) -> None:
        operator.change(lambda content: content["submit"].update(models={"beta": "lightgbm"}))
        operator.change(lambda content: content["data"].update(version="v9"))
        for name in ("scores/validation.parquet", "explored/features.csv"):
            (operator.directory / "data" / name).unlink(missing_ok=True)
        server.account.opens = datetime.now(UTC)

    monkeypatch.setattr(time, "sleep", meanwhile)
    operator.run("submit --wait 90")
    assert [(entry["model"], entry["prediction"], entry["outcome"]) for entry in journal(operator)] == [
        ("alpha", "neutralized", "sent"),
        ("beta", "ridge", "sent"),
    ]
    assert len(list((operator.directory / "data/promises").glob("*_20.parquet"))) == 2


def test_what_is_handed_in_has_the_digest_of_what_was_scored(server: NumeraiServer, operator: Workspace) -> None:
    operator.run("submit")
    alpha, beta = (entry["digest"] for entry in journal(operator))
    assert alpha != beta
    kept = tabular.read_parquet(operator.directory / f"data/promises/{beta}_20.parquet")
    scores = tabular.read_parquet(operator.directory / "data/scores/validation.parquet")
    assert kept["corr"].tolist() == scores.loc[scores["prediction"] == "ridge", "corr"].tolist()
    assert (operator.directory / f"data/promises/{beta}_60.parquet").exists()
    operator.change(lambda content: content["models"]["ridge"].update(l2=2000.0))
    trained_again(operator)
    operator.run("refit ridge", "submit")
    again = [entry["digest"] for entry in journal(operator)[2:]]
    assert not {alpha, beta} & set(again)
    assert (operator.directory / f"data/promises/{beta}_20.parquet").exists()


def test_without_a_model_to_hand_in_for(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert workspace.ended("submit") == 1
    assert "submit.models: there is no model to hand in for; name one" in capsys.readouterr().err
    workspace.change(lambda content: content["submit"].update(models={"alpha": "nothing"}))
    assert workspace.ended("submit") == 1
    assert "submit.models.alpha: no prediction is called 'nothing'" in capsys.readouterr().err


def test_the_key_is_in_no_file_and_no_message(
    server: NumeraiServer, operator: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(PUBLIC_ID)
    monkeypatch.delenv(SECRET_KEY)
    dotenv = operator.directory / ".env"
    dotenv.write_text(f'{PUBLIC_ID}={KEY[0]}\nexport {SECRET_KEY} = "{KEY[1]}"\n')
    dotenv.chmod(0o644)
    assert operator.ended("submit") == 1
    assert "others on this machine may read it (mode 644) and it holds a key; run: chmod 600 .env" in capfd.readouterr().err
    dotenv.chmod(0o600)
    operator.run("submit")
    server.put_faults = [Fault("500")]
    server.account.created.clear()
    assert operator.ended("submit") == 75
    server.account.key = ("other", KEY[1])
    assert operator.ended("submit") == 1
    said = "".join(capfd.readouterr())
    kept = [path for path in operator.directory.rglob("*") if path.is_file() and path != dotenv]
    assert len(kept) > 50
    for secret in (*KEY, numerai_server.SIGNATURE):
        assert secret not in said
        assert not [path for path in kept if secret.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("ONE=1", "1"),
        ("export ONE = 1  # which", "1"),
        ('ONE="1#2"', "1#2"),
        ("ONE=a#b", "a#b"),
        ("ONE='a\"b'  ", 'a"b'),
        ("ONE=", None),
        ("# ONE=1", None),
        ("TWO=1", None),
        ("ONE=1 2", None),
    ],
)
def test_a_file_of_secrets_is_read(tmp_path: Path, line: str, value: str | None) -> None:
    path = tmp_path / ".env"
    path.write_text(f"# secrets\n\n{line}\nTHREE=3\n")
    path.chmod(0o600)
    assert keys.values(["THREE"], {}, path) == ["3"]
    assert keys.values(["ONE"], {"ONE": "other"}, path) == ["other"]
    if value is None:
        with pytest.raises(keys.Missing, match="ONE: not set"):
            keys.values(["ONE"], {}, path)
    else:
        assert keys.values(["ONE"], {}, path) == [value]


def test_ranks_are_handed_in_and_what_is_not_whole_is_not() -> None:
    rows = pd.DataFrame({"id": ["b", "a", "c"], "x": [3.0, -1.0, 3.0], "same": 1.0})
    assert submission.table(rows, "x").to_dict("list") == {"id": ["a", "b", "c"], "prediction": [1 / 6, 4 / 6, 4 / 6]}
    for spoiled, message in (
        (rows.assign(x=[1, np.nan, 2]), "1 of 3 predictions are missing or infinite"),
        (rows.assign(x=[1, np.inf, 2]), "1 of 3 predictions are missing or infinite"),
        (rows.assign(id=["a", "a", "b"]), "an id is missing or there twice among the 3 rows"),
        (rows.assign(id=["a", None, "b"]), "an id is missing or there twice"),
        (rows.assign(x=0.5), "the prediction is the same in all 3 rows"),
        (rows.iloc[:0], "there is no row to hand in"),
    ):
        with pytest.raises(InputError, match=message):
            submission.table(spoiled, "x")


def test_a_file_reads_back_to_the_last_bit() -> None:
    values = np.random.default_rng(0).random(500)
    table = submission.table(pd.DataFrame({"id": [f"n{k:03d}" for k in range(500)], "x": values}), "x")
    assert submission.parsed(submission.content(table), "x").equals(table)
    moved = table.assign(prediction=table["prediction"].to_numpy()[::-1])
    assert not submission.same(table, moved)
    assert not submission.same(table, table.head(499))
    assert submission.same(table, table.sample(frac=1, random_state=1))


def test_the_drift_of_features_is_shown(server: NumeraiServer, standing: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    table = live(seed=OPEN)
    table["feature_5"] = np.int8(2)
    table["feature_6"] = (table["feature_6"].clip(2, 4)).astype(np.int8)
    table.set_index("id").to_parquet(server.rounds[OPEN] / "v5.3/live.parquet")
    standing.run("submit --dry-run")
    said = capsys.readouterr().out
    assert "drift: means that moved most, in standard deviations of training: feature_6 +" in said
    assert "drift: 1 features have one value now and had several in training: feature_5" in said


def test_numerapi_itself_hands_in_to_the_server(server: NumeraiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", server.url)
    theirs = numerapi.NumerAPI(*KEY, verbosity="error", show_progress_bars=False)
    assert theirs.get_models() == {"alpha": "id-alpha", "beta": "id-beta"}
    assert theirs.get_current_round() == OPEN
    assert theirs.check_round_open()
    path = tmp_path / "predictions.csv"
    path.write_bytes(submission.content(submission.table(live(seed=OPEN)[["id", "feature_0"]], "feature_0")))
    number = theirs.upload_predictions(str(path), model_id="id-alpha")
    assert [one["id"] for one in theirs.submission_ids("id-alpha")] == [number]
    assert Path(theirs.download_submission(number, dest_path=str(tmp_path / "back.csv"))).read_bytes() == path.read_bytes()


def test_numerapi_ends_in_a_key_error_where_ours_says_what_is_wrong(server: NumeraiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", server.url)
    theirs = numerapi.NumerAPI(*KEY, verbosity="critical", show_progress_bars=False)
    server.api_faults = [Fault("html")]
    with pytest.raises((KeyError, requests.JSONDecodeError)):
        theirs.get_models()
    for fault in ("html", "400", "null", "list"):
        server.api_faults = [Fault(fault)]
        ours = Account(server.url, KEY, QUICK)
        for ask in (partial(ours.models, ["alpha"]), ours.round, partial(ours.submissions, "id-alpha", datetime.now(UTC))):
            with pytest.raises(InputError):
                ask()
