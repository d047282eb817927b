"""What the training stages share: train one model, write it, its importance and its predictions."""

from contextlib import ExitStack, closing
from functools import partial

from threadpoolctl import threadpool_limits

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import ERA, PREDICTION
from erawise.cluster import engines
from erawise.models.shared import stored
from erawise.models.shared.protocol import Kind, require_complete
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.training import basis, inputs, training
from erawise.training.curves import Curves


def run(kind: Kind) -> None:
    """Train the model that the command names."""
    about = "Train one model: out-of-fold, validation and live predictions, and the final model."
    runner.stage_of_model("train", partial(_run, kind), about)


def _run(kind: Kind, name: str, progress: Progress) -> runner.Done:
    require_complete(kind)
    p = params.load(paths.PARAMS)
    work = inputs.open_for(name, live=True)
    found = paths.TUNING / f"{name}.json"
    curves = Curves(paths.CURVES / name)
    members = training.tuned(work.settings, files.read_json(found), found).members
    steps = sum(training.train_steps(kind, own, work.data) for own in members.values())
    unit, early = kind.steps(work.settings)[1], kind.stops_early(work.settings)
    with (
        inputs.naming(name),
        inputs.sharing_scratch(),
        threadpool_limits(p.resources.threads, user_api="blas"),
        engines.engine(work.source, work.resources) as engine,
        progress.counting(steps, unit, at_most=early) as count,
        ExitStack() as stack,
    ):
        train = partial(
            training.train,
            kind,
            data=work.data,
            inner_share=p.training.inner_share,
            resources=work.resources,
            count=count,
            engine=engine,
        )
        logs = [partial(_note, curves, member if len(members) > 1 else "") for member in members]
        calls = [partial(train, settings=own, log=log) for own, log in zip(members.values(), logs, strict=True)]
        trained = stack.enter_context(closing(engine.side_by_side(calls)))
        directory = stack.enter_context(inputs.written(paths.MODELS / name))
        labels = training.labels(work.data)
        told, blend, shares = [], predictions.Blend(predictions.numbers(labels[ERA]).to_numpy()), []
        writer = stored.Writer(work.settings.kind, directory, several=len(members) > 1)
        for (member, own), one in zip(members.items(), trained, strict=True):
            writer.add(member, one.model, one.final_rounds)
            blend.add(one.values)
            shares.append(one.model.importance())
            told += _told(name if len(members) == 1 else f"{name}, {member}", one, own.target)
        writer.close(work.data.plan.train, basis.of_fit(members.values(), work.data.final_features))
        tabular.write_csv(training.importance_table(work.data.final_features.names, shares), directory / "importance.csv")
    values = blend.values() if len(members) > 1 else one.values
    tabular.write_parquet(labels.assign(**{PREDICTION: values}), paths.MODEL_PREDICTIONS / f"{name}.parquet")
    for line in told:
        print(line)
    return runner.Done([paths.MODELS / name, curves.directory, paths.MODEL_PREDICTIONS / f"{name}.parquet"], len(labels))


def _note(curves: Curves, member: str, fold: int, number: int, score: float) -> None:
    curves.log(f"{member}/fold_{fold + 1}" if member else f"fold_{fold + 1}", number, score)


def _told(name: str, trained: training.Trained, target: str) -> list[str]:
    """What a person should know of a fit."""
    lines = []
    if trained.rounds:
        rounds = ", ".join("none" if number is None else str(number) for number in trained.rounds)
        lines.append(f"{name}: best rounds of the folds: {rounds}; the final model has {trained.final_rounds}")
    if trained.dropped:
        lines.append(f"{name}: {trained.dropped:,} training rows without {target} left out")
    return lines
