"""Check params.yaml and dvc.lock before anything runs, mend a lock that was cut off, and clear away what killed runs have left.

A command, no stage: DVC runs a stage only where it sees a change.
"""

from pathlib import Path

from erawise import params
from erawise.base import files
from erawise.history import lockfile
from erawise.running import errors, paths


@errors.reported
def main() -> None:
    p = params.load(paths.PARAMS)
    if not Path(p.data.local.path).is_dir():
        raise errors.InputError(f"data.local.path: there is no directory {p.data.local.path}; DVC needs one there whatever the source")
    for line in lockfile.mended(Path()):
        print(line)
    files.sweep(Path())
    for top in (paths.DATA, paths.METRICS, paths.PLOTS):
        files.sweep_below(top)
    models = ", ".join(p.models)
    print(f"{paths.PARAMS}: all is well: every setting is known and in its range; models {models}; data.local.path {p.data.local.path}")


if __name__ == "__main__":
    main()
