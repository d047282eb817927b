"""Hand in predictions to the open round: fetch its live data, predict with the trained pipeline, check, send, and read back.

Run it as often as you like: what the server already holds isn't sent again. The exit code says what came of it:

  0   every model's submission is on the server as it should be
  1   something has to be mended; the message says what. Nothing was sent for the models that it names
  2   the command line is wrong
  3   no round is open, or its data isn't there yet; with --wait: not within that time
  4   something was sent, and the server doesn't show it as it was sent: look there, and run again
  75  the network or the server failed for longer than it was tried: run again later

Where models fail in different ways, 4 goes before 75, 75 before 3, and 3 before 1.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import ID, PREDICTION
from erawise.evaluation import evaluation
from erawise.exploration import exploration
from erawise.live import journal, keys, promises, served, submission
from erawise.live.account import Account, Round, named
from erawise.live.submission import Over
from erawise.panel.panel import Panel
from erawise.preparation import preparation, references
from erawise.preparation.matrix import Counts
from erawise.running import errors, paths
from erawise.running.errors import InputError, NotOpen, Unavailable, Unconfirmed
from erawise.running.progress import Shown
from erawise.sources import layout
from erawise.sources.numerai import fetching
from erawise.sources.numerai.attempts import Absent, Patience
from erawise.sources.numerai.store import Store
from stages import arguments

LIVE, BENCHMARKS = "live.parquet", "live_benchmark_models.parquet"

PATIENCE = Patience(silence=30, window=30, tries=5, longest_pause=20)
"""With the server: a round may be open for an hour."""

LEAST_ROWS = 0.5
"""Live rows must be at least this share of those of the last `dvc repro`."""

WORST = (Unconfirmed, Unavailable, NotOpen, InputError)
"""Which of several models' failures gives the exit code."""

KEPT_ROUNDS = 3
"""Rounds whose live data stays, for the comparison with what was sent before."""

NOTHING = "; nothing is handed in"

SHOWN, LEAST_SHIFT = 3, 0.01
"""Features whose drift is shown at most, and the least of it that is."""


@dataclass(frozen=True)
class Own:
    """What this checkout hands in, read once, however long the round is waited for.

    Attributes
    ----------
    p : the settings.
    served : the pipeline that makes the predictions.
    explored : what `explore` has found of each feature.
    """

    p: params.Params
    served: served.Served
    explored: pd.DataFrame

    def predict(self, panel: Panel) -> pd.DataFrame:
        """Predict live rows: `id`, and a column for each prediction that is handed in."""
        return self.served.pipeline.predict(panel, sorted(set(self.p.submit.models.values())), self.p.resources.threads)


@dataclass(frozen=True)
class Work:
    """What is handed in, and where.

    Attributes
    ----------
    account, round, store : the server, the open round, and its files.
    own : what is handed in.
    """

    account: Account
    round: Round
    store: Store
    own: Own

    @property
    def names(self) -> dict[str, str]:
        """The prediction of each model."""
        return self.own.p.submit.models


@errors.reported
def main() -> None:
    given = _arguments()
    p = params.load(paths.PARAMS)
    if not p.submit.models:
        raise InputError("submit.models: there is no model to hand in for; name one, such as {your_model: neutralized}")
    paths.ROUNDS.mkdir(parents=True, exist_ok=True)
    with files.exclusive_lock(paths.ROUNDS / "submit", "submit"):
        with _noted(given.round, dry=given.dry_run):
            account = Account(key=_key(given.dry_run), patience=PATIENCE)
            trained = served.read(p, sorted(set(p.submit.models.values())))
            own = Own(p, trained, exploration.read_features(paths.EXPLORED / "features.csv"))
        until = time.monotonic() + 60 * given.wait
        every = min(60, account.patience.longest_pause)
        while True:
            try:
                _attempt(account, own, given.round, until, every, dry=given.dry_run)
            except Over:
                raise
            except (NotOpen, Unavailable) as problem:
                if time.monotonic() + every > until:
                    raise
                print(f"{problem}; trying again in {every:.0f} s", file=sys.stderr, flush=True)
                time.sleep(every)
            else:
                break
        _forget_old()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.submit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--round", type=arguments.round_number, metavar="NUMBER", help="the round to hand in to; the current one")
    parser.add_argument("--wait", type=arguments.minutes, default=0, metavar="MINUTES", help="how long to wait for the round; not at all")
    parser.add_argument("--dry-run", action="store_true", help="do all but send; works without a key")
    return parser.parse_args()


