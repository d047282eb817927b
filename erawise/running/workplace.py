"""The directory in which an experiment runs: only the files that Git tracks are there, and others are brought from the main checkout."""

from pathlib import Path

from erawise.running import paths
from erawise.running.errors import InputError


def bring(path: Path, *, required: bool = True) -> None:
    """Link the files of a directory of the main checkout into an experiment's directory; in the main checkout, only look for it.

    Parameters
    ----------
    path : of the directory, as `data.local.path` names it; an absolute one is the same everywhere.
    required : whether it has to be there.

    Raises
    ------
    InputError
        If there is no such directory, and it is required.
    """
    here = Path.cwd()
    main = paths.main_checkout(here)
    source = main / path
    if not source.is_dir():
        if not required:
            return
        raise InputError(
            f"data.local.path: there is no directory {path}{'' if path.is_absolute() else f' in {main}'}; "
            "make it, or name another one: DVC needs one there whatever the source"
        )
    place = here / path
    if main == here or path.is_absolute():
        return
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source)
    elif not place.samefile(source):
        for file in source.iterdir():
            if not (place / file.name).exists():
                (place / file.name).symlink_to(file)
