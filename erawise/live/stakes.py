"""The check of Numerai's payouts: what each round has paid, and what the rules say. Stakes are only read."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from erawise import params
from erawise.live import keys, payouts
from erawise.live.account import Account, Round
from erawise.live.scorebook import fetch
from erawise.live.terms import figures, paid_scores
from erawise.outlook.payout_contract import Model, Strategy, rate
from erawise.regimes.regimes import Regime
from erawise.regimes.settings import Payout
from erawise.running import paths, terminal
from erawise.running.errors import InputError, Unavailable
from erawise.running.terminal import Column, Form, Sheet, Value

PAGE = 500
"""Stakes in one request."""

NEAR = Decimal("1e-6")
"""Difference in NMR up to which two amounts count as the same."""

STRATEGY = "strategy stake"
"""The server's word for a stake on a single round."""

PAYOUTS = """
query ($tournament: Int!) {
  pendingModelPayouts(tournament: $tournament) {
    actual { modelId roundNumber roundResolveTime payoutNmr }
    pending { modelId roundNumber roundResolveTime payoutNmr }
  }
}
"""
STAKES = """
query ($modelIds: [ID], $limit: Int, $offset: Int) {
  stakeTransactions(modelIds: $modelIds, limit: $limit, offset: $offset) { modelId round type amount note }
}
"""
RETURNS = """
query ($modelId: ID!) {
  model(modelId: $modelId) { returnsValues { date oneDayNmr allTimeNmr } }
}
"""

Position = tuple[str, int]
"""A model's id and a round."""

Score = tuple[str, str]
"""The name and the version of a score."""


class Differs(InputError):
    """A payout that differs from the rules."""

    code = 5


@dataclass(frozen=True)
class Row:
    """A model's round that has paid; if `rules` is None, `reason` says why."""

    model: str
    round: int
    stake: Decimal | None
    paid: Decimal
    rules: Decimal | None
    reason: str = ""

    @property
    def differs(self) -> bool:
        """Return whether the payout differs from the rules."""
        return self.rules is not None and abs(self.rules - self.paid) > NEAR


def reconcile(form: Form = "terminal") -> None:
    """Print the payout of each round of the account's models, and the payout by the rules.

    Parameters
    ----------
    form : of the table.

    Raises
    ------
    Differs
        If the two differ by more than 1e-6 NMR in a round.
    InputError
        If there is no key, or the server fails (`Unavailable`).
    """
    settings = params.load(paths.PARAMS).payout
    account = Account(key=keys.read(os.environ, paths.ENVIRONMENT))
    models = account.models()
    actual, pending = _payouts(account)
    stakes = _stakes(account, list(models.values()))
    rows = _rows(account, settings, models, actual, stakes)
    if _payouts(account)[0] != actual:
        raise Unavailable("Numerai's answer on payouts changed between two calls, as when a round resolves; run it again")
    terminal.write([_table(rows), _agreement(rows)], form)
    for name, number in models.items():
        print(_returns(account, name, number))
    open_now = [stakes[position] for position in stakes if position not in actual]
    count = f"{len(open_now)} position{' is' if len(open_now) == 1 else 's are'} open"
    print(f"{count} with {sum(open_now, Decimal(0)):f} NMR; by the scores so far {sum(pending.values(), Decimal(0)):+f} NMR")
    differing = [f"{row.model} in round {row.round}" for row in rows if row.differs]
    if differing:
        raise Differs(f"Numerai's payout differs from the rules: {', '.join(differing)}; see docs/payout.md for rules that are open")


def _payouts(account: Account) -> tuple[dict[Position, Decimal], dict[Position, Decimal]]:
    """Return the payouts of rounds, and what open rounds would pay by now; a burn is negative."""
    answer = account.raw_query(PAYOUTS, {"tournament": account.tournament_id}, authorization=True)
    with account.understood():
        found = account.present(answer, "pendingModelPayouts")
        return _amounts(found["actual"], "roundNumber", "payoutNmr"), _amounts(found["pending"], "roundNumber", "payoutNmr")


def _stakes(account: Account, models: list[str]) -> dict[Position, Decimal]:
    """Return the stakes on single rounds."""
    found: list[dict[str, Any]] = []
    while True:
        variables = {"modelIds": models, "limit": PAGE, "offset": len(found)}
        answer = account.raw_query(STAKES, variables, authorization=True)
        with account.understood():
            page = list(account.present(answer, "stakeTransactions"))
        found += page
        if len(page) < PAGE:
            break
    with account.understood():
        return _amounts([one for one in found if one["type"] == STRATEGY], "round", "amount")


