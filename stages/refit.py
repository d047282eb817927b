"""Fit one model on every resolved era, with the settings and the rounds that were chosen on `cv`."""

from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

from threadpoolctl import threadpool_limits

from erawise import params
from erawise.base import files
from erawise.cluster import engines
from erawise.models.shared import stored
from erawise.models.shared.protocol import Kind, require_complete
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.training import basis, inputs, training
from erawise.training.resolved import Resolved


def run(kind: Kind, name: str, progress: Progress) -> runner.Done:
    """Fit, and write the model: it predicts rows that come later, and no score says anything of it."""
    require_complete(kind)
    p = params.load(paths.PARAMS)
    work = inputs.open_for(name, live=False)
    found = paths.TUNING / f"{name}.json"
    members = training.tuned(p.models[name], files.read_json(found), found).members
    source = Resolved(**vars(work.source), validation=paths.VALIDATION_TARGETS)
    data, resources = source.around(source.panel()), replace(work.resources, scratch=paths.SCRATCH / f"refit_{name}")
    panel = data.panel
    rounds = [member.rounds for member in stored.describe(paths.MODELS / name).members]
    steps, unit = kind.steps(work.settings)
    with (
        inputs.naming(name),
        inputs.sharing_scratch(),
        threadpool_limits(p.resources.threads, user_api="blas"),
        engines.engine(source, resources) as engine,
        progress.counting(steps * len(members), unit) as count,
        ExitStack() as stack,
    ):
        again = partial(training.refit, kind, data=data, eras=panel.eras, resources=resources, count=count, engine=engine)
        calls = [partial(again, settings=own, rounds=number) for own, number in zip(members.values(), rounds, strict=True)]
        models = stack.enter_context(closing(engine.side_by_side(calls)))
        directory = stack.enter_context(inputs.written(paths.FINAL / name))
        writer = stored.Writer(work.settings.kind, directory, several=len(members) > 1)
        for member, model, number in zip(members, models, rounds, strict=True):
            writer.add(member, model, number)
        fitted_on = basis.of_fit(members.values(), data.final_features, paths.VALIDATION_TARGETS)
        writer.close(panel.eras, fitted_on, stored.digest(paths.MODELS / name))
    files.remove(resources.scratch)
    print(f"{name}: the final model is fitted on all {len(panel.eras)} resolved eras, {panel.eras.min()} to {panel.eras.max()}")
    return runner.Done([paths.FINAL / name], panel.n_rows)
