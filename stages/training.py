"""What the training stages share: read the prepared data, train one model, write it, its importance and its predictions."""

import sys
from collections.abc import Callable

from threadpoolctl import threadpool_limits

from erawise import errors, files, params, splits, training
from erawise.features import maps
from erawise.models.protocol import GIB, Kind, Resources, held_by
from erawise.panel import Panel
from stages import paths


def run(kind: Kind) -> None:
    """Train the model whose name is the only argument of the command."""
    errors.reported(lambda: _run(kind, *sys.argv[1:2]))()


def _run(kind: Kind, name: str = "") -> None:
    p = params.load(paths.PARAMS)
    try:
        settings = p.models[name]
    except KeyError:
        raise errors.InputError(f"models: params.yaml has no model {name!r}; the command needs the name of one that it has") from None
    panel = Panel(paths.PREPARED, [settings.target])
    training.check_target(panel, settings.target, f"models.{name}.target")
    days = splits.model_horizon(settings.target, p.data.target, p.data.target_horizon)
    try:
        plan = splits.from_json(files.read_json(paths.FOLDS), days)
        data = training.Data(panel, Panel(paths.LIVE, []), plan, *maps.read(paths.FEATURES))
        resources = Resources(
            p.resources.threads, int(p.resources.memory * GIB), paths.SCRATCH, p.resources.device, held_by(panel), _saying(name)
        )
        with threadpool_limits(p.resources.threads, user_api="blas"):
            trained = training.train(kind, settings, data, inner_share=p.training.inner_share, resources=resources)
    except errors.InputError as error:
        raise errors.InputError(f"models.{name}: {error}") from None
    with files.replacing(paths.MODELS / name) as directory:
        directory.mkdir()
        trained.model.save(directory)
        files.write_csv(training.importance_table(trained), directory / "importance.csv")
    files.write_parquet(trained.predictions, paths.MODEL_PREDICTIONS / f"{name}.parquet")
    if trained.rounds:
        found = ", ".join("none" if number is None else str(number) for number in trained.rounds)
        print(f"{name}: best rounds of the folds: {found}; the final model has {trained.final_rounds}")
    if trained.dropped:
        print(f"{name}: {trained.dropped:,} training rows without {settings.target} left out")


def _saying(name: str) -> Callable[[str], None]:
    return lambda line: print(f"{name}: {line}", flush=True)
