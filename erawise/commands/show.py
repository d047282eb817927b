"""`erawise show`."""

from erawise.history import last_run


def show() -> None:
    """Print the scores of the last run.

    The tables are those of metrics/cv.json and metrics/validation.json, as Markdown.

    Example: `erawise show`

    Exit codes:

    - 0: done
    - 1: there is no run, or its metrics can't be read
    - 2: the command line is wrong
    """
    last_run.show()
