"""Take the raw files from a directory in Numerai's layout."""

from pathlib import Path

from erawise import params
from erawise.base import files
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.sources import layout
from erawise.sources.local import source as local


@runner.stage("download")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    with files.replacing(paths.RAW) as directory:
        directory.mkdir()
        ignored = local.write(Path(p.data.local.path), directory, progress)
        rows = layout.rows(directory)
    if ignored:
        print(f"{p.data.local.path}: ignored {', '.join(ignored)}: not among the files of Numerai's layout")
    return runner.Done([paths.RAW], rows)


if __name__ == "__main__":
    main()
