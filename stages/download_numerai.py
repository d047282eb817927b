"""Download the raw files from Numerai; `ERAWISE_API_URL` in the environment names another address of the API."""

from pathlib import Path

from erawise import files, params
from erawise.progress import Progress
from erawise.sources import layout, numerai
from stages import paths, running


@running.stage("download")
def main(progress: Progress) -> running.Done:
    p = params.load(paths.PARAMS)
    with files.replacing(paths.RAW) as directory:
        directory.mkdir()
        kept = paths.main_checkout(Path.cwd()) / paths.DOWNLOADS
        absent = numerai.write(directory, p.data.version, p.data.round, p.data.feature_set, None, kept, progress=progress)
        rows = layout.rows(directory)
    if absent:
        print(f"Numerai has no {', '.join(absent)} for {p.data.version}: the scores that need them will be absent")
    return running.Done([paths.RAW], rows)


if __name__ == "__main__":
    main()
