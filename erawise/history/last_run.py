"""The metrics of the last run as tables, with the looks at validation so far."""

import numpy as np

from erawise import params
from erawise.base import files
from erawise.base.schema import CV, VALIDATION
from erawise.blend import proportions
from erawise.evaluation import evaluation
from erawise.evaluation.evaluation import DIAGNOSED
from erawise.history import looks, overview
from erawise.running import paths


def show() -> None:
    """Print the tables of `metrics/`."""
    for split, meaning in ((CV, "out of fold on the train eras"), (VALIDATION, "the final check, used for no choice")):
        print(f"**{split}** ({meaning})\n")
        print(overview.markdown(files.read_json(paths.METRICS / f"{split}.json")) + "\n")
    found = evaluation.evaluated(paths.SCORES)
    lines = [evaluation.standing(found.target, found.days, found.equal, found.early), *evaluation.paid(found)]
    print("\n".join([*lines, *proportions.lines(files.read_json(paths.NEUTRALIZED_TO).get("chosen"))]) + "\n")
    print(_looks(params.load(paths.PARAMS)))


def _looks(p: params.Params) -> str:
    """How often the validation eras were looked at, and what luck would have shown by now."""
    count, deflated = looks.at(p, DIAGNOSED)
    if not count:
        return "No evaluation on this data is on record in this checkout."
    counted = f"Looks at these validation eras so far: {count}."
    if np.isnan(deflated):
        return f"{counted} They are too few to tell whether the {DIAGNOSED} ensemble's Sharpe is luck."
    return f"{counted} The {DIAGNOSED} ensemble's Sharpe is above what the best of so many shows by luck with probability {deflated:.2f}."
