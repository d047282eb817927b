"""Stakes of an account, read with the rules; and no call in the code that moves a stake or signs for it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numerai_server
import pytest
from closure import ROOT
from numerai_server import NumeraiServer
from workspace import command

from erawise.live import stakes, terms
from erawise.live.account import Round
from erawise.running.errors import InputError

ROUNDS = (1343, 1344, 1345)


def paid(model: str, number: int, amount: str) -> dict[str, Any]:
    return {"modelId": f"id-{model}", "roundNumber": number, "roundResolveTime": "2026-11-25T00:00:00Z", "payoutNmr": amount}


def staked(model: str, number: int, amount: str, kind: str = stakes.STRATEGY) -> dict[str, Any]:
    return {"modelId": f"id-{model}", "round": number, "type": kind, "amount": amount, "note": f"0x{number}"}


def score(number: int, name: str, value: float, *, day: int = 60, resolved: bool = True, version: str = "3") -> dict[str, Any]:
    times = {
        "roundCloseStakingTime": "2026-08-28T13:00:00Z",
        "roundScoreTime": None,
        "roundOpenTime": None,
        "roundResolveTime": None,
        "date": None,
    }
    own = {
        "roundNumber": number,
        "displayName": name,
        "version": version,
        "day": day,
        "value": value,
        "percentile": 0.5,
        "resolved": resolved,
    }
    return own | times


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    """Serve two rounds of `alpha` that have paid by the rules of each round, one of 10 NMR and one of 9.55."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    with numerai_server.serving(NumeraiServer(dict.fromkeys((1342, *ROUNDS), tmp_path), current=1410)) as state:
        account = state.account
        monkeypatch.setenv("ERAWISE_API_URL", state.url)
        monkeypatch.setenv("NUMERAI_PUBLIC_ID", account.key[0])
        monkeypatch.setenv("NUMERAI_SECRET_KEY", account.key[1])
        account.multipliers, account.factor, account.clip = {"corr60": 3.0, "mmc60": 15.0, "v2_corr20": 0.0}, "1.0", 1.0
        account.payouts = [
            {"actual": [paid("alpha", 1343, "0.879"), paid("alpha", 1344, "-0.42975")], "pending": [paid("alpha", 1345, "0.25")]}
        ]
        account.stakes = [staked("alpha", 1343, "10"), staked("alpha", 1344, "9.55"), staked("alpha", 1345, "10.5")]
        account.scores["id-alpha"] = [
            score(1343, "corr60", 0.5, day=59, resolved=False),
            score(1343, "corr60", 0.0123),
            score(1343, "corr60", 0.5, day=58),
            score(1343, "mmc60", 0.0034),
            score(1343, "v2_corr20", 0.4),
            score(1344, "corr60", -0.0040),
            score(1344, "mmc60", -0.0022),
        ]
        account.returns["id-alpha"] = [
            {"date": "2026-11-26", "oneDayNmr": "-0.42975", "allTimeNmr": "0.44925"},
            {"date": "2026-11-25", "oneDayNmr": "0.879", "allTimeNmr": "0.879"},
            {"date": "2026-11-24", "oneDayNmr": None, "allTimeNmr": None},
        ]
        yield state


def test_what_was_paid_is_what_the_rules_say(server: NumeraiServer, capsys: pytest.CaptureFixture[str]) -> None:
    command("payout", "--account", "--md")
    said = capsys.readouterr().out.splitlines()
    assert said[2:] == [
        "| alpha | 1343 | 10.000000000 | +0.879000000 | +0.879000000 | +0.000000000 |",
        "| alpha | 1344 | 9.550000000 | -0.429750000 | -0.429750000 | +0.000000000 |",
        "",
        "2 of 2 rounds agree with the rules to 0.000001 NMR",
        "alpha: +0.44925 NMR from 2026-11-25 to 2026-11-26 by the site's returns",
        "beta: the site has no returns yet",
        "1 position is open with 10.5 NMR; by the scores so far +0.25 NMR",
    ]


