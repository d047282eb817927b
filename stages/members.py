"""List the models of params.yaml, and remove the files of models that are gone."""

from erawise import params
from erawise.base import files
from erawise.running import paths, runner
from erawise.running.progress import Progress

OF_MODELS = {paths.MODELS: "", paths.EXPLAINED: "", paths.FINAL: "", paths.CURVES: "", paths.FITS: "", paths.MODEL_PREDICTIONS: ".parquet"}
"""The directories in which each model has an entry, and the end of its name; `tune` cleans its own directory."""


@runner.stage("members")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    names = sorted(p.models)
    given = {name: own.out_of_fold for name, own in sorted(p.models.items()) if own.kind == "predictions"}
    files.write_json({"models": names} | ({"given": given} if given else {}), paths.MEMBERS)
    for directory, suffix in OF_MODELS.items():
        wanted = {f"{name}{suffix}" for name in (p.final.refit if directory == paths.FINAL else names)}
        for path in directory.glob("*"):
            if path.name not in wanted and path.suffix not in (".partial", ".json"):
                files.remove(path)
                print(f"{path}: removed, since params.yaml names no such model any more")
    for path in paths.RUNS.glob("*@*.json"):
        if path.stem.partition("@")[2] not in names:
            files.remove(path)
    return runner.Done([paths.MEMBERS])


if __name__ == "__main__":
    main()
