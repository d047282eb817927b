"""`erawise remote`."""

from pathlib import Path
from typing import Annotated, Literal

from erawise.commands.arguments import about
from erawise.history import remote_check


def remote(
    action: Annotated[Literal["check"], about("What to do.")],
    name: Annotated[str | None, about("Name of the remote in `dvc remote list`; the default one if not given.")] = None,
    /,
) -> None:
    """Test DVC's remote.

    Write a small object, read it back and delete it; say in one line what is wrong. docs/remote.md tells the rest.

    Example: `erawise remote check`

    Exit codes:

    - 0: the remote works
    - 1: the configuration, a right or the credentials must be mended
    - 2: the command line is wrong
    - 75: the remote can't be reached
    """
    print(remote_check.check(Path(), name))
