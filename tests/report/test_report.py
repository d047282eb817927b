"""The page that a person looks at: its words, and its behaviour in a real browser."""

import dataclasses
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import altair as alt
import browser as real
import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from closure import ROOT
from conftest import Once
from dvc.repo import Repo
from playwright.sync_api import Browser, Page
from waiting import until
from workspace import Workspace

from erawise import params
from erawise.base import files
from erawise.base.schema import CV, VALIDATION
from erawise.charts import explained_tables, style
from erawise.evaluation import evaluation, significance, summary
from erawise.panel import groups
from erawise.report import content, drawing, drivers, findings, gathering, markup, palette
from erawise.report import page as page_of
from erawise.report.content import Comparison, Content, Looks, Run
from erawise.running.errors import InputError

SIZES = (1280, 800, 390)
THEMES: tuple[Literal["dark", "light"], ...] = ("light", "dark")
MARKS = "svg path, svg circle, svg rect, svg line, svg text"
LEAST_MARKS = 8


@pytest.fixture(scope="session")
def written(once: Once, finished: Workspace) -> Path:
    """Write the page of the finished workspace, its charts checked against the schema of Vega-Lite; written once for a run of the tests."""

    def fill(directory: Path) -> None:
        shutil.copytree(finished.directory, directory, dirs_exist_ok=True)
        shutil.copyfile(ROOT / "dvc.yaml", directory / "dvc.yaml")
        Repo.init(str(directory), no_scm=True).close()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drawing, "VALIDATED", True)
            Workspace(directory, finished.directory / "files").run("report")

    return once("report", fill) / "report.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with real.chromium() as browser:
        yield browser


@dataclasses.dataclass(frozen=True)
class Opened:
    """The page in a browser, whose window had several widths one after another, with the widths found in each.

    Parameters
    ----------
    page : in the widest window, in the light theme.
    said : messages, requests and errors until it had all widths and themes.
    rooms : by the window's width and the theme, the document's width and each chart's.
    """

    page: Page
    said: list[str]
    rooms: dict[tuple[int, str], tuple[int, dict[str, float]]]


@pytest.fixture(scope="module")
def opened(chromium: Browser, written: Path) -> Iterator[Opened]:
    """Open the page once for all tests in a wide window and in the light, look at it in other windows and in the dark, and go back."""
    rooms: dict[tuple[int, str], tuple[int, dict[str, float]]] = {}
    with real.opened(chromium, written, viewport={"width": SIZES[0], "height": 900}, color_scheme=THEMES[0]) as (page, said):
        real.drawn(page)
        for number, width in enumerate(SIZES):
            resize(page, width)
            for scheme in THEMES[:: -1 if number % 2 else 1]:  # the theme of the last window is the first of this one
                switch(page, scheme)
                found = page.locator(".plot[data-figure]").evaluate_all(
                    "all => all.map(one => [one.dataset.figure, one.querySelector('svg').getBoundingClientRect().width])"
                )
                rooms[width, scheme] = (page.evaluate("document.documentElement.scrollWidth"), dict(found))
        resize(page, SIZES[0])
        switch(page, THEMES[0])
        yield Opened(page, [*said], rooms)
        assert not said


@pytest.fixture(scope="module")
def page(opened: Opened) -> Page:
    return opened.page


@pytest.fixture
def fresh(page: Page) -> Iterator[Page]:
    """Give the page to a test, and reset it afterwards."""
    page.locator("#more").evaluate("one => one.open = true")
    yield page
    page.click("#reset")
    page.evaluate("window.scrollTo(0, 0)")


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.texts.append(data)


