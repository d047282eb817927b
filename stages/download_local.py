"""Take the raw files from a directory in Numerai's layout."""

from pathlib import Path

from erawise import errors, files, params
from erawise.sources import local
from stages import paths


@errors.reported
def main() -> None:
    p = params.load(paths.PARAMS)
    with files.replacing(paths.RAW) as directory:
        directory.mkdir()
        ignored = local.write(Path(p.data.local.path), directory)
    if ignored:
        print(f"{p.data.local.path}: ignored {', '.join(ignored)}: not among the files of Numerai's layout")


if __name__ == "__main__":
    main()
