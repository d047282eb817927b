"""`erawise review`."""

from typing import Annotated

from erawise.commands.arguments import Place, about
from erawise.history import pull_request


def review(
    base: Annotated[str, about("The commit before.")],
    head: Annotated[str, about("The commit of the pull request.")],
    directory: Annotated[Place, about("The directory in which .ci/pull-request keeps its results.")],
    /,
) -> None:
    """Write the comment on a pull request.

    .ci/pull-request runs the checks, calls this, and posts the comment (docs/ci.md). It writes body.md, the comment, and report.md, the
    same at any length.

    Example: `erawise review origin/main HEAD .git/pull-request`

    Exit codes:

    - 0: the comment is written
    - 1: it can't be written
    - 2: the command line is wrong
    """
    pull_request.comment(base, head, directory)
