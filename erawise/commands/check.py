"""`erawise check`."""

from erawise.history import readiness


def check() -> None:
    """Check params.yaml and dvc.lock before a run.

    Every setting must be known and in its range. A dvc.lock that a kill has cut off is mended, and files that killed runs have left
    are removed.

    Example: `erawise check && dvc repro`

    Exit codes:

    - 0: all is well
    - 1: a setting must be mended; the message names it
    - 2: the command line is wrong
    """
    readiness.check()
