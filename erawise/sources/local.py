"""A directory of files in Numerai's layout as a source: checked, then copied."""

import shutil
from pathlib import Path

from erawise import files
from erawise.errors import InputError
from erawise.schema import DATA_TYPE, ERA, ID

FEATURES = "features.json"
ROWS = ("train.parquet", "validation.parquet", "live.parquet")
REQUIRED = (FEATURES, *ROWS)
OPTIONAL = (
    "meta_model.parquet",
    "train_benchmark_models.parquet",
    "validation_benchmark_models.parquet",
    "live_benchmark_models.parquet",
    "oracle.parquet",
)


def write(source: Path, directory: Path) -> list[str]:
    """Copy the files of the layout from `source` into the existing `directory`.

    All files are checked before the first is copied. They are copied and not linked: DVC makes what a stage writes
    read-only and shares it with its cache, so that a linked file would lock the user's own, and a later edit of it in
    place would corrupt the cache.

    Returns
    -------
    list of str
        What lies in `source` and is no file of the layout, sorted.

    Raises
    ------
    InputError
        If `source` is no directory, a file of the layout is missing, or one cannot be read or used.
    """
    if not source.is_dir():
        raise InputError(f"{source}: no such directory; data.local.path names the one with {', '.join(REQUIRED)}")
    missing = [name for name in REQUIRED if not (source / name).is_file()]
    if missing:
        raise InputError(f"{source}: {', '.join(missing)} missing; a directory in Numerai's layout has {', '.join(REQUIRED)}")
    present = [name for name in (*REQUIRED, *OPTIONAL) if (source / name).is_file()]
    for name in present:
        check(source / name)
    for name in present:
        _copy(source / name, directory / name)
    return sorted({path.name for path in source.iterdir()} - set(present))


def check(path: Path) -> None:
    """Check that a file of the layout can be read and has what its name promises.

    Of a Parquet file the footer is read, which stands at its end, so that a file cut short is found without reading
    its rows.

    Raises
    ------
    InputError
        If it is unreadable, or lacks keys or columns.
    """
    try:
        if path.name == FEATURES:
            _check_features(path)
        else:
            _check_table(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _check_features(path: Path) -> None:
    content = files.read_json(path)
    sets = content.get("feature_sets") if isinstance(content, dict) else None
    if not isinstance(sets, dict) or not sets or not isinstance(content.get("targets"), list):
        raise InputError(f'{path}: expected {{"feature_sets": {{name: [feature, ...]}}, "targets": [name, ...]}}; fetch it again')


def _check_table(path: Path) -> None:
    with files.open_parquet(path) as file:
        names = file.schema_arrow.names
    wanted = (ID, ERA, DATA_TYPE) if path.name in ROWS else (ID,)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"{path}: {' and '.join(missing)} missing among its columns; Numerai's layout has {', '.join(wanted)} there")


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise InputError(f"{source}: cannot be copied ({error.strerror}); check permissions and free space") from None
