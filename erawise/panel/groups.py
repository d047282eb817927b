"""The groups of features: the sets of `features.json` that are of one subject, and not of a size."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

FNC_V3 = ("fncv3", "fncv3_features")
"""Names of the feature set against which Numerai neutralizes for FNC."""

SIZES = ("small", "medium", "all", *(f"v{n}_equivalent{end}" for n in (2, 3) for end in ("", "_features")), *FNC_V3, "quantum")
"""Sets of a size, or of the features of a data version. They are no groups."""

ALL, NONE = "all", "none"


def groups(feature_sets: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return the feature sets that are groups, in their order. A feature may be in several."""
    return {name: members for name, members in feature_sets.items() if name not in SIZES}


def first_group(names: Sequence[str], feature_sets: Mapping[str, Sequence[str]]) -> list[str]:
    """Return for each name the first group that has it, or `none`, as for derived features and components."""
    found: dict[str, str] = {}
    for group, members in groups(feature_sets).items():
        for name in members:
            found.setdefault(name, group)
    return [found.get(name, NONE) for name in names]


def columns(names: Sequence[str], feature_sets: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.int64]]:
    """Return the positions of each group's features among some names, and of all names as `all`. Groups without any are left out."""
    position = {name: number for number, name in enumerate(names)}
    found = {group: [position[name] for name in members if name in position] for group, members in groups(feature_sets).items()}
    found[ALL] = list(range(len(names)))
    return {group: np.array(numbers, np.int64) for group, numbers in found.items() if numbers}
