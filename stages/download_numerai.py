"""Download the raw files from Numerai; `ERAWISE_API_URL` in the environment names another address of the API."""

from pathlib import Path

from erawise import params
from erawise.base import files
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.sources import layout
from erawise.sources.numerai import source as numerai


@runner.stage("download")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    with files.replacing(paths.RAW) as directory:
        directory.mkdir()
        kept = paths.main_checkout(Path.cwd()) / paths.DOWNLOADS
        absent = numerai.write(directory, p.data.version, p.data.round, p.data.feature_set, None, kept, progress=progress)
        rows = layout.rows(directory)
    if absent:
        print(f"Numerai has no {', '.join(absent)} for {p.data.version}: the scores that need them will be absent")
    return runner.Done([paths.RAW], rows)


if __name__ == "__main__":
    main()
