"""`erawise compare`."""

from pathlib import Path
from typing import Annotated

from erawise.commands.arguments import Place, about
from erawise.history import comparing


def compare(
    a: Annotated[str, about("The run before: a commit, branch, tag or experiment.")] = "HEAD",
    b: Annotated[str | None, about("The run after; the workspace if not given.")] = None,
    /,
    *,
    anyway: Annotated[bool, about("Compare scores against different targets, or on different data.")] = False,
    seed: Annotated[int, about("Seed of the bootstrap behind the intervals of Sharpe and drawdown.")] = 0,
    out: Annotated[Place, about("Directory for the table and the picture.")] = Path("data/comparison"),
) -> None:
    """Compare two runs: is the difference more than luck?

    A run is a Git revision or a DVC experiment; the verdicts are on B. Nothing is checked out: DVC reads from its cache what a
    revision has measured.

    Example: `erawise compare HEAD my-experiment`

    Exit codes:

    - 0: the runs are compared
    - 1: a run can't be read, or the two can't be compared
    - 2: the command line is wrong
    """
    comparing.compare(a, b, out, seed=seed, anyway=anyway)
