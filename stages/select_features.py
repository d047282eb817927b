"""Which features the models get, fitted on each fold's training eras and once on all train eras."""

from functools import partial

from threadpoolctl import threadpool_limits

from erawise import params
from erawise.base import files
from erawise.folds import splits
from erawise.models.shared.protocol import GIB, Resources, held_by
from erawise.panel import maps
from erawise.panel.panel import Panel, days_ahead
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.selection import selection


@runner.stage("select_features")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    target, memory = p.data.target, int(p.resources.memory * GIB)
    plan = splits.from_json(files.read_json(paths.FOLDS), days_ahead(paths.PANEL, target))
    panel = Panel(paths.PANEL, [target])
    scratch, notify = paths.SCRATCH / "selection", partial(print, flush=True)
    resources = Resources(p.resources.threads, memory, scratch, p.resources.device, held_by(panel), notify)
    with files.in_use(paths.SCRATCH), threadpool_limits(p.resources.threads, user_api="blas"):
        folds, final = selection.select(panel, plan, target, p.select_features, resources, progress)
    with files.replacing(paths.FEATURES) as directory:
        directory.mkdir()
        maps.write([*folds, final], directory)
    print(f"{p.select_features.method}: {[len(m.names) for m in folds]} features in the folds, {len(final.names)} in the final model")
    return runner.Done([paths.FEATURES], len(panel.row_numbers(plan.train)))


if __name__ == "__main__":
    main()
