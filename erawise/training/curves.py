"""Curves of a training, written as it goes: the score on the inner slice by round, a file for each fold."""

import threading
from pathlib import Path

import pandas as pd

from erawise.base import files
from erawise.training.jobs import Log

METRIC = "correlation"
FIRST_ROUNDS = 100
"""Rounds that each have a point."""


class Curves:
    """The curves of one training, in a directory of their own; earlier curves there are removed.

    They hold no time, so that two trainings of equal scores write equal bytes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.Lock()
        files.remove(directory)
        directory.mkdir(parents=True)

    def log(self, name: str, number: int, score: float) -> None:
        """Add a point: the score after a round of a fit; fits may come from several threads."""
        if not has_point(number):
            return
        path = self.directory / "metrics" / name / f"{METRIC}.tsv"
        with self._lock:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8", newline="\n") as file:
                if not file.tell():
                    file.write(f"step\t{METRIC}\n")
                file.write(f"{number}\t{round(score, 6)}\n")

    def log_of(self, variant: str) -> Log:
        """Return a log of the folds' rounds for one of several variants, or for the only one, whose name is empty."""

        def log(fold: int, number: int, score: float) -> None:
            self.log(f"{variant}/fold_{fold + 1}" if variant else f"fold_{fold + 1}", number, score)

        return log


def has_point(number: int) -> bool:
    """Return whether a round has a point: the first 100 have, then every 10th up to 1,000, every 100th up to 10,000, and so on."""
    return number <= FIRST_ROUNDS or number % 10 ** (len(str(number - 1)) - 2) == 0


def read(directory: Path) -> dict[str, pd.Series]:
    """Return the curves of all trainings in a directory, each a score by round, by names such as `lightgbm/fold_1`."""
    found = {}
    for training in sorted(directory.iterdir()):
        for path in sorted(training.glob(f"metrics/**/{METRIC}.tsv")):
            fit = path.parent.relative_to(training / "metrics").as_posix()
            found[f"{training.name}/{fit}"] = pd.read_csv(path, sep="\t", index_col="step")[METRIC]
    return found