def _key(dry: bool) -> tuple[str, str] | None:
    try:
        return keys.read(os.environ, paths.ENVIRONMENT)
    except keys.Missing:
        if dry:
            return None
        raise


@contextmanager
def _noted(number: int | None, *, dry: bool) -> Iterator[None]:
    """Note an attempt that fails within."""
    try:
        yield
    except InputError as error:
        if not dry:
            journal.note({"round": number, "outcome": journal.FAILED, "problem": str(error)})
        raise


def _attempt(account: Account, own: Own, number: int | None, until: float, every: float, *, dry: bool) -> None:
    """Hand in to the round, waiting for it."""
    patience = max(0.0, until - time.monotonic())
    with _noted(number, dry=dry):
        ids = account.models() if account.token else {}
        taken_by = submission.opened(account, number, own.p.data.version, time.time, time.sleep, patience, every)
    print(f"round {taken_by.number} is open until {taken_by.closes:%Y-%m-%d %H:%M} UTC", flush=True)
    shown = Shown(f"round {taken_by.number}", sys.stderr, time.monotonic)
    store = Store(paths.ROUNDS / str(taken_by.number), account.patience, progress=shown)
    work = Work(account, taken_by, store, own)
    with _noted(taken_by.number, dry=dry):
        handed = _predicted(work)
    if dry:
        _preview(work, ids, handed)
    else:
        _hand_in(work, ids, handed, until, every)


def _predicted(work: Work) -> dict[str, pd.DataFrame]:
    """The tables to hand in, by prediction, once all of them have passed the checks."""
    p = work.own.p
    path = _fetched(work, p.data.version, LIVE)
    _require_other(path, work.round.number)
    with _prepared(path, work.own) as (panel, counts):
        _require_whole(panel, counts, work.own)
        _show_drift(submission.drift(panel, work.own.explored, p.explore.max_constant_share))
        rows = work.own.predict(panel)
    handed = {name: submission.table(rows, name) for name in rows.columns.drop(ID)}
    benchmark = _benchmark(work, p.data.version, p.evaluate.benchmark)
    for name, table in handed.items():
        if benchmark is not None:
            _check_benchmark(work.round, name, table, benchmark, p.submit.min_benchmark_corr, p.submit.max_benchmark_corr)
    _check_earlier(work, p.submit.min_earlier_corr)
    return handed


def _require_other(path: Path, number: int) -> None:
    """Raise `NotOpen` where the round has the live data of an earlier one: ids are others in each."""
    digest = fetching.digest(path)
    for earlier in _rounds():
        other = paths.ROUNDS / str(earlier) / LIVE
        if earlier < number and other.exists() and fetching.digest(other) == digest:
            raise NotOpen(f"round {number}: its live data is still that of round {earlier}")


def _require_whole(panel: Panel, counts: Counts, own: Own) -> None:
    """Raise `InputError` where too little of the live data is there."""
    p, share = own.p, counts.missing.sum() / max(counts.values, 1)
    print(f"live data: {panel.n_rows:,} rows, {panel.n_matrix:,} features, {share:.2%} of their values missing")
    usual = own.served.live.n_rows
    if panel.n_rows < LEAST_ROWS * usual:
        raise InputError(f"live data: it has {panel.n_rows:,} rows where the last dvc repro had {usual:,}; nothing is handed in")
    most = p.preprocess.max_missing_share
    if share > most:
        raise InputError(f"preprocess.max_missing_share: {share:.1%} of the live data is missing, more than {most:.1%}")


def _fetched(work: Work, version: str, name: str) -> Path:
    what = f"{version}/{name}"
    try:
        return work.store.get(name, what, partial(work.account.locate, what, work.round.number), partial(layout.check, name=name))
    except Absent:
        raise NotOpen(f"round {work.round.number}: {what} isn't there yet") from None


