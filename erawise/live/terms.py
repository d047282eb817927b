"""What a round of the tournament pays for, as the server has it."""

from erawise.live.account import Round
from erawise.outlook.staking import Terms
from erawise.running.errors import InputError

FIGURES = ("defaultMultiplier", "clipThreshold", "payoutFactor")


def of_round(found: Round, names: tuple[str, str], otherwise: Terms) -> Terms:
    """The terms of a round, as the server has them.

    Parameters
    ----------
    names : of CORR and MMC among the scores of the round.
    otherwise : for payout factor and clip where the server names none.

    Raises
    ------
    InputError
        If the round pays for another score: these scores say nothing of it.
    """
    try:
        paid = {
            str(score["displayName"]): {name: float(score.get(name) or 0) for name in FIGURES}
            for score in found.scores
            if score.get("isPayout") and float(score.get("defaultMultiplier") or 0)
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"round {found.number}: what it pays for isn't in a form that is known; set it in params.yaml") from None
    others = sorted(paid.keys() - set(names))
    if others or not paid:
        raise InputError(
            f"round {found.number}: it pays for {', '.join(sorted(paid)) or 'no score'}, and the scores here are {' and '.join(names)} "
            "(monitor in params.yaml has their names); take data.target of the horizon that it pays for"
        )
    corr, mmc = (paid[name]["defaultMultiplier"] if name in paid else 0.0 for name in names)
    clips = [score["clipThreshold"] for score in paid.values() if score["clipThreshold"]]
    factors = [score["payoutFactor"] for score in paid.values() if score["payoutFactor"]]
    factor = found.payout_factor if found.payout_factor is not None else min(factors, default=otherwise.payout_factor)
    return Terms(corr, mmc, factor, min(clips, default=otherwise.clip))
