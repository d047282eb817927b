"""The scores of a round of the tournament, and the terms of its payout, by the server."""

import re
from dataclasses import dataclass

from erawise.live.account import Round
from erawise.outlook.staking import Terms
from erawise.regimes.regimes import COLUMNS, Regime
from erawise.running.errors import InputError

NAMES = {"correlation": "corr", "meta_model_contribution": "mmc"}
"""The column of an era's scores by the server's name of a score; for other scores, `COLUMNS` has it by the site's name."""

SHOWN = re.compile(r"(?:v\d+_)?(corr|mmc)\d*(?:_?v\d+)?", re.IGNORECASE)
"""The site's names of CORR and MMC of any horizon and version; scores against other targets have other names, such as `cort20`."""


@dataclass(frozen=True)
class RoundScore:
    """A score of a round.

    Attributes
    ----------
    name, version : name on the server, and version; together they identify it.
    shown : its name on the site.
    days : trading days that it looks ahead; None if the server doesn't say.
    pays : whether the round pays for it.
    multiplier : of the payout.
    clip, factor : of the payout; None if the server doesn't name them.
    """

    name: str
    version: str
    shown: str
    days: int | None
    pays: bool
    multiplier: float
    clip: float | None
    factor: float | None

    @property
    def column(self) -> str | None:
        """Return its column among an era's scores; None if this library doesn't compute it."""
        return NAMES.get(self.name) or COLUMNS.get(self.shown) or COLUMNS.get(self.name)


def metric(shown: str) -> str | None:
    """Return `corr` or `mmc` by the site's name of a score; None for other scores."""
    found = SHOWN.fullmatch(shown)
    return found[1].lower() if found else None


def round_scores(found: Round) -> list[RoundScore]:
    """Return all scores of a round. A score pays if it has `isPayout` and a multiplier other than 0.

    Raises
    ------
    InputError
        If the server's answer has another form.
    """
    try:
        return [
            RoundScore(
                str(score.get("name") or score["displayName"]),
                str(score.get("version") or ""),
                str(score.get("displayName") or score["name"]),
                int(score["totalScoreDays"]) if score.get("totalScoreDays") else None,
                bool(score.get("isPayout") and float(score.get("defaultMultiplier") or 0)),
                float(score.get("defaultMultiplier") or 0),
                float(score.get("clipThreshold") or 0) or None,
                float(score.get("payoutFactor") or 0) or None,
            )
            for score in found.scores
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"round {found.number}: the server describes its scores in an unknown form") from None


def paid_scores(found: Round) -> list[RoundScore]:
    """Return the scores that a round pays for.

    Raises
    ------
    InputError
        If there is none, or the server's answer has another form.
    """
    try:
        paid = [score for score in round_scores(found) if score.pays]
    except InputError as error:
        raise InputError(f"{error}; set payout.regime, and leave --round out") from None
    if not paid:
        raise InputError(
            f"round {found.number}: Numerai names no score that it pays for, as for the oldest rounds; take a later round, "
            "or set payout.regime and leave --round out"
        )
    return paid


def figures(found: Round, paid: list[RoundScore], regime: Regime, total_at_risk: float) -> tuple[float, float]:
    """Return payout factor and clip of a round from the server; if it names none, from the round's regime."""
    factor = found.payout_factor or min((one.factor for one in paid if one.factor), default=regime.factor.for_total(total_at_risk))
    return factor, min((one.clip for one in paid if one.clip), default=regime.clip)


def of_round(found: Round, paid: list[RoundScore], regime: Regime, days: int, total_at_risk: float) -> Terms:
    """Return the terms of a round: scores, factor and clip from the server, stakes from its regime.

    Parameters
    ----------
    paid : its scores, from `paid_scores`.
    days : trading days that the scores of this run look ahead.

    Raises
    ------
    InputError
        If the round pays for a score that this library doesn't compute, or of another horizon.
    """
    multipliers: dict[str, float] = {}
    for one in paid:
        if one.column is None:
            version = f" (version {one.version})" if one.version else ""
            raise InputError(f"round {found.number}: it pays for {one.shown}{version}, which erawise doesn't compute; leave --round out")
        ahead = one.days or regime.horizon
        if ahead != days:
            raise InputError(
                f"round {found.number}: it pays for {one.shown}, {ahead} days ahead, and the scores here look {days} days ahead; set "
                "data.target to a target of that horizon"
            )
        multipliers[one.column] = multipliers.get(one.column, 0.0) + one.multiplier
    factor, clip = figures(found, paid, regime, total_at_risk)
    return Terms(multipliers, factor, clip, regime.per_week, regime.weeks, regime.positions)
