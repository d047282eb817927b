"""The one way in which bad input is reported."""

import errno
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WORLD = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""Errors of the disk, which are no fault of the code."""


INTERRUPTED = 130
"""Exit code of a command that was stopped by Ctrl-C, as shells have it."""


class InputError(Exception):
    """Something that the user can mend: the message says what is wrong, where, what was expected and what to do.

    `code` is the exit code of a command that it ends.
    """

    code = 1


class NotOpen(InputError):
    """The round takes no submission now."""

    code = 3


class Unconfirmed(InputError):
    """What was sent couldn't be found on the server as it was sent."""

    code = 4


class Unavailable(InputError):
    """A server gave no usable answer; later it may."""

    code = 75


@contextmanager
def about(what: str) -> Iterator[None]:
    """Have each `InputError` within say what it is about."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{what}: {error}") from None


def reported(main: Callable[[], None]) -> Callable[[], None]:
    """Turn an `InputError` of a command, a full or closed disk, or Ctrl-C into one line on stderr and its exit code."""

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except InputError as error:
            message, code = str(error), error.code
        except OSError as error:
            if error.errno not in WORLD:
                raise
            where = f"{error.filename}: " if error.filename else ""
            message = f"{where}cannot be written or read ({error.strerror}); check free space and permissions"
            code = InputError.code
        except KeyboardInterrupt:
            message, code = "stopped by hand", INTERRUPTED
        else:
            return
        print(f"error: {message}", file=sys.stderr)
        sys.exit(code)

    return run
