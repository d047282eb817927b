"""Submission to the open round: live data is fetched, predictions are made, checked, sent, and read back."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from erawise import params
from erawise.base import files
from erawise.exploration import exploration
from erawise.live import journal, keys, promises, safeguards, schedule, served, submission
from erawise.live.account import Account, Round, named
from erawise.live.safeguards import Handover, Own
from erawise.live.submission import NoDataYet
from erawise.running import paths
from erawise.running.errors import InputError, NoneDue, NotOpen, Unavailable, Unconfirmed
from erawise.running.progress import ConsoleProgress
from erawise.sources.numerai import fetching
from erawise.sources.numerai.attempts import Patience
from erawise.sources.numerai.store import Store

PATIENCE = Patience(silence=30, window=30, tries=5, longest_pause=20)
"""For the server's answers: a round may be open for only an hour."""

WORST = (Unconfirmed, Unavailable, NotOpen, InputError)
"""Errors by rank: if several models fail, the first of these decides the exit code."""

KEPT_ROUNDS = 3
"""Rounds whose live data is kept, for the comparison with earlier submissions; the submissions of all rounds are kept."""


def hand_in(number: int | None, minutes: float, *, dry: bool) -> None:
    """Submit each model of `submit.models`, once, however often it is called.

    Parameters
    ----------
    number : of the round; None for the current one.
    minutes : how long to wait for it.
    dry : whether to do everything except sending; no key is needed then.

    Raises
    ------
    InputError
        If the server doesn't have a model's submission as it should. Its class tells why; for several models the first of `WORST`.
    """
    p = params.load(paths.PARAMS)
    if not p.submit.models:
        raise InputError("submit.models: there is no model to hand in for; name one, such as {your_model: neutralized}")
    paths.ROUNDS.mkdir(parents=True, exist_ok=True)
    with files.exclusive_lock(paths.ROUNDS / "submit", "submit"):
        with _noted(number, dry=dry):
            account = Account(key=_key(dry), patience=PATIENCE)
            trained = served.read(p, sorted(set(p.submit.models.values())))
            own = Own(p, trained, exploration.read_features(paths.EXPLORED / "features.csv"))
        until = time.monotonic() + 60 * minutes
        every, closes = _between(account), 0.0
        while True:
            try:
                ids, taken_by = _opened(account, own, number, until, dry=dry)
                closes = taken_by.closes.timestamp()
                _attempt(account, own, taken_by, ids, until, dry=dry)
            except NoneDue:
                raise
            except (NotOpen, Unavailable) as problem:
                if time.monotonic() + every > until:
                    raise _ended(problem, closes) from None
                print(f"{problem}; trying again in {every:.0f} s", file=sys.stderr, flush=True)
                time.sleep(every)
            else:
                break
        for old in safeguards.rounds()[:-KEPT_ROUNDS]:
            for name in (safeguards.LIVE, safeguards.BENCHMARKS):
                files.remove(paths.ROUNDS / str(old) / name)


def _key(dry: bool) -> tuple[str, str] | None:
    try:
        return keys.read(os.environ, paths.ENVIRONMENT)
    except keys.Missing:
        if dry:
            return None
        raise


@contextmanager
def _noted(number: int | None, *, dry: bool) -> Iterator[None]:
    """Note an attempt that fails in the journal."""
    try:
        yield
    except InputError as error:
        if not dry:
            journal.note({"round": number, "outcome": journal.FAILED, "problem": str(error)})
        raise


def _ended(problem: InputError, closes: float) -> InputError:
    """Return the error that ends the command: `NoneDue` if by the server's times and the schedule no round is due any more.

    `closes` is the end of the round that was open, in seconds since 1970; 0 if none was open.
    """
    now = time.time()
    again = isinstance(problem, NoDataYet) or now < closes or schedule.due(datetime.fromtimestamp(now, UTC))
    return problem if again else NoneDue(str(problem))


def _opened(account: Account, own: Own, number: int | None, until: float, *, dry: bool) -> tuple[dict[str, str], Round]:
    """Return the account's models (none without a key), and the round once it is open and has its data."""
    patience = max(0.0, until - time.monotonic())
    with _noted(number, dry=dry):
        ids = account.models() if account.token else {}
        return ids, submission.opened(account, number, own.p.data.version, time.time, time.sleep, patience, _between(account))


def _between(account: Account) -> float:
    """Return the seconds from one attempt to the next."""
    return min(60, account.patience.longest_pause)


def _attempt(account: Account, own: Own, taken_by: Round, ids: dict[str, str], until: float, *, dry: bool) -> None:
    """Submit to a round that is open."""
    print(f"round {taken_by.number} is open until {taken_by.closes:%Y-%m-%d %H:%M} UTC", flush=True)
    shown = ConsoleProgress(f"round {taken_by.number}", sys.stderr, time.monotonic)
    store = Store(paths.ROUNDS / str(taken_by.number), account.patience, progress=shown)
    handover = Handover(account, taken_by, store, own)
    with _noted(taken_by.number, dry=dry):
        handed = safeguards.predicted(handover)
    if dry:
        _preview(handover, ids, handed)
    else:
        _hand_in(handover, ids, handed, until)


def _preview(handover: Handover, ids: dict[str, str], handed: dict[str, pd.DataFrame]) -> None:
    for model, name in handover.names.items():
        path = paths.ROUNDS / "dry" / f"{model}.csv"
        _write(handed[name], path)
        print(f"{model}: {name} would be handed in as {path}")
    for model in handover.names if handover.account.token else ():
        named(ids, model)


def _hand_in(handover: Handover, ids: dict[str, str], handed: dict[str, pd.DataFrame], until: float) -> None:
    """Submit each model's file, also if another model fails; try again as long as the server is unavailable."""
    for name in set(handover.names.values()):
        promises.keep(handover.own.served.digests[name], handover.own.served.scores[name])
    every = _between(handover.account)
    problems = {model: problem for model in handover.names if (problem := _hand_in_one(handover, model, ids, handed)) is not None}
    while any(isinstance(problem, Unavailable) for problem in problems.values()) and time.monotonic() + every <= until:
        time.sleep(every)
        for model in [model for model, problem in problems.items() if isinstance(problem, Unavailable)]:
            problem = _hand_in_one(handover, model, ids, handed)
            if problem is None:
                del problems[model]
            else:
                problems[model] = problem
    if problems:
        kind = next(kind for kind in WORST if any(isinstance(problem, kind) for problem in problems.values()))
        raise kind(f"{', '.join(problems)}: no confirmed submission in round {handover.round.number}")


def _hand_in_one(handover: Handover, model: str, ids: dict[str, str], handed: dict[str, pd.DataFrame]) -> InputError | None:
    """Submit one model's file; return the error if that fails."""
    name = handover.names[model]
    path = paths.ROUNDS / str(handover.round.number) / f"{model}.csv"
    unsent = path.with_suffix(".unsent.csv")
    _write(handed[name], unsent)
    entry = {
        "round": handover.round.number,
        "model": model,
        "prediction": name,
        "digest": handover.own.served.digests[name],
        "rows": len(handed[name]),
        "sha256": fetching.digest(unsent),
    }
    try:
        outcome = submission.hand_in(
            handover.account, named(ids, model), handover.round, handed[name], f"{handover.round.number}_{model}.csv"
        )
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
