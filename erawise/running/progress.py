"""Progress of long work: a bar on a terminal, some lines in a log, by default nothing.

A function that may take long is given a `Progress`, and opens a `StepCounter` for each part of its work.
"""

import functools
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

FIRST_LINE, BETWEEN_LINES, SHARE_BETWEEN = 5.0, 10.0, 0.1
"""Seconds before the first line in a log; least seconds between two lines, and their least share of the time so far."""

BYTES = "bytes"
MEBIBYTE = 2**20

COLUMNS, ROWS = 80, 24
"""Size of a terminal that doesn't report its size."""


class StepCounter:
    """A counter of a part of the work; this class reports nothing."""

    def done(self, count: int = 1) -> None:
        """Add to the work that is done; several threads may call it."""

    def expect(self, more: int) -> None:
        """Add to the work that is expected; a negative number takes away."""

    @contextmanager
    def share(self, steps: int) -> Iterator[Callable[[], None]]:
        """Yield the function to call after each step of a piece of the work that has at most so many steps.

        In the end, steps that were not needed, as when a fit stops early, are expected no longer.
        """
        made = 0

        def step() -> None:
            nonlocal made
            made += 1
            self.done()

        yield step
        self.expect(made - steps)


class Progress:
    """A receiver of the progress of long work; this class ignores it."""

    @contextmanager
    def counting(self, total: int | None, unit: str, what: str = "", done: int = 0, *, at_most: bool = False) -> Iterator[StepCounter]:
        """Count a part of the work.

        Parameters
        ----------
        total : units to be done; None if unknown.
        unit : its name in the plural: `eras`, `trees`; `bytes` are shown in larger units.
        what : the part of the work, if there are several.
        done : units that were done before.
        at_most : whether the work may end early, so that the time left can't be estimated.
        """
        yield UNCOUNTED


UNCOUNTED = StepCounter()
SILENT = Progress()


class ConsoleProgress(Progress):
    """Progress on a stream: on a terminal a bar that disappears when its part is done, else lines.

    Work that ends within `FIRST_LINE` seconds prints no line. Other work also prints a line at its end.

    Parameters
    ----------
    label : name of the work.
    stream : most often stderr.
    clock : returns seconds since any start.
    """

    def __init__(self, label: str, stream: TextIO, clock: Callable[[], float]) -> None:
        self._label, self._stream, self._clock = label, stream, clock
        self._start = clock()
        self._due = self._start + FIRST_LINE

    @contextmanager
    def counting(self, total: int | None, unit: str, what: str = "", done: int = 0, *, at_most: bool = False) -> Iterator[StepCounter]:
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
        """Return whether it is time for a line."""
        return now >= self._due

    def write(self, line: str, now: float) -> None:
        """Write a line, and set the time of the next."""
        print(line, file=self._stream, flush=True)
        self._due = now + max(BETWEEN_LINES, SHARE_BETWEEN * (now - self._start))


@functools.cache
def _bars() -> Any:
    """Return the class of bars, which is imported only when a bar is drawn."""
    from tqdm import tqdm

    class Bar(tqdm):
        """A bar without tqdm's thread, which forked processes would lack."""

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


class _Drawn(StepCounter):
    def __init__(self, bar: Any) -> None:
        self._bar, self._lock = bar, threading.Lock()

    def done(self, count: int = 1) -> None:
        with self._lock:
            self._bar.update(count)

    def expect(self, more: int) -> None:
        with self._lock:
            if self._bar.total is not None:
                self._bar.total += more


class _Written(StepCounter):
    def __init__(self, shown: ConsoleProgress, name: str, total: int | None, unit: str, done: int, *, at_most: bool) -> None:
        self._shown, self._name, self._total, self._unit, self._at_most = shown, name, total, unit, at_most
        self._before = self._done = done
        self._start, self._last = shown.now(), -1
        self._lock = threading.Lock()

    def done(self, count: int = 1) -> None:
        with self._lock:
            self._done += count
            now = self._shown.now()
            if self._shown.is_due(now):
                self._write_line(now)

    def expect(self, more: int) -> None:
        with self._lock:
            if self._total is not None:
                self._total += more

    def end(self) -> None:
        """Write a last line if a line was written before."""
        if 0 <= self._last < self._done:
            self._write_line(self._shown.now())

    def _write_line(self, now: float) -> None:
        self._last, gone, came = self._done, now - self._start, self._done - self._before
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


class StdoutAboveBar(io.TextIOBase):
    """A terminal on which whole lines are written above the bar; the bar is drawn again below them.

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
        """Write a last line that lacks a line break."""
        self._put(self._begun)
        self._begun = ""

    def _put(self, text: str) -> None:
        with _bars().external_write_mode(file=self._bars):
            self._stream.write(text)
            self._stream.flush()


def duration(seconds: float) -> str:
    """Format a time as `3.1 s`, `42 s`, `2 min 5 s` or `1 h 7 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    if not minutes:
        return f"{left} s"
    return f"{minutes} min {left} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
