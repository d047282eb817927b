"""The facts about a pull request for its reviewer, as the Markdown of one comment.

Names and values come from the repository that is looked at: `code` keeps them from being read as Markdown, HTML, mentions or references.
"""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from erawise.base.schema import PREDICTION
from erawise.evaluation import evaluation
from erawise.history import comparison, revisions
from erawise.history.revisions import Revision
from erawise.running.errors import InputError

MARKER = "<!-- erawise: pull request -->"
"""The first line of the comment, by which the next run finds it."""
LIMIT = 60_000
"""Characters of a body; GitHub takes 65,536 in a comment."""
SHORT = 8
"""Characters of a commit's name."""
REPLACED = {ord("`"): "′", ord("|"): "¦"}
"""What would end a code span, or a cell of a table."""
ROWS = 60
"""Settings, or scores, that are listed at most."""
WIDTH = 120
"""Characters of a name or value that are shown at most."""
PASSED, FAILED = "✅", "❌"
OUTCOMES = ("tests", "failures", "errors", "skipped")
"""What JUnit's XML counts."""
ABSENT_DATA = {"deleted", "not in cache"}
"""What DVC says of files that aren't here, which is no change."""
SMALL = "Both sides at the size of `tests/small.py`: it shows that the pipeline runs and what moves, **not** whether a model is better."


def code(text: object) -> str:
    """Return text of the repository in a code span, in which only two characters mean anything; cut after `WIDTH`."""
    whole = " ".join(str(text).split()).translate(REPLACED) or '""'
    return f"`{whole if len(whole) <= WIDTH else whole[: WIDTH - 1] + '…'}`"


def changed_stages(status: dict[str, Any]) -> list[str]:
    """Return the stages with a change of their own, in DVC's order; stages that only follow from them are left out.

    Parameters
    ----------
    status : the output of `dvc status --json`; files that aren't here are no change.
    """
    return [name for name, reasons in status.items() if any(_changes(reason) for reason in reasons)]


def totals(path: Path) -> str:
    """Return in words how the tests ended.

    Parameters
    ----------
    path : of the JUnit XML that pytest has written.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
        tests, failed, broken, skipped = (sum(int(suite.attrib[key]) for suite in suites) for key in OUTCOMES)
        seconds = sum(float(suite.attrib["time"]) for suite in suites)
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not the JUnit XML of pytest ({error}); run the tests with --junitxml") from None
    counts = {"passed": tests - failed - broken - skipped, "failed": failed, "broken": broken, "skipped": skipped}
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == "passed")
    return f"{FAILED if failed or broken else PASSED} {words} in {seconds / 60:.0f} min"


def full(before: Revision, after: Revision) -> list[str]:
    """Compare two whole runs as `erawise compare` does: the verdicts on predictions whose CORR moves, and their table to unfold."""
    if reason := revisions.incomparable(before, after, code):
        return [f"Not compared: {reason}."]
    table = _named(comparison.compare(before.scores, after.scores, after.days))
    headline = comparison.picture(table, before.name, after.name).headline
    moved = comparison.moved(table)
    lines = [f"**{headline}.** CORR moves in {len(moved)} of {len(table)} predictions. Choose by cv; validation is for a last look."]
    lines += [comparison.luck(table), f"{evaluation.standing(code(after.target), after.days, after.equal, after.early)}.", ""]
    lines += [*(f"- {line}" for line in comparison.sentences(moved)), *_alone(before, after)]
    return [*lines, *unfolding("The table", comparison.markdown(moved).splitlines())] if len(moved) else lines


def small(before: Revision, after: Revision) -> list[str]:
    """Compare two small runs, without a verdict: they say nothing of a model's worth."""
    if reason := revisions.incomparable(before, after, code):
        return [SMALL, "", f"Not compared: {reason}."]
    table = _named(comparison.compare(before.scores, after.scores, after.days))
    moved = comparison.moved(table)
    lines = [SMALL, "", f"CORR moves in {len(moved)} of {len(table)} predictions."]
    if len(moved):
        lines += ["", "| split | prediction | before | after | difference |", "|---|---|---:|---:|---:|"]
        lines += [
            f"| {row['split']} | {row[PREDICTION]} | {comparison.number(row['mean_before'])} | {comparison.number(row['mean_after'])} "
            f"| {comparison.number(row['difference'], '+.4f')} |"
            for row in moved.to_dict("records")
        ]
    return [*lines, *_alone(before, after)]


