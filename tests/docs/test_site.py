"""The site is built without a warning, from every page, and loads nothing from another host; the container's files are sound."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from closure import ROOT
from conftest import Once
from mkdocs.commands.build import build
from mkdocs.config import load_config
from ruamel.yaml import YAML

LOADED = re.compile(
    r"<(?:script|img|iframe|source|link(?![^>]*rel=[\"']?(?:canonical|prev|next)))\b[^>]*?\b(?:src|href)=[\"']?([^\"'\s>]+)"
)
"""Addresses that a page loads by itself, in place of links that a reader follows."""


@pytest.fixture(scope="session")
def site(once: Once) -> Path:
    """Build the site once; a warning ends the build."""
    return once("site", lambda directory: build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(directory))))


def navigation(entries: list[Any]) -> list[str]:
    """Return the pages below entries of `nav`, in order."""
    values = [value for entry in entries for value in entry.values()]
    return [page for value in values for page in (navigation(value) if isinstance(value, list) else [value])]


def test_the_navigation_has_four_parts_and_every_page_once(site: Path) -> None:
    parts = YAML(typ="safe").load((ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2])
    assert [name for part in parts for name in part] == ["Start", "How-to", "Reference", "Explanation"]
    pages = navigation(parts)
    assert sorted(pages) == sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    assert all((site / page).with_suffix(".html").exists() for page in pages)


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        loaded = LOADED.findall(page.read_text(encoding="utf-8"))
        assert loaded
        assert not [address for address in loaded if re.match(r"(?:\w+:)?//", address)], page
        missing = [
            path for path in loaded if page.name != "404.html" and not (page.parent / path.partition("#")[0].partition("?")[0]).exists()
        ]
        assert not missing, page
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"url\([\"']?(?:https?:)?//|@import", styles)
    pictures = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.svg")]
    assert not [picture for picture in pictures if re.search(r"url\([\"']?https?:|<image|<script|@import", picture)]


def test_formulas_are_drawn_without_a_script_and_what_is_exported_has_its_docstring(site: Path) -> None:
    scores = (site / "metrics.html").read_text(encoding="utf-8")
    assert scores.count("<math") > 15
    assert "\\operatorname" not in re.sub(r"<annotation.*?</annotation>", "", scores)
    assert not re.search(r"\$\w", re.sub(r"<(?:code|pre|script)\b.*?</(?:code|pre|script)>", "", scores, flags=re.DOTALL))
    lab = (site / "api/lab.html").read_text(encoding="utf-8")
    assert all(f'id="erawise.lab.lab.{name}"' in lab for name in ("open_run", "Run", "Run.score", "Run.compare", "Run.neutralize"))


def test_search_finds_pages_and_functions(site: Path) -> None:
    found = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))["docs"]
    assert {"glossary.html", "api/scores.html", "parameters.html"} <= {entry["location"].partition("#")[0] for entry in found}
    assert any("numerai_corr" in entry["title"] for entry in found)


def test_the_container_is_sound() -> None:
    content = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert (ROOT / ".devcontainer" / content["build"]["dockerfile"]).exists()
    target = content["postCreateCommand"].removeprefix("make ")
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint has no package for this kind of machine")
    done = subprocess.run([linter, ROOT / ".devcontainer/Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_templates_of_issues_are_forms() -> None:
    for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")):
        form = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(form)
        ids = [field["id"] for field in form["body"]]
        assert len(ids) == len(set(ids)) > 2
        assert all(field["type"] in ("textarea", "checkboxes") and field["attributes"]["label"] for field in form["body"])
