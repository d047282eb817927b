"""`erawise audit`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from erawise.commands.arguments import Place, Seed, Whole, about
from erawise.lab import function_audit, prediction_audit
from erawise.lab.auditing import Shape
from erawise.running.errors import UsageError


def audit(
    subject: Annotated[str, about("A function, `module:function`, or a file of predictions.")],
    *,
    data: Annotated[Place | None, about("Directory of data in Numerai's layout.")] = None,
    trained_to: Annotated[Whole | None, about("For a file: the last era that the model was trained on.")] = None,
    column: Annotated[str | None, about("For a file: the column of predictions, if there are several.")] = None,
    days: Annotated[Whole, about("Trading days that the target looks ahead.")] = 60,
    rows: Annotated[Whole, about("For a function: rows of an era.")] = 200,
    eras: Annotated[Whole, about("For a function: eras.")] = 100,
    features: Annotated[Whole, about("For a function: features.")] = 40,
    walk: Annotated[Literal["auto", "yes", "no"], about("For a function: whether it may use only the past.")] = "auto",
    seed: Annotated[Seed, about("Seed of all that is drawn.")] = 0,
    json: Annotated[bool, about("Print JSON.")] = False,
) -> None:
    """Find leaks in a way to make predictions, or in a file of predictions.

    A function gets features (DataFrame, index: ids), target and eras (Series), and returns a Series of predictions, NaN in rows that it
    doesn't predict. It is called some 30 times on data made for the purpose; with `--data` the features are yours.
    `--walk auto` takes a function that predicts no first eras to use only the past. A file needs `--data` and `--trained-to`.

    Example: `erawise audit recipes:predict --days 60`

    Exit codes:

    - 0: clean
    - 1: something must be mended
    - 2: the command line is wrong
    - 5: suspect
    - 6: it leaks
    """
    path = Path(subject)
    if path.is_file() or path.suffix in (".parquet", ".csv"):
        if data is None or trained_to is None:
            raise UsageError(f"{subject}: a file of predictions needs --data and --trained-to. See `erawise audit --help`.")
        found = prediction_audit.audit_predictions(path, data, trained_to, days=days, column=column)
    else:
        if trained_to is not None or column is not None:
            raise UsageError("--trained-to and --column go with a file of predictions. See `erawise audit --help`.")
        walks_forward = None if walk == "auto" else walk == "yes"
        found = function_audit.audit_named(subject, data, days, Shape(rows, eras, features), walks_forward, seed)
    print(found.to_json() if json else found)
    sys.exit(found.exit_code)
