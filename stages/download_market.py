"""Draw the raw files of the embedded market from its seed."""

from erawise import files, params
from erawise.progress import Progress
from erawise.sources import layout, market
from stages import paths, running


@running.stage("download")
def main(progress: Progress) -> running.Done:
    p = params.load(paths.PARAMS)
    with files.replacing(paths.RAW) as directory:
        directory.mkdir()
        market.write(p.data.market, directory, progress)
        layout.check_all(directory)
        rows = layout.rows(directory)
    return running.Done([paths.RAW], rows)


if __name__ == "__main__":
    main()
