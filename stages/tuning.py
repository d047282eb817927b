"""What the tuning stages share: whether there is anything to look for."""

from functools import partial

from erawise import params
from erawise.base import files
from erawise.running import paths, runner
from erawise.running.progress import Progress


def run(search: runner.WorkOfModel) -> None:
    """Look for the settings of the model that the command names, or write that nothing was looked for."""
    about = "Look for the settings of one model, where that is switched on."
    runner.stage_of_model("tune", partial(_run, search), about)


def _run(search: runner.WorkOfModel, name: str, progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    try:
        kind = p.models[name].kind
    except KeyError:
        raise params.unknown_model(name) from None
    if name in p.tuning.models:
        return search(name, progress)
    files.write_json({}, paths.TUNING / f"{name}.json")
    print(f"{name}: this {kind} model keeps the settings that it has")
    return runner.Done([paths.TUNING / f"{name}.json"])
