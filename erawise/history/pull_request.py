"""The comment on a pull request, from what its checks have left.

A check that hasn't run has left nothing, and the comment says so. A file that can't be read costs its own line, not the comment.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise.base import files
from erawise.history import ledger, review, revisions
from erawise.history.revisions import Revision
from erawise.running import paths
from erawise.running.errors import InputError

NOT_RUN = "– not run"
SIDES = ("base", "head")
NO_RESULTS = {
    "": "whether dvc.lock is current was not checked",
    "stale": "dvc.lock is not current, so that the results of this commit aren't there yet",
    "could not be checked": "whether dvc.lock is current could not be checked (the log of the step gate says why)",
}
"""Why there are no whole runs to compare, by what the step `gate` has left."""


def comment(base: str, head: str, found: Path) -> None:
    """Write `body.md`, the comment, and `report.md`, the same at any length.

    Parameters
    ----------
    base, head : the commits that are compared.
    found : the directory in which `.ci/pull-request` keeps what its checks have found.
    """
    gate, report = _line(found / "gate"), found / "tests.xml"
    checks = {
        "`dvc.lock` is current": _guarded(lambda: [_gate(found, gate)])[-1],
        "lint": _ended(found / "lint"),
        "small run": _ended(found / "small-head"),
        "tests": _guarded(lambda: [review.tests(report, _line(found / "tests"))])[-1] if report.is_file() else _ended(found / "tests"),
    }
    sections = {"Settings": _guarded(lambda: review.settings(ledger.changes(*(ledger.flat(_params(found, side)) for side in SIDES))))}
    if gate == "current" and _line(found / "fetch") == "fetched":
        sections["Comparison"] = [*_guarded(lambda: _compared((base, head), found, "full")), *_guarded(lambda: _means(found))]
    else:
        why = NO_RESULTS.get(gate) or _line(found / "fetch") or "the results weren't fetched"
        small = _guarded(lambda: _compared((base, head), found, "small"))
        sections["Comparison of small runs"] = [f"The whole runs can't be compared: {why}.", "", *small]
    for name, limit in (("body.md", review.LIMIT), ("report.md", None)):
        with files.replacing(found / name) as path:
            path.write_text(review.body(base, head, checks, sections, limit=limit), encoding="utf-8")
    print(f"written: {found / 'body.md'}")


def _guarded(make: Callable[[], list[str]]) -> list[str]:
    """Return lines of the report, or a line that says why they can't be made: the rest of it is wanted all the same."""
    try:
        return make()
    except Exception as error:  # the files are of code under review, which can leave anything there
        why = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return ["", f"❌ can't be read: {review.code(why)}"]


def _gate(found: Path, result: str) -> str:
    if result != "stale":
        return {"": NOT_RUN, "current": "✅ yes"}.get(result, f"❌ {result}")
    changed = review.changed_stages(json.loads((found / "status.json").read_text(encoding="utf-8")))
    which = f"{', '.join(map(review.code, changed))} would run, with what follows from them" if changed else "the log says which stage"
    return f"❌ no: {which}; `dvc repro`, then commit `dvc.lock`, `metrics/` and `plots/`"


def _means(found: Path) -> list[str]:
    path = found / "metrics.json"
    if not path.is_file():
        return ["", "`dvc metrics diff` failed: the means of scores can't be read; the log of the step `report` says why."]
    return review.scores_moved(json.loads(path.read_text(encoding="utf-8")))


def _ended(path: Path) -> str:
    result = _line(path)
    return f"{'✅' if result.startswith('passed') else '❌'} {result}" if result else NOT_RUN


def _compared(commits: tuple[str, str], found: Path, kind: str) -> list[str]:
    """Return the comparison of both sides' runs, or why there is none."""
    ended = {side: _line(found / f"small-{side}") for side in SIDES}
    if kind == "small" and (missing := [side for side in SIDES if not ended[side].startswith("passed")]):
        return [f"Nor can small runs: the run of the {' and the '.join(missing)} {ended[missing[0]] or 'was not made'}; its log says why."]
    try:
        before, after = (_run(found / kind / side, commit) for side, commit in zip(SIDES, commits, strict=True))
    except InputError as error:
        return [f"There is no comparison: {review.code(error)}."]
    return review.full(before, after) if kind == "full" else review.small(before, after)


def _run(checkout: Path, commit: str) -> Revision:
    found = revisions.read(checkout, None, raw=paths.RAW, scores=paths.SCORES)
    return dataclasses.replace(found, name=review.code(commit[: review.SHORT]))


def _params(found: Path, side: str) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load((found / f"params-{side}.yaml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"the {side} has no params.yaml; commit one") from None
    except (YAMLError, UnicodeDecodeError):
        raise InputError(f"params.yaml of the {side} is no YAML; mend it in that commit") from None
    return content if isinstance(content, dict) else {}


def _line(path: Path) -> str:
    """Return the line that a step has left; nothing if it has not run."""
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
