"""The style that all pictures share: sizes, colours and short names. A prediction has the same colour in every picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.colors import to_hex, to_rgb

from erawise.charts.tables import PURGED, TEST, TRAIN

WIDTH = 9.0
"""Width of every picture, in inches."""

LABEL_COLUMNS = 24
POINTS_AN_INCH = 72
INK, MUTED, PAPER, BLACK = "#757575", "#757575", "#ffffff", "#000000"
DASH = (0, (4, 1.5))

STYLE = dict(matplotlib.rc_params_from_file(Path(__file__).with_name("erawise.mplstyle"), use_default_template=False))

MODEL_COLOURS = tuple(f"#{colour.lstrip('#')}" for colour in STYLE["axes.prop_cycle"].by_key()["color"])
"""The hues of the style; more models have them a second time, dashed."""

FIXED_COLOURS = {"ensemble": "#757575", "neutralized": "#D55E00"}
ROLE_COLOURS = {TRAIN: "#56B4E9", PURGED: "#D9D9D9", TEST: "#D55E00"}

READABLE = 4.5
"""Contrast of text with its ground, at least: level AA of the Web Content Accessibility Guidelines 2.1."""

Colours = Mapping[str, str]


def colours(models: Sequence[str]) -> dict[str, str]:
    """Return the colour of each prediction: of a model by its place in the list, of the ensembles fixed."""
    return {model: MODEL_COLOURS[k % len(MODEL_COLOURS)] for k, model in enumerate(models)} | FIXED_COLOURS


def short(name: str) -> str:
    """Leave out the middle of a long name."""
    half = LABEL_COLUMNS // 2
    return name if len(name) <= LABEL_COLUMNS else f"{name[: half - 1]}…{name[-half:]}"


def readable(colour: str) -> str:
    """Return a colour for text on the paper: as it is, or darkened until it can be read."""
    red, green, blue = to_rgb(colour)
    while contrast((red, green, blue), to_rgb(PAPER)) < READABLE:
        red, green, blue = 0.97 * red, 0.97 * green, 0.97 * blue
    return to_hex((red, green, blue))


def ink_on(ground: str) -> str:
    """Return the colour of marks and text on a coloured ground: black or the colour of the paper."""
    return max((BLACK, PAPER), key=lambda colour: contrast(to_rgb(colour), to_rgb(ground)))


def contrast(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """Return the ratio of the luminances of two colours, 1 to 21, after the Web Content Accessibility Guidelines 2.1."""
    low, high = sorted(_luminance(colour) for colour in (a, b))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: tuple[float, float, float]) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