def _amounts(rows: list[Mapping[str, Any]], number: str, amount: str) -> dict[Position, Decimal]:
    """Return the sum of the amounts of each position; a transaction (by its note) counts once.

    Raises
    ------
    Unavailable
        If a transaction appears twice with different amounts: the list changed while it was read.
    """
    each: dict[tuple[str, int, str], Decimal] = {}
    for row in rows:
        key = str(row["modelId"]), int(row[number]), str(row.get("note"))
        try:
            value = Decimal(str(row[amount]))
        except InvalidOperation:
            raise ValueError(f"{row[amount]!r} isn't an amount") from None
        if each.setdefault(key, value) != value:
            raise Unavailable(f"Numerai names two amounts for round {key[1]} of a model; run it again")
    found: dict[Position, Decimal] = {}
    for (model, one, _), value in each.items():
        found[model, one] = found.get((model, one), Decimal(0)) + value
    return found


def _rows(
    account: Account, settings: Payout, models: Mapping[str, str], actual: Mapping[Position, Decimal], stakes: Mapping[Position, Decimal]
) -> list[Row]:
    known, names = payouts.known(settings), {number: name for name, number in models.items()}
    scores, read = _final_scores(account, models), functools.cache(account.round)
    rows = []
    for (model, number), paid in sorted(actual.items(), key=lambda item: (names.get(item[0][0], item[0][0]), item[0][1])):
        name, stake, regime, rules = names.get(model, model), stakes.get((model, number)), known.of_round(number), None
        if regime.stake == "whole":
            reason = f"{regime.id} paid on the whole stake"
        elif stake is None:
            reason = "its stake isn't in the list"
        else:
            rules, reason = _by_the_rules(read(number), regime, settings, stake, scores.get((name, number), {}))
        rows.append(Row(name, number, stake, paid, rules, reason))
    return rows


def _by_the_rules(
    found: Round, regime: Regime, settings: Payout, stake: Decimal, scores: Mapping[Score, Decimal]
) -> tuple[Decimal | None, str]:
    """Return the win or loss of a stake on a round by the simulator; None and the reason if a score is missing."""
    paid = paid_scores(found)
    lacking = [one.shown for one in paid if (one.shown, one.version) not in scores]
    if lacking:
        return None, f"no final {' and '.join(lacking)}"
    own = {one.shown: scores[one.shown, one.version] for one in paid}
    _, won = rate(own, {one.shown: one.multiplier for one in paid}, *figures(found, paid, regime, settings.total_at_risk))
    strategy = Strategy(Decimal(0), {"own": Model(stake, "constant", positions={found.number: stake})})
    return strategy.settle("own", found.number, won).settlement, ""


def _final_scores(account: Account, models: Mapping[str, str]) -> dict[tuple[str, int], dict[Score, Decimal]]:
    """Return the final scores of each model (its name) and round, by name and version."""
    table = fetch(account, models)
    found: dict[tuple[str, int], dict[Score, Decimal]] = {}
    for row in table[table["resolved"]].itertuples():
        found.setdefault((row.model, row.round), {})[row.score, row.version] = Decimal(str(row.value))
    return found


def _table(rows: list[Row]) -> Sheet:
    signed = "+.9f"
    columns = [Column("model"), Column("round", "d"), Column("stake", ".9f"), Column("paid", signed), Column("by the rules", signed)]
    cells: list[list[Value]] = []
    for row in rows:
        difference = row.reason if row.rules is None else format(row.paid - row.rules, signed)
        cells.append([row.model, row.round, _exact(row.stake, ".9f"), _exact(row.paid, signed), _exact(row.rules, signed), difference])
    return Sheet([*columns, Column("difference", signed)], cells)


def _exact(value: Decimal | None, form: str) -> str | None:
    """Return an amount with all its digits."""
    return None if value is None else format(value, form)


def _agreement(rows: list[Row]) -> str:
    """Return a sentence on the rounds in which Numerai has paid by the rules."""
    checked = [row for row in rows if row.rules is not None]
    agreeing = sum(not row.differs for row in checked)
    rest = f"; {len(rows) - len(checked)} can't be checked" if len(checked) < len(rows) else ""
    return f"{agreeing} of {len(checked)} rounds agree with the rules to {NEAR:f} NMR{rest}"


def _returns(account: Account, name: str, number: str) -> str:
    """Return a line on a model's returns by the site."""
    answer = account.raw_query(RETURNS, {"modelId": number}, authorization=True)
    with account.understood():
        days = [day for day in account.present(answer, "model")["returnsValues"] or [] if day["oneDayNmr"] is not None]
        if not days:
            return f"{name}: the site has no returns yet"
        total = sum((Decimal(str(day["oneDayNmr"])) for day in days), Decimal(0))
        dates = sorted(str(day["date"])[:10] for day in days)
    return f"{name}: {total:+f} NMR from {dates[0]} to {dates[-1]} by the site's returns"
