"""Whether loops are compiled: by numba, where it is there and wanted.

Loading numba takes a process as long as plain numpy takes for millions of values, so loops are compiled where the data is
large enough to pay for it, and the modules that hold them are imported there. Both forms give the same results.
"""

import functools
import importlib.util
import os
from collections.abc import Callable
from typing import Any


@functools.cache
def enabled() -> bool:
    """Whether numba is installed, and the environment variable `ERAWISE_NUMBA` isn't 0."""
    return os.environ.get("ERAWISE_NUMBA") != "0" and importlib.util.find_spec("numba") is not None


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function once, and keep it on disk; it lets other threads run meanwhile. As it is where nothing is compiled."""
    if not enabled():
        return function
    import numba

    return numba.njit(cache=True, nogil=True)(function)
