"""`erawise report`."""

from pathlib import Path
from typing import Annotated

from erawise.commands.arguments import Place, about
from erawise.history import readiness


def report(
    *,
    out: Annotated[Place, about("The page.")] = Path("report.html"),
    if_new: Annotated[bool, about("Only if something that the page shows is newer than the page.")] = False,
    quiet: Annotated[bool, about("Print only warnings and errors.")] = False,
) -> None:
    """Write the page about the last run, report.html.

    It is one file that opens in any browser without the network: the scores, pictures, data and settings of the run in the
    workspace, and what has changed since the committed one.

    Example: `erawise report --out mine.html`

    Exit codes:

    - 0: the page is written
    - 1: there is no run, or it can't be read; an older page stays
    - 2: the command line is wrong
    """
    if if_new and readiness.is_shown(out):
        print(f"report: {out} already shows this run")
        return
    from erawise.report import gathering  # which loads all that draws

    gathering.write(out, quiet=quiet)
