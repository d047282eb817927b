"""The ground floor: the names, types and rules that every part of the pipeline relies on."""

import math
from collections import Counter
from collections.abc import Iterable
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
"""Trading days that a target looks ahead, by the end of the name that Numerai gives it."""

LAST_ERA = 9999
"""The largest number of a week: Numerai writes four digits. Dates and days or seconds since 1970 are beyond it."""


def era_name(era: int) -> str:
    """An era as messages call it."""
    return "the live era" if era == LIVE_ERA else f"era {era}"


def is_target(column: str) -> bool:
    """Whether a column of the raw files is a target."""
    return column == TARGET or column.startswith(f"{TARGET}_")


def is_feature(column: str) -> bool:
    """Tell whether a column has the name of a feature, as Numerai gives it."""
    return column.startswith("feature_")


def named_horizon(target: str) -> int | None:
    """Return the trading days that a target's name says it looks ahead, None if the name isn't one of Numerai's with `_20` or `_60`."""
    return HORIZONS.get(target[-3:])


def horizon(target: str, default: int) -> int:
    """Return the trading days that a target looks ahead: by its name, else `default`."""
    return named_horizon(target) or default


def spanned_weeks(days: int) -> int:
    """Weeks that a target of a horizon in trading days spans: 4 for 20 days, 12 for 60."""
    return math.ceil(days / TRADING_DAYS_A_WEEK)


def purge_weeks(days: int) -> int:
    """Weeks to leave out beside a test era for a horizon in trading days: 8 for 20 days, 16 for 60.

    The overlap itself is `spanned_weeks`; the official walk-forward adds an embargo of 4.
    """
    return spanned_weeks(days) + EMBARGO_WEEKS


def usual_distance(eras: Iterable[int]) -> int | None:
    """Return the most frequent distance of neighbouring eras in weeks, the shortest of several; None if there are fewer than two eras."""
    counts = Counter(after - before for before, after in pairwise(sorted(set(eras))))
    return min(counts, key=lambda distance: (-counts[distance], distance), default=None)


def distance_warning(where: str, eras: Iterable[int], expected: int, days: int | None = None) -> list[str]:
    """Return a line on eras that are not as far apart as they should be, or none.

    Parameters
    ----------
    where : the file or the part of the data that has the eras.
    eras : numbers of weeks.
    expected : weeks between neighbouring eras.
    days : that the main target looks ahead, by which test blocks are purged; None if that isn't known yet.
    """
    found = usual_distance(eras)
    if found is None or found == expected:
        return []
    weeks = 0 if days is None else purge_weeks(days)
    purge = f"a purge of {weeks} weeks takes {weeks // found} of them on each side of a test block" if weeks else "so are purges counted"
    return [
        f"{where}: neighbouring eras are usually {found} apart, and {expected} was expected. Eras are numbers of weeks, and {purge}. "
        f"That is right for a file with one week in {found}; if the eras follow week by week, number them 1, 2, 3, ..."
    ]


def top(dtype: str) -> float:
    """The largest value on a feature's scale; the smallest is 0."""
    return INT8_TOP if dtype == "int8" else FLOAT_TOP
