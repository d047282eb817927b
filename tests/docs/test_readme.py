"""The README agrees with the committed run."""

import re

from closure import ROOT

from erawise.base import files
from erawise.history import overview

README = (ROOT / "README.md").read_text()


def test_the_metrics_tables_are_those_of_the_committed_run() -> None:
    for split in ("cv", "validation"):
        assert overview.markdown(files.read_json(ROOT / f"metrics/{split}.json")) in README


def test_every_file_that_is_linked_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert all((ROOT / link).exists() for link in links)


def test_the_targets_and_models_that_it_names_are_accepted() -> None:
    listed = re.findall(r"^make (\w+)", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert listed
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in listed)


def test_the_tree_has_every_room() -> None:
    tree = README.partition("## The tree\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^  ([a-z_]+(?:/|\.py)) ", tree, re.MULTILINE))
    rooms = {path.relative_to(ROOT / "erawise").parts[0] + "/" for path in (ROOT / "erawise").glob("*/__init__.py")}
    modules = {path.name for path in (ROOT / "erawise").glob("*.py") if not path.name.startswith("__")}
    assert listed == rooms | modules
