"""What training and tuning share: the settings of one model, all that it is fitted on, and what does the fits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from erawise import errors, params, splits, training
from erawise.jobs import HERE, Data, Engine, Source
from erawise.models.protocol import GIB, Resources, held_by
from stages import paths


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
    settings = p.models.get(name)
    if settings is None:
        raise params.unknown_model(name)
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
def engine(source: Source, resources: Resources) -> Iterator[Engine]:
    """What does the fits: this process, or workers of Dask."""
    p = params.load(paths.PARAMS)
    if p.execution.engine == "local":
        yield HERE
        return
    from stages import workers

    with workers.engine(source, resources) as found:
        yield found


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Errors within say which model they are about."""
    try:
        yield
    except errors.InputError as error:
        raise type(error)(f"models.{name}: {error}") from None
