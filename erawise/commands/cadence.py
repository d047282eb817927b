"""`erawise cadence`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from erawise.commands.arguments import TERMINAL, Output, Place, Whole, about
from erawise.lab import cadence_run
from erawise.running import runner, terminal


def cadence(
    *models: Annotated[str, about("Models whose ensemble is compared; by default the ensemble's models.")],
    weeks: Annotated[tuple[Whole, ...], Parameter(help="Intervals of retraining.", consume_multiple=True)] = (52, 26, 13, 4),
    first: Annotated[Whole | None, about("First era to predict; the middle of the eras that may be learned from if not given.")] = None,
    out: Annotated[Place, about("Directory for the tables and the fits that are kept.")] = Path("data/cadence"),
    output: Output = TERMINAL,
) -> None:
    """Measure what retraining is worth, by how often.

    The same recipe is fitted once, and again every 52, 26, 13 and 4 weeks, and predicts the same eras. Each fit learns from what was
    resolved by then, and predicts the eras until the next one. Features are selected on the eras of the first fit. The eras of the final
    check take no part, so that an interval may be chosen by the result. Fits are kept: a second call is quick.

    Example: `erawise cadence lightgbm --weeks 52 13`

    Exit codes:

    - 0: the intervals are compared
    - 1: something is missing, or the eras are too few
    - 2: the command line is wrong
    """
    with runner.progress_for("cadence", output.form != "terminal") as progress:
        found = cadence_run.measure(cadence_run.Asked(models, weeks, first), out, progress)
    terminal.write(found, output.form)
