"""The one way in which bad input is reported."""

import errno
import functools
import sys
from collections.abc import Callable

WORLD = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""Errors of the disk, which are no fault of the code."""


class InputError(Exception):
    """Something that the user can mend: the message says what is wrong, where, what was expected and what to do."""


def reported(main: Callable[[], None]) -> Callable[[], None]:
    """Turn an `InputError` of a command, or a full or closed disk, into one line on stderr and the exit code 1."""

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except InputError as error:
            message = str(error)
        except OSError as error:
            if error.errno not in WORLD:
                raise
            where = f"{error.filename}: " if error.filename else ""
            message = f"{where}cannot be written or read ({error.strerror}); check free space and permissions"
        else:
            return
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)

    return run
