"""How far long work is, told as it goes: a bar on a terminal, a line now and then in a log, nothing where nobody asked.

Functions that may take long are given a `Progress`, and open a `Count` for each part of their work. By default nobody listens, so that
the library prints nothing by itself.
"""

import functools
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

FIRST_LINE, BETWEEN_LINES, SHARE_BETWEEN = 5.0, 10.0, 0.1
"""Seconds before the first line in a log, and between two: at least so many, and so large a share of the time that has gone by."""

BYTES = "bytes"
MEBIBYTE = 2**20

COLUMNS, ROWS = 80, 24
"""Of a terminal that doesn't say how many it has."""


class Count:
    """How much of a part of the work is done; this one tells nobody."""

    def done(self, count: int = 1) -> None:
        """So much more is done. Calls may come from several threads."""

    def expect(self, more: int) -> None:
        """So much more is to be done than was said, or less where it is negative."""

    @contextmanager
    def share(self, steps: int) -> Iterator[Callable[[], None]]:
        """Yield what is to be called after each step of a piece of the work, which has at most so many.

        Steps that it did without, as a fit that stops early does, are expected no longer.
        """
        told = 0

        def step() -> None:
            nonlocal told
            told += 1
            self.done()

        yield step
        self.expect(told - steps)


class Progress:
    """What long work tells of how far it is; this one has nobody to tell."""

    @contextmanager
    def counting(self, total: int | None, unit: str, what: str = "", done: int = 0, *, at_most: bool = False) -> Iterator[Count]:
        """Count a part of the work.

        Parameters
        ----------
        total : how much there is to be done; None where nobody knows.
        unit : what is counted, in the plural: `eras`, `trees`; `bytes` are shown in larger units.
        what : which part of the work it is, where there are several.
        done : how much of it was done before.
        at_most : whether it may turn out to be less, so that nobody can tell how long it takes.
        """
        yield UNCOUNTED


UNCOUNTED = Count()
SILENT = Progress()


class Shown(Progress):
    """Shown on a stream: as a bar that goes when its part is done, or, where that is no terminal, as lines.

    Work that ends within `FIRST_LINE` seconds has no line; what had one has a last one in the end.

    Parameters
    ----------
    label : of the work.
    stream : where it is shown, most often stderr.
    clock : gives seconds from any start.
    """

    def __init__(self, label: str, stream: TextIO, clock: Callable[[], float]) -> None:
        self._label, self._stream, self._clock = label, stream, clock
        self._start = clock()
        self._due = self._start + FIRST_LINE

    @contextmanager
    def counting(self, total: int | None, unit: str, what: str = "", done: int = 0, *, at_most: bool = False) -> Iterator[Count]:
        name = f"{self._label}, {what}" if what else self._label
        if self._stream.isatty():
            looks = _width(self._stream) | _shape(unit, at_most=at_most)
            with _bars()(total=total, desc=name, initial=done, file=self._stream, leave=False, miniters=1, **looks) as bar:
                yield _Drawn(bar)
                bar.refresh()
        else:
            count = _Written(self, name, total, unit, done, at_most=at_most)
            yield count
            count.end()

    def now(self) -> float:
        return self._clock()

    def is_due(self, now: float) -> bool:
        """Whether it is time for a line."""
        return now >= self._due

    def write(self, line: str, now: float) -> None:
        """Write a line, and put off the next."""
        print(line, file=self._stream, flush=True)
        self._due = now + max(BETWEEN_LINES, SHARE_BETWEEN * (now - self._start))


@functools.cache
def _bars() -> Any:
    """What draws a bar; imported where one is drawn alone."""
    from tqdm import tqdm

    class Bar(tqdm):
        """Without tqdm's thread, which processes that are forked would not have."""

        monitor_interval = 0

    Bar.set_lock(threading.RLock())
    return Bar


def _width(terminal: TextIO) -> dict[str, Any]:
    try:
        known = os.get_terminal_size(terminal.fileno()).columns > 0
    except (OSError, ValueError):
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": COLUMNS, "nrows": ROWS}


def _shape(unit: str, *, at_most: bool) -> dict[str, Any]:
    if unit == BYTES:
        return {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
    time = "{elapsed}" if at_most else "{elapsed}<{remaining}"
    return {"unit": unit, "bar_format": "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit} [" + time + "]"}


class _Drawn(Count):
    def __init__(self, bar: Any) -> None:
        self._bar, self._lock = bar, threading.Lock()

    def done(self, count: int = 1) -> None:
        with self._lock:
            self._bar.update(count)

    def expect(self, more: int) -> None:
        with self._lock:
            if self._bar.total is not None:
                self._bar.total += more


class _Written(Count):
    def __init__(self, shown: Shown, name: str, total: int | None, unit: str, done: int, *, at_most: bool) -> None:
        self._shown, self._name, self._total, self._unit, self._at_most = shown, name, total, unit, at_most
        self._before = self._done = done
        self._start, self._said = shown.now(), -1
        self._lock = threading.Lock()

    def done(self, count: int = 1) -> None:
        with self._lock:
            self._done += count
            now = self._shown.now()
            if self._shown.is_due(now):
                self._say(now)

    def expect(self, more: int) -> None:
        with self._lock:
            if self._total is not None:
                self._total += more

    def end(self) -> None:
        """The last line, where there was one before."""
        if 0 <= self._said < self._done:
            self._say(self._shown.now())

    def _say(self, now: float) -> None:
        self._said, gone, came = self._done, now - self._start, self._done - self._before
        text = f"{self._name}: {self._amount()}, {duration(gone)}"
        if self._total is not None and not self._at_most and came > 0 and self._done < self._total:
            text += f", about {duration(gone / came * (self._total - self._done))} left"
        self._shown.write(text, now)

    def _amount(self) -> str:
        scale, unit = (MEBIBYTE, "MiB") if self._unit == BYTES else (1, self._unit)
        if not self._total:
            return f"{self._done // scale:,} {unit}"
        most = "at most " if self._at_most and self._done < self._total else ""
        return f"{self._done // scale:,} of {most}{self._total // scale:,} {unit} ({100 * self._done // self._total} %)"


class Above(io.TextIOBase):
    """A terminal on which whole lines are written above the bar, which is drawn again below them.

    Parameters
    ----------
    stream : the terminal.
    bars : the stream on which bars are shown.
    """

    def __init__(self, stream: TextIO, bars: TextIO) -> None:
        self._stream, self._bars, self._begun = stream, bars, ""

    def write(self, text: str) -> int:
        whole, end, self._begun = (self._begun + text).rpartition("\n")
        if end:
            self._put(whole + end)
        return len(text)

    def isatty(self) -> bool:
        return True

    def rest(self) -> None:
        """Write a last line that has no end."""
        self._put(self._begun)
        self._begun = ""

    def _put(self, text: str) -> None:
        with _bars().external_write_mode(file=self._bars):
            self._stream.write(text)
            self._stream.flush()


def duration(seconds: float) -> str:
    """Such as `3.1 s`, `42 s`, `2 min 5 s` and `1 h 7 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    if not minutes:
        return f"{left} s"
    return f"{minutes} min {left} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
