"""Live scores: kept, never lost, and compared with a band that keeps its promise."""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numerai_server
import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from numerai_account import IDENTITIES
from numerai_server import Fault, NumeraiServer
from numpy.typing import NDArray
from workspace import Workspace

from erawise.base import files, tabular
from erawise.charts import figures, outlook_charts
from erawise.live import score_names, watching
from erawise.live.account import Account, Round
from erawise.live.scorebook import DTYPES, Scorebook, fetch
from erawise.outlook import monitoring
from erawise.outlook.monitoring import Horizon, Promise, Source
from erawise.running.errors import InputError
from erawise.sources.numerai.attempts import ADDRESS, Patience
from erawise.sources.numerai.client import PUBLIC_ID, SECRET_KEY

QUICK = Patience(connection=1, silence=1, tries=2, pause=0.01, longest_pause=0.02)
MONDAY = date(2026, 1, 5)
RIDGE, LATER, NEUTRALIZED = "1" * 64, "2" * 64, "3" * 64
"""Digests of the models that predictions came from."""


def scored(name: str, values: list[float], first: int = 100, *, still_open: int = 0, a_week: int = 1) -> list[dict[str, Any]]:
    """Return the server's values of one score over rounds, `a_week` of them each week, the last ones still open."""
    rows = []
    for place, value in enumerate(values):
        closed = datetime.combine(MONDAY + timedelta(weeks=place // a_week, days=place % a_week), datetime.min.time(), UTC)
        rows.append(
            {
                "roundNumber": first + place,
                "displayName": name,
                "version": IDENTITIES.get(name, ("", "1", 20))[1],
                "value": value,
                "percentile": 0.5,
                "day": 20,
                "resolved": place < len(values) - still_open,
                "roundCloseStakingTime": closed.isoformat(),
                "roundResolveTime": None,
                "roundScoreTime": None,
                "date": None,
                "resolveDate": None,
            }
        )
    return rows


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv(PUBLIC_ID, raising=False)
    monkeypatch.delenv(SECRET_KEY, raising=False)
    monkeypatch.setattr(watching, "Account", partial(Account, patience=QUICK))
    with numerai_server.serving(NumeraiServer(dict.fromkeys(range(100, 200), tmp_path), current=150)) as state:
        monkeypatch.setenv(ADDRESS, state.url)
        state.account.multipliers = {"v2_corr20": 0.0, "mmc": 0.0, "corr60": 3.0, "mmc60": 15.0}
        state.account.scores["id-alpha"] = [*scored("v2_corr20", [0.5] * 6, still_open=2), *scored("mmc", [0.1] * 6, still_open=2)]
        state.account.leaderboard = [*(f"other{k}" for k in range(1100)), "alpha"]
        yield state


def promised(operator: Workspace, digest: str, corr: float, eras: int = 60, days: int = 20) -> None:
    """Keep validation scores with a mean CORR."""
    noise = pd.Series(np.random.default_rng(0).normal(size=eras + 3)).rolling(4).mean().dropna().to_numpy()
    table = pd.DataFrame({"era": np.arange(100, 100 + eras), "corr": corr + 0.1 * noise, "mmc": 0.1 + 0.05 * noise})
    directory = operator.directory / "data/promises"
    directory.mkdir(exist_ok=True)
    tabular.write_parquet(table, directory / f"{digest}_{days}.parquet")


def sent(operator: Workspace, model: str, prediction: str, digest: str, rounds: Iterable[int]) -> None:
    """Note submissions."""
    for number in rounds:
        entry = {"time": f"{MONDAY + timedelta(weeks=number - 100)}T12:00:00+00:00", "model": model, "round": number, "outcome": "sent"}
        files.append_line(entry | {"prediction": prediction, "digest": digest}, operator.directory / "journal.jsonl")


def uploaded(operator: Workspace, week: int, **entry: Any) -> None:
    """Note an upload for alpha in a week after the first."""
    line = {"time": f"{MONDAY + timedelta(weeks=week, days=-1)}T12:00:00+00:00", "model": "alpha", "pickle": "x.pkl"} | entry
    files.append_line(line, operator.directory / "journal.jsonl")


@pytest.fixture
def operator(workspace: Workspace) -> Workspace:
    models = {"alpha": "ridge", "beta": "neutralized"}
    workspace.change(lambda content: (content["submit"].update(models=models), content["monitor"].update(replicates=200)))
    promised(workspace, RIDGE, 0.5)
    promised(workspace, NEUTRALIZED, 0.5)
    sent(workspace, "alpha", "ridge", RIDGE, range(100, 140))
    sent(workspace, "beta", "neutralized", NEUTRALIZED, [100])
    return workspace


@pytest.fixture
def drawn() -> None:
    """Draw the pictures as for a user."""


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw pictures and write them only for tests that look at them: it takes half of the time of a monitor."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(outlook_charts, "live", lambda table, shades: None)
        monkeypatch.setattr(figures, "write", lambda figure, path: path.touch())


def test_live_scores_are_shown_in_the_band_of_validation(
    server: NumeraiServer, operator: Workspace, drawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.run("monitor --md")
    said = capsys.readouterr().out
    assert "12 scores are new" in said
    assert "| alpha | ridge | CORR | 4 | 4 | 0.5000 | 50 | 2.000 | (+" in said
    found = json.loads((operator.directory / "metrics/live.json").read_text())
    assert found["rank"] == {"alpha": 1101}
    corr = found["days_20"]["alpha"]["corr"]
    assert corr["rounds"] == corr["weeks"] == 4
    assert corr["promised_low"] < corr["sum"] == 2 < corr["promised_high"]
    assert (corr["inside"], corr["open_rounds"], corr["open_mean"]) == (1, 2, 0.5)
    assert found["days_20"]["beta"]["corr"] == {"rounds": 0, "weeks": 0}
    table = pd.read_csv(operator.directory / "plots/live_20.csv")
    assert table["final"].tolist() == 2 * [True, True, True, True, False, False]
    assert "live scores are within the band of validation" in (operator.directory / "plots/live_20.svg").read_text()
    assert not (operator.directory / "plots/live_60.svg").exists()


def test_an_alarm_where_they_leave_it(server: NumeraiServer, operator: Workspace, drawn: None, capsys: pytest.CaptureFixture[str]) -> None:
    server.account.scores["id-alpha"] = scored("v2_corr20", [-0.5] * 12)
    assert operator.ended("monitor --md") == 5
    error = capsys.readouterr().err
    assert error.startswith(
        "error: alpha: the sum of CORR (early sign: 20 days) over 12 weeks is -6.000, below the band of the validation of ridge, (+"
    )
    assert "alpha left the band of validation" in (operator.directory / "plots/live_20.svg").read_text()
    assert json.loads((operator.directory / "metrics/live.json").read_text())["days_20"]["alpha"]["corr"]["inside"] == 0


def test_open_rounds_raise_no_alarm(server: NumeraiServer, operator: Workspace) -> None:
    server.account.scores["id-alpha"] = scored("v2_corr20", [0.5] * 4 + [-9.0] * 4, still_open=4)
    operator.run("monitor --md")
    found = json.loads((operator.directory / "metrics/live.json").read_text())["days_20"]["alpha"]["corr"]
    assert found["inside"] == 1
    assert found["open_mean"] == -9


def test_what_pays_and_its_early_sign_stand_apart_each_in_the_band_of_its_own_validation(
    server: NumeraiServer, operator: Workspace, drawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    promised(operator, RIDGE, 0.2, eras=160, days=60)
    server.account.scores["id-alpha"] += scored("corr60", [0.2] * 3) + scored("mmc60", [0.1] * 3) + scored("cort20", [9.0] * 3)
    operator.run("monitor --md")
    said = capsys.readouterr().out
    paid, early = said.split("**Paid: 60 days (corr60, mmc60)**")[1].split("**Early sign: 20 days (v2_corr20, mmc)**")
    assert re.search(r"\| alpha \| ridge \| CORR \| 3 \| 3 \| 0.2000 \| 50 \| 0.600 \| \(.* \| inside \|", paid)
    assert re.search(r"\| alpha \| ridge \| CORR \| 4 \| 4 \| 0.5000 \| 50 \| 2.000 \| \(.* \| inside \|", early)
    assert "also kept: cort20" in early
    found = json.loads((operator.directory / "metrics/live.json").read_text())
    assert list(found) == ["days_60", "days_20", "rank"]
    bands = [
        found[days]["alpha"]["corr"]["promised_high"] - found[days]["alpha"]["corr"]["promised_low"] for days in ("days_60", "days_20")
    ]
    assert bands[0] != bands[1]
    for days, headline in ((60, "Paid: 60 days: live scores are within"), (20, "Early sign: 20 days: live scores are within")):
        assert headline in (operator.directory / f"plots/live_{days}.svg").read_text()


def test_scores_of_a_horizon_without_validation_of_that_horizon_have_no_band(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.scores["id-alpha"] += scored("corr60", [-9.0] * 3)
    operator.run("monitor --md")
    said = capsys.readouterr().out
    assert "| alpha | ridge | CORR | 3 | 3 | -9.0000 | 50 | -27.000 | its validation scores for a target of 60 days aren't kept |" in said


def test_rounds_that_pay_for_twenty_days_say_so(server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    server.account.multipliers = {"v2_corr20": 0.75, "mmc": 2.25}
    operator.run("monitor --md")
    said = capsys.readouterr().out
    assert "**Paid: 20 days (v2_corr20, mmc)**" in said
    assert "60 days: round 105 names no CORR or MMC that looks so far ahead; none is drawn\n" in said


def test_a_server_that_changes_its_answer_takes_no_score_into_a_band_of_another_horizon(
    server: NumeraiServer, operator: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promised(operator, RIDGE, 0.2, eras=160, days=60)
    operator.run("monitor --md")
    server.account.scores["id-alpha"] += scored("v2_corr20", [0.5] * 7)[6:]
    monkeypatch.setitem(IDENTITIES, "v2_corr20", ("correlation", "6", 60))
    capsys.readouterr()
    operator.run("monitor --md", "monitor --offline")
    said = capsys.readouterr()
    line = (
        "warning: v2_corr20 (version 6) isn't drawn, since its horizon isn't known: "
        "Numerai says 20 days in its answer on round 105 and 60 days in its answer on round 106\n"
    )
    assert said.err == 2 * line
    assert "| alpha | ridge | CORR | 0 | 0 |" in said.out
    assert "days_60" not in json.loads((operator.directory / "metrics/live.json").read_text())


def test_a_paid_score_that_no_one_knows_and_rounds_of_which_numerai_says_nothing_are_a_line_each(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.multipliers |= {"cort20": 2.0}
    server.account.scores["id-alpha"] += scored("corr20", [9.0] * 2, first=3)
    operator.run("monitor --md")
    said = capsys.readouterr()
    assert said.err == (
        "warning: corr20 (version 1) isn't drawn, since its horizon isn't known: no round that has it says so\n"
        "warning: round 105 pays for cort20 (version 1), which erawise doesn't know; it is kept, and not drawn\n"
    )
    assert "| alpha | ridge | CORR | 4 | 4 | 0.5000 |" in said.out


class TwoRounds(Account):
    """A server that says 20 days of a score in round 100, and 60 in later ones."""

    def round(self, number: int | None = None) -> Round:
        now, days = datetime.now(UTC), 20 if number == 100 else 60
        scores = ({"displayName": "mmc", "version": "5", "totalScoreDays": days, "isPayout": False},)
        return Round(number or 0, now, now, None, scores)


def test_a_score_of_two_horizons_has_none() -> None:
    rows = book([0.1] * 3).assign(score="mmc", version="5")
    names = score_names.ask(TwoRounds("https://example.org"), rows, {})
    assert names["mmc", "5"].days is None
    assert "Numerai says 20 days in its answer on round 100 and 60 days in its answer on round 102" in names["mmc", "5"].reason
    assert score_names.labelled(rows, names, 20).empty
    assert score_names.labelled(rows, names, 60).empty


def test_what_scores_are_is_kept_for_when_the_server_says_nothing_usable(
    server: NumeraiServer, operator: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now, told = datetime.now(UTC), "round 105: the server describes its scores in an unknown form"
    spoilt = Round(105, now, now, None, ({"displayName": "mmc", "totalScoreDays": "x"},))
    with monkeypatch.context() as patch:
        patch.setattr(Account, "round", lambda *_: spoilt)
        assert operator.ended("monitor --md") == 1
        assert capsys.readouterr().err == f"error: {told}\n"
        assert operator.ended("monitor --offline") == 1
        kept = "error: data/live_scores/names.json: the horizons of scores aren't kept yet; run `erawise monitor` without --offline\n"
        assert capsys.readouterr().err == kept
    operator.run("monitor --md")
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(Account, "round", lambda *_: spoilt)
        operator.run("monitor --md")
    said = capsys.readouterr()
    assert said.err == f"warning: the horizons of scores are as kept before: {told}\n"
    assert "| alpha | ridge | CORR | 4 | 4 | 0.5000 |" in said.out
    (operator.directory / "data/live_scores/names.json").write_text("[1]")
    assert operator.ended("monitor --md") == 1
    assert "names.json: not a list of names of scores; remove it" in capsys.readouterr().err


def test_a_rerun_only_adds_and_works_without_the_network(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.run("monitor --md")
    directory = operator.directory / "data/live_scores"
    before = {path.name: path.read_bytes() for path in directory.glob("*.parquet")}
    operator.run("monitor --md")
    assert {path.name: path.read_bytes() for path in directory.glob("*.parquet")} == before
    server.account.scores["id-alpha"][0]["value"] = 0.6
    server.account.scores["id-alpha"] += scored("v2_corr20", [0.5] * 7)[6:]
    operator.run("monitor --md")
    assert "2 scores are new" in capsys.readouterr().out
    after = {path.name: path.read_bytes() for path in directory.glob("*.parquet")}
    assert after.items() >= before.items()
    assert set(after) - set(before) == {"000002.parquet"}
    book = Scorebook(directory).read()
    assert len(book) == 13
    assert book.query("score == 'v2_corr20' and round == 100")["value"].tolist() == [0.6]
    server.account.scores.clear()
    server.api_faults = [Fault("500")]
    assert operator.ended("monitor --md") == 75
    operator.run("monitor --md --offline")
    assert len(Scorebook(directory).read()) == 13


@contextmanager
def monitors(operator: Workspace, commands: Path, *arguments: list[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """Start monitors that wait for a lock, and release it at the end."""
    command, environment = [str(commands / "python"), "-m", "erawise", "monitor"], os.environ | {"PYTHONPATH": str(ROOT)}
    with ExitStack() as stack, files.exclusive_lock(operator.directory / "data/live_scores", "test"):
        started = [
            stack.enter_context(
                subprocess.Popen([*command, *own], cwd=operator.directory, env=environment, stderr=subprocess.PIPE, text=True)
            )
            for own in arguments
        ]
        for process in started:
            assert process.stderr
            assert process.stderr.readline() == "monitor: another process works on it; waiting for its end\n"
        yield started


def test_two_monitors_at_once_take_turns(server: NumeraiServer, operator: Workspace, commands: Path) -> None:
    with monitors(operator, commands, [], []) as started:
        assert not (operator.directory / "metrics/live.json").exists()
    assert [process.wait(60) for process in started] == [0, 0]
    found = json.loads((operator.directory / "metrics/live.json").read_text())
    assert found["days_20"]["alpha"]["corr"]["rounds"] == 4
    assert [path.name for path in (operator.directory / "data/live_scores").glob("*.parquet")] == ["000001.parquet"]


def test_ranks_that_another_monitor_brings_meanwhile_are_kept(server: NumeraiServer, operator: Workspace, commands: Path) -> None:
    operator.run("monitor --md")
    path = operator.directory / "metrics/live.json"
    with monitors(operator, commands, ["--offline"]) as [process]:
        files.write_json(files.read_json(path) | {"rank": {"alpha": 5}}, path)
    assert process.wait(60) == 0
    assert files.read_json(path)["rank"] == {"alpha": 5}


def test_with_a_key_all_models_of_the_account_are_looked_at(
    server: NumeraiServer, operator: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PUBLIC_ID, server.account.key[0])
    monkeypatch.setenv(SECRET_KEY, server.account.key[1])
    operator.change(lambda content: content["submit"].update(models={"alpha": "ridge"}))
    (operator.directory / "journal.jsonl").unlink()
    sent(operator, "alpha", "ridge", RIDGE, range(100, 106))
    server.account.scores["id-beta"] = scored("v2_corr20", [0.3] * 3)
    operator.run("monitor --md")
    said = capsys.readouterr().out
    assert "| alpha | ridge | CORR | 4 | 4 | 0.5000 |" in said
    assert "| beta |  | CORR | 3 | 3 | 0.3000 | 50 | 0.900 | no prediction was sent from here |" in said
    monkeypatch.setenv(SECRET_KEY, "wrong")
    operator.run("monitor --md")
    assert "warning: only the models of submit.models are shown: " in (error := capsys.readouterr().err)
    assert "the key isn't accepted" in error


def test_rounds_of_an_earlier_model_stand_apart_in_the_band_of_its_own_validation(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (operator.directory / "journal.jsonl").unlink()
    server.account.scores["id-alpha"] = scored("v2_corr20", [-0.5] * 12 + [0.5] * 4 + [9.0])
    promised(operator, RIDGE, -0.5)
    promised(operator, LATER, 0.5)
    sent(operator, "alpha", "ridge", RIDGE, range(100, 112))
    sent(operator, "alpha", "ridge", LATER, range(112, 116))
    operator.run("monitor --md")
    said = capsys.readouterr().out
    assert re.search(r"\| alpha \| ridge \| CORR \| 4 \| 4 \| 0.5000 \| 50 \| 2.000 \| \(\+.* \| inside \|", said)
    assert re.search(r"\| alpha \| ridge, earlier \(11111111\) \| CORR \| 12 \| 12 \| -0.5000 \| 50 \| -6.000 \| \(-.* \| inside \|", said)
    assert "| alpha | not from here, earlier | CORR | 1 | 1 | 9.0000 | 50 | 9.000 | no prediction was sent from here |" in said
    found = json.loads((operator.directory / "metrics/live.json").read_text())["days_20"]["alpha"]
    assert (found["corr"]["weeks"], found["corr"]["inside"]) == (4, 1)
    assert found["earlier"]["11111111"]["corr"]["inside"] == 1
    table = pd.read_csv(operator.directory / "plots/live_20.csv")
    weeks = {"ridge": 4, "not from here, earlier": 1, "ridge, earlier (11111111)": 12}
    assert table.groupby("source", sort=False).size().to_dict() == weeks


def test_an_earlier_model_that_left_its_band_is_no_alarm(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.scores["id-alpha"] = scored("v2_corr20", [-0.5] * 40 + [0.5] * 4)
    promised(operator, LATER, 0.5)
    sent(operator, "alpha", "ridge", LATER, range(140, 144))
    operator.run("monitor --md")
    assert re.search(r"\| alpha \| ridge, earlier \(11111111\) \| CORR \| 40 .* \| below \|", capsys.readouterr().out)


@pytest.mark.parametrize("outcome", ["failed", "sent"])
def test_an_upload_predicts_the_rounds_that_close_on_later_days(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str], outcome: str
) -> None:
    (operator.directory / "journal.jsonl").unlink()
    server.account.scores["id-alpha"] = scored("v2_corr20", [0.1] * 3 + [0.2] * 3 + [0.3] * 3 + [0.4] * 3)
    promised(operator, LATER, 0.35)
    uploaded(operator, 0, prediction="ridge", digest=RIDGE, outcome="success")
    sent(operator, "alpha", "ridge", LATER, [103])
    uploaded(operator, 6, prediction="ridge", digest=LATER, outcome="failed")
    uploaded(operator, 9, prediction="ridge", digest=LATER, outcome=outcome, upload="pickle-1")
    operator.run("monitor --md")
    said = capsys.readouterr().out
    assert "| alpha |  | CORR | 8 | 8 | 0.3125 | 50 | 2.500 | no prediction was sent from here |" in said
    uploaded(operator, 9, prediction="ridge", digest=LATER, outcome="success")
    operator.run("monitor --md")
    assert "| alpha | ridge | CORR | 4 | 4 | 0.3500 | 50 | 1.400 | (+" in capsys.readouterr().out


def test_what_was_sent_before_digests_were_kept_has_no_band(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = operator.directory / "journal.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    path.unlink()
    for entry in entries:
        files.append_line({key: value for key, value in entry.items() if key != "digest"}, path)
    operator.run("monitor --md")
    assert "| alpha | ridge | CORR | 4 | 4 | 0.5000 | 50 | 2.000 | sent before its validation was kept |" in capsys.readouterr().out


def test_a_round_that_never_resolves_does_not_hide_the_others(server: NumeraiServer, operator: Workspace) -> None:
    rows = scored("v2_corr20", [0.5, 0.5] + [-0.5] * 20)
    rows[1]["resolved"] = False
    server.account.scores["id-alpha"] = rows
    assert operator.ended("monitor --md") == 5
    found = json.loads((operator.directory / "metrics/live.json").read_text())["days_20"]["alpha"]["corr"]
    assert (found["weeks"], found["open_rounds"]) == (21, 1)
    assert "open_mean" not in found


def test_ranks_stay_where_they_cannot_be_had(
    server: NumeraiServer, operator: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.run("monitor --md", "monitor --offline")
    assert json.loads((operator.directory / "metrics/live.json").read_text())["rank"] == {"alpha": 1101}

    def fails(*arguments: Any) -> None:
        raise InputError("no leaderboard")

    monkeypatch.setattr(Account, "ranks", fails)
    operator.run("monitor --md")
    assert "warning: no ranks: no leaderboard" in capsys.readouterr().err
    assert json.loads((operator.directory / "metrics/live.json").read_text())["rank"] == {"alpha": 1101}


@pytest.mark.parametrize(
    "spoilt",
    [
        {"roundNumber": None},
        {"roundNumber": "x"},
        {"day": "x"},
        {"value": "abc"},
        {"percentile": "x"},
        {"displayName": None},
        {"displayName": 5},
        {"value": []},
    ],
)
def test_an_answer_in_another_form_is_one_line_and_leaves_the_store_as_it_was(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str], spoilt: dict[str, Any]
) -> None:
    server.account.scores["id-alpha"][0].update(spoilt)
    assert operator.ended("monitor --md") == 75
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the query has no result" in error
    assert not list((operator.directory / "data/live_scores").glob("*.parquet"))


def test_live_scores_are_a_history_by_week_once_they_have_resolved() -> None:
    corr = book([0.1, 0.2, 0.3, 0.4], a_week=2, still_open=1)
    mmc = book([0.01, 0.02, 0.03, 0.04], a_week=2).assign(metric="mmc")
    found = monitoring.history(pd.concat([corr, mmc]))
    assert found["prediction"].tolist() == ["alpha", "alpha"]
    assert np.diff(found["era"]).tolist() == [1]
    assert np.allclose(found["corr"], [0.15, 0.3])
    assert np.allclose(found["mmc"], [0.015, 0.035])
    assert monitoring.history(corr.head(0)).empty


def test_a_model_that_is_gone_is_named_and_the_others_are_shown(
    server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.models.pop("beta")
    operator.run("monitor --md")
    said = capsys.readouterr()
    assert said.err == "warning: submit.models: Numerai has no model 'beta'; see how it is written there\n"
    assert "12 scores are new" in said.out
    assert "| alpha | ridge | CORR |" in said.out


def test_what_is_wrong_is_said(server: NumeraiServer, operator: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    operator.change(lambda content: content["submit"].update(models={"gamma": "ridge"}))
    assert operator.ended("monitor --md") == 1
    assert "submit.models: Numerai has no model 'gamma'" in capsys.readouterr().err
    operator.change(lambda content: content["submit"].update(models={}))
    assert operator.ended("monitor --md") == 1
    assert "submit.models: there is no model to look at" in capsys.readouterr().err
    directory = operator.directory / "data/live_scores"
    directory.mkdir()
    tabular.write_parquet(pd.DataFrame({"x": [1]}), directory / "000001.parquet")
    with pytest.raises(InputError, match=r"000001\.parquet: not a file of live scores; move it away"):
        Scorebook(directory).read()


def test_scores_without_a_value_a_date_or_a_day_do_no_harm(server: NumeraiServer) -> None:
    [row] = scored("v2_corr20", [0.5])
    server.account.scores["id-alpha"] = [
        row | {"value": None},
        row | {"value": "NaN"},
        row | {"roundNumber": 101, "roundCloseStakingTime": None, "day": None},
    ]
    found = fetch(Account(server.url, patience=QUICK), {"alpha": "id-alpha"})
    assert found[["round", "day", "closed"]].to_numpy().tolist() == [[101, -1, ""]]
    assert monitoring.latest_scores(found).empty
    server.account.scores["id-alpha"] = [{"value": 1}]
    with pytest.raises(InputError, match=r"^alpha: .*the query has no result"):
        fetch(Account(server.url, patience=QUICK), {"alpha": "id-alpha"})


def book(values: list[float], **options: Any) -> pd.DataFrame:
    rows = [
        {
            "model": "alpha",
            "round": row["roundNumber"],
            "score": row["displayName"],
            "version": "6",
            "day": row["day"],
            "value": row["value"],
            "percentile": 0.5,
            "resolved": row["resolved"],
            "closed": row["roundCloseStakingTime"][:10],
        }
        for row in scored("v2_corr20", values, **options)
    ]
    return pd.DataFrame(rows).astype(DTYPES).assign(metric="corr")


def test_the_rounds_of_a_week_are_one_and_of_a_round_its_last_word_counts() -> None:
    table = book([1, 2, 3, 4, 5, 6, 7], a_week=5, still_open=1)
    first = table.head(1)
    other = [
        first.assign(day=30, value=99.0, resolved=False),
        first.assign(day=3, value=98.0),
        first.assign(version="10", value=1.0),
        first.assign(version="9", value=97.0),
    ]
    weeks = monitoring.by_week(monitoring.latest_scores(pd.concat([*other, table.iloc[1:]])))
    assert weeks[["round", "rounds", "value"]].to_numpy().tolist() == [[104, 5, 3.0], [106, 2, 6.5]]
    undated = first.assign(day=-1, value=5.0)
    assert monitoring.latest_scores(pd.concat([undated, first.assign(day=3, resolved=False)]))["value"].tolist() == [5.0]


def overlapping(eras: int, rng: np.random.Generator) -> NDArray[np.float64]:
    drawn = rng.normal(size=eras + 3)
    return 0.02 + 0.015 * np.sum([drawn[k : k + eras] for k in range(4)], axis=0)


@pytest.mark.parametrize(("eras", "weeks"), [(56, 20), (120, 52)])
def test_nineteen_of_twenty_sums_stay_in_the_band_all_the_way(eras: int, weeks: int) -> None:
    held = []
    for seed in range(400):
        low, _, high = monitoring.band(overlapping(eras, np.random.default_rng(seed)), 4, 1, weeks, 400, 0)
        total = np.cumsum(overlapping(weeks, np.random.default_rng(10_000 + seed)))
        held.append(((low <= total) & (total <= high)).all())
    assert 0.92 <= np.mean(held) <= 0.98


def test_the_band_knows_of_the_overlap_and_of_eras_that_stand_for_several_weeks() -> None:
    rng = np.random.default_rng(0)
    series = overlapping(200, rng)
    shuffled = rng.permutation(series)
    wide, narrow = (monitoring.band(values, 4, 1, 20, 1000, 0) for values in (series, shuffled))
    assert wide[2][-1] - wide[0][-1] > 1.3 * (narrow[2][-1] - narrow[0][-1])
    every = monitoring.band(series[::4], 1, 4, 20, 1000, 0)
    assert len(every[0]) == 20
    assert 0.6 < (every[2][-1] - every[0][-1]) / (wide[2][-1] - wide[0][-1]) < 1.7


def test_too_few_eras_promise_nothing() -> None:
    source = Source("ridge", RIDGE, Promise({"corr": np.linspace(0, 1, 20), "mmc": np.empty(0)}, 1, 4))
    for metric, reason in (("corr", "20 eras; an interval needs 32"), ("mmc", "0 eras; an interval needs 32")):
        rows = book([1.0]).assign(metric=metric)
        found = monitoring.live(rows, "alpha", metric, source, Horizon(20, paid=False, early=True), replicates=100, seed=0)
        assert found.reason.startswith(reason)
        assert found.verdict == "none"
        assert monitoring.alarms([found]) == []
