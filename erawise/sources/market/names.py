"""Names in the embedded market: of features, of feature sets and groups, and the ids of rows."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from erawise.sources.market.law import GROUPS, Law

RISKY_GROUP = "serenity"
"""The group of the features that mix only the risky factors."""
SMALL_SHARE, MEDIUM_SHARE = 0.2, 0.5
QUANTUM_SHARE = 0.23
"""Share of the newest features, which are the last ones."""

ADJECTIVES = (
    "ample ashen bold brisk calm candid civic coastal crisp deft dusky eager early earnest fabled faint fertile fleet formal frosty gentle "
    "gilded glad grand hardy hazy honest humble idle inland ivory jolly keen kindred lavish level lively loyal lucid mellow mild modest "
    "narrow nimble noble northern opal open patient placid plain polar proud quick quiet rapid regal rustic sandy serene silent sleek "
    "smooth solar sober spare steady stern stout subtle sunny supple swift tame tender thrifty tidal timely tranquil urban useful vast "
    "velvet verdant vivid warm wary western whole wild willing windy wise worthy young zesty"
)
NOUNS = (
    "acorn anchor arbor badger basin beacon birch bramble breeze brook canyon cedar cinder cliff clover comet coral cove crane creek delta "
    "dune eagle ember falcon fern field fjord forest garnet glacier glen grove harbor hazel heron hill inlet island jasmine juniper kelp "
    "lagoon lantern larch lark ledge lichen lily linden lynx maple marsh meadow mesa mill moor moss nettle oak oasis orchard osprey otter "
    "pebble pine plain pond poplar prairie quail quarry raven reed reef ridge river rowan sage shore sparrow spring spruce stone stream "
    "summit swallow thicket thistle tide trail valley walnut willow wren yarrow"
)


def feature_names(number: int) -> list[str]:
    """Return the names of the features in column order."""
    adjectives, nouns = ADJECTIVES.split(), NOUNS.split()
    names = []
    for k in range(number):
        turn, place = divmod(k, len(adjectives) * len(nouns))
        step, noun = divmod(place, len(nouns))
        name = f"feature_{adjectives[(step + noun) % len(adjectives)]}_{nouns[noun]}"
        names.append(f"{name}_{turn}" if turn else name)
    return names


def feature_sets(law: Law, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the feature sets and groups. Groups overlap, and some features are in no group.

    Every third feature of a group is in the next group too. `RISKY_GROUP` has the features of the risky factors, also if they are in
    other groups. `quantum` has the newest features, `fncv3` every second older one.
    """
    order = np.arange(len(names))
    neighbour = np.where((law.groups >= 0) & (order % 3 == 0), (law.groups + 1) % len(GROUPS), law.groups)
    older = order[: len(names) - round(QUANTUM_SHARE * len(names))]
    members = {
        "small": order[: round(SMALL_SHARE * len(names))],
        "medium": order[: round(MEDIUM_SHARE * len(names))],
        "all": order,
        "fncv3": older[::2],
        "quantum": order[len(older) :],
        **{group: np.flatnonzero((law.groups == k) | (neighbour == k)) for k, group in enumerate(GROUPS)},
        RISKY_GROUP: np.flatnonzero(law.risky),
    }
    return {key: [names[k] for k in columns] for key, columns in members.items()}


def row_ids(first: int, rows: int, seed: int) -> pa.Array:
    """Return the ids of rows `first` to `first + rows - 1` of a market: "n" and 15 hexadecimal digits.

    The row number is mixed by steps that can be undone, so that each row of a market has another id.
    """
    mask = np.uint64(2**60 - 1)
    mixed = np.arange(first, first + rows, dtype=np.uint64)
    for key in np.random.SeedSequence([seed, 60]).generate_state(3, np.uint64):
        mixed = (mixed * (key | np.uint64(1)) + (key >> np.uint64(7))) & mask
        mixed ^= mixed >> np.uint64(31)
    digits = (mixed[:, None] >> np.arange(56, -4, -4, dtype=np.uint64)) & np.uint64(15)
    text = np.full((rows, 16), ord("n"), np.uint8)
    text[:, 1:] = np.frombuffer(b"0123456789abcdef", np.uint8)[digits]
    return pa.array(text.view("S16")[:, 0].astype("U16"), pa.string())
