"""Take the raw files from a directory in Numerai's layout."""

from pathlib import Path

from erawise import files, params
from erawise.progress import Progress
from erawise.sources import layout, local
from stages import paths, running


@running.stage("download")
def main(progress: Progress) -> running.Done:
    p = params.load(paths.PARAMS)
    with files.replacing(paths.RAW) as directory:
        directory.mkdir()
        ignored = local.write(Path(p.data.local.path), directory, progress)
        rows = layout.rows(directory)
    if ignored:
        print(f"{p.data.local.path}: ignored {', '.join(ignored)}: not among the files of Numerai's layout")
    return running.Done([paths.RAW], rows)


if __name__ == "__main__":
    main()
