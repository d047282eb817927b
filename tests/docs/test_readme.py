"""The README and the page of the default run agree with the committed run and the code."""

import re
import subprocess

import pytest
from closure import ROOT

from erawise.base import files
from erawise.history import overview
from erawise.running import terminal
from manual import sizes

README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = (ROOT / "docs/default-run.md").read_text(encoding="utf-8")
ENTRANCES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def test_the_metrics_tables_are_those_of_the_committed_run() -> None:
    for split in ("cv", "validation"):
        assert terminal.markdown(overview.sheet(files.read_json(ROOT / f"metrics/{split}.json"))) in RUN


@pytest.mark.parametrize("name", ENTRANCES)
def test_every_file_that_is_linked_is_there(name: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8")) if "://" not in link]
    assert links or name == "CHANGELOG.md"
    assert all((ROOT / link).exists() for link in links)


@pytest.mark.parametrize("name", [*ENTRANCES, "docs/install.md", "docs/first-hour.md"])
def test_the_targets_and_models_that_it_names_are_accepted(name: str) -> None:
    listed = re.findall(r"(?:^|`)make ([a-z]+)\b", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert listed or name == "CHANGELOG.md"
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in listed)


def test_make_help_lists_every_target() -> None:
    said = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[0].split()
    assert [line.split()[1] for line in said.splitlines()] == phony


def test_the_tree_has_every_room() -> None:
    tree = README.partition("## The tree\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^  ([a-z_]+(?:/|\.py)) ", tree, re.MULTILINE))
    rooms = {path.relative_to(ROOT / "erawise").parts[0] + "/" for path in (ROOT / "erawise").glob("*/__init__.py")}
    modules = {path.name for path in (ROOT / "erawise").glob("*.py") if not path.name.startswith("__")}
    assert listed == rooms | modules


def test_it_is_read_within_minutes() -> None:
    assert len(README.split()) < 1000


def test_what_a_real_run_needs_follows_from_what_was_measured() -> None:
    page = (ROOT / sizes.PAGE).read_text(encoding="utf-8")
    assert sizes.table(ROOT) in page, "run make docs and commit docs/real-run.md"
    tree = f"{sizes.tree_seconds(ROOT):.1e}"
    assert f"· {tree} s" in page
    needs = re.search(r"The small set needs (\d+) GiB of disk and minutes, all features (\d+) GiB", README)
    assert needs is not None
    disk = re.findall(r"\| (\d+) GiB \| [\d.]+ GiB \|", sizes.table(ROOT))
    assert [needs[1], needs[2]] == [disk[0], disk[-1]]
