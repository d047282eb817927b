"""Messages between the stage's process and its workers: the limits of a task, and its result."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erawise.cluster.environment import Environment

MEMORY = "memory"
"""The name of a worker's memory in bytes, as in `--resources memory=8e9`."""


@dataclass(frozen=True)
class Terms:
    """The limits of a task, and the environment that its worker must have."""

    threads: int
    memory: int
    device: str
    scratch: Path
    environment: Environment
    topic: str


@dataclass(frozen=True)
class Outcome:
    """The result of a task.

    Attributes
    ----------
    value : result of the job.
    rounds : number, from 1, and score of each round of a fit that may stop early.
    """

    value: Any
    rounds: list[tuple[int, float]]
