"""The files of a Numerai data version: their names, and the check that each holds what its name promises."""

from pathlib import Path

from erawise import files, tabular
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
)
MARKET = ("oracle.parquet",)
"""What the embedded market has beyond Numerai's files."""


def check_all(directory: Path) -> None:
    """Check every file of the layout that a directory has.

    Raises
    ------
    InputError
        If a required file is missing, or one cannot be read or used.
    """
    missing = [name for name in REQUIRED if not (directory / name).is_file()]
    if missing:
        raise InputError(f"{directory}: {', '.join(missing)} missing; a directory in Numerai's layout has {', '.join(REQUIRED)}")
    for name in present(directory):
        check(directory / name)


def present(directory: Path) -> list[str]:
    """The files of the layout that a directory has."""
    return [name for name in (*REQUIRED, *OPTIONAL, *MARKET) if (directory / name).is_file()]


def rows(directory: Path) -> int:
    """Rows of the files of stocks that a directory has, of all eras."""
    count = 0
    for name in ROWS:
        with tabular.open_parquet(directory / name) as file:
            count += file.metadata.num_rows
    return count


def check(path: Path, name: str | None = None) -> None:
    """Check that a file of the layout can be read and has what its name promises; `name` where it lies under another.

    Of a Parquet file the footer is read, which stands at its end, so that a file cut short is found without reading
    its rows.

    Raises
    ------
    InputError
        If it is unreadable, or lacks keys or columns.
    """
    try:
        if (name or path.name) == FEATURES:
            feature_sets(path)
        else:
            _check_table(path, name or path.name)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def feature_sets(path: Path) -> dict[str, list[str]]:
    """The feature sets of a `features.json`.

    Raises
    ------
    InputError
        If it is none.
    """
    content = files.read_json(path)
    sets = content.get("feature_sets") if isinstance(content, dict) else None
    if not isinstance(sets, dict) or not sets or not isinstance(content.get("targets"), list):
        raise _no_features(path)
    try:
        return {str(name): [str(feature) for feature in members] for name, members in sets.items()}
    except TypeError:
        raise _no_features(path) from None


def _no_features(path: Path) -> InputError:
    return InputError(f'{path}: expected {{"feature_sets": {{name: [feature, ...]}}, "targets": [name, ...]}}; fetch it again')


def _check_table(path: Path, name: str) -> None:
    with tabular.open_parquet(path) as file:
        names = file.schema_arrow.names
    wanted = (ID, ERA, DATA_TYPE) if name in ROWS else (ID,)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"{path}: {' and '.join(missing)} missing among its columns; Numerai's layout has {', '.join(wanted)} there")
