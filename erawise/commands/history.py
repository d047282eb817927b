"""`erawise history`."""

from typing import Annotated

from erawise.commands.arguments import about
from erawise.history import looks, recording


def history(
    *,
    record: Annotated[bool, about("Add the evaluation in the workspace to the ledger first; `evaluate` does that itself.")] = False,
    quiet: Annotated[bool, about("With --record: print only warnings and errors.")] = False,
) -> None:
    """List the runs that were evaluated in this checkout.

    Each line has what had changed since the line before, and the scores. With --record the evaluation in the workspace is added, also
    to Weights & Biases if tracking.wandb is on; one of the same predictions with the same settings is in the ledger once.

    Example: `erawise history`

    Exit codes:

    - 0: done
    - 1: there is no evaluation to record, or it can't be read
    - 2: the command line is wrong
    """
    if record:
        recording.record(quiet=quiet)
    else:
        looks.show()
