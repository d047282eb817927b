"""Tries of a transfer: patience with a server, the errors of one try, and the limit of tries."""

import random
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from erawise.running.errors import InputError, Unavailable

ADDRESS = "ERAWISE_API_URL"
"""The environment variable that sets another address of the API."""

GONE = {400, 401, 403, 410}
"""HTTP statuses of a signed address that has expired. A new address is then asked for."""

BUSY = {408, 425, 429, *range(500, 600)}
"""HTTP statuses that are worth another try."""


@dataclass(frozen=True)
class Patience:
    """Limits on waiting for a server.

    Parameters
    ----------
    connection, silence : seconds to wait for a connection, and for the next bytes.
    window, rate : a transfer that brings less than `rate` bytes a second over `window` seconds is begun again.
    tries : number of tries without any new byte after which a transfer is given up.
    pause, longest_pause : seconds before the second try, doubled for each further try, and their upper limit.
    """

    connection: float = 10
    silence: float = 60
    window: float = 60
    rate: float = 1024
    tries: int = 6
    pause: float = 1
    longest_pause: float = 60

    def before(self, again: int) -> float:
        """Return the seconds to wait before the n-th repetition, n from 1. Jitter separates clients that failed together."""
        return min(self.longest_pause, self.pause * 2 ** (again - 1)) * random.uniform(0.5, 1.5)


class Again(Exception):
    """A try that failed and may be repeated: after `after` seconds if the server gives them, at a new address if `relocate`."""

    def __init__(self, reason: str, after: float | None = None, *, relocate: bool = False) -> None:
        super().__init__(reason)
        self.after, self.relocate = after, relocate


class Absent(InputError):
    """The server has no such file."""


class Refused(Again):
    """A try that the server answered with a server error. Another kind of request may succeed."""


class Address:
    """An address of a file for several threads. Any of them may find it expired."""

    def __init__(self, locate: Callable[[], str]) -> None:
        self._locate, self._lock = locate, threading.Lock()
        self.current = locate()

    def renew(self, expired: str) -> None:
        """Ask for a new address, unless another thread has done so."""
        with self._lock:
            if self.current == expired:
                self.current = self._locate()


class Tries:
    """The failed tries of a transfer. Each waits before the next try, or gives up; `wait` sleeps for a number of seconds."""

    def __init__(self, address: Address, what: str, patience: Patience, wait: Callable[[float], object] | None = None) -> None:
        self.address, self.what, self.patience, self.wait = address, what, patience, wait or time.sleep
        self.failed = 0

    def again(self, problem: Again, used: str, *, progress: bool) -> None:
        """Wait after a failed try with the address `used`; `progress` tells whether it brought new bytes.

        Raises
        ------
        Unavailable
            If there were too many tries without progress.
        """
        self.failed = 1 if progress else self.failed + 1
        if self.failed >= self.patience.tries:
            raise Unavailable(f"{host(used)}: {self.what} can't be fetched: {problem} ({self.failed} tries)") from None
        pause = self.patience.before(self.failed) if problem.after is None else problem.after
        print(f"{self.what}: {problem}; again in {pause:.0f} s", file=sys.stderr, flush=True)
        self.wait(pause)
        if problem.relocate:
            self.address.renew(used)


def host(address: str) -> str:
    """Return an address without user, password and query, which may be secret. The last @ ends the password."""
    return re.split(r"[?#]", re.sub(r"^([A-Za-z][\w+.-]*://)?.*@", lambda found: found[1] or "", address))[0]