@contextmanager
def _prepared(path: Path, own: Own) -> Iterator[tuple[Panel, Counts]]:
    """The prepared rows of a live file, while they are needed."""
    try:
        with files.scratch(paths.ROUNDS) as scratch:
            counts = preparation.prepare_live(path, scratch, own.served.live, own.p.resources.threads)
            yield Panel(scratch, []), counts
    except InputError as error:
        raise type(error)(f"{str(error).removesuffix(NOTHING)}{NOTHING}") from None


def _show_drift(drift: pd.DataFrame) -> None:
    shifted = ", ".join(f"{row.feature} {row.shift:+.2f}" for row in drift.head(SHOWN).itertuples() if abs(row.shift) >= LEAST_SHIFT)
    print(f"drift: means that moved most, in standard deviations of training: {shifted or f'none by {LEAST_SHIFT:g}'}")
    constant = drift.loc[drift[submission.CONSTANT], "feature"]
    if len(constant):
        print(f"drift: {len(constant)} features have one value now and had several in training: {', '.join(constant[:SHOWN])}")


def _benchmark(work: Work, version: str, column: str | None) -> pd.DataFrame | None:
    """`id` and `prediction` of the benchmark model; None where the round has none."""
    if f"{version}/{BENCHMARKS}" not in work.account.list_datasets(work.round.number):
        print("benchmark: the round has no benchmark models to compare with")
        return None
    path = _fetched(work, version, BENCHMARKS)
    targets = files.read_json(paths.PREPARED / "features.json")["targets"]
    with tabular.open_parquet(path) as file, tabular.open_parquet(_fetched(work, version, LIVE)) as live:
        columns, ignored = references.prediction_columns(file.schema_arrow, [*live.schema_arrow.names, *targets])
    if ignored:
        print(f"benchmark: left out {', '.join(map(repr, ignored))}, which is no prediction")
    scored = evaluation.evaluated(paths.SCORES).benchmark
    chosen = column or next(iter([name for name in columns if name == scored] or columns), "")
    if chosen not in columns:
        raise InputError(f"evaluate.benchmark: the live data has no benchmark model {chosen!r}; it has {', '.join(columns) or 'none'}")
    return tabular.read_parquet(path, [ID, chosen]).rename(columns={chosen: PREDICTION}).astype({PREDICTION: float})


def _check_benchmark(taken_by: Round, name: str, table: pd.DataFrame, benchmark: pd.DataFrame, least: float, most: float) -> None:
    corr, rows = submission.rank_correlation(table, benchmark)
    if not rows:
        raise NotOpen(f"round {taken_by.number}: the benchmark models are still those of another round")
    print(f"{name}: rank correlation {corr:.3f} with the benchmark model, on {rows:,} rows")
    if not least <= corr <= most:
        bound = "submit.min_benchmark_corr" if not corr >= least else "submit.max_benchmark_corr"
        raise InputError(
            f"{bound}: {name} has a rank correlation of {corr:.3f} with the benchmark model, outside of {least} to {most}; "
            "nothing is handed in; see what changed, or set other bounds"
        )


def _check_earlier(work: Work, least: float) -> None:
    """Compare the models of now with what was sent last, on the data of that round: ids are others in each."""
    earlier = _earlier(work)
    for model in (model for model in work.names if model not in earlier):
        print(f"{model}: there is no earlier round here to compare with")
    for number in sorted(set(earlier.values())):
        directory = paths.ROUNDS / str(number)
        try:
            with _prepared(directory / LIVE, work.own) as (panel, _):
                rows = work.own.predict(panel)
            now = {model: submission.table(rows, work.names[model]) for model, found in earlier.items() if found == number}
            sent = {model: submission.parsed((directory / f"{model}.csv").read_bytes(), str(directory / f"{model}.csv")) for model in now}
        except InputError as error:
            print(f"round {number} can't be compared with: {str(error).removesuffix(NOTHING)}")
            continue
        for model, table in sent.items():
            name = work.names[model]
            corr, _ = submission.rank_correlation(now[model], table)
            print(f"{model}: rank correlation {corr:.3f} of {name} now with what was sent in round {number}, on the data of that round")
            if not corr >= least:
                raise InputError(
                    f"submit.min_earlier_corr: on the data of round {number} the models of now have a rank correlation of {corr:.3f} with "
                    f"what was sent for {model}, less than {least}; nothing is handed in; see what changed, or set another bound"
                )


