"""Check all settings, list the models, and bring the files of one's own into an experiment's directory, before DVC looks for them."""

from collections.abc import Collection
from pathlib import Path

from erawise import params
from erawise.base import files
from erawise.running import paths, runner, workplace
from erawise.running.progress import Progress

OF_MODELS = {paths.MODELS: "", paths.EXPLAINED: "", paths.FINAL: "", paths.CURVES: "", paths.FITS: "", paths.MODEL_PREDICTIONS: ".parquet"}
"""The directories in which each model has an entry, and the end of its name; `tune` cleans its own directory."""


@runner.stage("check")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    params.require_usable(p.models)
    workplace.bring(Path(p.data.local.path))
    workplace.bring(paths.LOCAL, required=False)
    files.write_json({"source": p.data.source, "path": p.data.local.path}, paths.SOURCE)
    files.write_json({"models": sorted(p.models)}, paths.MEMBERS)
    _remove_others(p.models, p.final.refit)
    return runner.Done([paths.SOURCE, paths.MEMBERS])


def _remove_others(names: Collection[str], refitted: Collection[str]) -> None:
    """Remove the files of models that params.yaml doesn't name any more."""
    for directory, suffix in OF_MODELS.items():
        wanted = {f"{name}{suffix}" for name in (refitted if directory == paths.FINAL else names)}
        for path in directory.glob("*"):
            if path.name not in wanted and path.suffix not in (".partial", ".json"):
                files.remove(path)
                print(f"{path}: removed, since params.yaml names no such model any more")
    for path in paths.RUNS.glob("*@*.json"):
        if path.stem.partition("@")[2] not in names:
            files.remove(path)


if __name__ == "__main__":
    main()
