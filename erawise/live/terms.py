"""What a round of the tournament pays for, as the server has it."""

from erawise.errors import InputError
from erawise.live.account import Round
from erawise.payout import Terms


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
    paid = {str(score["displayName"]): score for score in found.scores if score.get("isPayout") and score.get("defaultMultiplier")}
    others = sorted(paid.keys() - set(names))
    if others or not paid:
        raise InputError(
            f"round {found.number}: it pays for {', '.join(sorted(paid)) or 'no score'}, and the scores here are {' and '.join(names)} "
            "(monitor in params.yaml has their names); take data.target of the horizon that it pays for"
        )
    corr, mmc = (float(paid[name]["defaultMultiplier"]) if name in paid else 0.0 for name in names)
    clips = [float(score["clipThreshold"]) for score in paid.values() if score.get("clipThreshold")]
    factors = [float(score["payoutFactor"]) for score in paid.values() if score.get("payoutFactor")]
    factor = found.payout_factor if found.payout_factor is not None else min(factors, default=otherwise.payout_factor)
    return Terms(corr, mmc, factor, min(clips, default=otherwise.clip))
