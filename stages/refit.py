"""Fit one model on every resolved era, with the settings and the rounds that were chosen on `cv`."""

from dataclasses import replace

from threadpoolctl import threadpool_limits

from erawise import files, params, predictions, tabular, training
from erawise.models import stored
from erawise.models.protocol import Kind
from erawise.panel import View
from erawise.progress import Progress
from erawise.schema import ERA, ID
from stages import modelling, paths, running


def run(kind: Kind, name: str, progress: Progress) -> running.Done:
    """Fit, and write the model: it predicts rows that come later, and no score says anything of it."""
    p = params.load(paths.PARAMS)
    work = modelling.open_for(name, live=False)
    found = paths.TUNING / f"{name}.json"
    members = training.tuned(p.models[name], files.read_json(found), found).members
    panel, resources = work.data.panel, replace(work.resources, scratch=paths.SCRATCH / f"refit_{name}")
    targets = sorted({member.target for member in members.values()})
    validation = tabular.read_parquet(paths.VALIDATION_TARGETS, [ID, ERA, *targets])
    for target in targets:
        panel.index[target] = predictions.known_targets(panel, validation, target)
    rounds = [member.rounds for member in stored.describe(paths.MODELS / name).members]
    fitted = {}
    with modelling.naming(name), threadpool_limits(p.resources.threads, user_api="blas"):
        for (member, own), number in zip(members.items(), rounds, strict=True):
            view = View(panel, panel.eras, work.data.final_features, own.target)
            what = member if len(members) > 1 else ""
            fitted[member] = (training.refit(kind, own, view, number, resources, progress, what), number)
    with files.replacing(paths.FINAL / name) as directory:
        directory.mkdir()
        stored.save(work.settings.kind, fitted, panel.eras, directory)
    files.remove(resources.scratch)
    print(f"{name}: the final model is fitted on all {len(panel.eras)} resolved eras, {panel.eras.min()} to {panel.eras.max()}")
    return running.Done([paths.FINAL / name], panel.n_rows)
