"""Compare two runs, each a Git revision or a DVC experiment: `python -m stages.compare [A [B]]`; a command, no stage of the DAG.

A is HEAD, and B the workspace, where they aren't given; the verdicts are on B. Nothing is checked out: what a revision has
measured is read through DVC from its cache.
"""

import argparse
from pathlib import Path

from erawise.base import files, tabular
from erawise.charts import figures, score_charts, style
from erawise.history import comparison, ledger, looks, revisions
from erawise.running import errors, paths


@errors.reported
def main() -> None:
    given = _arguments()
    if given.history:
        print(comparison.history(looks.read()))
        return
    before, after = (revisions.read(Path(), revision, raw=paths.RAW, scores=paths.SCORES) for revision in (given.a, given.b))
    if not given.anyway and (reason := revisions.incomparable(before, after)):
        raise errors.InputError(f"{reason}; add --anyway to compare them all the same, on the eras that both have")
    changed = ledger.changes(ledger.flat(before.settings), ledger.flat(after.settings))
    table = comparison.compare(before.scores, after.scores, after.days, seed=given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    tabular.write_csv(table, given.out / "comparison.csv")
    files.write_json(comparison.content(table, before.name, after.name, changed), given.out / "comparison.json")
    picture = comparison.picture(table, before.name, after.name)
    figures.write(score_charts.differences(picture, style.colours(sorted(after.settings.get("models", {})))), given.out / "comparison.svg")
    print(f"{before.name} → {after.name}\n")
    print("\n".join(comparison.settings_changed(changed)) or "no setting differs")
    print("\n" + comparison.markdown(table) + "\n")
    print("\n".join(comparison.sentences(table)))
    print(comparison.luck(table))
    for name, missing in zip((before.name, after.name), comparison.only_in_one(before.scores, after.scores), strict=True):
        if missing:
            print(f"only in {name}: {', '.join(missing)}")
    count = len(ledger.looks(looks.read(), None, after.target))
    print(f"validation was looked at {count} times in this checkout, on all data together: the more often, the more is luck")
    print(f"\nwritten to {given.out}: comparison.csv, comparison.json, comparison.svg")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("a", nargs="?", default="HEAD", help="the run before: a commit, branch, tag or experiment; HEAD where not given")
    parser.add_argument("b", nargs="?", help="the run after; the workspace where not given")
    parser.add_argument("--history", action="store_true", help="list what was evaluated in this checkout instead")
    parser.add_argument("--anyway", action="store_true", help="compare scores against different targets, or on different data")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap behind the intervals of Sharpe and drawdown")
    parser.add_argument("--out", type=Path, default=paths.COMPARISON, help="directory for the table and the picture")
    return parser.parse_args()


if __name__ == "__main__":
    main()
