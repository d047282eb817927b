"""What the training stages share: train one model, write it, its importance and its predictions."""

from functools import partial

from threadpoolctl import threadpool_limits

from erawise import files, params, spread, tabular, training
from erawise.models import stored
from erawise.models.protocol import Kind
from erawise.progress import Progress
from stages import modelling, paths, running, workers
from stages.curves import Curves


def run(kind: Kind) -> None:
    """Train the model that the command names."""
    about = "Train one model: out-of-fold, validation and live predictions, and the final model."
    running.stage_of_model("train", partial(_run, kind), about)


def _run(kind: Kind, name: str, progress: Progress) -> running.Done:
    p = params.load(paths.PARAMS)
    work = modelling.open_for(name, live=True)
    found = paths.TUNING / f"{name}.json"
    curves = Curves(paths.CURVES / name)
    members = training.tuned(work.settings, files.read_json(found), found).members
    steps = sum(training.train_steps(kind, own, work.data) for own in members.values())
    unit, early = kind.steps(work.settings)[1], kind.stops_early(work.settings)
    with (
        modelling.naming(name),
        threadpool_limits(p.resources.threads, user_api="blas"),
        workers.engine(work.source, work.resources) as engine,
        progress.counting(steps, unit, at_most=early) as count,
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
        trained = dict(zip(members, spread.side_by_side(kind, work.settings, engine, calls), strict=True))
    with files.replacing(paths.MODELS / name) as directory:
        directory.mkdir()
        fitted = {member: (one.model, one.final_rounds) for member, one in trained.items()}
        stored.save(work.settings.kind, fitted, work.data.plan.train, directory)
        tabular.write_csv(training.importance_table(list(trained.values())), directory / "importance.csv")
    predicted = training.blended([one.predictions for one in trained.values()])
    tabular.write_parquet(predicted, paths.MODEL_PREDICTIONS / f"{name}.parquet")
    for member, one in trained.items():
        _report(name if len(trained) == 1 else f"{name}, {member}", one, members[member].target)
    return running.Done([paths.MODELS / name, curves.directory, paths.MODEL_PREDICTIONS / f"{name}.parquet"], len(predicted))


def _note(curves: Curves, member: str, fold: int, number: int, score: float) -> None:
    curves.log(f"{member}/fold_{fold + 1}" if member else f"fold_{fold + 1}", number, score)


def _report(name: str, trained: training.Trained, target: str) -> None:
    if trained.rounds:
        rounds = ", ".join("none" if number is None else str(number) for number in trained.rounds)
        print(f"{name}: best rounds of the folds: {rounds}; the final model has {trained.final_rounds}")
    if trained.dropped:
        print(f"{name}: {trained.dropped:,} training rows without {target} left out")
