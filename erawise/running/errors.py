"""Errors that a person can mend, and how they end a command: one line and an exit code."""

import errno
import functools
import io
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO

if sys.platform == "win32":
    raise SystemExit("error: erawise doesn't run on Windows itself: it needs the file locks of Unix; run it in WSL, see README.md")

WORLD = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}
"""Errors of the disk, which are no fault of the code."""

COMMANDS = ("stages.", "erawise.")
"""Beginnings of the names of modules that are run as commands."""

STOPPED = "stopped by hand"
RED_ERROR = "\033[31merror:\033[0m"
INTERRUPTED, CLOSED = 130, 141
"""Exit codes, as in shells, of a command that was stopped by Ctrl-C, or whose output is read no more."""


class InputError(Exception):
    """An error that the user can mend: the message gives the fault, its place, the expected value and the remedy.

    `code` is the exit code of a command that ends by it.
    """

    code = 1


class UsageError(InputError):
    """A wrong command line."""

    code = 2


class NotOpen(InputError):
    """A round that accepts no submission now."""

    code = 3


class NoneDue(NotOpen):
    """A time when no round accepts submissions and none is due: trying again is useless before the next round opens."""

    code = 6


class Unconfirmed(InputError):
    """A sent file that the server doesn't show as it was sent."""

    code = 4


class Unavailable(InputError):
    """A server without a usable answer; later it may have one."""

    code = 75


def meant(word: object, known: Iterable[str]) -> str:
    """Return a question that names the known word nearest to another one; nothing if none is near."""
    from difflib import get_close_matches

    near = get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def known_names(known: Iterable[str], word: object) -> str:
    """Return the known words, and the one nearest to another word as a question; "none" if there is none."""
    words = list(known)
    return (", ".join(words) or "none") + meant(word, words)


@contextmanager
def about(what: str) -> Iterator[None]:
    """Put `what` before the message of each `InputError`."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{what}: {error}") from None


def reported(main: Callable[[], None]) -> Callable[[], None]:
    """Turn an `InputError` of a command, a disk that is full or can't be written to, or Ctrl-C into a line on stderr and an exit code.

    A command whose output is read no more, as by `head`, ends without a message.
    """

    @functools.wraps(main)
    def run() -> None:
        message = ""
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # the command was started without
                setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        try:
            main()
            sys.stdout.flush()
            return
        except SystemExit:
            _reader_gone()
            raise
        except InputError as error:
            message, code = str(error), error.code
        except OSError as error:
            if error.errno == errno.EPIPE and _reader_gone():
                code = CLOSED
            elif error.errno in WORLD:
                where = f"{error.filename}: " if error.filename else ""
                message = f"{where}cannot be written or read ({error.strerror}); check free space and permissions"
                code = InputError.code
            else:
                raise
        except KeyboardInterrupt:
            message, code = STOPPED, INTERRUPTED
        _reader_gone()
        if message:
            with suppress(BrokenPipeError):
                coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
                print(f"{RED_ERROR if coloured else 'error:'} {message}", file=sys.stderr)
            _reader_gone()
        sys.exit(code)

    return run


def _reader_gone() -> bool:
    """Return whether stdout or stderr accepts no more; from now on, such output is discarded."""
    gone = [stream for stream in (sys.stdout, sys.stderr) if _takes_nothing(stream)]
    for stream in gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return bool(gone)


def _takes_nothing(stream: TextIO) -> bool:
    """Return whether the other end of a pipe is closed, or output can't be written."""
    try:
        stream.flush()
    except OSError:
        return True
    watch = select.poll()
    with suppress(io.UnsupportedOperation):  # a stream of tests or notebooks has no file
        watch.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watch.poll(0))


def _untraced(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Report Ctrl-C, also while a command loads its libraries, before `reported` can do so."""
    if issubclass(kind, KeyboardInterrupt):
        print(f"error: {STOPPED}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", "").startswith(COMMANDS):
    sys.excepthook = _untraced
