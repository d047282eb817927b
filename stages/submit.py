"""Hand in predictions to the open round: fetch its live data, predict with the trained pipeline, check, send, and read back.

Run it as often as you like: what the server already holds isn't sent again. The exit code says what came of it:

  0   every model's submission is on the server as it should be
  1   something has to be mended; the message says what. Nothing was sent for the models that it names
  3   no round is open, or its data isn't there yet; with --wait: not within that time
  4   something was sent, and the server doesn't show it as it was sent: look there, and run again
  75  the network or the server failed for longer than it was tried: run again later
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from erawise import errors, exploration, files, params, preparation, serving, tabular
from erawise.errors import InputError, Unavailable
from erawise.live import fetching, keys, submission
from erawise.live.account import Account, Round
from erawise.live.store import Store
from erawise.panel import Panel
from erawise.schema import ID, PREDICTION
from erawise.sources import layout
from stages import journal, paths, served

LIVE, BENCHMARKS = "live.parquet", "live_benchmark_models.parquet"

KEPT_ROUNDS = 3
"""Rounds whose live data stays, for the comparison with what was sent before."""

FAILED = "failed"
"""What the journal calls an attempt that came to nothing."""

SHOWN, LEAST_SHIFT = 3, 0.01
"""Features whose drift is shown at most, and the least of it that is."""


@dataclass(frozen=True)
class Work:
    """What is handed in, and how.

    Attributes
    ----------
    account, round, store : the server, the open round, and its files.
    names : the prediction of each model.
    pipeline : that makes them.
    """

    account: Account
    round: Round
    store: Store
    names: dict[str, str]
    pipeline: serving.Pipeline


@errors.reported
def main() -> None:
    given = _arguments()
    p = params.load(paths.PARAMS)
    if not p.submit.models:
        raise InputError("submit.models: there is no model to hand in for; name one, such as {your_model: neutralized}")
    paths.ROUNDS.mkdir(parents=True, exist_ok=True)
    with fetching.alone(paths.ROUNDS / "submit", "submit"):
        account = Account(key=_key(given.dry_run))
        pipeline = served.read(sorted(set(p.submit.models.values())))
        until = time.monotonic() + 60 * given.wait
        every = min(60, account.patience.longest_pause)
        while True:
            try:
                _attempt(account, pipeline, given.round, max(0.0, until - time.monotonic()), every, dry=given.dry_run)
            except Unavailable as problem:
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
    parser.add_argument("--round", type=int, help="the round to hand in to; the current one where not given")
    parser.add_argument("--wait", type=float, default=0, metavar="MINUTES", help="how long to wait for the round to open; not at all")
    parser.add_argument("--dry-run", action="store_true", help="do all but send; works without a key")
    return parser.parse_args()


def _key(dry: bool) -> tuple[str, str] | None:
    try:
        return keys.read(os.environ, paths.ENVIRONMENT)
    except keys.Missing:
        if dry:
            return None
        raise


def _attempt(account: Account, pipeline: serving.Pipeline, number: int | None, patience: float, every: float, *, dry: bool) -> None:
    """Hand in to the round, waiting for it; an attempt that fails before anything is sent is noted too."""
    p = params.load(paths.PARAMS)
    models, taken_by = p.submit.models, None
    try:
        ids = account.models(list(models)) if account.token else {}
        taken_by = submission.opened(account, number, p.data.version, time.time, time.sleep, patience, every)
        print(f"round {taken_by.number} is open until {taken_by.closes:%Y-%m-%d %H:%M} UTC", flush=True)
        work = Work(account, taken_by, Store(paths.ROUNDS / str(taken_by.number), account.patience), models, pipeline)
        handed = _predicted(work)
    except InputError as error:
        if not dry:
            journal.note({"round": taken_by.number if taken_by else number, "outcome": FAILED, "problem": str(error)})
        raise
    _hand_in(work, ids, handed, dry=dry)


def _predicted(work: Work) -> dict[str, pd.DataFrame]:
    """The tables to hand in, by prediction, once all of them have passed the checks."""
    p = params.load(paths.PARAMS)
    path = _fetched(work, p.data.version, LIVE)
    with tempfile.TemporaryDirectory(dir=paths.ROUNDS) as directory:
        panel, counts = _prepared(path, Path(directory), p.resources.threads)
        share = counts.missing.sum() / max(counts.values, 1)
        print(f"live data: {panel.n_rows:,} rows, {panel.n_matrix:,} features, {share:.2%} of their values missing")
        _show_drift(submission.drift(panel, exploration.read_features(paths.EXPLORED / "features.csv"), p.explore.max_constant_share))
        rows = work.pipeline.predict(panel, sorted(set(work.names.values())), p.resources.threads)
    handed = {name: submission.table(rows, name) for name in rows.columns.drop(ID)}
    benchmark = _benchmark(work, p.data.version, p.evaluate.benchmark)
    for name, table in handed.items():
        if benchmark is not None:
            _check_benchmark(name, table, benchmark, p.submit.min_benchmark_corr, p.submit.max_benchmark_corr)
    _check_earlier(work, p.submit.min_earlier_corr, p.resources.threads)
    return handed


def _fetched(work: Work, version: str, name: str) -> Path:
    what = f"{version}/{name}"
    return work.store.get(name, what, partial(work.account.locate, what, work.round.number), partial(layout.check, name=name))


def _prepared(path: Path, directory: Path, threads: int) -> tuple[Panel, Any]:
    try:
        counts = preparation.prepare_live(path, directory, Panel(paths.LIVE, []), threads)
    except InputError as error:
        raise InputError(f"{error}; nothing is handed in") from None
    return Panel(directory, []), counts


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
    table = tabular.read_parquet(_fetched(work, version, BENCHMARKS))
    columns = [name for name in table if table[name].dtype.kind == "f"]
    chosen = column or (columns[0] if columns else "")
    if chosen not in columns:
        raise InputError(f"evaluate.benchmark: the live data has no benchmark model {chosen!r}; it has {', '.join(columns) or 'none'}")
    return table[[ID, chosen]].rename(columns={chosen: PREDICTION})


def _check_benchmark(name: str, table: pd.DataFrame, benchmark: pd.DataFrame, least: float, most: float) -> None:
    corr, rows = submission.rank_correlation(table, benchmark)
    print(f"{name}: rank correlation {corr:.3f} with the benchmark model, on {rows:,} rows")
    if not least <= corr <= most:
        bound = "submit.min_benchmark_corr" if not corr >= least else "submit.max_benchmark_corr"
        raise InputError(
            f"{bound}: {name} has a rank correlation of {corr:.3f} with the benchmark model, outside of {least} to {most}; "
            "nothing is handed in; see what changed, or set other bounds"
        )


def _check_earlier(work: Work, least: float, threads: int) -> None:
    """Compare the models of now with what was sent last, on the data of that round: ids are others in each."""
    earlier = _earlier(work)
    for model in (model for model in work.names if model not in earlier):
        print(f"{model}: there is no earlier round here to compare with")
    for number in sorted(set(earlier.values())):
        directory = paths.ROUNDS / str(number)
        with tempfile.TemporaryDirectory(dir=paths.ROUNDS) as scratch:
            panel, _ = _prepared(directory / LIVE, Path(scratch), threads)
            rows = work.pipeline.predict(panel, sorted(set(work.names.values())), threads)
        for model in (model for model, found in earlier.items() if found == number):
            path, name = directory / f"{model}.csv", work.names[model]
            corr, _ = submission.rank_correlation(submission.table(rows, name), submission.parsed(path.read_bytes(), str(path)))
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


def _hand_in(work: Work, ids: dict[str, str], handed: dict[str, pd.DataFrame], *, dry: bool) -> None:
    """Write each model's file, and hand it in; a model that fails doesn't keep the others from it."""
    problems: list[InputError] = []
    for model, name in work.names.items():
        path = paths.ROUNDS / str(work.round.number) / f"{model}.csv"
        entry = {"round": work.round.number, "model": model, "prediction": name, "rows": len(handed[name])}
        if dry:
            preview = path.with_suffix(".dry.csv")
            _write(handed[name], preview)
            print(f"{model}: {name} would be handed in as {preview}")
            continue
        _write(handed[name], path)
        entry["sha256"] = fetching.digest(path)
        try:
            outcome = submission.hand_in(work.account, ids[model], work.round, handed[name], f"{work.round.number}_{model}.csv")
        except InputError as error:
            problems.append(error)
            journal.note({**entry, "outcome": FAILED, "problem": str(error)})
            print(f"{model}: {error}", file=sys.stderr)
        else:
            journal.note({**entry, "outcome": outcome.how, "submission": outcome.id})
            print(f"{model}: {name} is {outcome.how}, and the server holds it as submission {outcome.id}")
    if problems:
        worst = max(problems, key=lambda problem: problem.code)
        raise type(worst)(f"{len(problems)} of {len(work.names)} models have no confirmed submission in round {work.round.number}")


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
