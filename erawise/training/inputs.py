"""The inputs of a model: its settings, its data, and what its fits may take."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erawise.base import files
from erawise.base.settings import Resources as Limits
from erawise.models.shared.protocol import GIB, Resources, held_by
from erawise.models.shared.settings import Entry
from erawise.panel.panel import days_ahead
from erawise.running import errors, paths
from erawise.training import training
from erawise.training.jobs import Data, Source


@dataclass(frozen=True)
class ModelInputs:
    """The settings, data and resources of one model, and where the data lies."""

    settings: Any
    source: Source
    data: Data
    resources: Resources


def source_of(settings: Entry, main_target: str, *, live: bool) -> Source:
    """Return where the data of a model lies; `live` says whether the live era is to be predicted.

    Its folds are purged by the longest horizon of its own targets and of the main one.
    """
    columns = tuple(sorted({main_target, *(member.target for member in settings.members.values())}))
    longest = max(days_ahead(paths.PANEL, target) for target in columns)
    return Source(paths.PANEL, paths.LIVE if live else None, paths.FOLDS, paths.FEATURES, columns, longest)


def read(name: str, settings: Any, main_target: str, limits: Limits, *, live: bool) -> ModelInputs:
    """Read the data that a model is fitted on, and the live era if it is to be predicted.

    Parameters
    ----------
    name, settings : of the model, an `Entry`.
    main_target : the target that every prediction is scored on.
    limits : the section `resources`.

    Raises
    ------
    InputError
        If a file is missing or broken, or the data lacks a target.
    """
    with errors.about(f"models.{name}.target"):
        source = source_of(settings, main_target, live=live)
    panel = source.panel()
    for target in sorted({member.target for member in settings.members.values()}):
        training.check_target(panel, target, f"models.{name}.target")
    with naming(name):
        data = source.around(panel)

    def notify(line: str) -> None:
        print(f"{name}: {line}", flush=True)

    resources = Resources(limits.threads, int(limits.memory * GIB), paths.SCRATCH, limits.device, held_by(panel), notify)
    return ModelInputs(settings, source, data, resources)


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a directory that takes its place at the end; until then it is among the scratch files, where nothing that is killed matters."""
    with files.scratch(paths.SCRATCH) as scratch:
        yield scratch
        with files.replacing(path) as directory:
            scratch.rename(directory)


def sharing_scratch() -> AbstractContextManager[None]:
    """Keep the scratch files that models share from being removed by another process while they are used."""
    return files.in_use(paths.SCRATCH)


def naming(name: str) -> AbstractContextManager[None]:
    """Have errors within say which model they are about."""
    return errors.about(f"models.{name}")
