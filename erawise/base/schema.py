"""Names, types and rules that every part of the pipeline relies on."""

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import pairwise

ID = "id"
ERA = "era"
DATA_TYPE = "data_type"
SPLIT = "split"
PREDICTION = "prediction"
TARGET = "target"
META_MODEL = "numerai_meta_model"
ORACLE = "oracle"

CV, TRAIN, VALIDATION, LIVE = "cv", "train", "validation", "live"

LIVE_ERA = -1
"""The era number of live rows in memory; on disk their era is null."""

INT8_MIDDLE, INT8_TOP = 2, 4
FLOAT_MIDDLE, FLOAT_TOP = 0.5, 1.0

TRADING_DAYS_A_WEEK = 5
EMBARGO_WEEKS = 4

HORIZONS = {"_20": 20, "_60": 60}
"""Trading days that a target looks ahead, by the end of Numerai's name."""

LEAST_SPANS = 8
"""Eras, in spans of the target, below which no interval is given."""

LAST_ERA = 9999
"""The largest number of a week: Numerai writes four digits. Dates and days or seconds since 1970 are beyond it."""


def era_name(era: int) -> str:
    """Return the name of an era in messages."""
    return "the live era" if era == LIVE_ERA else f"era {era}"


def is_target(column: str) -> bool:
    """Return whether a column of the raw files is a target."""
    return column == TARGET or column.startswith(f"{TARGET}_")


def is_feature(column: str) -> bool:
    """Return whether a column has Numerai's name of a feature."""
    return column.startswith("feature_")


def named_horizon(target: str) -> int | None:
    """Return the trading days that a target looks ahead by the end of its name, `_20` or `_60`; None for another name."""
    return HORIZONS.get(target[-3:])


def horizon_line(target: str, days: int, equal: str | None) -> str:
    """Return a line on how many trading days a target looks ahead, and why.

    `equal` is the target, named with its horizon, that has the same values; None if there is none.
    """
    reason = f"it equals {equal}, value by value" if equal else "the settings say so"
    return f"{target}: looks {days} trading days ahead: {'its name ends so' if named_horizon(target) else reason}"


def spanned_weeks(days: int) -> int:
    """Return the weeks that a target of a horizon in trading days spans: 4 for 20 days, 12 for 60."""
    return math.ceil(days / TRADING_DAYS_A_WEEK)


def purge_weeks(days: int) -> int:
    """Return the weeks to purge on each side of a test era for a horizon in trading days: 8 for 20 days, 16 for 60.

    They are the weeks of the overlap (`spanned_weeks`) and the embargo of 4 of the official walk-forward.
    """
    return spanned_weeks(days) + EMBARGO_WEEKS


def spanned_eras(eras: Iterable[int], weeks: int) -> int:
    """Return how many of the eras a target of so many weeks spans.

    Parameters
    ----------
    eras : era numbers, in any order and with repetitions; there may be an era only every n-th week.
    weeks : weeks that the target looks ahead.

    Returns
    -------
    At least 1. Fewer than two distinct eras are taken as a week apart.
    """
    return max(1, math.ceil(weeks / _weeks_apart(eras)))


def _weeks_apart(eras: Iterable[int]) -> float:
    distances = [after - before for before, after in pairwise(sorted(set(eras)))]
    return float(statistics.median(distances)) if distances else 1.0


def overlap_line(eras: Collection[int], days: int) -> str:
    """Return a line on the purge, the overlap and the eras that an interval needs, for a target of so many trading days."""
    span, purge = spanned_eras(eras, spanned_weeks(days)), purge_weeks(days)
    overlap = f"a target spans {span} eras, which overlap" if span > 1 else "eras don't overlap"
    return (
        f"a purge of {purge} weeks is {int(purge / _weeks_apart(eras))} eras on each side; {overlap}; "
        f"an interval needs {LEAST_SPANS * span} eras, and there are {len(set(eras))}"
    )


def usual_distance(eras: Iterable[int]) -> int | None:
    """Return the most frequent distance of neighbouring eras in weeks, the shortest of several; None for fewer than two eras."""
    counts = Counter(after - before for before, after in pairwise(sorted(set(eras))))
    return min(counts, key=lambda distance: (-counts[distance], distance), default=None)


def distance_warning(source: str, eras: Iterable[int], expected: int, days: int | None = None) -> list[str]:
    """Return a warning if eras are not as far apart as expected; else an empty list.

    Parameters
    ----------
    source : the file or the part of the data that has the eras.
    eras : numbers of weeks.
    expected : weeks between neighbouring eras.
    days : trading days that the main target looks ahead, on which the purge depends; None if that isn't known yet.
    """
    found = usual_distance(eras)
    if found is None or found == expected:
        return []
    weeks = 0 if days is None else purge_weeks(days)
    purge = f"a purge of {weeks} weeks takes {weeks // found} of them on each side of a test block" if weeks else "so are purges counted"
    return [
        f"{source}: neighbouring eras are usually {found} apart, and {expected} was expected. Eras are numbers of weeks, and {purge}. "
        f"That is right for a file with one week in {found}; if the eras follow week by week, number them 1, 2, 3, ..."
    ]


def top(dtype: str) -> float:
    """Return the largest value on a feature's scale; the smallest is 0."""
    return INT8_TOP if dtype == "int8" else FLOAT_TOP
