"""`erawise score`."""

import os
import sys
import time
from typing import Annotated

from cyclopts import Parameter, validators

from erawise.base.settings import Objective
from erawise.commands import checkout
from erawise.commands.arguments import TERMINAL, Output, Place, about
from erawise.running import errors

Share = Annotated[float, Parameter(validator=validators.Number(gte=0, lte=1))]


def score(
    *files: Annotated[Place, about("Files of predictions, Parquet or CSV: ids, eras if you have them, and numbers.")],
    data: Annotated[Place | None, about("A directory in Numerai's layout; the prepared data of the checkout if not given.")] = None,
    columns: Annotated[list[str] | None, about("Columns to score; all of numbers if not given.", consume_multiple=True)] = None,
    target: Annotated[str | None, about("The target to score against.")] = None,
    horizon: Annotated[int | None, about("Trading days that it looks ahead, if neither its name nor the data tells.")] = None,
    benchmark: Annotated[str | None, about("The benchmark model of BMC.")] = None,
    regime: Annotated[str | None, about("The regime whose payout is among the scores; the newest if not given.")] = None,
    features: Annotated[str, about("The features of FNC and exposure: all, none, or a set of features.json.")] = "all",
    against: Annotated[
        list[str] | None, about("Compare with these: each-other, benchmark, meta-model, or names.", consume_multiple=True)
    ] = None,
    score: Annotated[Objective, about("Compare by this score.")] = "corr",
    max_missing_share: Annotated[Share, about("Share of unknown ids, or of rows without a prediction, that is accepted.")] = 0.05,
    report: Annotated[Place | None, about("Write a page, one file of HTML, in addition.")] = None,
    output: Output = TERMINAL,
) -> None:
    """Score files of predictions, whatever made them.

    Every score that the data can give, with intervals, and each prediction against the others, the benchmark and the meta model.
    With `--data` it needs no checkout; without, eras of the final check count as a look. `--csv` has every era too. Progress is on stderr.

    Example: `erawise score mine.parquet other.csv --data v5.3 --features none`

    Exit codes:

    - 0: done
    - 1: a file doesn't fit the data, or more is missing than is accepted
    - 2: the command line is wrong
    """
    if not files:
        raise errors.UsageError("There is no file to score. See `erawise score --help`.")
    form = output.form
    if data is None:
        os.chdir(checkout.top())
    from erawise.models.predictions import prediction_files

    for path in files:
        prediction_files.open_predictions(path, columns or ())  # before slow imports, so that a wrong column is told at once
    from erawise.running.progress import ConsoleProgress
    from erawise.scoring import scored_files, scored_tables
    from erawise.scoring.outcomes import Wishes

    wishes = Wishes(target, horizon, benchmark, regime, features, tuple(against or ()))
    how = scored_files.How(tuple(columns or ()), tuple(against or ()), score, max_missing_share)
    found = scored_files.score_files(files, data, wishes, how, ConsoleProgress("score", sys.stderr, time.monotonic))
    if report is not None:
        scored_tables.write_page(found, report)
    scored_tables.show(found, form)
