"""`erawise show`."""

from erawise.commands.arguments import TERMINAL, Output
from erawise.history import last_run


def show(*, output: Output = TERMINAL) -> None:
    """Print what to send and why, and the scores of the last run.

    The first lines are the answer; the tables show data/scores/cv.json and data/scores/validation.json. The best of a column is bold.

    Example: `erawise show`

    Exit codes:

    - 0: done
    - 1: there is no run, or its metrics can't be read
    - 2: the command line is wrong
    """
    last_run.show(output.form)
