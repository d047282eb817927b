"""What the refitting stages share: whether there is anything to fit again."""

import sys
from collections.abc import Callable

from erawise import errors, files, params
from stages import paths


def run(refit: Callable[[str], None]) -> None:
    """Fit the model whose name is the only argument again, or take it as it was trained."""
    errors.reported(lambda: _run(refit, *sys.argv[1:2]))()


def _run(refit: Callable[[str], None], name: str = "") -> None:
    p = params.load(paths.PARAMS)
    if p.final.fit_on == "all":
        refit(name)
        return
    if not (paths.MODELS / name / "model.json").is_file():
        raise errors.InputError(f"{paths.MODELS / name}: there is no trained model; run train first")
    with files.replacing(paths.FINAL / name) as directory:
        for path in (paths.MODELS / name).rglob("*"):
            if path.is_file():
                place = directory / path.relative_to(paths.MODELS / name)
                place.parent.mkdir(parents=True, exist_ok=True)
                files.place(path, place)
    print(f"{name}: the final model is the one that was trained on the train eras")
