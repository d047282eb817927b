"""What training and tuning share: the settings of one model, and all that it is fitted on."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from erawise import params
from erawise.base import files
from erawise.folds import splits
from erawise.models.shared.protocol import GIB, Resources, held_by
from erawise.running import errors, paths
from erawise.training import training
from erawise.training.jobs import Data, Source


@dataclass(frozen=True)
class Work:
    """One model's settings, data and resources, and where the data lies."""

    settings: params.Model
    source: Source
    data: Data
    resources: Resources


def source_of(settings: params.Model, main: str, days: int, *, live: bool) -> Source:
    """Where the data of a model lies.

    Parameters
    ----------
    settings : of the model.
    main, days : `data.target` and `data.target_horizon`.
    live : whether the live era is to be predicted.
    """
    targets = {member.target for member in settings.members.values()}
    longest = max(splits.model_horizon(target, main, days) for target in targets)
    return Source(paths.PREPARED, paths.LIVE if live else None, paths.FOLDS, paths.FEATURES, tuple(sorted({*targets, main})), longest)


def open_for(name: str, *, live: bool) -> Work:
    """Read what a model is fitted on, and the live era where it is to be predicted."""
    p = params.load(paths.PARAMS)
    try:
        settings = p.models[name]
    except KeyError:
        raise params.unknown_model(name) from None
    source = source_of(settings, p.data.target, p.data.target_horizon, live=live)
    panel = source.panel()
    for target in sorted({member.target for member in settings.members.values()}):
        training.check_target(panel, target, f"models.{name}.target")
    with naming(name):
        data = source.around(panel)
    memory = int(p.resources.memory * GIB)

    def say(line: str) -> None:
        print(f"{name}: {line}", flush=True)

    return Work(settings, source, data, Resources(p.resources.threads, memory, paths.SCRATCH, p.resources.device, held_by(panel), say))


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
