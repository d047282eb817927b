"""Check all settings, and bring the files of one's own into an experiment's directory, before DVC looks for any of them."""

from pathlib import Path

from erawise import params
from erawise.base import files
from erawise.running import paths, runner, workplace
from erawise.running.progress import Progress


@runner.stage("check")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    workplace.bring(Path(p.data.local.path))
    workplace.bring(paths.LOCAL, required=False)
    files.write_json({"source": p.data.source, "path": p.data.local.path}, paths.SOURCE)
    return runner.Done([paths.SOURCE])


if __name__ == "__main__":
    main()
