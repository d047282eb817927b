"""Train one model: out-of-fold, validation and live predictions, and the final model."""

from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from threadpoolctl import threadpool_limits

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import ERA, PREDICTION
from erawise.cluster import engines
from erawise.folds import splits
from erawise.models.shared import kinds, stored
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.training import basis, inputs, training
from erawise.training.curves import Curves
from erawise.training.fits import How
from erawise.training.kept import Store


@runner.stage_of_model("train")
def main(name: str, progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    settings = params.model(p, name)
    kind = kinds.load(settings.kind)
    retrained = bool(tabular.open_parquet(paths.RELEASED).metadata.num_rows)
    work = inputs.read(name, settings, p.data.target, p.resources, live=True, aside=paths.RELEASED if retrained else None)
    kept = Store(paths.main_checkout(Path.cwd()) / paths.FITS / name, kind, work.resources) if retrained else None
    found = paths.TUNING / f"{name}.json"
    curves = Curves(paths.CURVES / name)
    with inputs.naming(name):
        variants = training.tuned(settings, files.read_json(found), found).variants
    several = len(variants) > 1
    steps = sum(training.train_steps(kind, own, work.data) for own in variants.values())
    unit, early = kind.steps(settings)[1], kind.stops_early(settings)
    with (
        inputs.naming(name),
        inputs.sharing_scratch(),
        threadpool_limits(p.resources.threads, user_api="blas"),
        engines.engine(p.execution, work.source, work.resources) as engine,
        progress.counting(steps, unit, at_most=early) as count,
        ExitStack() as stack,
    ):
        how = How(work.resources, engine, count, kept)
        calls = [
            partial(training.train, kind, own, work.data, p.training.inner_share, how, curves.log_of(variant if several else ""))
            for variant, own in variants.items()
        ]
        trained = stack.enter_context(closing(engine.side_by_side(calls)))
        directory = stack.enter_context(inputs.written(paths.MODELS / name))
        labels = training.labels(work.data)
        era = predictions.numbers(labels[ERA]).to_numpy()
        lines, blend, by_seed, shares = [], predictions.Blend(era), predictions.BySeed(era, getattr(settings, "seeds", [])), []
        writer, served = (stored.Writer(settings.kind, place, several=several) for place in (directory, directory / stored.SERVED))
        for (variant, own), one in zip(variants.items(), trained, strict=True):
            writer.add(variant, one.model, one.final_rounds)
            if one.served is not None:
                served.add(variant, one.served, one.final_rounds)
            blend.add(one.values)
            by_seed.add(getattr(own, "seed", None), one.values)
            shares.append(one.model.importance())
            lines += training.messages(f"{name}, {variant}" if several else name, one, own.target)
        writer.close(work.data.plan.train, basis.of_fit(variants.values(), work.data.final_features))
        tabular.write_csv(training.importance_table(work.data.final_features.names, shares), directory / "importance.csv")
        if kept is not None:
            fitted_on = basis.of_fit(variants.values(), work.data.final_features, paths.RELEASED)
            served.close(work.data.panel.eras, fitted_on, stored.digest(directory))
            kept.prune()
    path = paths.MODEL_PREDICTIONS / f"{name}.parquet"
    values = blend.values() if several else one.values
    tabular.write_parquet(labels.assign(**{PREDICTION: values}, **by_seed.columns()), path)
    for line in [*lines, *(f"{name}: {line}" for line in splits.staleness_lines(work.data.plan) if retrained)]:
        print(line)
    return runner.Done([paths.MODELS / name, curves.directory, path], len(labels))


if __name__ == "__main__":
    main()
