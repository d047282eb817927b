"""What the prepared data looks like, in tables, and the checks that stop a run on data that can't be worked with."""

from erawise import drift, exploration, files, params, tabular
from erawise.panel import Panel
from erawise.progress import Progress
from stages import paths, running


@running.stage("explore")
def main(progress: Progress) -> running.Done:
    p = params.load(paths.PARAMS)
    panel = Panel(paths.PREPARED)
    missing = exploration.read_missing(paths.PREPARED / "missing.csv", panel.feature_names)
    found = exploration.explore(panel, p.data.target, missing, p.explore.max_constant_share, p.resources.threads, progress)
    missing_live = drift.read_missing_live(paths.PREPARED / "missing.csv", panel.feature_names)
    drifted = drift.drift(panel, Panel(paths.LIVE), missing_live, p.resources.threads)
    with files.replacing(paths.EXPLORED) as directory:
        directory.mkdir()
        for name in ("features", "eras", "targets", "stability"):
            tabular.write_csv(getattr(found, name), directory / f"{name}.csv")
        tabular.write_csv(drifted, directory / "drift.csv")
        files.write_json(exploration.verdicts(panel, p.data.target, found), directory / paths.CHECKED.name)
    for line in (*exploration.summary(found), drift.summary(drifted)):
        print(line)
    return running.Done([paths.EXPLORED], panel.n_rows)


if __name__ == "__main__":
    main()
