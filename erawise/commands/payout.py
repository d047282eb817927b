"""`erawise payout`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from erawise.commands.arguments import TERMINAL, Output, Place, RoundOrCurrent, Whole, about
from erawise.live import payouts, stakes
from erawise.running.errors import UsageError

Amount = Annotated[float, Parameter(validator=validators.Number(gt=0, lt=1e9))]


def payout(
    *,
    scores: Annotated[Literal["validation", "cv", "live"], about("The scores to take.")] = "validation",
    models: Annotated[list[str] | None, about("Predictions to take; all if not given.", consume_multiple=True)] = None,
    round: Annotated[RoundOrCurrent | None, about("Take the terms of this round from Numerai; 0: the current one.")] = None,
    stand_in: Annotated[bool, about("Take BMC in place of MMC, if the meta model is known on too few eras.")] = False,
    mode: Annotated[Literal["constant", "compound"], about("Stake the same on each round, or what the last one gave back.")] = "compound",
    out: Annotated[Place, about("Directory for the tables and the picture.")] = Path("data/payout"),
    replay: Annotated[Place | None, about("Replay the staking on the rounds of this CSV file.")] = None,
    stake: Annotated[Amount | None, about("With --replay: NMR on a round.")] = None,
    deposit: Annotated[Amount | None, about("With --replay: NMR in all at the start.")] = None,
    concurrent: Annotated[Whole | None, about("With --replay: rounds that are open at once.")] = None,
    stop_at: Annotated[Whole | None, about("With --replay: stake nothing from this settlement on.")] = None,
    account: Annotated[bool, about("Compare what Numerai has paid on your stakes with the rules.")] = False,
    output: Output = TERMINAL,
) -> None:
    """Estimate what the scores would pay, and divide a stake.

    This is no forecast; scores of the embedded market, a toy, say nothing of Numerai's payouts.
    It shows payout and burn of a round, a year of rounds under each regime by a bootstrap over eras, and the best division of a stake.
    `--replay` follows a stake through given rounds, `--account` checks what was paid. It reads scores,
    settings and, if asked to, your account, and writes tables; nothing in this project can move a stake.

    Example: `erawise payout --models lightgbm ridge`

    Exit codes:

    - 0: done
    - 1: something must be mended
    - 2: the command line is wrong
    - 3: there is no such round
    - 5: Numerai's payout differs from the rules
    - 75: the network or the server failed
    """
    if replay is None and {stake, deposit, concurrent, stop_at} != {None}:
        raise UsageError("--stake, --deposit, --concurrent and --stop-at go with --replay. See `erawise payout --help`.")
    if replay is not None and account:
        raise UsageError("--replay and --account are two things; expected one of them.")
    if replay is not None or account:
        options = {"--models": models, "--round": round is not None, "--stand-in": stand_in}
        options |= {"--md": output.md, "--csv": output.csv} if replay is not None else {}
        unused = [name for name, is_given in options.items() if is_given]
        if unused:
            raise UsageError(f"{'--account' if account else '--replay'} has no use for {' and '.join(unused)}; leave it out.")
    if account:
        stakes.reconcile(output.form)
    elif replay is None:
        payouts.estimate(scores, models or [], round, mode, out, stand_in=stand_in, form=output.form)
    elif stake is None or deposit is None or concurrent is None:
        raise UsageError("--replay needs --stake, --deposit and --concurrent. See `erawise payout --help`.")
    else:
        payouts.replay(replay, mode, stake, deposit, concurrent, stop_at, as_json=output.form == "json")
