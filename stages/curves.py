"""Curves of a training, which DVCLive writes as it goes: the score on the inner slice by round, a file for each fold."""

import threading
from pathlib import Path
from typing import Any

import pandas as pd

from erawise import files

METRIC = "correlation"
FIRST_ROUNDS = 100
"""Rounds that each have a point."""


class Curves:
    """The curves of one training, in a directory that is theirs; what lies there of an earlier one is removed.

    They hold no time, so that two trainings of equal scores write equal bytes. DVCLive is imported for the first point. Its files of
    metrics are all that is taken of it: a whole `Live` would look for a Git repository, and tell DVC Studio of an experiment that is none.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._metrics: dict[str, Any] = {}
        self._lock = threading.Lock()
        files.remove(directory)
        directory.mkdir(parents=True)

    def log(self, name: str, number: int, score: float) -> None:
        """Add a point: the score after a round of a fit; fits may come from several threads."""
        if not has_point(number):
            return
        with self._lock:
            if name not in self._metrics:
                self._metrics[name] = _metric(name, self.directory)
            self._metrics[name].step = number
            self._metrics[name].dump(round(score, 6))


def has_point(number: int) -> bool:
    """Whether a round has a point: each of the first, then every 10th up to 1,000, every 100th up to 10,000, and so on."""
    return number <= FIRST_ROUNDS or number % 10 ** (len(str(number - 1)) - 2) == 0


def _metric(name: str, directory: Path) -> Any:
    from dvclive.plots import Metric

    return Metric(f"{name}/{METRIC}", str(directory))


def read(directory: Path) -> dict[str, pd.Series]:
    """The curves of all trainings in a directory, each a score by round, by names such as `lightgbm/fold_1`."""
    found = {}
    for training in sorted(directory.iterdir()):
        for path in sorted(training.glob(f"metrics/**/{METRIC}.tsv")):
            fit = path.parent.relative_to(training / "metrics").as_posix()
            found[f"{training.name}/{fit}"] = pd.read_csv(path, sep="\t", index_col="step")[METRIC]
    return found
