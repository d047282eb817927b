"""What the refitting stages share: whether there is anything to fit again."""

from functools import partial

from erawise import params
from erawise.base import files
from erawise.running import errors, paths, runner
from erawise.running.progress import Progress


def run(refit: runner.WorkOfModel) -> None:
    """Fit the model that the command names again, or take it as it was trained."""
    about = "Fit one model on every resolved era, where that is switched on."
    runner.stage_of_model("refit", partial(_run, refit), about)


def _run(refit: runner.WorkOfModel, name: str, progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    if p.final.fit_on == "all":
        return refit(name, progress)
    if not (paths.MODELS / name / "model.json").is_file():
        raise errors.InputError(f"{paths.MODELS / name}: there is no trained model; run train first")
    with files.replacing(paths.FINAL / name) as directory:
        for path in (paths.MODELS / name).rglob("*"):
            if path.is_file():
                place = directory / path.relative_to(paths.MODELS / name)
                place.parent.mkdir(parents=True, exist_ok=True)
                files.place(path, place)
    print(f"{name}: the final model is the one that was trained on the train eras")
    return runner.Done([paths.FINAL / name])
