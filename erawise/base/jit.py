"""Compilation of loops by numba, if it is installed and wanted.

In the time that a process needs to load numba, plain numpy computes millions of values. So loops are compiled only for large data, and
the modules of compiled loops are imported only then. Both forms give the same results.
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
    """Return whether numba is installed, and the environment variable `ERAWISE_NUMBA` isn't 0."""
    return os.environ.get("ERAWISE_NUMBA") != "0" and importlib.util.find_spec("numba") is not None


def kernel(function: Function) -> Function:
    """Compile a function by `compiled` if `enabled`; else return it as it is."""
    return compiled()(function) if enabled() else function


def compiled(*signatures: str, **options: Any) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function once and keeps it on disk; the function lets other threads run.

    If numba finds no directory for its cache, each process compiles anew, and warns once.

    Parameters
    ----------
    signatures : types of the arguments for which it is compiled at once; if none, it is compiled at the first call.
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
        "warning: numba finds no directory for its compiled code, so each process compiles it anew; "
        "set NUMBA_CACHE_DIR to a directory that this user can write to",
        file=sys.stderr,
    )
