"""Draw the raw files of the embedded market from its seed."""

from erawise import params
from erawise.base import files
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.sources import layout
from erawise.sources.market import source as market


@runner.stage("download")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    with files.replacing(paths.RAW) as directory:
        directory.mkdir()
        market.write(p.data.market, directory, progress)
        layout.check_all(directory)
        rows = layout.rows(directory)
    return runner.Done([paths.RAW], rows)


if __name__ == "__main__":
    main()
