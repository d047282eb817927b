"""What the stage's process and its workers tell each other beside jobs: what a task may use, and what it has found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erawise.cluster.environment import Environment

MEMORY = "memory"
"""What a worker says it has, in bytes, by `--resources memory=8e9`."""


@dataclass(frozen=True)
class Terms:
    """What a task may use, and what its worker must run."""

    threads: int
    memory: int
    device: str
    scratch: Path
    environment: Environment
    topic: str


@dataclass(frozen=True)
class Outcome:
    """What a task has found.

    Attributes
    ----------
    value : of the job.
    rounds : number, from 1, and score of each round of a fit that may stop early.
    """

    value: Any
    rounds: list[tuple[int, float]]
