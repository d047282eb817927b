"""The columns of raw files that are used, chosen from `features.json` and the columns that train has."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from erawise.base import tabular
from erawise.base.schema import is_target
from erawise.panel import rawfiles
from erawise.preparation import derived, matrix
from erawise.running.errors import InputError, known_names
from erawise.sources import layout


@dataclass(frozen=True)
class Columns:
    """The columns of the raw files that are used.

    Attributes
    ----------
    feature_sets : the used features of each set of `features.json`.
    set_sizes : the number of all features of each set, used or not.
    own : of a panel that a schema describes, see `layout.own_panel`.
    """

    features: list[str]
    targets: list[str]
    main: str
    feature_sets: dict[str, list[str]]
    dtype: str
    set_sizes: dict[str, int]
    own: layout.OwnPanel | None = None


def choose_columns(raw: Path, feature_set: str, target: str) -> Columns:
    """Choose the columns to use, from `features.json` and the columns that `train.parquet` has.

    Raises
    ------
    InputError
        If the feature set or the target is missing, or the file lacks features of the set.
    """
    described, path = raw / layout.FEATURES, raw / "train.parquet"
    sets, listed = layout.read_features(described)
    if feature_set not in sets:
        raise InputError(f"data.feature_set: {feature_set!r} is no feature set of {described}; it has {known_names(sets, feature_set)}")
    if not sets[feature_set]:
        raise InputError(f"data.feature_set: the set {feature_set!r} of {described} is empty")
    sets = {name: list(dict.fromkeys(members)) for name, members in sets.items()}
    features = sets[feature_set]
    for feature in features:
        if feature in rawfiles.KEYS or is_target(feature):
            raise InputError(f"{described}: the set {feature_set!r} has {feature!r}, which is no feature; take it out")
    reserved = set(features) & set(derived.DERIVED)
    if reserved:
        raise InputError(f"{described}: a feature has the name of a derived one, {min(reserved)!r}; rename it")
    schema = rawfiles.open_file(path, []).schema_arrow
    missing = [name for name in features if name not in schema.names]
    if missing:
        raise InputError(f"{path}: {len(missing)} features of the set {feature_set!r} are missing, {missing[0]!r} first")
    targets = _targets_of(schema, listed, path)
    if target not in targets:
        raise InputError(f"data.target: {target!r} is no target of {path}; it has {known_names(targets, target)}")
    rawfiles.require_printable(list(sets), described)
    rawfiles.require_printable([*features, *targets], path)
    chosen = set(features)
    within = {name: [feature for feature in members if feature in chosen] for name, members in sets.items()}
    sizes = {name: len(members) for name, members in sets.items()}
    return Columns(features, targets, target, within, matrix.choose_dtype(path, schema, features), sizes, layout.own_panel(described))


def _targets_of(schema: pa.Schema, listed: Sequence[str], path: Path) -> list[str]:
    """Return the targets that a file has: first as `features.json` orders them, then the others."""
    given = [name for name in schema.names if is_target(name)]
    for name in given:
        if not tabular.is_number(schema.field(name).type):
            raise InputError(f"{path}: target {name!r} is of type {schema.field(name).type}; expected float32")
    return list(dict.fromkeys([*(name for name in listed if name in given), *given]))
