"""Fit one model on every resolved era, with the settings and the rounds that were chosen on `cv`.

It predicts later rows, and has no score.
"""

from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

from threadpoolctl import threadpool_limits

from erawise import params
from erawise.base import files
from erawise.cluster import engines
from erawise.models.shared import kinds, stored
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.training import basis, inputs, training
from erawise.training.fits import How


@runner.stage_of_model("refit")
def main(name: str, progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    settings = params.model(p, name)
    kind = kinds.load(settings.kind)
    work = inputs.read(name, settings, p.data.target, p.resources, live=False, aside=paths.VALIDATION_TARGETS)
    found = paths.TUNING / f"{name}.json"
    with inputs.naming(name):
        variants = training.tuned(settings, files.read_json(found), found).variants
    data, resources = work.data, replace(work.resources, scratch=paths.SCRATCH / f"refit_{name}")
    eras = data.panel.eras
    rounds = [variant.rounds for variant in stored.describe(paths.MODELS / name).variants]
    steps, unit = kind.steps(settings)
    with (
        inputs.naming(name),
        inputs.sharing_scratch(),
        threadpool_limits(p.resources.threads, user_api="blas"),
        engines.engine(p.execution, work.source, resources) as engine,
        progress.counting(steps * len(variants), unit) as count,
        ExitStack() as stack,
    ):
        how = How(resources, engine, count)
        calls = [partial(training.refit, kind, own, data, eras, number, how) for own, number in zip(variants.values(), rounds, strict=True)]
        models = stack.enter_context(closing(engine.side_by_side(calls)))
        directory = stack.enter_context(inputs.written(paths.FINAL / name))
        writer = stored.Writer(settings.kind, directory, several=len(variants) > 1)
        for variant, model, number in zip(variants, models, rounds, strict=True):
            writer.add(variant, model, number)
        fitted_on = basis.of_fit(variants.values(), data.final_features, paths.VALIDATION_TARGETS)
        writer.close(eras, fitted_on, stored.digest(paths.MODELS / name))
    files.remove(resources.scratch)
    print(f"{name}: the final model is fitted on all {len(eras)} resolved eras, {eras.min()} to {eras.max()}")
    return runner.Done([paths.FINAL / name], data.panel.n_rows)


if __name__ == "__main__":
    main()
