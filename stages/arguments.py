"""Types of arguments that commands share."""

import argparse
import math


def minutes(text: str) -> float:
    """A number of minutes, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes, 0 or more")
    return value


def round_number(text: str) -> int:
    """The number of a round, 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a round")
    return int(text)


def round_or_current(text: str) -> int:
    """The number of a round, or 0 for the current one."""
    return 0 if text == "0" else round_number(text)