def test_one_file_that_asks_for_nothing(written: Path) -> None:
    elements = Elements(written.read_text(encoding="utf-8"))
    for tag, attributes in elements.found:
        assert tag not in ("link", "img", "iframe", "object", "embed", "audio", "video", "source", "base"), tag
        for name in ("src", "href", "xlink:href", "action", "data", "poster"):
            value = attributes.get(name) or ""
            assert not value or value.startswith("#"), f"{tag} {name}={value}"
    policy = next(attributes["content"] for tag, attributes in elements.found if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert written.stat().st_size < 5e6


def test_ids_are_each_once_and_every_chart_is_named(written: Path) -> None:
    elements = Elements(written.read_text(encoding="utf-8"))
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    plots = [attributes for _, attributes in elements.found if attributes.get("class") == "plot"]
    assert len(plots) > 15
    assert all(len(attributes.get("aria-label") or "") > 20 and attributes.get("role") == "img" for attributes in plots)


def test_the_answer_is_that_of_the_metrics(written: Path, finished: Workspace) -> None:
    text = " ".join(Elements(written.read_text(encoding="utf-8")).texts)
    for split in (CV, VALIDATION):
        block = finished.metrics(split)["neutralized"]["corr"]
        assert f"{block['mean']:.4f}" in text
        if "low" in block:
            assert f"{block['low']:.4f} … {block['high']:.4f}" in text


def test_the_first_sentence_says_what_to_send_and_the_page_has_the_other_first_things(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    first = text[text.index("<main>") : text.index('class="toolbar"')]
    said = re.search(r'<p class="answer">(.*?)</p>', first)
    assert said is not None
    assert re.match(r"Send (\w+(, not \w+, which the settings name)?|nothing yet): ", said.group(1))
    assert first.count('class="card"') == 4
    assert [name in first for name in ('data-figure="forest"', 'data-figure="answer-curve"')] == [True, True]
    assert text.index("This page is older than") < text.index('class="answer"')


def test_the_page_says_what_is_main_early_and_paid_and_by_which_regime(written: Path) -> None:
    texts = Elements(written.read_text(encoding="utf-8")).texts
    assert "main: target, which equals target_other_20, 20 trading days (early); pays: 60 days since round 1343, not these scores" in texts
    assert "atomic_ender60 pays for scores of 60 trading days, and these are of 20: no round pays so" in texts


def test_every_metric_of_the_leaderboard(written: Path, finished: Workspace) -> None:
    text = written.read_text(encoding="utf-8")
    for split in (CV, VALIDATION):
        table = re.search(rf"<caption>{split}: .*?</table>", text, re.S)
        assert table is not None
        for name, block in evaluation.blocks(finished.metrics(split)).items():
            row = next(row for row in re.findall(r"<tr>.*?</tr>", table.group()) if f"&nbsp;{name}</th>" in row)
            for value in (f"{block['corr']['mean']:.4f}", f"{block['corr']['sharpe']:.2f}", f"{block['exposure']['max']:.2f}"):
                assert f">{value}</td>" in row


def test_halves_of_the_final_check_stand_beside_each_other(written: Path, finished: Workspace) -> None:
    text = written.read_text(encoding="utf-8")
    table = re.search(r"<caption>parts of the validation eras</caption>.*?</table>", text, re.S)
    assert table is not None
    assert re.search(r"The (first|second) half was easier: ", text)
    for name, block in evaluation.blocks(finished.metrics(VALIDATION)).items():
        row = next(row for row in re.findall(r"<tr>.*?</tr>", table.group()) if f">{name}</th>" in row)
        for part in (summary.FIRST_HALF, summary.SECOND_HALF):
            assert f">{block[summary.PARTS][part]['corr']:.4f}</td>" in row


def test_a_page_that_cannot_be_written_leaves_the_old_one(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    page = workspace.directory / "report.html"
    page.write_text("the old one")
    (workspace.directory / "data/scores/cv.json").write_text("{")
    assert "data/scores/cv.json" in workspace.failure("report", capsys)
    assert page.read_text() == "the old one"


def test_what_is_absent_is_named(workspace: Workspace, undrawn: None) -> None:
    for path in [*(workspace.directory / "plots/tables").glob("*.csv"), *(workspace.directory / "data/explored").glob("*.csv")]:
        path.unlink()
    for name in ("explained", "runs"):
        files.remove(workspace.directory / "data" / name)
    workspace.run("report")
    text = (workspace.directory / "report.html").read_text(encoding="utf-8")
    for what in ("the importance of features", "the folds", "the contributions of each feature to the predictions"):
        assert f"There is no table of {what}; <code>dvc repro plot</code> makes it." in text


def test_numbers_in_static_charts_are_those_of_the_tables(written: Path, finished: Workspace) -> None:
    text = written.read_text(encoding="utf-8")
    targets = pd.read_csv(finished.directory / "data/explored/targets.csv").set_index("name").to_numpy()
    drawn = re.search(r'data-figure="targets".*?</svg>', text, re.S)
    assert drawn is not None
    shown = re.findall(r">(-?[\d.]+)</text>", drawn.group())
    assert sorted(shown) == sorted(f"{value:.2f}" for value in targets.ravel())


def test_a_run_that_is_no_longer_that_of_the_workspace_says_so(written: Path) -> None:
    assert "This page is older than the settings, the code or the data" in written.read_text(encoding="utf-8")


def test_damaged_tables_and_records_are_left_out(workspace: Workspace, undrawn: None, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace.directory / "plots/tables").mkdir(parents=True, exist_ok=True)
    (workspace.directory / "plots/tables/folds.csv").write_text("")
    (workspace.directory / "data/runs").mkdir(exist_ok=True)
    (workspace.directory / "data/runs/split.json").write_text("[]")
    (workspace.directory / "data/runs/plot.json").write_text('{"stage": "plot"')
    workspace.run("report")
    said = capsys.readouterr().err
    for name in ("plots/tables/folds.csv", "data/runs/split.json", "data/runs/plot.json"):
        assert f"warning: {name}: " in said


def test_without_any_score_there_is_no_page(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for split in (CV, VALIDATION):
        path = workspace.directory / f"data/scores/{split}.parquet"
        pd.read_parquet(path).assign(corr=np.nan).to_parquet(path)
    assert "no prediction has a score in any era; run `dvc repro evaluate`" in workspace.failure("report", capsys)


def test_one_prediction_alone_has_a_page(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("svg", "vega", "library"):  # charts are made and checked, and not drawn
        monkeypatch.setattr(drawing, name, lambda *_: "")
    for split in (CV, VALIDATION):
        path = workspace.directory / f"data/scores/{split}.parquet"
        table = pd.read_parquet(path)
        table[table["prediction"] == "neutralized"].to_parquet(path)
        metrics = workspace.directory / f"data/scores/{split}.json"
        metrics.write_text(json.dumps({"neutralized": workspace.metrics(split)["neutralized"]}))
    workspace.run("report")
    assert "There is one prediction alone." in (workspace.directory / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run_content(written: Path) -> Content:
    """Gather the content of the finished run's page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(written.parent)
        return gathering.content(params.load(Path("params.yaml")))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the drawing of charts, which takes most of the time of a page; their layers are made, and not put together."""
    monkeypatch.setattr(drawing, "svg", lambda figure, spec, datasets: "")
    monkeypatch.setattr(drawing, "vega", lambda spec: {})
    monkeypatch.setattr(drawing, "specified", lambda chart: {})
    monkeypatch.setattr(drawing, "library", lambda: "")
    monkeypatch.setattr(alt, "LayerChart", lambda **parts: None)


def test_the_embedded_market_is_called_a_toy_beside_money(run_content: Content, undrawn: None) -> None:
    text = page_of.written(dataclasses.replace(run_content, toy=True))
    assert "payout an era on a toy market, before clip" in text
    assert "The embedded market is a toy" in text
    assert "a toy" not in page_of.written(run_content)


def test_data_without_groups_has_a_page(run_content: Content, undrawn: None) -> None:
    table = run_content.exposure
    text = page_of.written(dataclasses.replace(run_content, exposure=table[table["group"] == groups.ALL]))
    assert 'data-figure="exposure"' in text
    assert "leads among the groups" not in text


@pytest.mark.parametrize("kept", [slice(0), slice(1), slice(-1, None)], ids=["none", "the first", "the last"])
def test_tables_of_a_row_or_none_have_a_page(run_content: Content, undrawn: None, kept: slice) -> None:
    assert "</html>" in page_of.written(with_tables(run_content, **{name: table[kept] for name, table in run_content.tables.items()}))


def test_a_model_that_a_table_lacks_is_told(run_content: Content, undrawn: None) -> None:
    names = ("era_means_cv", "era_means_validation", "importance", "permutation", "shap_beeswarm")
    lacking = {name: run_content.tables[name].query("model == 'ridge'") for name in names}
    moving = lacking["era_means_cv"].assign(mean_target=lambda table: 0.4 + 0.001 * table["era"])
    text = page_of.written(with_tables(run_content, **{**lacking, "era_means_cv": moving}))
    assert "Residuals of lightgbm, cv: no era has a target" in text
    assert "No contributions are known of lightgbm" in text
    none = page_of.written(with_tables(run_content, shap_beeswarm=run_content.tables["shap_beeswarm"].iloc[:0]))
    assert "No model of this run has SHAP values: permutation explains their kinds." in none


def test_residuals_of_eras_with_the_same_mean_target_are_not_drawn(run_content: Content, undrawn: None) -> None:
    level = run_content.tables["era_means_cv"].assign(mean_target=0.5)
    assert 'data-figure="levels-cv"' not in page_of.written(with_tables(run_content, era_means_cv=level))


def test_a_run_without_yardsticks_stakes_or_live_rows_has_a_page(run_content: Content, undrawn: None) -> None:
    bare = {field: made({"ridge": noise(1, 0.1)}).__dict__[field] for field in ("yardsticks", "exposure", "stake", "live")}
    text = page_of.written(dataclasses.replace(run_content, **bare))
    assert "There is no year to show" in text
    assert "No live predictions are there" in text


@pytest.mark.parametrize("split", [CV, VALIDATION])
def test_a_split_of_an_era_or_none_has_a_page(run_content: Content, undrawn: None, split: str) -> None:
    table = run_content.scores[split]
    for last in (0, table["era"].min()):
        scores = {**run_content.scores, split: table[table["era"] <= last]}
        metrics = {**run_content.metrics, split: summary.summarize(scores[split], 20)}
        assert "</html>" in page_of.written(dataclasses.replace(run_content, scores=scores, metrics=metrics))


def test_a_chosen_prediction_without_scores_is_named(run_content: Content) -> None:
    with pytest.raises(InputError, match=r"^momentum: submit.models or upload.prediction names it, and it has no scores; there are"):
        page_of.written(dataclasses.replace(run_content, chosen="momentum"))


def test_opens_offline_without_a_word_on_the_console_and_nothing_is_wider_than_the_window(opened: Opened) -> None:
    assert not opened.said
    assert set(opened.rooms) == set(itertools.product(SIZES, THEMES))
    for (width, _), (document, charts) in opened.rooms.items():
        assert document <= width
        assert charts
        for figure, found in charts.items():
            assert 0 < found <= width, figure


FITS = """() => [...document.querySelectorAll('.plot[data-live]')].every(one => {
    const room = Math.min(one.clientWidth, Number(one.dataset.width || Infinity));
    return Math.abs(one.querySelector('svg').clientWidth - room) < 2;
})"""
"""The test that every chart is drawn for the width of its place."""


def resize(page: Page, width: int) -> None:
    """Set the width of the window, and wait until the charts have theirs."""
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function(FITS)


def switch(page: Page, scheme: Literal["dark", "light"]) -> None:
    """Set the theme that the browser asks for, and wait until the page has it."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)


def test_every_chart_has_marks_with_and_without_scripts(chromium: Browser, written: Path, page: Page) -> None:
    elements = Elements(written.read_text(encoding="utf-8"))
    names = sorted(attributes["data-figure"] or "" for _, attributes in elements.found if attributes.get("class") == "plot")
    assert names
    with real.opened(chromium, written, java_script_enabled=False) as (plain, said):
        assert not plain.locator(".controls").first.is_visible()
        assert plain.locator("[data-live]").count() == 0
        for shown in (plain, page):
            marks = shown.locator(".plot[data-figure]").evaluate_all(
                "(all, marks) => all.map(one => [one.dataset.figure, one.querySelectorAll(marks).length])", MARKS
            )
            assert sorted(name for name, _ in marks) == names
            assert all(count >= LEAST_MARKS for _, count in marks), marks
        assert not said


def lines(page: Page, figure: str) -> set[str]:
    """Return the colours of the lines in a chart of predictions."""
    return set(
        page.locator(f".plot[data-figure='{figure}'] .mark-line path").evaluate_all("all => all.map(one => one.getAttribute('stroke'))")
    )


def ticks(page: Page, figure: str) -> list[int]:
    """Return the eras at the lower edge of a chart."""
    labels = page.locator(f".plot[data-figure='{figure}'] .role-axis-label text")
    found = labels.evaluate_all("all => all.map(one => [one.getBoundingClientRect().top, one.textContent])")
    lowest = max(top for top, text in found if text)
    return [int(text) for top, text in found if text and top > lowest - 1]


def test_predictions_are_switched_on_and_off_in_all_charts(fresh: Page) -> None:
    assert "var(--p-ridge)" in lines(fresh, "cumulative")
    rest = {"var(--p-lightgbm)", "var(--p-ensemble)", "var(--p-neutralized)"}
    fresh.uncheck("input[name=shown][value=ridge]")
    until(lambda: all(lines(fresh, figure) - {"var(--muted)"} == rest for figure in ("cumulative", "rolling")))
    fresh.check("input[name=shown][value=ridge]")
    until(lambda: "var(--p-ridge)" in lines(fresh, "cumulative"))


def test_a_range_of_eras_zooms_all_era_charts(fresh: Page) -> None:
    fresh.fill("#first", "20")
    fresh.fill("#last", "40")
    fresh.locator("#last").press("Tab")
    figures = ("cumulative", "rolling", "by-era", "drawdown", "difference", "exposure")
    until(lambda: all({*ticks(fresh, figure)} <= {*range(20, 41)} for figure in figures))
    assert "21 weeks" in fresh.inner_text("#range")


def test_a_range_is_drawn_up_on_a_chart_and_taken_back(fresh: Page) -> None:
    place = fresh.locator(".plot[data-figure='rolling']")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    fresh.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 120)
    fresh.mouse.down()
    fresh.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 120, steps=4)
    assert fresh.locator(".band").count() == 1
    fresh.mouse.up()
    first, last = (int(fresh.input_value(name)) for name in ("#first", "#last"))
    assert 1 < first < last < 100
    place.dblclick(position={"x": box["width"] / 2, "y": 120})
    assert int(fresh.input_value("#first")) == 1


def test_hover_gives_era_and_value(fresh: Page, finished: Workspace) -> None:
    place = fresh.locator(".plot[data-figure='by-era']")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    for step in range(3):
        fresh.mouse.move(box["x"] + box["width"] / 3 + step, box["y"] + box["height"] / 2)
    tip = fresh.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    found = dict(zip(tip.locator("td.key").all_inner_texts(), tip.locator("td.value").all_inner_texts(), strict=True))
    table = pd.read_parquet(finished.directory / "data/scores/cv.parquet").set_index(["prediction", "era"])["corr"]
    assert float(found["value"].replace("−", "-")) == pytest.approx(table["neutralized", int(found["era"])], abs=5e-5)


def test_tables_sort_by_figures(fresh: Page) -> None:
    table = fresh.locator("table.sortable").first
    heads = table.locator("th button").all_inner_texts()
    place = heads.index("Sharpe") + 1
    for order in ("descending", "ascending"):
        table.get_by_role("button", name="Sharpe").click()
        texts = table.locator(f"tbody tr > :nth-child({place})").all_inner_texts()
        shown = [float(text.split()[0]) for text in texts if text != "–"]
        assert shown == sorted(shown, reverse=order == "descending")
        assert table.locator("th[aria-sort]").get_attribute("aria-sort") == order


def test_what_is_missing_comes_last_whichever_way_a_table_is_sorted(fresh: Page) -> None:
    table = fresh.locator("table", has_text="peak memory")
    place = table.locator("thead th").all_inner_texts().index("rows") + 1
    for _ in range(2):
        table.get_by_role("button", name="rows").click()
        shown = table.locator(f"tbody tr > :nth-child({place})").all_inner_texts()
        known = [text for text in shown if text != "–"]
        assert 0 < len(known) < len(shown)
        assert shown == [*known, *["–"] * (len(shown) - len(known))]


def test_a_field_that_is_typed_into_stays(fresh: Page) -> None:
    for values, expected in ((("10", "40"), (10, 40)), (("60", None), (60, 62)), ((None, "90"), (60, 90)), ((None, "30"), (28, 30))):
        for name, value in zip(("#first", "#last"), values, strict=True):
            if value is not None:
                fresh.fill(name, value)
                fresh.locator(name).press("Tab")
        assert tuple(int(fresh.input_value(name)) for name in ("#first", "#last")) == expected


def test_a_rolling_mean_looks_back_beyond_the_range(fresh: Page) -> None:
    fresh.fill("#first", "30")
    fresh.fill("#last", "34")
    fresh.locator("#last").press("Tab")
    until(lambda: ticks(fresh, "rolling") == [30, 31, 32, 33, 34])
    assert len(lines(fresh, "rolling") - {"var(--muted)"}) == 4


def test_a_scroll_by_touch_that_is_taken_over_zooms_nothing(fresh: Page) -> None:
    place = fresh.locator(".plot[data-figure='rolling']")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    at = {"isPrimary": True, "button": 0, "buttons": 1, "clientY": box["y"] + 100, "pointerId": 1, "bubbles": True}
    place.dispatch_event("pointerdown", {**at, "clientX": box["x"] + 200})
    place.dispatch_event("pointercancel", at)
    fresh.mouse.move(box["x"] + 400, box["y"] + 100)
    fresh.mouse.down(button="right")
    fresh.mouse.move(box["x"] + 500, box["y"] + 100, steps=3)
    fresh.mouse.up(button="right")
    assert fresh.locator(".band").count() == 0
    assert int(fresh.input_value("#first")) == 1


def test_the_last_prediction_stays_on_and_reset_takes_all_back(fresh: Page) -> None:
    boxes = fresh.locator("input[name=shown]")
    for box in boxes.all():
        box.click()
    assert fresh.locator("input[name=shown]:checked").count() == 1
    fresh.select_option("select[data-state=focus]", "ridge")
    fresh.click("#reset")
    assert fresh.locator("input[name=shown]:checked").count() == boxes.count()
    assert fresh.input_value("select[data-state=focus]") == "neutralized"


def test_a_prediction_is_never_compared_with_itself(fresh: Page) -> None:
    names = ("select[data-state=focus]", "select[data-state=against]")
    before = [fresh.input_value(name) for name in names]
    fresh.select_option(names[0], before[1])
    assert [fresh.input_value(name) for name in names] == before[::-1]
    assert f"{before[1]} has a higher CORR than {before[0]}" in fresh.inner_text("[data-pair=cv]")


def test_any_two_predictions_are_compared_by_the_score_that_is_switched_on(fresh: Page, finished: Workspace) -> None:
    fresh.select_option("select[data-state=focus]", "ridge")
    fresh.select_option("select[data-state=against]", "lightgbm")
    table = pd.read_parquet(finished.directory / "data/scores/cv.parquet")
    for score, name in (("corr", "CORR"), ("fnc", "FNC")):
        fresh.check(f"input[name=score][value={score}]")
        text = fresh.inner_text("[data-pair=cv]")
        one, other = (table[table["prediction"] == name].set_index("era")[score] for name in ("ridge", "lightgbm"))
        difference = (one - other).dropna()
        assert text.startswith(f"cv: ridge has a higher {name} than lightgbm in {int((difference > 0).sum())} of {len(difference)} eras")
        assert f"{difference.mean():+.4f}" in text


def test_the_switch_of_scores_moves_charts_titles_and_tables(fresh: Page) -> None:
    before = fresh.locator(".plot[data-figure='by-era'] .layer_3_marks path").first.get_attribute("d")
    fresh.check("input[name=score][value=fnc]")
    until(lambda: fresh.locator(".plot[data-figure='by-era'] .layer_3_marks path").first.get_attribute("d") != before)
    assert "FNC" in fresh.locator("figure", has=fresh.locator(".plot[data-figure='forest']")).locator("h3").inner_text()
    shown = fresh.locator("[data-score]:visible").evaluate_all("all => all.map(one => one.dataset.score)")
    assert set(shown) == {"fnc"}


def test_one_picker_chooses_the_prediction_and_its_model(fresh: Page) -> None:
    fresh.select_option("select[data-state=focus]", "ridge")
    fills = fresh.locator(".plot[data-figure='by-era'] .layer_3_marks path")
    until(lambda: set(fills.evaluate_all("all => all.map(one => one.getAttribute('fill'))")) == {"var(--p-ridge)"})
    figure = fresh.locator("figure", has=fresh.locator(".plot[data-figure='by-era']"))
    assert figure.locator("h3").inner_text().startswith("ridge, CORR: above 0 in ")
    assert str(figure.locator(".plot").get_attribute("aria-label")).startswith("ridge, CORR: above 0 in ")
    offered = fresh.locator("select[data-state=measure] option:not([disabled])").all_inner_texts()
    assert offered == ["SHAP", "permutation", "own importance"]


def test_the_page_prints_on_six_sheets_of_a4(page: Page) -> None:
    sheets = re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))
    assert 0 < len(sheets) <= 6


def test_the_theme_is_switched_by_hand_and_paper_is_light(fresh: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    before = fresh.evaluate(ground)
    fresh.click("#theme")
    assert fresh.evaluate(ground) != before
    fresh.emulate_media(media="print")
    assert fresh.evaluate(ground) == "rgb(255, 255, 255)"
    assert not fresh.locator(".toolbar").is_visible()
    fresh.emulate_media(media="screen")
    fresh.click("#theme")


RULES = ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]
SEEN = ["color-contrast", "link-in-text-block"]
"""The rules whose findings depend on the theme."""


def test_no_serious_finding_of_axe(page: Page) -> None:
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    for scheme, rules in zip(THEMES, (RULES, SEEN), strict=True):
        switch(page, scheme)
        # the colours of texts in pictures are beyond it
        left_out = {"exclude": [[".plot svg"]]} if rules == SEEN else None
        found = Axe().run(page, left_out, {"runOnly": rules, "resultTypes": ["violations"]})
        assert found.response["passes"]
        serious = [item for item in found.response["violations"] if item["impact"] in ("serious", "critical")]
        assert not serious, json.dumps([[item["id"], item["nodes"][0]["html"][:200]] for item in serious], indent=1)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = false)")


def with_tables(found: Content, **tables: pd.DataFrame) -> Content:
    """Return the same run with other tables in the place of some."""
    return dataclasses.replace(found, tables={**found.tables, **tables})


def run() -> Run:
    return Run(None, "now", {}, {}, pd.DataFrame(columns=["path", "md5"]), pd.DataFrame())


def scores(series: dict[str, np.ndarray], first: int = 1) -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame({"era": np.arange(first, first + len(values)), "prediction": name, "corr": values})
            for name, values in series.items()
        ]
    )


def pairs(found: Content) -> pd.DataFrame:
    return content.pairs(found, content.era_scores(found))


def made(cv: dict[str, np.ndarray], validation: dict[str, np.ndarray] | None = None) -> Content:
    """Make a run of one model, `ridge`, with the scores given."""
    tables = {CV: scores(cv), VALIDATION: scores(validation or cv, 200)}
    metrics: dict[str, dict[str, Any]] = {}
    for split, table in tables.items():
        metrics[split] = {}
        for name, group in table.groupby("prediction", sort=False):
            found = significance.mean(group["corr"].to_numpy(), overlap=4)
            bounds = {} if found.reason else {"low": found.low, "high": found.high}
            values = group["corr"].dropna()
            metrics[split][str(name)] = {"corr": {"mean": values.mean(), "sharpe": values.mean() / values.std(ddof=0), **bounds}}
    compared = Comparison("the committed run", "the workspace", pd.DataFrame(), [], "it ran on other data")
    looks = Looks(0, np.nan)
    return Content("neutralized", ["ridge"], "target", 20, metrics, tables, {}, pd.DataFrame(), 0, [], compared, looks, run(), [])


def noise(seed: int, mean: float, eras: int = 120) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.02, eras)


def test_pairs_are_paired_differences_with_their_interval() -> None:
    one, other = noise(1, 0.03), noise(2, 0.01)
    other[5] = np.nan
    table = pairs(made({"ridge": one, "neutralized": other})).set_index(["score", "split", "a", "b"]).loc["corr"]
    row = table.loc[(CV, "ridge", "neutralized")]
    difference = np.delete(one - other, 5)
    expected = significance.mean(difference, overlap=4)
    assert (row["eras"], row["wins"]) == (119, int((difference > 0).sum()))
    assert [row["mean"], row["low"], row["high"]] == pytest.approx([difference.mean(), expected.low, expected.high], abs=1e-11)
    back = table.loc[(CV, "neutralized", "ridge")]
    assert (row["verdict"], back["verdict"]) == ("better", "worse")
    assert back["mean"] == -row["mean"]


def test_too_few_eras_have_no_interval_and_no_verdict() -> None:
    table = pairs(made({"ridge": noise(1, 0.1, 10), "neutralized": noise(2, 0.0, 10)}))
    assert table["low"].isna().all()
    assert set(table["verdict"]) == {"can't tell"}


def test_drawdowns_have_a_begin_a_bottom_and_a_recovery() -> None:
    series = pd.Series([1.0, -0.5, -0.5, 1.5, -0.2, 0.1], index=[10, 11, 12, 13, 14, 15])
    found = content.drawdowns(series, 5)
    assert found[["begin", "bottom"]].to_numpy().tolist() == [[10, 12], [13, 14]]
    assert found["depth"].tolist() == pytest.approx([1.0, 0.2])
    assert found["recovery"].fillna(-1).tolist() == [13, -1]
    assert float(significance.max_drawdown(series.to_numpy())) == pytest.approx(found["depth"].max())
    assert content.drawdowns(series.iloc[:1], 5).empty


def test_similarity_is_the_mean_correlation_of_ranks_within_eras() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"era": np.repeat([1, 2, 3], 50), "id": [f"n{k}" for k in range(150)]})
    values = {name: rng.normal(size=150) + rows["era"] * 100 for name in ("a", "b")}
    found = content.similarity({name: rows.assign(prediction=value).sample(frac=1, random_state=1) for name, value in values.items()})
    frame = rows.assign(**values)
    expected = np.mean([part[["a", "b"]].corr(method="spearman").iloc[0, 1] for _, part in frame.groupby("era")])
    assert found.loc["a", "b"] == pytest.approx(expected, abs=1e-12)
    assert found.loc["a", "a"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("ridge", "neutralized", "expected"),
    [
        (
            0.01,
            0.05,
            r"Send neutralized: better than ridge, the next best, out of fold by \+0\.0\d+ CORR \(95 % interval .*\); both find a signal\.",
        ),
        (
            0.03,
            0.03,
            r"Send neutralized: (ahead of ridge, the next best,|behind ridge) out of fold by .* which may be luck .*; both find a signal\.",
        ),
        (
            0.05,
            0.01,
            r"Send ridge, not neutralized, which the settings name: better out of fold by \+0\.0\d+ CORR .*; both find a signal\.",
        ),
        (0.0, 0.05, r"Send neutralized: better than ridge, .*; only neutralized finds a signal\."),
        (0.0, 0.0, r"Send nothing yet: the CORR of neutralized out of fold, .*, may be luck\."),
        (-0.1, -0.1, r"Send nothing yet: the CORR of neutralized out of fold, .*, points the wrong way\."),
    ],
)
def test_the_decision(ridge: float, neutralized: float, expected: str) -> None:
    found = made({"ridge": noise(1, ridge), "neutralized": noise(2, neutralized)})
    assert re.fullmatch(expected, findings.decision(found, content.decisive(found)))
    stake = [text for text in findings.advice(found, content.decisive(found)) if text.startswith("Don't stake")]
    assert bool(stake) == (neutralized <= 0)


def test_the_decision_of_one_prediction_and_of_few_eras() -> None:
    alone = made({"neutralized": noise(1, 0.03)})
    assert findings.decision(alone, content.decisive(alone)).startswith("Send neutralized: it finds a signal, a mean CORR of 0.0")
    few = made({"ridge": noise(1, 0.1, 10), "neutralized": noise(2, 0.1, 10)})
    assert "too few eras for an interval" in findings.decision(few, content.decisive(few))


def test_independent_eras_are_the_spans_of_a_target_and_no_probability_is_1() -> None:
    back_and_forth = 0.02 + 0.02 * (-1.0) ** np.arange(120) + noise(1, 0.0) / 20
    told = findings.effective(made({"neutralized": back_and_forth}), CV, "neutralized")
    assert told == "120 eras, 30 independent"
    assert [findings.chance(value) for value in (1.0, 0.995, 0.5, 0.001)] == ["> 99%", "> 99%", "50%", "< 1%"]


def test_validation_below_all_that_cv_promises_is_told() -> None:
    found = made({"ridge": noise(1, 0.1), "neutralized": noise(2, 0.1)}, {"ridge": noise(3, 0.0), "neutralized": noise(4, 0.0)})
    assert any("lies below the interval of cross-validation" in text for text in findings.advice(found, content.decisive(found)))


def test_a_prediction_that_is_better_than_the_chosen_one_is_named() -> None:
    found = made({"ridge": noise(1, 0.05), "neutralized": noise(2, 0.01)})
    assert any(
        text.startswith("ridge is the best of 1 predictions that were compared with neutralized out of fold")
        for text in findings.advice(found, content.decisive(found))
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "The scores of neutralized are the same as in the committed run."),
        ({"left_out": 3}, "no difference can be told on cv (+0.0000, 3 eras left out that one of them lacks)"),
        (
            {"difference": 0.01, "low": 0.002, "high": 0.02, "verdict": "better"},
            "neutralized is better on cv (+0.0100, 95 % interval +0.0020",
        ),
        ({"difference": np.nan}, "no era of cv has a score of both"),
    ],
)
def test_the_verdict_says_what_the_comparison_found(change: dict[str, Any], expected: str) -> None:
    row = {"prediction": "neutralized", "difference": 0.0, "left_out": 0, "low": np.nan, "high": np.nan}
    row |= {"verdict": "can't tell", "verdict_holm": "can't tell"}
    table = pd.DataFrame([{**row, "split": CV, **change}, {**row, "split": VALIDATION}])
    found = made({"ridge": noise(1, 0.1), "neutralized": noise(2, 0.1)})
    compared = Comparison("the committed run", "the workspace", table, [])
    assert expected in findings.verdict(Content(**{**vars(found), "compared": compared}))


def test_why_there_is_no_comparison_is_said() -> None:
    assert findings.verdict(made({"ridge": noise(1, 0.1), "neutralized": noise(2, 0.1)})).endswith("it ran on other data.")


def test_names_and_texts_are_escaped() -> None:
    table = markup.table("<b>", ["<i>", "x"], [['<script>"', markup.number(1.0)]])
    assert "<b>" not in table
    assert "<script>" not in table
    assert "</script" not in markup.script_json({"a": "</script><script>"})
    assert json.loads(markup.script_json([float("nan"), np.inf, 1.5])) == [None, None, 1.5]


def test_figures_that_are_missing_say_so_to_the_script() -> None:
    for cell in (markup.number(None), markup.number(float("nan")), markup.Cell(markup.DASH)):
        assert " data-missing>–</td>" in markup.table("t", ["a", "b"], [["x", cell]])
    assert ' data-order="0.5">0.5000</td>' in markup.table("t", ["a", "b"], [["x", markup.number(0.5)]])


def test_every_text_is_readable_and_every_line_stands_out() -> None:
    for shades in palette.THEMES.values():
        for name in ("ink", "muted", "accent", "good", "bad", "warn"):
            for ground in ("ground", "raised", "shade"):
                assert palette.contrast(shades[name], shades[ground]) >= 4.5, name
    for theme, shades in palette.THEMES.items():
        for shade in style.colours([f"m{k}" for k in range(9)]).values():
            for ground in ("ground", "shade"):
                assert palette.contrast(palette.readable(shade, theme), shades[ground]) >= palette.CONTRAST


def test_contrast_is_that_of_wcag() -> None:
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert palette.readable("#0072B2", "light") == "#0072B2"
    assert palette.readable("#000000", "dark") == palette.THEMES["dark"]["ink"]


def test_dots_of_a_swarm_stay_within_their_line() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"model": "m", "rank": np.repeat([1, 2], 100), "feature": "f", "contribution": rng.normal(size=200)})
    found = drivers.swarm(table)
    assert (found["place"] - found["rank"]).abs().max() < 0.5
    assert not found.duplicated(["place", "contribution"]).any()


def test_measures_are_the_leading_features_of_each_model() -> None:
    found = made({"ridge": noise(1, 0.1), "neutralized": noise(2, 0.1)})
    shap = pd.DataFrame({"feature": [f"f{k}" for k in range(30)], "group": "g", "share": np.linspace(0.1, 0.0, 30)})
    lost = pd.DataFrame({"model": "ridge", "feature": ["f1", "f2"], "drop": [0.1, 0.2], "low": [0.0, np.nan], "high": [0.2, np.nan]})
    own = pd.DataFrame({"model": ["ridge"], "feature": ["f3"], "importance": [0.5]})
    tables = {"explained/ridge/shap": shap, "permutation": lost, "importance": own}
    table = drivers.measures(Content(**{**vars(found), "tables": tables}))
    assert table.groupby("measure")["feature"].apply(list)["permutation"] == ["f2", "f1"]
    assert len(table[table["measure"] == "SHAP"]) == explained_tables.LEADING
    assert set(table["measure"]) == {"SHAP", "permutation", "own importance"}
    assert table.loc[table["feature"] == "f1", "group"].tolist() == ["g", "g"]
    assert table.loc[(table["measure"] == "permutation") & (table["feature"] == "f2"), "low"].tolist() == [0.2]


def test_an_unknown_argument_is_refused(finished: Workspace) -> None:
    assert finished.ended("report --nowhere") == 2


def test_params_that_are_wrong_are_told_before_anything_is_written(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.change(lambda settings: settings["plot"].update(model_a="nobody"))
    assert "plot.model_a" in workspace.failure("report", capsys)
    assert not (workspace.directory / "report.html").exists()
