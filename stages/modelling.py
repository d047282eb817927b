"""What training and tuning share: the settings of one model, and all that it is fitted on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from erawise import errors, files, params, splits, training
from erawise.features import maps
from erawise.models.protocol import GIB, Resources, held_by
from erawise.panel import Panel
from stages import paths


@dataclass(frozen=True)
class Work:
    """One model's settings, data and resources."""

    settings: params.Model
    data: training.Data
    resources: Resources


def open_for(name: str, *, live: bool) -> Work:
    """Read what a model is fitted on, and the live era where it is to be predicted."""
    p = params.load(paths.PARAMS)
    try:
        settings = p.models[name]
    except KeyError:
        raise params.unknown_model(name) from None
    targets = {member.target for member in settings.members.values()}
    panel = Panel(paths.PREPARED, sorted({*targets, p.data.target}))
    for target in sorted(targets):
        training.check_target(panel, target, f"models.{name}.target")
    days = max(splits.model_horizon(target, p.data.target, p.data.target_horizon) for target in targets)
    with naming(name):
        plan = splits.from_json(files.read_json(paths.FOLDS), days)
    data = training.Data(panel, Panel(paths.LIVE, []) if live else None, plan, *maps.read(paths.FEATURES))
    memory = int(p.resources.memory * GIB)

    def say(line: str) -> None:
        print(f"{name}: {line}", flush=True)

    return Work(settings, data, Resources(p.resources.threads, memory, paths.SCRATCH, p.resources.device, held_by(panel), say))


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Errors within say which model they are about."""
    try:
        yield
    except errors.InputError as error:
        raise errors.InputError(f"models.{name}: {error}") from None
