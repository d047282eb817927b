"""Threads of BLAS, whose number changes the last bits of a sum."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def one_of_blas() -> AbstractContextManager[Any]:
    """Limit BLAS to one thread."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    """Find the libraries of BLAS, once in a process: it reads the list of everything that is loaded, which takes milliseconds."""
    import scipy.linalg  # noqa: F401  NumPy and SciPy have a BLAS each, and both must be loaded

    return ThreadpoolController()
