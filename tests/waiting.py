"""A wait for a sign of another process or thread, with a time limit."""

import time
from collections.abc import Callable


def until(sign: Callable[[], object], seconds: float = 60) -> None:
    """Wait until `sign` returns something true. A file that it reads may be missing for now.

    Raises
    ------
    TimeoutError
        If that takes longer than the limit in seconds.
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
