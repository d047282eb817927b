"""The list of the models that exist; what models that are gone have left is removed."""

from erawise import params
from erawise.base import files
from erawise.running import paths, runner
from erawise.running.progress import Progress

OF_MODELS = {
    paths.TUNING: ".json",
    paths.MODELS: "",
    paths.EXPLAINED: "",
    paths.FINAL: "",
    paths.CURVES: "",
    paths.MODEL_PREDICTIONS: ".parquet",
}
"""The directories in which each model has an entry, and how its name ends."""


@runner.stage("members")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    names = sorted(p.models)
    files.write_json({"models": names}, paths.MEMBERS)
    for directory, suffix in OF_MODELS.items():
        wanted = {f"{name}{suffix}" for name in names}
        for path in directory.glob("*"):
            if path.name not in wanted and path.suffix != ".partial":
                files.remove(path)
                print(f"{path}: removed, since no model of that name is left")
    for path in paths.RUNS.glob("*@*.json"):
        if path.stem.partition("@")[2] not in names:
            files.remove(path)
    return runner.Done([paths.MEMBERS])


if __name__ == "__main__":
    main()
