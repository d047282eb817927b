"""The replay of a strategy on scores of rounds: each settlement, and the totals."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from erawise.base import files
from erawise.outlook.payout_contract import Mode, Model, Step, Strategy, rate
from erawise.regimes.regimes import Regime
from erawise.running.errors import InputError

OWN = "own"
"""The model of a replay."""

COLUMNS = ("round", "weighted_score", "settlement", "claimable", "debt", "net_payout", "next_stake", "idle")


@dataclass(frozen=True)
class Scored:
    """A round and its scores, by Numerai's names."""

    round: int
    scores: dict[str, Decimal]


@dataclass(frozen=True)
class Plan:
    """A plan of staking.

    Attributes
    ----------
    stake, deposit : NMR on a round, and in all at the start.
    concurrent : rounds that are open at once.
    stop_at : the settlement, counted from 1, from which on claims are paid out and nothing is staked; None: never.
    """

    mode: Mode
    stake: Decimal
    deposit: Decimal
    concurrent: int
    stop_at: int | None = None


def read(path: Path, regime: Regime) -> list[Scored]:
    """Read rounds in the order of their settlement from a CSV file of `round` and the scores that a regime pays for.

    Raises
    ------
    InputError
        If the file is missing or has other columns, a value isn't a number, or a score isn't within -1..1; the message names the line.
    """
    if not path.is_file():
        raise InputError(f"{path}: the file is missing")
    try:
        rows = list(csv.reader(files.read_text(path).splitlines()))
    except csv.Error as error:
        raise InputError(f"{path}: not readable as CSV: {error}") from None
    expected = ["round", *regime.scores]
    if not rows or sorted(map(str.strip, rows[0])) != sorted(expected):
        found_columns = ", ".join(rows[0]).strip() if rows else ""
        raise InputError(f"{path}: expected the columns {', '.join(expected)} (it has {found_columns or 'none'})")
    names = [name.strip() for name in rows[0]]
    found: dict[int, Scored] = {}
    for line, row in enumerate(rows[1:], 2):
        if not row:
            continue
        values = dict(zip(names, row, strict=False))
        try:
            number = int(values.pop("round"))
            scores = {name: Decimal(values[name].strip()) for name in regime.scores}
        except (KeyError, ValueError, InvalidOperation):
            raise InputError(f"{path}, line {line}: expected a round and its scores (it has {','.join(row)!r})") from None
        if len(row) != len(names):
            raise InputError(f"{path}, line {line}: expected {len(names)} values (it has {len(row)})")
        for name, score in scores.items():
            if not score.is_finite():
                raise InputError(f"{path}, line {line}: round {number} has a score that isn't a number")
            if not -1 <= score <= 1:
                raise InputError(f"{path}, line {line}: round {number}: {name} is {score}; expected -1 to 1, and not percent")
        if number in found:
            raise InputError(f"{path}, line {line}: round {number} is there twice")
        found[number] = Scored(number, scores)
    if not found:
        raise InputError(f"{path}: no round is in it")
    return list(found.values())


def replay(rounds: Sequence[Scored], plan: Plan, regime: Regime, factor: float) -> dict[str, Any]:
    """Replay stakes on rounds in their order: the first `concurrent` rounds open at once, then one more whenever a round has settled.

    Parameters
    ----------
    rounds : in the order of their settlement; rounds that would open after the stop have no position and no step.
    factor : of the regime's payout.

    Returns
    -------
    `steps`, the settlements with `COLUMNS`, and `total`, both as numbers; `next_stake` is None for a claim that is paid out.
    """
    own, multipliers = Model(plan.stake, plan.mode), {name: float(multiplier or 0) for name, multiplier in regime.scores.items()}
    strategy, concurrent = Strategy(plan.deposit, {OWN: own}), plan.concurrent
    for number in range(1, concurrent + 1):
        strategy.submit(number, [OWN])
    steps = []
    for number, scored in enumerate(rounds, 1):
        weighted, paid = rate(scored.scores, multipliers, factor, regime.clip)
        own.is_staking = plan.stop_at is None or number < plan.stop_at
        if number not in own.positions:
            break
        strategy.settle(OWN, number, paid)
        [step] = strategy.submit(number + concurrent, [OWN])
        steps.append(_line(scored.round, weighted, step))
    total = {
        "locked": strategy.locked,
        "idle": strategy.idle,
        "committed": strategy.capital.committed,
        "profit": strategy.capital.profit,
        "return": strategy.capital.rate,
        "burned": strategy.burned,
    }
    return {"steps": steps, "total": {name: _number(value) for name, value in total.items()}}


def _line(number: int, weighted: Decimal, step: Step) -> dict[str, Any]:
    values = (weighted, step.claim.settlement, step.claim.claimable, step.debt, step.net_payout, step.next_stake, step.idle)
    return dict(zip(COLUMNS, (number, *map(_number, values)), strict=True))


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value) or 0.0  # 0.0 in place of -0.0
