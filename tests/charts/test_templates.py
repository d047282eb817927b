"""The templates of `dvc plots`: they compile and label the data, for one to three revisions, on DVC's page and in an editor."""

import copy
import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from closure import ROOT
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer
from ruamel.yaml import YAML

from erawise.charts import style

TEMPLATES = ROOT / ".dvc/plots"
PAGE = ROOT / ".dvc/page.html"
REVISIONS = ["workspace", "main~3", "fair-weir"]
LINES = 60
"""Number of drawn lines of a table: enough of each group, and quick."""


def plots() -> dict[str, dict[str, Any]]:
    """Return the plots of dvc.yaml that are drawn by templates of ours, by name."""
    listed = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["plots"]
    named = {name: settings for plot in listed for name, settings in plot.items()}
    return {name: settings for name, settings in named.items() if (TEMPLATES / f"{settings['template']}.json").exists()}


PLOTS = plots()


def datapoints(settings: dict[str, Any], revisions: list[str]) -> list[dict[str, str]]:
    """Read lines of the table behind a plot, evenly spaced, as DVC reads them: all values are strings; other numbers in each revision."""
    (path, field), *_ = settings["y"].items()
    with (ROOT / path).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows = rows[:: -(-len(rows) // LINES)]
    return [
        {key: _changed(value, k) for key, value in row.items()} | {"rev": name, "filename": path, "field": field}
        for k, name in enumerate(revisions)
        for row in rows
    ]


def _changed(value: str, k: int) -> str:
    return f"{float(value) * (1 + 0.1 * k):.6f}" if re.fullmatch(r"-?\d+\.\d{6}", value) else value


def renderer(name: str, revisions: list[str]) -> VegaRenderer:
    settings = PLOTS[name]
    field = next(iter(settings["y"].values()))
    kept = {key: settings[key] for key in ("title", "x", "x_label", "y_label", "template") if key in settings}
    return VegaRenderer(datapoints(settings, revisions), name, y=field, template_dir=str(TEMPLATES), revs_with_datapoints=revisions, **kept)


def in_an_editor(drawn: VegaRenderer) -> dict[str, Any]:
    """Fill in the plot as DVC's extension of VS Code does: a pane's size, no legend of revisions, no zoom."""
    content, split = drawn.get_partial_filled_template()
    anchors = split["anchor_definitions"]
    size = 300 if "facet" in content else "container"
    anchors |= {"<DVC_METRIC_PLOT_WIDTH>": size, "<DVC_METRIC_PLOT_HEIGHT>": size, "<DVC_METRIC_ZOOM_AND_PAN>": {}}
    for name in {"<DVC_METRIC_COLOR>", "<DVC_METRIC_SHAPE>", "<DVC_METRIC_STROKE_DASH>"} & set(anchors):
        anchors[name] = {**anchors[name], "legend": None}
    return _filled(content, anchors)


def _filled(value: Any, anchors: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, anchors) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled for inner in value if (filled := _filled(inner, anchors)) != {}]
    return anchors.get(value, value) if isinstance(value, str) else value


def on_the_page(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the plot as `.dvc/page.html` shows it, with the size that the template wants there."""
    larger = copy.deepcopy(spec)
    larger.get("spec", larger).update(spec["usermeta"]["page"])
    return larger


def svg(spec: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> str:
    """Draw the picture, which has to come without a warning."""
    capfd.readouterr()
    drawn = vl_convert.vegalite_to_svg(spec, vl_version="5.8", show_warnings=True)
    told = capfd.readouterr()
    assert not told.out + told.err
    return str(drawn)


def marks(drawn: str) -> int:
    return drawn.count('role="graphics-symbol"')


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", sorted(PLOTS))
def test_every_plot_tells_its_revisions(name: str, count: int, capfd: pytest.CaptureFixture[str]) -> None:
    spec = renderer(name, REVISIONS[:count]).get_filled_template()
    assert "<DVC_" not in json.dumps(spec)
    for size in (spec, on_the_page(spec)):
        drawn = svg(size, capfd)
        for revision in REVISIONS[:count]:
            assert f">{revision}</text>" in drawn, revision
        for revision in REVISIONS[count:]:
            assert f">{revision}</text>" not in drawn, revision
        assert PLOTS[name]["title"].split("${")[0] in drawn


@pytest.mark.parametrize("name", sorted(PLOTS))
def test_each_revision_adds_marks(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    one, two = (marks(svg(renderer(name, REVISIONS[:count]).get_filled_template(), capfd)) for count in (1, 2))
    assert 0 < one < two


@pytest.mark.parametrize("name", sorted(PLOTS))
def test_every_plot_is_drawn_in_an_editor(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    drawn = renderer(name, REVISIONS[:2])
    content, split = drawn.get_partial_filled_template()
    assert {"<DVC_METRIC_DATA>", "<DVC_METRIC_TITLE>", "<DVC_METRIC_PLOT_WIDTH>", "<DVC_METRIC_PLOT_HEIGHT>"} <= set(
        split["anchor_definitions"]
    )
    spec = in_an_editor(drawn)
    assert "<DVC_" not in json.dumps(spec)
    if "facet" not in content:
        assert (spec["width"], spec["height"]) == ("container", "container")
        spec |= {"width": 400, "height": 250}  # the pane's value; there is no pane here
    assert marks(svg(spec, capfd))


def test_no_template_is_left_over() -> None:
    assert {settings["template"] for settings in PLOTS.values()} == {path.stem for path in TEMPLATES.glob("*.json")}


@pytest.mark.parametrize("name", ["corr_box_cv", "corr_time_cv", "weights", "importance"])
def test_a_prediction_has_the_colour_of_the_other_pictures_in_each_revision(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    drawn = renderer(name, REVISIONS[:2])
    names = list(dict.fromkeys(row.get("prediction") or row["model"] for row in drawn.datapoints))
    expected = style.colours([name for name in names if name not in style.FIXED_COLOURS])
    described = [text for text in re.findall(r'<path aria-label="[^>]*>', svg(drawn.get_filled_template(), capfd)) if "rev" in text]
    for prediction in names:
        told = re.compile(rf": {prediction}(?:;|\")")
        for revision in REVISIONS[:2]:
            mine = [text.lower() for text in described if told.search(text) and revision in text]
            assert any(expected[prediction].lower() in text for text in mine), (prediction, revision)
            others = {colour.lower() for other, colour in expected.items() if other in names} - {expected[prediction].lower(), "#757575"}
            assert not any(f'"{other}"' in text for text in mine for other in others), (prediction, revision)


def test_the_page_gives_each_plot_its_size() -> None:
    page = HTML(PAGE.read_text(encoding="utf-8")).with_scripts("<script>var vega</script>").with_element("<div id='a'></div>").embed()
    assert "{" + "scripts}" not in page
    assert page.index("<script>var vega</script>") < page.index("usermeta.page") < page.index("<div id='a'></div>")
    for path in TEMPLATES.glob("*.json"):
        assert set(json.loads(path.read_text())["usermeta"]["page"]) == {"width", "height"}, path.name
    config = (ROOT / ".dvc/config").read_text()
    assert f"html_template = {PAGE.relative_to(Path(ROOT, '.dvc'))}" in config


def test_without_the_network_the_page_says_why_it_has_no_charts() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert '<p id="offline">The charts can\'t be drawn: ' in page
    assert ".drawn #offline { display: none; }" in page
    assert 'if (embed) document.documentElement.classList.add("drawn");' in page
    titles = [
        settings.get("title", "") for plot in YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["plots"] for settings in plot.values()
    ]
    assert all(re.fullmatch(r"[A-Z][\w ,]+", title) for title in titles)
