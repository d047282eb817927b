"""Waiting for a sign of another process or thread, with a time limit."""

import time
from collections.abc import Callable


def until(sign: Callable[[], object], seconds: float = 60) -> None:
    """Return as soon as `sign` gives something true; a file that it reads may be missing for now.

    Raises
    ------
    TimeoutError
        If that takes more than so many seconds.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            if sign():
                return
        except FileNotFoundError:
            pass
        if time.monotonic() > end:
            raise TimeoutError(f"no sign in {seconds} s")
        time.sleep(0.01)