def test_only_reading_calls_are_sent(server: NumeraiServer) -> None:
    command("payout", "--account", "--md")
    text = "".join(query["query"] for query in server.queries)
    assert {"pendingModelPayouts", "stakeTransactions", "returnsValues"} <= set(re.findall(r"\w+", text))
    assert not STAKING.search(text)
    assert "mutation" not in text
    asked = [query["variables"] for query in server.queries if "pendingModelPayouts" in query["query"]]
    assert asked == [{"tournament": 8}] * 2


@pytest.mark.parametrize(("off", "code"), [("0.0000009", None), ("-0.0000009", None), ("0.0000011", 5), ("-0.0000011", 5)])
def test_a_round_that_was_paid_otherwise_is_named(
    off: str, code: int | None, server: NumeraiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.payouts[0]["actual"][0]["payoutNmr"] = f"{0.879 + float(off):.7f}"
    if code is None:
        command("payout", "--account", "--md")
        return
    with pytest.raises(SystemExit, match="5"):
        command("payout", "--account", "--md")
    said = capsys.readouterr()
    assert "1 of 2 rounds agree with the rules to 0.000001 NMR" in said.out
    assert f"{float(off):+.9f}" in said.out
    assert said.err == ("error: Numerai's payout differs from the rules: alpha in round 1343; see docs/payout.md for rules that are open\n")


def test_a_round_has_its_own_factor_and_clip(server: NumeraiServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.account.factor, server.account.clip = "0.5", 0.02
    server.account.payouts[0]["actual"] = [paid("alpha", 1343, "0.2"), paid("alpha", 1344, "-0.191")]
    command("payout", "--account", "--md")
    assert "2 of 2 rounds agree" in capsys.readouterr().out


def test_a_version_of_a_score_that_does_not_pay_is_not_taken(server: NumeraiServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.account.scores["id-alpha"].append(score(1343, "corr60", 0.9, version="2"))
    command("payout", "--account", "--md")
    assert "2 of 2 rounds agree" in capsys.readouterr().out


def test_what_cannot_be_checked_is_said_and_counted(server: NumeraiServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.account.payouts[0]["actual"] += [
        paid("alpha", 1342, "0E-18"),
        paid("alpha", 1345, "0.1"),
        paid("beta", 1343, "0.3"),
        {**paid("alpha", 1344, "0.2"), "modelId": "id-gone"},
    ]
    server.account.scores["id-alpha"] += [score(1345, name, 0.01, day=59, resolved=False) for name in ("corr60", "mmc60")]
    command("payout", "--account", "--md")
    said = capsys.readouterr().out
    assert "| alpha | 1342 | – | +0.000000000 | – | corr_mmc_2026 paid on the whole stake |" in said
    assert "| alpha | 1345 | 10.500000000 | +0.100000000 | – | no final corr60 and mmc60 |" in said
    assert "| beta | 1343 | – | +0.300000000 | – | its stake isn't in the list |" in said
    assert "| id-gone | 1344 | – | +0.200000000 | – | its stake isn't in the list |" in said
    assert "2 of 2 rounds agree with the rules to 0.000001 NMR; 4 can't be checked" in said


def test_only_scores_that_a_round_marks_as_paid_count() -> None:
    configs = [
        {"name": "corr60", "version": "3", "displayName": "corr60", "totalScoreDays": 60, "isPayout": True, "defaultMultiplier": 3.0},
        {"name": "mmc60", "version": "2", "displayName": "mmc60", "totalScoreDays": 60, "isPayout": False, "defaultMultiplier": 15.0},
        {"name": "mmc60", "version": "3", "displayName": "mmc60", "totalScoreDays": 60, "isPayout": True, "defaultMultiplier": "15.0"},
        {"name": "tc", "version": "1", "displayName": "tc", "totalScoreDays": 20, "isPayout": True, "defaultMultiplier": 0.0},
    ]
    now = datetime.now(UTC)
    found = terms.paid_scores(Round(1400, now, now, None, tuple(configs)))
    assert [(one.shown, one.version, one.multiplier, one.days, one.column) for one in found] == [
        ("corr60", "3", 3.0, 60, "corr"),
        ("mmc60", "3", 15.0, 60, "mmc"),
    ]
    with pytest.raises(InputError, match=r"round 1400: the server describes its scores in an unknown form; set payout\.regime"):
        terms.paid_scores(Round(1400, now, now, None, ({"isPayout": True, "defaultMultiplier": "many"},)))


def test_all_pages_of_stakes_are_read(server: NumeraiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(stakes, "PAGE", 2)
    server.account.stakes.insert(0, staked("alpha", 1343, "55", kind="deposit"))
    command("payout", "--account", "--md")
    assert "2 of 2 rounds agree" in capsys.readouterr().out
    assert [query["variables"]["offset"] for query in server.queries if "stakeTransactions" in query["query"]] == [0, 2, 4]


def test_a_stake_in_two_transactions_is_their_sum_and_one_that_is_listed_twice_counts_once(
    server: NumeraiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.account.stakes[0]["amount"] = "9.5"
    server.account.stakes += [staked("alpha", 1343, "0.5") | {"note": "0xother"}, staked("alpha", 1344, "9.55")]
    command("payout", "--account", "--md")
    assert "2 of 2 rounds agree" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda account: account.payouts.append({"actual": [paid("alpha", 1343, "1")], "pending": []}),
            "Numerai's answer on payouts changed between two calls, as when a round resolves; run it again",
        ),
        (
            lambda account: account.stakes.append(staked("alpha", 1343, "11")),
            "Numerai names two amounts for round 1343 of a model; run it again",
        ),
        (lambda account: account.payouts[0]["actual"].append(paid("alpha", 1345, "x")), ": the query has no result; check the network"),
        (lambda account: account.payouts[0].pop("pending"), ": the query has no result; check the network"),
    ],
)
def test_an_answer_that_cannot_do_is_said_in_a_line(
    change: Any, message: str, server: NumeraiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    change(server.account)
    with pytest.raises(SystemExit, match="75"):
        command("payout", "--account", "--md")
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_key_is_needed(server: NumeraiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("NUMERAI_PUBLIC_ID")
    monkeypatch.delenv("NUMERAI_SECRET_KEY")
    with pytest.raises(SystemExit, match="1"):
        command("payout", "--account", "--md")
    assert "NUMERAI_PUBLIC_ID" in capsys.readouterr().err
    assert not server.queries


# ---- no call that moves a stake

ACTING = ("v3_stake_auth", "set_model_config", "invoke_for", "claim_to_owner", "withdraw")
"""Calls of staking on single rounds that move NMR or sign for it."""


def spelt(call: str) -> str:
    """Return a pattern of a call in every spelling: words in any case, with or without text between them."""
    return r"[\W_]*".join(call.split("_"))


STAKING = re.compile(
    r"\bstake_(set|increase|decrease|drain|change)\b|v2_?change_?stake|(change|release|set|drain)_?stake\b|\.stake_\w+\(|mutation[^}]*stake|"
    + "|".join(map(spelt, ACTING)),
    re.IGNORECASE,
)
"""numerapi's calls, Numerai's queries and mutations and the contract's functions that change a stake."""


@pytest.mark.parametrize(
    "text",
    [
        "napi.stake_set(",
        "stake_drain",
        "v2ChangeStake(value",
        "releaseStake",
        "mutation(x) { v3Stake {",
        "query { v3StakeAuth(submissionId: $id) { signature } }",
        "napi.v3_stake_auth(",
        "V3-STAKE-AUTH",
        'getattr(napi, "v3_" + "stake_" + "auth")',
        "contract.functions.setModelConfig(",
        "set_model_config",
        "SetModelConfig",
        "invokeFor(model)",
        "invoke_for(",
        "withdraw(amount)",
        "strategy.withdrawAll",
        "WITHDRAW",
        "claimToOwner(",
        "claim_to_owner",
        "CLAIM-TO-OWNER",
    ],
)
def test_a_call_that_moves_a_stake_is_known_in_every_spelling(text: str) -> None:
    assert STAKING.search(text)


@pytest.mark.parametrize("text", [stakes.PAYOUTS, stakes.STAKES, stakes.RETURNS, "v3StakeClaims", "v3StakeConfig"])
def test_a_call_that_reads_is_none(text: str) -> None:
    assert not STAKING.search(text)


def test_no_call_that_moves_a_stake_is_in_the_code() -> None:
    files = [path for room in ("erawise", "stages") for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 50
    found = {path.name: match.group() for path in files if (match := STAKING.search(path.read_text(encoding="utf-8")))}
    assert not found
