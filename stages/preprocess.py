"""Turn raw files of any source into the prepared table: sorted by era and id, missing features filled, everything counted."""

from erawise import params
from erawise.base import files
from erawise.preparation import preparation
from erawise.running import paths, runner
from erawise.running.progress import Progress


@runner.stage("preprocess")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    settings = p.preprocess
    with files.replacing(paths.PREPARED) as directory:
        directory.mkdir()
        wanted = preparation.Wanted(
            p.data.feature_set,
            p.data.target,
            settings.every,
            settings.demean,
            settings.derived,
            p.data.target_horizon,
            None if p.data.holdout == "official" else p.data.holdout,
        )
        metrics, counts = preparation.prepare(paths.RAW, directory, wanted, p.resources.threads, progress)
        rows = int(metrics["train"]["rows"] + metrics["validation"]["rows"])
        preparation.check_budgets(counts, rows, settings.max_missing_share, settings.max_dropped_share)
    files.write_json(metrics, paths.METRICS / "data.json")
    for line in preparation.report(metrics, counts):
        print(line)
    for line in counts.warnings:
        runner.warn(line)
    return runner.Done([paths.PREPARED, paths.METRICS / "data.json"], rows + int(metrics["live"]["rows"]))


if __name__ == "__main__":
    main()
