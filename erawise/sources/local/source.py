"""A directory of files as a source: checked, then copied, or written in Numerai's layout if a schema describes another one."""

import shutil
from pathlib import Path

from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress
from erawise.sources import layout
from erawise.sources.local import panels
from erawise.sources.local.settings import LocalData

README = "README.md"


def download(data: LocalData, directory: Path, kept: Path, progress: Progress = SILENT) -> str:
    """Copy the files of `data.local.path` into an existing empty directory, or write them in Numerai's layout if there is a schema.

    Returns
    -------
    str
        Remarks on files that were ignored, or on values that were changed.
    """
    if data.panel is not None:
        source = Path(data.local.path)
        return "\n".join(panels.write(panels.read_schema(source / data.panel), source, directory))
    ignored = write(Path(data.local.path), directory, progress)
    return f"{data.local.path}: ignored {', '.join(ignored)}: not among the files of Numerai's layout" if ignored else ""


def write(source: Path, directory: Path, progress: Progress = SILENT) -> list[str]:
    """Copy the files of the layout from `source` into the existing `directory`.

    All files are checked before the first is copied. They are copied and not linked: DVC makes the outs of a stage read-only and shares
    them with its cache. So a link would lock the user's own file, and a later edit of it would corrupt the cache. `progress` counts the
    bytes.

    Returns
    -------
    list of str
        Names in `source` that are neither files of the layout nor its README, sorted.

    Raises
    ------
    InputError
        If `source` is no directory, a file of the layout is missing, or a file cannot be read or used.
    """
    if not source.is_dir():
        raise InputError(f"{source}: no such directory; data.local.path names the directory with {', '.join(layout.REQUIRED)}")
    layout.check_all(source)
    present = layout.present(source)
    sizes = {name: (source / name).stat().st_size for name in present}
    with progress.counting(sum(sizes.values()), "bytes") as count:
        for name, size in sizes.items():
            _copy(source / name, directory / name)
            count.done(size)
    return sorted({path.name for path in source.iterdir()} - {*present, README})


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise InputError(f"{source}: cannot be copied ({error.strerror}); check permissions and free space") from None
