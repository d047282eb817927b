"""The inputs of a model: its settings, its data, and the resources of its fits."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erawise.base import files
from erawise.base.settings import Resources as Limits
from erawise.models.shared.protocol import GIB, Resources, held_by
from erawise.models.shared.settings import AnyModel
from erawise.panel.panel import days_ahead
from erawise.running import errors, paths
from erawise.training import training
from erawise.training.all_eras import AllErasSource
from erawise.training.jobs import Source, TrainingData


@dataclass(frozen=True)
class ModelInputs:
    """The settings, data and resources of one model, and the location of the data."""

    settings: Any
    source: Source
    data: TrainingData
    resources: Resources


def source_of(settings: AnyModel, main_target: str, *, live: bool) -> Source:
    """Return the location of a model's data; `live` says whether the live era is to be predicted.

    The folds are purged by the longest horizon of the model's own targets and of the main target.
    """
    columns = tuple(sorted({main_target, *(variant.target for variant in settings.variants.values())}))
    longest = max(days_ahead(paths.PANEL, target) for target in columns)
    return Source(paths.PANEL, paths.LIVE if live else None, paths.FOLDS, paths.FEATURES, columns, longest)


def read(name: str, settings: Any, main_target: str, limits: Limits, *, live: bool, aside: Path | None = None) -> ModelInputs:
    """Read the data that a model is fitted on, and the live era if it is to be predicted.

    Parameters
    ----------
    name, settings : name and settings of the model, an `AnyModel`.
    main_target : the target that every prediction is scored against.
    limits : the section `resources`.
    aside : the file with the targets of the validation eras, to learn from these too; None not to.

    Raises
    ------
    InputError
        If a file is missing or broken, or the data lacks a target.
    """
    with errors.about(f"models.{name}.target"):
        source = source_of(settings, main_target, live=live)
        if aside is not None:
            source = AllErasSource(**vars(source), validation=aside)
    panel = source.panel()
    for target in sorted({variant.target for variant in settings.variants.values()}):
        training.check_target(panel, target, f"models.{name}.target")
    with naming(name):
        data = source.around(panel)

    def notify(line: str) -> None:
        print(f"{name}: {line}", flush=True)

    resources = Resources(limits.threads, int(limits.memory * GIB), paths.SCRATCH, limits.device, held_by(panel), notify)
    return ModelInputs(settings, source, data, resources)


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a scratch directory, which moves to `path` at the end; a process that is killed earlier leaves `path` as it was."""
    with files.scratch(paths.SCRATCH) as scratch:
        yield scratch
        with files.replacing(path) as directory:
            scratch.rename(directory)


def sharing_scratch() -> AbstractContextManager[None]:
    """Hold the scratch files that models share, so that no other process removes them."""
    return files.in_use(paths.SCRATCH)


def naming(name: str) -> AbstractContextManager[None]:
    """Name the model in errors that are raised within."""
    return errors.about(f"models.{name}")
