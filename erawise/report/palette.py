"""Colours of the page: one for each prediction, the hues of the pictures, made to stand out from a light and from a dark ground."""

import colorsys
from collections.abc import Mapping

from matplotlib.colors import to_hex, to_rgb

from erawise.charts.style import contrast as rgb_contrast

THEMES = {
    "light": {
        "ground": "#ffffff",
        "raised": "#f6f7f9",
        "shade": "#f1f2f5",
        "ink": "#1c1f24",
        "muted": "#5a616b",
        "grid": "#e3e6ea",
        "line": "#d5d9df",
        "accent": "#0067a5",
        "good": "#0067a5",
        "bad": "#b84a00",
        "warn": "#8a5a00",
        "train": "#3d8fc0",
        "purged": "#8d939c",
        "test": "#c75000",
    },
    "dark": {
        "ground": "#16181d",
        "raised": "#1f232a",
        "shade": "#1e222a",
        "ink": "#e8eaee",
        "muted": "#a3abb8",
        "grid": "#2d323b",
        "line": "#3a404b",
        "accent": "#6cb8ec",
        "good": "#6cb8ec",
        "bad": "#f28b4b",
        "warn": "#e0b050",
        "train": "#56b4e9",
        "purged": "#747d8b",
        "test": "#f0813a",
    },
}
"""Names of the colours in the style sheet, on a light and on a dark ground."""

CONTRAST = 3.0
"""Least contrast of lines and areas with their ground, WCAG 2.1, 1.4.11."""
STEP = 0.01


def style(colours: Mapping[str, str]) -> str:
    """Write the colours as rules of a style sheet, predictions as `--p-<name>`: dark if the reader likes it so, light on paper."""
    light, dark = (_rules(theme, colours) for theme in THEMES)
    return (
        f":root{{color-scheme:light;{light}}}@media screen{{:root[data-theme='dark']{{color-scheme:dark;{dark}}}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme='light']){{color-scheme:dark;{dark}}}}}"
    )


def _rules(theme: str, colours: Mapping[str, str]) -> str:
    named = THEMES[theme] | {f"p-{name}": readable(colour, theme) for name, colour in colours.items()}
    return "".join(f"--{name}:{shade};" for name, shade in named.items())


def readable(colour: str, theme: str) -> str:
    """Return the colour nearest in lightness that has at least `CONTRAST` with the grounds of a theme; grey becomes the ink.

    Colours are `#rrggbb`.
    """
    shades = THEMES[theme]
    grounds = (shades["ground"], shades["shade"])
    hue, lightness, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
    step = STEP if theme == "dark" else -STEP
    if not saturation:
        return shades["ink"]
    while min(contrast(colour, ground) for ground in grounds) < CONTRAST and 0 <= lightness <= 1:
        lightness += step
        colour = to_hex(colorsys.hls_to_rgb(hue, min(max(lightness, 0.0), 1.0), saturation))
    return colour


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21, by WCAG 2.1."""
    return rgb_contrast(to_rgb(one), to_rgb(other))
