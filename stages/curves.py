"""Curves of a training, which DVCLive writes as it goes: the score on the inner slice by round, a file for each fold."""

import threading
from pathlib import Path
from typing import Any

import pandas as pd

from erawise import files

METRIC = "correlation"
DVCLIVE_DIRECTORIES = ("plots", "metrics")
FIRST_ROUNDS = 100
"""Rounds that each have a point."""


class Curves:
    """The curves of one training, in a directory that is theirs; what lies there of an earlier one is removed.

    They hold no time, so that two trainings of equal scores write equal bytes. DVCLive is imported for the first point. It isn't
    told of the end of the training, where it would write a summary, which is no curve, and look for files to add to Git.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._live: Any = None
        self._lock = threading.Lock()
        files.remove(directory)
        directory.mkdir(parents=True)

    def log(self, name: str, number: int, score: float) -> None:
        """Add a point: the score after a round of a fit; fits may come from several threads."""
        if not has_point(number):
            return
        with self._lock:
            if self._live is None:
                self._live = _open(self.directory)
            self._live.step = number
            self._live.log_metric(f"{name}/{METRIC}", round(score, 6))


def has_point(number: int) -> bool:
    """Whether a round has a point: each of the first, then every 10th up to 1,000, every 100th up to 10,000, and so on."""
    return number <= FIRST_ROUNDS or number % 10 ** (len(str(number - 1)) - 2) == 0


def read(directory: Path) -> dict[str, pd.Series]:
    """The curves below a directory, each a score by round, by names such as `lightgbm/fold_1`."""
    found = {}
    for path in sorted(directory.glob(f"**/{METRIC}.tsv")):
        table = pd.read_csv(path, sep="\t", index_col="step")
        parts = path.parent.relative_to(directory).parts
        found["/".join(part for part in parts if part not in DVCLIVE_DIRECTORIES)] = table[METRIC]
    return found


def _open(directory: Path) -> Any:
    from dvclive import Live

    return Live(str(directory), save_dvc_exp=False, dvcyaml=None, report=None)
