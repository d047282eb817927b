"""The groups of features: the sets of `features.json` that say what a feature is about, rather than how many there are."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

FNC_V3 = ("fncv3", "fncv3_features")
"""Names of the set of features that Numerai's FNC is against."""

SIZES = ("small", "medium", "all", *(f"v{n}_equivalent{end}" for n in (2, 3) for end in ("", "_features")), *FNC_V3, "quantum")
"""Sets of a size, or that stand for the features of a version of the data: none is a group."""

ALL, NONE = "all", "none"


def groups(feature_sets: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The feature sets that are groups, in their order; a feature may be in several."""
    return {name: members for name, members in feature_sets.items() if name not in SIZES}


def first_group(names: Sequence[str], feature_sets: Mapping[str, Sequence[str]]) -> list[str]:
    """For each name the first group that has it, `none` where none has, as with derived features and components."""
    found: dict[str, str] = {}
    for group, members in groups(feature_sets).items():
        for name in members:
            found.setdefault(name, group)
    return [found.get(name, NONE) for name in names]


def columns(names: Sequence[str], feature_sets: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.int64]]:
    """Where the features of each group are among some names, and as `all` where all are; groups without one of them are left out."""
    place = {name: number for number, name in enumerate(names)}
    found = {group: [place[name] for name in members if name in place] for group, members in groups(feature_sets).items()}
    found[ALL] = list(range(len(names)))
    return {group: np.array(numbers, np.int64) for group, numbers in found.items() if numbers}
