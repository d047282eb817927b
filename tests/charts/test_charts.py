"""The pictures: their texts, no overlaps, and the same bytes each time."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from erawise.charts import figures, marks, prediction_charts, score_charts, style, tables
from erawise.explanation import explained
from erawise.folds import splits
from erawise.folds.settings import Split

MODELS = [f"model_{k}" for k in range(12)]
LONG = [f"a_rather_long_name_of_a_model_{k}" for k in range(12)]
SIZES = {"one model": (5, LONG[:1]), "many models": (400, LONG)}
"""Eras and models of the drawn runs."""


def scores(n_eras: int, names: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.concat(
        [pd.DataFrame({"era": np.arange(1, n_eras + 1), "prediction": name, "corr": rng.normal(0.02, 0.03, n_eras)}) for name in names],
        ignore_index=True,
    )


def rows() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame({"era": np.repeat([1, 2, 3], 40), "prediction": rng.random(120), "target": rng.integers(0, 5, 120) / 4})


def explanations(models: list[str], features: int = 30, points: int = 40) -> dict[str, explained.Explanation]:
    rng = np.random.default_rng(5)
    names = [f"feature_{k}" for k in range(features)]
    held = np.sort(rng.random(features))[::-1]
    shap = pd.DataFrame({"feature": names, "group": "none", "mean_abs": held, "share": held / held.sum(), "direction": 1.0})
    level = rng.integers(0, 5, 20 * points)
    shown = {"rank": np.repeat(range(1, 21), points), "feature": np.repeat(names[:20], points), "era": 1}
    dots = pd.DataFrame({**shown, "value": level, "shap": (level - 2) * rng.random(20 * points)})
    drops = pd.DataFrame({"feature": np.repeat(names[:20], 24), "era": np.tile(range(24), 20), "drop": rng.normal(0.001, 0.01, 480)})
    trees = pd.DataFrame({"feature": names, "gain": np.nan, "split": np.nan})
    sample = explained.Sample("prediction", 0.5, 2.0, 1, 100, "validation", [1], list(range(24)))
    return {model: explained.Explanation(shap, dots, drops, trees, sample) for model in models}


def exposures(n_eras: int) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    keys = [
        {"split": split, "era": era, "prediction": prediction, "group": group}
        for number, split in enumerate(("cv", "validation"))
        for era in range(1 + number * n_eras, 1 + (number + 1) * n_eras)
        for prediction in ("model", "ensemble", "neutralized")
        for group in ("wisdom", "faith", "all")
    ]
    return pd.DataFrame(keys).assign(max_abs=rng.random(len(keys)), rms=0.1)


def corr_time(n_eras: int, models: list[str]) -> Figure:
    names = [*models, "ensemble", "neutralized"]
    return score_charts.corr_time(tables.corr_time(scores(n_eras, names), "cv"), style.colours(models))


def pictures(n_eras: int, models: list[str]) -> dict[str, Figure]:
    names, colours = [*models, "ensemble", "neutralized"], style.colours(models)
    found, eras = scores(n_eras, names), np.arange(1, max(n_eras, 60) + 31)
    plan = splits.plan(eras[:-30], eras[-30:], 20, Split(method="purged_kfold", folds=4, chunk=1, window=None))
    return {
        "corr_box": score_charts.corr_box(tables.corr_box(found, "cv"), colours),
        "corr_time": corr_time(n_eras, models),
        "comparison": score_charts.comparison(tables.comparison(found, "ensemble", models[0], "cv"), colours),
        "target_by_prediction": prediction_charts.target_by_prediction(tables.target_by_prediction({"ensemble": rows()}, "cv"), colours),
        "folds": prediction_charts.folds(tables.folds(plan)),
    }


def texts(path: Path) -> list[str]:
    return ["".join(node.itertext()) for node in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


@dataclass
class Drawn:
    """All pictures of a run, written once for all tests."""

    n_eras: int
    models: list[str]
    figures: dict[str, Figure]
    directory: Path

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.svg"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Drawn]:
    """Draw a run of some size when a test first asks for it."""

    @cache
    def draw(size: str) -> Drawn:
        found = Drawn(*SIZES[size], pictures(*SIZES[size]), tmp_path_factory.mktemp("drawn"))
        for name, figure in found.figures.items():
            figures.write(figure, found.path(name))
        return found

    return draw


@pytest.mark.parametrize("size", SIZES)
def test_every_picture_is_labelled_and_small(drawn: Callable[[str], Drawn], size: str) -> None:
    for name, figure in drawn(size).figures.items():
        content = drawn(size).path(name).read_bytes()
        assert len(content) < 250_000, name
        assert figure.get_suptitle().split()[0] in " ".join(texts(drawn(size).path(name)))
        assert all(axes.get_xlabel() for axes in figure.axes[-1:]), name
        assert not re.search(rb"<dc:date>|matplotlib\.org", content)


@pytest.mark.parametrize("size", SIZES)
def test_pictures_have_no_ground_of_their_own_and_text_of_a_readable_size(drawn: Callable[[str], Drawn], size: str) -> None:
    for name in drawn(size).figures:
        content = drawn(size).path(name).read_text()
        grounds = re.findall(r'<g id="patch_[12]">\s*<path [^>]*style="([^"]*)"', content)
        assert grounds, name
        assert all("fill: none" in style for style in grounds), name
        assert min(float(points) for points in re.findall(r"font-size: ([\d.]+)px", content)) >= 8, name


@pytest.mark.parametrize("size", SIZES)
def test_every_text_lies_in_the_picture(drawn: Callable[[str], Drawn], size: str) -> None:
    for name, figure in drawn(size).figures.items():
        box = figure.get_tightbbox()
        assert box.x0 > -0.05, name
        assert box.x1 < style.WIDTH + 0.05, name


def test_every_picture_has_the_same_bytes_each_time(drawn: Callable[[str], Drawn], tmp_path: Path) -> None:
    before = drawn("one model")
    for name, figure in pictures(before.n_eras, before.models).items():
        figures.write(figure, tmp_path / "again.svg")
        assert (tmp_path / "again.svg").read_bytes() == before.path(name).read_bytes(), name


def test_pictures_drawn_in_other_processes_have_the_same_bytes(tmp_path: Path) -> None:
    tenths, box = tables.target_by_prediction({"ensemble": rows()}, "cv"), tables.corr_box(scores(9, MODELS[:2]), "cv")
    colours = style.colours(MODELS[:2])
    with figures.drawing(2) as draw:
        draw(tmp_path / "tenths.svg", prediction_charts.target_by_prediction, tenths, colours)
        draw(tmp_path / "box.svg", score_charts.corr_box, box, colours)
    here = {"tenths": prediction_charts.target_by_prediction(tenths, colours), "box": score_charts.corr_box(box, colours)}
    for name, figure in here.items():
        figures.write(figure, tmp_path / "here.svg")
        assert (tmp_path / f"{name}.svg").read_bytes() == (tmp_path / "here.svg").read_bytes()


def test_an_error_of_another_process_is_raised(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="model_0"), figures.drawing(1) as draw:
        draw(tmp_path / "box.svg", score_charts.corr_box, tables.corr_box(scores(9, MODELS[:1]), "cv"), {})
    assert not list(tmp_path.iterdir())


def test_a_picture_of_many_panels_is_laid_out_the_same_each_time(drawn: Callable[[str], Drawn], tmp_path: Path) -> None:
    before = drawn("many models")
    figures.write(corr_time(before.n_eras, before.models), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == before.path("corr_time").read_bytes()


def test_written_again_the_same_bytes(tmp_path: Path) -> None:
    figure = prediction_charts.target_by_prediction(tables.target_by_prediction({"ensemble": rows()}, "cv"), style.colours(MODELS))
    figures.write(figure, tmp_path / "a.svg")
    figures.write(figure, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg"]


def test_empty_table_gives_its_headline(tmp_path: Path) -> None:
    figure = score_charts.corr_time(tables.corr_time(scores(0, ["ensemble"]), "validation"), style.colours([]))
    figures.write(figure, tmp_path / "empty.svg")
    assert texts(tmp_path / "empty.svg") == ["Nothing to show: no validation era has scores"]


def test_no_labels_overlap_in_the_running_sum(drawn: Callable[[str], Drawn]) -> None:
    figure = drawn("many models").figures["corr_time"]
    boxes = sorted(tuple(Text.get_window_extent(label).intervaly) for label in figure.axes[0].texts)
    assert len(boxes) == len(LONG) + 2
    assert all(above[0] >= below[1] for below, above in pairwise(boxes))


def test_box_draws_the_numbers_of_the_table() -> None:
    table = tables.corr_box(scores(40, ["model_0", "ensemble"]), "cv")
    axes = score_charts.corr_box(table, style.colours(MODELS)).axes[0]
    box = np.asarray(axes.patches[1].get_path().vertices)[:, 0]
    assert (box.min(), box.max()) == pytest.approx((table.frame["q1"][1], table.frame["q3"][1]))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["model_0", "ensemble"]


def test_colours_are_fixed_for_the_ensembles_and_distinct_for_nine_models() -> None:
    colours = style.colours(MODELS)
    assert colours["ensemble"] == style.colours(["x"])["ensemble"]
    assert len({colours[name] for name in [*MODELS[:9], "ensemble", "neutralized"]}) == 11


def test_a_second_round_of_colours_is_dashed(drawn: Callable[[str], Drawn]) -> None:
    figure = drawn("many models").figures["corr_time"]
    styles = [line.get_linestyle() for line in figure.axes[0].lines[: len(LONG) + 2]]
    assert styles == ["-"] * 9 + ["--"] * 3 + ["-"] * 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=14).map(sorted), st.floats(0.01, 0.2))
def test_labels_are_moved_apart_and_stay_in_order(places: list[float], gap: float) -> None:
    moved = marks.apart(places, gap)
    assert len(moved) == len(places)
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(moved))
    assert np.mean(moved) == pytest.approx(np.mean(places), abs=1e-9)


def test_labels_with_room_stay_where_they_are() -> None:
    assert marks.apart([0.1, 0.5, 0.9], 0.1) == [0.1, 0.5, 0.9]


def test_labels_that_leave_the_picture_are_pushed_back() -> None:
    assert marks.within([0.5, 0.9, 1.2], 0.2) == pytest.approx([0.5, 0.8, 1.0])
    assert marks.within([-0.1, 0.1, 0.6], 0.2) == pytest.approx([0.0, 0.2, 0.6])


def test_text_can_be_read_on_a_light_and_on_a_dark_page() -> None:
    paper, night = to_rgb(style.PAPER), to_rgb("#0d1117")  # GitHub's; pictures have no ground of their own
    for colour in (*style.MODEL_COLOURS, *style.FIXED_COLOURS.values(), style.INK, style.MUTED):
        assert style.contrast(to_rgb(style.readable(colour)), paper) >= 4.5
        assert style.contrast(to_rgb(style.ink_on(colour)), to_rgb(colour)) >= 4.5
    for colour in (style.INK, style.MUTED, style.FIXED_COLOURS["ensemble"]):
        assert style.contrast(to_rgb(colour), night) >= 4
    assert style.readable("#0072b2") == "#0072b2"
    assert style.contrast((1, 1, 1), (0, 0, 0)) == pytest.approx(21)


def test_long_names_keep_both_ends() -> None:
    short = style.short("apologized_unanticipated_roentgen_017")
    assert (len(short), short[:5], short[-3:]) == (24, "apolo", "017")


def test_coordinates_are_rounded() -> None:
    svg = '<path d="M 1.23456 -0.001 L 3.0 4.5" id="m1.23456"/><use x="0.126" y="7"/>'
    assert figures.rounded(svg) == '<path d="M 1.23 0 L 3 4.5" id="m1.23456"/><use x="0.13" y="7"/>'
