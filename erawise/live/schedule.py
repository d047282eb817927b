"""Numerai's week: when rounds accept submissions, and when `erawise submit` must run. docs/live.md and docs/howto/recover.md show both."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Window:
    """The time in which a round usually accepts submissions, in UTC.

    Attributes
    ----------
    day, opens : day and time at which it opens.
    length : time until it closes.
    """

    day: str
    opens: time
    length: timedelta


@dataclass(frozen=True)
class Runs:
    """Runs of `erawise submit`, in UTC.

    Attributes
    ----------
    days, times : of the runs.
    wait : minutes that each run waits for the round.
    """

    days: tuple[str, ...]
    times: tuple[time, ...]
    wait: int = 0


OPENING = time(12)

WINDOWS = (
    *(Window(day, OPENING, timedelta(hours=1)) for day in ("Tue", "Wed", "Thu", "Fri")),
    Window("Sat", OPENING, timedelta(hours=26)),
)
"""Numerai may change times, but never to before 12:00, and a round is open for at least an hour. The server's times go before these."""

WAIT = 55
"""Minutes that the first run waits, until five minutes before most rounds close."""

RUNS = (
    Runs(("Tue", "Wed", "Thu", "Fri", "Sat"), (OPENING,), WAIT),
    Runs(("Tue", "Wed", "Thu", "Fri", "Sat"), (time(12, 20), time(12, 40))),
    Runs(("Sat",), (time(15), time(18), time(21))),
    Runs(("Sun",), (time(0), time(3), time(6), time(9), time(12))),
)
"""The runs of a week. Each run after the first sends something only if the runs before it have failed."""


def due(now: datetime) -> bool:
    """Return whether a round usually accepts submissions at a time."""
    moment = now.astimezone(UTC)
    monday = datetime.combine(moment.date() - timedelta(days=moment.weekday()), time(), UTC)
    openings = ((monday + timedelta(days=DAYS.index(one.day), hours=one.opens.hour, minutes=one.opens.minute), one) for one in WINDOWS)
    return any(opens <= moment < opens + one.length for opens, one in openings)
