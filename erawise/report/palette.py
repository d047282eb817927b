"""The colours of the page: one for each prediction, the hues of the pictures, made to stand out from a light and from a dark ground."""

import colorsys
from collections.abc import Mapping

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
"""What the style sheet calls each colour by, on a light and on a dark ground."""

CONTRAST = 3.0
"""Least contrast of lines and areas with their ground, WCAG 2.1, 1.4.11."""
STEP = 0.01


def style(colours: Mapping[str, str]) -> str:
    """The colours as rules of a style sheet, those of predictions as `--p-<name>`: dark where the reader likes it so, light on paper."""
    light, dark = (_rules(theme, colours) for theme in THEMES)
    return (
        f":root{{color-scheme:light;{light}}}@media screen{{:root[data-theme='dark']{{color-scheme:dark;{dark}}}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme='light']){{color-scheme:dark;{dark}}}}}"
    )


def _rules(theme: str, colours: Mapping[str, str]) -> str:
    named = THEMES[theme] | {f"p-{name}": readable(colour, theme) for name, colour in colours.items()}
    return "".join(f"--{name}:{shade};" for name, shade in named.items())


def readable(colour: str, theme: str) -> str:
    """The colour nearest in lightness that has at least `CONTRAST` with the grounds of a theme, a grey one that of its ink.

    Colours are `#rrggbb`.
    """
    shades = THEMES[theme]
    grounds = (shades["ground"], shades["shade"])
    hue, lightness, saturation = colorsys.rgb_to_hls(*_channels(colour))
    step = STEP if luminance(shades["ground"]) < 0.5 else -STEP
    while min(contrast(colour, ground) for ground in grounds) < CONTRAST and 0 <= lightness <= 1:
        if not saturation:
            return shades["ink"]
        lightness += step
        red, green, blue = colorsys.hls_to_rgb(hue, min(max(lightness, 0.0), 1.0), saturation)
        colour = f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
    return colour


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21, by WCAG 2.1."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of a colour, 0 to 1, by WCAG 2.1."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in _channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return red, green, blue
