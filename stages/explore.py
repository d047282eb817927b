"""Describe the prepared data in tables, and stop the run if the data can't be used."""

from erawise import params
from erawise.base import files, tabular
from erawise.exploration import drift, exploration
from erawise.panel.panel import Panel
from erawise.running import paths, runner
from erawise.running.progress import Progress


@runner.stage("explore")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    panel = Panel(paths.PANEL)
    missing = exploration.read_missing(paths.MISSING / "features.csv", panel.feature_names)
    found = exploration.explore(panel, p.data.target, missing, p.explore.max_constant_share, p.resources.threads, progress)
    missing_live = exploration.read_missing(paths.MISSING / "features.csv", panel.feature_names, "_live")
    drifted = drift.drift(panel, Panel(paths.LIVE), missing_live, p.resources.threads)
    with files.replacing(paths.EXPLORED) as directory:
        directory.mkdir()
        for name in ("features", "eras", "targets", "stability"):
            tabular.write_csv(getattr(found, name), directory / f"{name}.csv")
        tabular.write_csv(drifted, directory / "drift.csv")
        files.write_json(exploration.verdicts(panel, p.data.target, found), directory / paths.CHECKED.name)
    for line in (*exploration.summary(found), drift.summary(drifted)):
        print(line)
    return runner.Done([paths.EXPLORED], panel.n_rows)


if __name__ == "__main__":
    main()
