"""`erawise history`."""

from typing import Annotated

from erawise.commands.arguments import TERMINAL, Output, about
from erawise.history import recording, validation_looks


def history(
    *,
    record: Annotated[bool, about("Add the evaluation in the workspace to the ledger first; `evaluate` does that itself.")] = False,
    share: Annotated[bool, about("Write the lines of this machine's ledger to ledger.shared.jsonl, for Git.")] = False,
    quiet: Annotated[bool, about("With --record: print only warnings and errors.")] = False,
    output: Output = TERMINAL,
) -> None:
    """List the runs that were evaluated in this checkout.

    Each line has the name of the experiment, the scores of the pipeline's last prediction, and the settings that differ from the commit,
    or from its parent if none does. With --record the evaluation in the workspace is added, also
    to Weights & Biases if tracking.wandb is on; one of the same predictions with the same settings is in the ledger once.

    With --share they also go to ledger.shared.jsonl, which Git carries to other machines. All commands count the lines of both files.

    Example: `erawise history`

    Exit codes:

    - 0: done
    - 1: there is no evaluation to record, or it or a line of a ledger can't be read
    - 2: the command line is wrong
    """
    if record:
        recording.record(quiet=quiet)
    if share:
        recording.share()
    if not (record or share):
        validation_looks.show(output.form)
