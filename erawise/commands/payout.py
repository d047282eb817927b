"""`erawise payout`."""

from pathlib import Path
from typing import Annotated, Literal

from erawise.commands.arguments import Place, RoundOrCurrent, about
from erawise.live import payouts


def payout(
    *,
    scores: Annotated[Literal["validation", "cv", "live"], about("The scores to take.")] = "validation",
    models: Annotated[list[str] | None, about("Predictions to take; all if not given.", consume_multiple=True)] = None,
    round: Annotated[RoundOrCurrent | None, about("Take the terms of this round from Numerai; 0: the current one.")] = None,
    out: Annotated[Place, about("Directory for the tables and the picture.")] = Path("data/payout"),
) -> None:
    """Estimate what the scores would pay, and divide a stake.

    Payout and burn of a round, a year of rounds by a bootstrap over eras, and the division of a stake over the models with the highest
    log growth. It reads scores and settings and writes tables; nothing in this project can move a stake.

    Example: `erawise payout --models lightgbm ridge`

    Exit codes:

    - 0: done
    - 1: something must be mended
    - 2: the command line is wrong
    - 3: there is no such round
    - 75: the network or the server failed
    """
    payouts.estimate(scores, models or [], round, out)