def _earlier(work: Work) -> dict[str, int]:
    """The last round before this one to which each model was handed in from here, where its data is still there."""
    found: dict[str, int] = {}
    for entry in journal.read():
        model, number = entry.get("model"), entry.get("round")
        if model in work.names and entry.get("outcome") in submission.HELD and isinstance(number, int) and number < work.round.number:
            directory = paths.ROUNDS / str(number)
            if (directory / LIVE).exists() and (directory / f"{model}.csv").exists():
                found[model] = max(number, found.get(model, 0))
    return found


def _preview(work: Work, ids: dict[str, str], handed: dict[str, pd.DataFrame]) -> None:
    for model, name in work.names.items():
        path = paths.ROUNDS / "dry" / f"{model}.csv"
        _write(handed[name], path)
        print(f"{model}: {name} would be handed in as {path}")
    for model in work.names if work.account.token else ():
        named(ids, model)


def _hand_in(work: Work, ids: dict[str, str], handed: dict[str, pd.DataFrame], until: float, every: float) -> None:
    """Write each model's file, and hand it in: a model that fails doesn't keep the others from it, and one that may yet is tried again."""
    for name in set(work.names.values()):
        promises.keep(work.own.served.digests[name], work.own.served.scores[name])
    problems = {model: problem for model in work.names if (problem := _hand_in_one(work, model, ids, handed)) is not None}
    while any(isinstance(problem, Unavailable) for problem in problems.values()) and time.monotonic() + every <= until:
        time.sleep(every)
        for model in [model for model, problem in problems.items() if isinstance(problem, Unavailable)]:
            problem = _hand_in_one(work, model, ids, handed)
            if problem is None:
                del problems[model]
            else:
                problems[model] = problem
    if problems:
        kind = next(kind for kind in WORST if any(isinstance(problem, kind) for problem in problems.values()))
        raise kind(f"{', '.join(problems)}: no confirmed submission in round {work.round.number}")


def _hand_in_one(work: Work, model: str, ids: dict[str, str], handed: dict[str, pd.DataFrame]) -> InputError | None:
    """Hand in one model's file; gives what kept it from being there."""
    name = work.names[model]
    path = paths.ROUNDS / str(work.round.number) / f"{model}.csv"
    unsent = path.with_suffix(".unsent.csv")
    _write(handed[name], unsent)
    entry = {
        "round": work.round.number,
        "model": model,
        "prediction": name,
        "digest": work.own.served.digests[name],
        "rows": len(handed[name]),
        "sha256": fetching.digest(unsent),
    }
    try:
        outcome = submission.hand_in(work.account, named(ids, model), work.round, handed[name], f"{work.round.number}_{model}.csv")
    except InputError as error:
        journal.note({**entry, "outcome": journal.FAILED, "problem": str(error)})
        print(f"{model}: {error}", file=sys.stderr)
        return error
    unsent.replace(path)
    journal.note({**entry, "outcome": outcome.how, "submission": outcome.id})
    print(f"{model}: {name} is {outcome.how}, and the server holds it as submission {outcome.id}")
    return None


def _write(table: pd.DataFrame, path: Path) -> None:
    with files.replacing(path) as temporary:
        temporary.write_bytes(submission.content(table))


def _rounds() -> list[int]:
    return sorted(int(path.name) for path in paths.ROUNDS.iterdir() if path.name.isdecimal())


def _forget_old() -> None:
    """Remove the live data of rounds long past; what was handed in to them stays."""
    for number in _rounds()[:-KEPT_ROUNDS]:
        for name in (LIVE, BENCHMARKS):
            files.remove(paths.ROUNDS / str(number) / name)


if __name__ == "__main__":
    main()
