"""The one way in which bad input is reported."""

import functools
import sys
from collections.abc import Callable


class InputError(Exception):
    """Something that the user can mend: the message says what is wrong, where, what was expected and what to do."""


def reported(main: Callable[[], None]) -> Callable[[], None]:
    """Turn an `InputError` of a command into one line on stderr and the exit code 1."""

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)

    return run
