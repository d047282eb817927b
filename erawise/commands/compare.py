"""`erawise compare`."""

from pathlib import Path
from typing import Annotated

from erawise.base.settings import Objective
from erawise.commands.arguments import TERMINAL, Output, Place, Seed, about
from erawise.history import comparing


def compare(
    a: Annotated[str, about("The run before: a commit, branch, tag or experiment.")] = "HEAD",
    b: Annotated[str | None, about("The run after; the workspace if not given.")] = None,
    /,
    *,
    validation: Annotated[bool, about("Compare the final check too; it is counted as a look.")] = False,
    score: Annotated[Objective | None, about("Compare by this score; by evaluate.objective if not given.")] = None,
    all: Annotated[bool, about("Show predictions that haven't changed too.")] = False,
    anyway: Annotated[bool, about("Compare scores against different targets, or on different data.")] = False,
    seed: Annotated[Seed, about("Seed of the bootstrap behind the intervals of Sharpe and drawdown.")] = 0,
    out: Annotated[Place, about("Directory for the table and the picture.")] = Path("data/comparison"),
    output: Output = TERMINAL,
) -> None:
    """Compare two runs: is the difference more than luck?

    A run is a Git revision or a DVC experiment; the verdicts are on B. The first line is the answer for the models that changed.
    The column "by Holm" has each verdict once it is adjusted for the number of comparisons.
    Nothing is checked out: DVC reads the scores of a revision from its cache.

    Example: `erawise compare HEAD my-experiment --score payout`

    Exit codes:

    - 0: the runs are compared
    - 1: a run can't be read, or the two can't be compared
    - 2: the command line is wrong
    """
    comparing.compare(a, b, out, seed=seed, anyway=anyway, shown=comparing.Shown(output.form, validation, score, all))
