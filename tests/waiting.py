"""A wait for a sign of another process or thread, with a time limit."""

import time
from collections.abc import Callable


def until(sign: Callable[[], object], seconds: float = 60, *, pause: float = 0.01, said: Callable[[], str] = str) -> None:
    """Wait until `sign` returns something true. A file that it reads may be missing for now.

    Parameters
    ----------
    sign : the sign.
    seconds : the limit.
    pause : seconds between two looks.
    said : returns what the other process has said, for the message.

    Raises
    ------
    TimeoutError
        If that takes longer than the limit.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            if sign():
                return
        except FileNotFoundError:
            pass
        if time.monotonic() > end:
            raise TimeoutError(f"no sign in {seconds} s {said()}")
        time.sleep(pause)
