"""Whether and how loops are compiled: by numba, where it is there and wanted, and kept on disk where there is a place.

Loading numba takes a process as long as plain numpy takes for millions of values, so loops are compiled where the data is
large enough to pay for it, and the modules that hold them are imported there. Both forms give the same results.
"""

import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


@functools.cache
def enabled() -> bool:
    """Whether numba is installed, and the environment variable `ERAWISE_NUMBA` isn't 0."""
    return os.environ.get("ERAWISE_NUMBA") != "0" and importlib.util.find_spec("numba") is not None


def kernel(function: Function) -> Function:
    """Compile a function as `compiled` does, where loops are compiled at all; else return it as it is."""
    return compiled()(function) if enabled() else function


def compiled(*signatures: str, **options: Any) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function once and keeps it on disk; it lets other threads run meanwhile.

    If there is no place for numba's cache, each process compiles anew, and says so once.

    Parameters
    ----------
    signatures : types of the arguments for which it is compiled at once; else it is at its first call, for the types of that.
    options : of `numba.njit`, such as `fastmath`.
    """
    import numba

    def decorate(function: Function) -> Function:
        try:
            return numba.njit(*signatures, cache=True, nogil=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
        _warn()
        return numba.njit(*signatures, nogil=True, **options)(function)

    return decorate


@functools.cache
def _warn() -> None:
    print(
        "warning: numba finds no place to keep what it has compiled, so that each process compiles it anew; "
        "set NUMBA_CACHE_DIR to a directory that this user can write to",
        file=sys.stderr,
    )