def settings(changes: dict[str, list[Any]]) -> list[str]:
    """Return the settings that differ, a line each."""
    if not changes:
        return ["No setting differs."]
    lines = [f"- {code(path)}: {_value(before)} → {_value(after)}" for path, (before, after) in changes.items()]
    return ["Settings that differ:", "", *_first(lines, "- and {} more")]


def scores_moved(difference: dict[str, Any]) -> list[str]:
    """Return the means of scores that `dvc metrics diff --json` has found, as a table to unfold; nothing if none differs."""
    rows = [
        f"| {code(path)} | {code(name)} | {_value(moved['old'])} | {_value(moved['new'])} |"
        for path, names in sorted(difference.items())
        for name, moved in sorted(names.items())
        if name.endswith(".mean")
    ]
    head = ["| file | score | before | after |", "|---|---|---:|---:|"]
    return unfolding(f"Means of scores that moved ({len(rows)})", [*head, *_first(rows, "| and {} more | | | |")]) if rows else []


def unfolding(title: str, lines: list[str]) -> list[str]:
    """Return lines that are hidden until a reader opens them."""
    return ["", f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]


def tests(path: Path, ended: str) -> str:
    """Return in words how the tests ended: they have passed if both the report and the command say so.

    Parameters
    ----------
    path : of the JUnit XML.
    ended : the end of the command that ran them, in words; "passed" stands first if it succeeded.

    Raises
    ------
    InputError
        If the file is no JUnit XML.
    """
    said = totals(path)
    if ended.startswith("passed") or not said.startswith(PASSED):
        return said
    return f"{FAILED} {ended or 'the command did not end'}, though the report says{said.removeprefix(PASSED)}"


def body(base: str, head: str, checks: dict[str, str], sections: dict[str, list[str]], *, limit: int | None = LIMIT) -> str:
    """Return the comment.

    Parameters
    ----------
    base, head : commits.
    checks : the result of each check.
    sections : lines of Markdown by heading; the last ones are left out if the whole would be longer than `limit`.
    limit : in characters; None for the whole.
    """
    lines = [MARKER, f"### erawise: {code(base[:SHORT])} → {code(head[:SHORT])}", "", "| check | result |", "|---|---|"]
    lines += [f"| {name} | {result} |" for name, result in checks.items()]
    text = "\n".join(lines) + "\n"
    for heading, content in sections.items():
        more = "\n".join(["", f"#### {heading}", "", *content]) + "\n"
        if limit is not None and len(text) + len(more) > limit:
            return text + "\nThe rest is too long for a comment; the summary of the run has it.\n"
        text += more
    return text


def _changes(reason: Any) -> bool:
    """Return whether a reason of DVC's to run a stage is more than a file that isn't here."""
    if isinstance(reason, dict):
        return any(_changes(inner) for inner in reason.values())
    return reason not in ABSENT_DATA


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(prediction=table[PREDICTION].map(code)) if len(table) else table


def _alone(before: Revision, after: Revision) -> list[str]:
    missing = zip(("base", "head"), comparison.only_in_one(before.scores, after.scores), strict=True)
    return [line for name, found in missing if found for line in ("", f"Only in the {name}: {', '.join(map(code, found))}.")]


def _first(lines: list[str], rest: str) -> list[str]:
    return lines if len(lines) <= ROWS else [*lines[:ROWS], rest.format(len(lines) - ROWS)]


def _value(value: object) -> str:
    return "absent" if value is None else code(value)
