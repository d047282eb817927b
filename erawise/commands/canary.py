"""`erawise canary`."""

from typing import Annotated

from erawise.commands.arguments import Seed, Whole, about
from erawise.lab import leak_runs


def canary(
    *,
    eras: Annotated[Whole, about("Train eras to use at most, the last ones.")] = 80,
    rows: Annotated[Whole, about("Rows of an era at most.")] = 300,
    features: Annotated[Whole, about("Features at most.")] = 60,
    seed: Annotated[Seed, about("Seed of all that is drawn.")] = 0,
) -> None:
    """Find leaks: run the pipeline on data in which there is nothing to find.

    First, the data's own features with targets shuffled within eras: a model that finds signal out of fold has seen the answers.
    Then, a market of noise whose features tell the target to a model that was fitted on an era near by: the purge must prevent that.
    The models come from params.yaml, kept small; the workspace stays as it is.

    Example: `erawise canary --eras 60`

    Exit codes:

    - 0: nothing leaks
    - 1: a model finds signal in noise; the message names the stage that leaks
    - 2: the command line is wrong
    """
    leak_runs.look_for_leaks(eras, rows, features, seed)
