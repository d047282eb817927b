"""`erawise report`."""

from pathlib import Path
from typing import Annotated

from erawise.commands.arguments import Place, about
from erawise.report import gathering


def report(
    *,
    out: Annotated[Place, about("The page.")] = Path("report.html"),
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
    gathering.write(out, quiet=quiet)
