"""What a round of the tournament scores and pays for, as the server has it."""

import re
from dataclasses import dataclass

from erawise.live.account import Round
from erawise.outlook.staking import Terms
from erawise.regimes.regimes import COLUMNS, Regime
from erawise.running.errors import InputError

NAMES = {"correlation": "corr", "meta_model_contribution": "mmc"}
"""The column of an era's scores by the server's name of a score; others have a name that the site shows, see `COLUMNS`."""

SHOWN = re.compile(r"(?:v\d+_)?(corr|mmc)\d*(?:_?v\d+)?", re.IGNORECASE)
"""How the site shows CORR and MMC of any horizon and version; scores against other targets, such as `cort20`, are shown otherwise."""


@dataclass(frozen=True)
class RoundScore:
    """A score of a round.

    Attributes
    ----------
    name, version : that identify it on the server.
    shown : its name on the site.
    days : that it looks ahead; None if the server doesn't say.
    pays : whether the round pays for it.
    multiplier : of the payout.
    clip, factor : None if the server doesn't name one.
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
        """Return the column of an era's scores that it is; None if it is no score of ours."""
        return NAMES.get(self.name) or COLUMNS.get(self.shown) or COLUMNS.get(self.name)


def metric(shown: str) -> str | None:
    """Return `corr` or `mmc` if the site shows a score as one of these, None otherwise."""
    found = SHOWN.fullmatch(shown)
    return found[1].lower() if found else None


def round_scores(found: Round) -> list[RoundScore]:
    """Return all scores of a round; those with a multiplier other than 0 and `isPayout` pay.

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
        raise InputError(f"round {found.number}: what it pays for isn't in a form that is known") from None


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
            f"round {found.number}: Numerai names no score that it pays for, as for rounds from before it kept that; take a later round, "
            "or set payout.regime and leave --round out"
        )
    return paid


def figures(found: Round, paid: list[RoundScore], regime: Regime, total_at_risk: float) -> tuple[float, float]:
    """Return payout factor and clip of a round: the server's, and those of its regime where the server names none."""
    factor = found.payout_factor or min((one.factor for one in paid if one.factor), default=regime.factor.for_total(total_at_risk))
    return factor, min((one.clip for one in paid if one.clip), default=regime.clip)


def of_round(found: Round, paid: list[RoundScore], regime: Regime, days: int, total_at_risk: float) -> Terms:
    """Return the terms of a round: what it pays for by the server, and how its regime stakes.

    Parameters
    ----------
    paid : its scores, of `paid_scores`.
    days : that the scores here look ahead.

    Raises
    ------
    InputError
        If the round pays for another score, or one of another horizon: these scores say nothing of it.
    """
    multipliers: dict[str, float] = {}
    for one in paid:
        if one.column is None:
            version = f" (version {one.version})" if one.version else ""
            raise InputError(f"round {found.number}: it pays for {one.shown}{version}, which no score of an era here is; leave --round out")
        ahead = one.days or regime.horizon
        if ahead != days:
            raise InputError(
                f"round {found.number}: it pays for {one.shown}, {ahead} days ahead, and the scores here look {days} days ahead; take "
                "data.target of the horizon that it pays for"
            )
        multipliers[one.column] = multipliers.get(one.column, 0.0) + one.multiplier
    factor, clip = figures(found, paid, regime, total_at_risk)
    return Terms(multipliers, factor, clip, regime.per_week, regime.weeks, regime.positions)
