"""Write the comment on a pull request from what its checks have left: `python -m stages.review BASE HEAD DIRECTORY`; a command, no stage.

`.ci/pull-request` runs the checks, calls this and posts the comment (docs/ci.md). A check that hasn't run has left nothing in the
directory, and the comment says so.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise import errors, files, ledger, review, revisions
from erawise.revisions import Revision
from stages import paths

NOT_RUN = "– not run"
SIDES = ("base", "head")


@errors.reported
def main() -> None:
    given = _arguments()
    found = given.directory
    current = _line(found / "gate") == "current"
    checks = {
        "`dvc.lock` is current": _gate(found),
        "lint": _ended(found / "lint"),
        "small run": _ended(found / "small-head"),
        "tests": review.totals(found / "tests.xml") if (found / "tests.xml").is_file() else _ended(found / "tests"),
    }
    sections = {"Settings": _settings(found)}
    if current and _line(found / "fetch") == "fetched":
        moved = json.loads((found / "metrics.json").read_text(encoding="utf-8"))
        sections["Comparison"] = [*_compared(given, "full"), *review.scores_moved(moved)]
    else:
        reason = _line(found / "fetch") or "the results weren't fetched"
        why = reason if current else "dvc.lock is not current, so that the results of this commit aren't there yet"
        sections["Comparison of small runs"] = [f"The whole runs can't be compared: {why}.", "", *_compared(given, "small")]
    with files.replacing(found / "body.md") as path:
        path.write_text(review.body(given.base, given.head, checks, sections), encoding="utf-8")
    print(f"written: {found / 'body.md'}")


def _gate(found: Path) -> str:
    result = _line(found / "gate")
    if result != "stale":
        return {"": NOT_RUN, "current": "✅ yes"}.get(result, "❌ " + result)
    changed = review.changed_stages(json.loads((found / "status.json").read_text(encoding="utf-8")))
    which = f"{', '.join(map(review.code, changed))} would run, with what follows from them" if changed else "the log says which stage"
    return f"❌ no: {which}; `dvc repro`, then commit `dvc.lock`, `metrics/` and `plots/`"


def _ended(path: Path) -> str:
    result = _line(path)
    return f"{'✅' if result.startswith('passed') else '❌'} {result}" if result else NOT_RUN


def _settings(found: Path) -> list[str]:
    before, after = (ledger.flat(_params(found / f"params-{side}.yaml")) for side in SIDES)
    return review.settings(ledger.changes(before, after))


def _compared(given: argparse.Namespace, kind: str) -> list[str]:
    """The comparison of both sides' runs, or why there is none."""
    ended = {side: _line(given.directory / f"small-{side}") for side in SIDES}
    if kind == "small" and (missing := [side for side in SIDES if not ended[side].startswith("passed")]):
        return [f"Nor can small runs: that of the {' and the '.join(missing)} {ended[missing[0]] or 'was not made'}; its log says why."]
    try:
        before, after = (_run(given.directory / kind / side, commit) for side, commit in zip(SIDES, (given.base, given.head), strict=True))
    except errors.InputError as error:
        return [f"There is no comparison: {review.code(error)}."]
    return review.full(before, after) if kind == "full" else review.small(before, after)


def _run(checkout: Path, commit: str) -> Revision:
    found = revisions.read(checkout, None, raw=paths.RAW, scores=paths.SCORES)
    return dataclasses.replace(found, name=review.code(commit[: review.SHORT]))


def _params(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except YAMLError:
        raise errors.InputError(f"{path}: no YAML; expected the params.yaml of the commit, mend it there") from None
    return content if isinstance(content, dict) else {}


def _line(path: Path) -> str:
    """The one line that a step has left, nothing where it has not run."""
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.review", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", help="the commit before")
    parser.add_argument("head", help="the commit of the pull request")
    parser.add_argument("directory", type=Path, help="where .ci/pull-request keeps what it has found; body.md is written there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
