"""The comparison of two runs, each a Git revision or a DVC experiment, as a table, a picture and sentences."""

from pathlib import Path

from erawise.base import files, tabular
from erawise.charts import figures, score_charts, style
from erawise.evaluation import evaluation
from erawise.history import comparison, ledger, looks, revisions
from erawise.running import paths
from erawise.running.errors import InputError


def compare(a: str, b: str | None, out: Path, *, seed: int, anyway: bool) -> None:
    """Compare two runs; nothing is checked out: DVC reads from its cache what a revision has measured.

    Parameters
    ----------
    a, b : the run before and the run after; the workspace if `b` is None.
    out : the directory for the table and the picture.
    seed : of the bootstrap behind the intervals.
    anyway : whether runs with other targets or other data are compared too.

    Raises
    ------
    InputError
        If a run can't be read, or the two can't be compared.
    """
    before, after = (revisions.read(Path(), revision, raw=paths.RAW, scores=paths.SCORES) for revision in (a, b))
    if not anyway and (reason := revisions.incomparable(before, after)):
        raise InputError(f"{reason}; add --anyway to compare them all the same, on the eras that both have")
    changed = ledger.changes(ledger.flat(before.settings), ledger.flat(after.settings))
    table = comparison.compare(before.scores, after.scores, after.days, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    tabular.write_csv(table, out / "comparison.csv")
    files.write_json(comparison.content(table, before.name, after.name, changed), out / "comparison.json")
    picture = comparison.picture(table, before.name, after.name)
    figures.write(score_charts.differences(picture, style.colours(sorted(after.settings.get("models", {})))), out / "comparison.svg")
    print(f"{before.name} → {after.name}\n")
    print("\n".join(comparison.settings_changed(changed)) or "no setting differs")
    print("\n" + comparison.markdown(table) + "\n")
    print(evaluation.standing(after.target, after.days))
    print("\n".join(comparison.sentences(table)))
    print(comparison.luck(table))
    for name, missing in zip((before.name, after.name), comparison.only_in_one(before.scores, after.scores), strict=True):
        if missing:
            print(f"only in {name}: {', '.join(missing)}")
    count = len(ledger.looks(looks.read(), None, after.target))
    print(f"validation was looked at {count} times in this checkout, on all data together: the more often, the more is luck")
    print(f"\nwritten to {out}: comparison.csv, comparison.json, comparison.svg")
