"""The ground floor: the names, types and rules that every part of the pipeline relies on."""

import math
import re

ID = "id"
ERA = "era"
DATA_TYPE = "data_type"
SPLIT = "split"
PREDICTION = "prediction"
TARGET = "target"
META_MODEL = "numerai_meta_model"
ORACLE = "oracle"

CV, VALIDATION, LIVE = "cv", "validation", "live"

LIVE_ERA = -1
"""The era number of live rows in memory; on disk their era is null."""

INT8_MIDDLE, INT8_TOP = 2, 4
FLOAT_MIDDLE, FLOAT_TOP = 0.5, 1.0

TRADING_DAYS_A_WEEK = 5
EMBARGO_WEEKS = 4


def era_name(era: int) -> str:
    """An era as messages call it."""
    return "the live era" if era == LIVE_ERA else f"era {era}"


def is_target(column: str) -> bool:
    """Whether a column of the raw files is a target."""
    return column == TARGET or column.startswith(f"{TARGET}_")


def horizon(target: str, default: int) -> int:
    """Trading days that a target looks ahead: its numeric suffix, else `default`."""
    match = re.search(r"_(\d+)$", target)
    return int(match.group(1)) if match else default


def spanned_weeks(days: int) -> int:
    """Weeks that a target of a horizon in trading days spans: 4 for 20 days, 12 for 60."""
    return math.ceil(days / TRADING_DAYS_A_WEEK)


def purge_weeks(days: int) -> int:
    """Weeks to leave out beside a test era for a horizon in trading days: 8 for 20 days, 16 for 60.

    The overlap itself is `spanned_weeks`; the official walk-forward adds an embargo of 4.
    """
    return spanned_weeks(days) + EMBARGO_WEEKS


def top(dtype: str) -> float:
    """The largest value on a feature's scale; the smallest is 0."""
    return INT8_TOP if dtype == "int8" else FLOAT_TOP
