"""A submission: the file of a round's predictions, its checks, and its transfer, which is read back from the server."""

import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from erawise.base.schema import ID, PREDICTION
from erawise.live.account import PREDICTIONS, Account, Round, Submission
from erawise.panel.panel import Panel
from erawise.running.errors import InputError, NoneDue, NotOpen, Unavailable, Unconfirmed
from erawise.scores import kernels
from erawise.sources.numerai.client import Unsure

SENT, REPLACED, ALREADY = "sent", "replaced", "already there"

HELD = (SENT, REPLACED, ALREADY)
"""The outcomes after which the server holds the file."""

SAME = 1e-9
"""Predictions that differ by less are the same: a server may write numbers in another way."""

SENDINGS = 3
"""How often a file is sent if the server's answer isn't known."""

MOST_SKEW = 300
"""Seconds by which this machine's clock may differ from the server's."""

CONSTANT, SHIFT = "constant", "shift"


def table(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the table to hand in: ranks within the era, `(average rank - 0.5) / rows`. All scores depend only on ranks.

    Parameters
    ----------
    rows : (rows) `id` and a column `name`, the prediction of one era.

    Returns
    -------
    DataFrame (rows): `id`, `prediction` in (0, 1), sorted by id.

    Raises
    ------
    InputError
        If there is no row, an id is missing or there twice, or predictions are missing, infinite or all the same.
    """
    values = rows[name].to_numpy(np.float64)
    if not len(values):
        raise InputError(f"{name}: there is no row to hand in")
    if rows[ID].isna().any() or rows[ID].duplicated().any():
        raise InputError(f"{name}: an id is missing or there twice among the {len(rows)} rows; nothing is handed in")
    if not np.isfinite(values).all():
        raise InputError(f"{name}: {int((~np.isfinite(values)).sum())} of {len(values)} predictions are missing or infinite")
    if np.ptp(values) == 0:
        raise InputError(f"{name}: the prediction is the same in all {len(values)} rows; nothing is handed in")
    return pd.DataFrame({ID: rows[ID].to_numpy(), PREDICTION: kernels.uniform_ranks(values)}).sort_values(ID, ignore_index=True)


def content(handed: pd.DataFrame) -> bytes:
    """Return the CSV file of a table: `id` and `prediction`, with all digits."""
    text: str = handed.to_csv(index=False, lineterminator="\n")
    return text.encode("utf-8")


def parsed(text: bytes, what: str) -> pd.DataFrame:
    """Read the table of a CSV file.

    Raises
    ------
    InputError
        If it isn't a table of `id` and `prediction`.
    """
    try:
        found = pd.read_csv(io.BytesIO(text), dtype={ID: str, PREDICTION: np.float64})
    except (ValueError, UnicodeDecodeError):
        raise InputError(f"{what}: not a table of id and prediction") from None
    if found.columns.tolist() != [ID, PREDICTION]:
        raise InputError(f"{what}: its columns are {', '.join(map(str, found.columns[:5]))}; expected id and prediction")
    return found


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Return whether two tables have the same ids with the same predictions, in any order."""
    if len(a) != len(b):
        return False
    left, right = (one.sort_values(ID, ignore_index=True) for one in (a, b))
    return bool((left[ID] == right[ID]).all() and np.allclose(left[PREDICTION], right[PREDICTION], rtol=0, atol=SAME))


def rank_correlation(a: pd.DataFrame, b: pd.DataFrame) -> tuple[float, int]:
    """Return the rank correlation of two predictions over the ids that both have, and the number of these ids.

    The correlation is NaN if a prediction is constant or there are fewer than two ids.

    Parameters
    ----------
    a, b : `id` and `prediction`.
    """
    both = a.merge(b, on=ID, suffixes=("", "_other")).dropna()
    ranks = both[[PREDICTION, f"{PREDICTION}_other"]].rank().to_numpy()
    if len(both) < 2 or (np.ptp(ranks, axis=0) == 0).any():
        return np.nan, len(both)
    return float(np.corrcoef(ranks.T)[0, 1]), len(both)


def drift(live: Panel, trained: pd.DataFrame, max_constant_share: float) -> pd.DataFrame:
    """Compare the live features with the eras of training.

    Parameters
    ----------
    live : the live rows.
    trained : `feature`, and its `mean`, `std` and `constant_share` over the eras of training.
    max_constant_share : largest share of features that may be constant in the live era and not in most eras of training.

    Returns
    -------
    DataFrame (features), the largest shift first: `feature`, `mean`, `trained` (mean in training), `shift` (of the mean in `std`; 0 if
    `std` is 0) and `constant` (in the live era, and not in most eras of training).

    Raises
    ------
    InputError
        If a larger share of features is constant.
    """
    stored = live.stored(int(live.eras[0]))
    known = trained.set_index("feature").reindex(live.feature_names)
    if known["mean"].isna().any():
        raise InputError("the table of explored features lacks features of the prepared data; run dvc repro")
    mean, std = stored.mean(axis=0, dtype=np.float64), known["std"].to_numpy()
    shift = np.divide(mean - known["mean"].to_numpy(), std, out=np.zeros(len(std)), where=std > 0)
    constant = (np.ptp(stored, axis=0) == 0) & (known["constant_share"].to_numpy() <= 0.5)
    if constant.mean() > max_constant_share:
        raise InputError(
            f"live features: {int(constant.sum())} of {len(constant)} have only one value, and had several in training "
            f"(more than explore.max_constant_share, {max_constant_share:.0%}); nothing is handed in"
        )
    out = pd.DataFrame({"feature": live.feature_names, "mean": mean, "trained": known["mean"].to_numpy(), SHIFT: shift, CONSTANT: constant})
    return out.iloc[np.argsort(-np.abs(shift), kind="stable")].reset_index(drop=True)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a submission: its id at the server, and whether it was `SENT`, `REPLACED` or `ALREADY` there."""

    id: str
    how: str


def hand_in(account: Account, model: str, taken_by: Round, handed: pd.DataFrame, filename: str) -> Outcome:
    """Send a table as a model's latest submission to a round, unless the server already holds it.

    Parameters
    ----------
    model : its id.
    taken_by : the round; before each sending it must still be the open one.

    Raises
    ------
    NotOpen
        If the round is over.
    Unconfirmed
        If in the end the server holds another file or none, or accepted it after the round.
    InputError
        If the server accepts no file.
    """
    earlier = account.submissions(model, taken_by.opens)
    if earlier and _held_before(account, earlier[-1], handed):
        return Outcome(earlier[-1].id, ALREADY)
    for _ in range(SENDINGS):
        current = account.round()
        if current.number != taken_by.number:
            raise NotOpen(f"round {taken_by.number} is over, the current one is {current.number}; nothing is handed in")
        _require_open(current, time.time() - account.skew, taken_by.number)
        try:
            account.send(PREDICTIONS, filename, content(handed), model)
            unsure = None
        except Unsure as error:
            unsure = error
        found = _confirmed(account, model, taken_by, handed, {one.id for one in earlier})
        if found is not None:
            return Outcome(found.id, REPLACED if earlier else SENT)
        if unsure is None:
            break
    raise Unconfirmed(
        f"{filename}: it was sent, and the server lists no submission of round {taken_by.number} that holds it; "
        "see on numer.ai, and run again"
    )


def _held_before(account: Account, submission: Submission, handed: pd.DataFrame) -> bool:
    """Return whether an earlier submission is this table; False if it can't be read, as when its file never arrived."""
    try:
        return _holds(account, submission, handed)
    except InputError:
        return False


def _confirmed(account: Account, model: str, taken_by: Round, handed: pd.DataFrame, earlier: set[str]) -> Submission | None:
    """Return the latest submission once the server lists a new one that holds the table; None if it lists none.

    Raises
    ------
    Unconfirmed
        If the new submission can't be read, holds something else, or came after the round.
    """
    problem, new = "", list[Submission]()
    for failed in range(1, account.patience.tries + 1):
        try:
            new = [one for one in account.submissions(model, taken_by.opens) if one.id not in earlier]
            if new and not _holds(account, new[-1], handed):
                raise Unconfirmed(f"submission {new[-1].id}: what the server holds isn't what was sent; see on numer.ai, and run again")
        except Unconfirmed:
            raise
        except InputError as error:
            problem = str(error)
        else:
            if new and new[-1].inserted >= taken_by.closes:
                raise Unconfirmed(f"submission {new[-1].id}: it was taken after round {taken_by.number} had closed; see on numer.ai")
            if new:
                return new[-1]
        account.pause(failed)
    if problem:
        raise Unconfirmed(f"{new[-1].id if new else 'the submission'} can't be read back: {problem}; see on numer.ai, and run again")
    return None


def _holds(account: Account, submission: Submission, handed: pd.DataFrame) -> bool:
    """Return whether the server's file of a submission is this table."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "submission.csv"
        account.read_back(submission, path)
        try:
            found = parsed(path.read_bytes(), f"submission {submission.id}")
        except InputError:
            return False
        return same(found, handed)


def opened(
    account: Account,
    number: int | None,
    version: str,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    patience: float,
    every: float,
) -> Round:
    """Wait until a round is open and has its live data, and return it.

    Parameters
    ----------
    number : of the round; None for the current one.
    version : of the data.
    now, sleep : this machine's clock.
    patience : seconds to wait at most.
    every : seconds between two requests.

    Raises
    ------
    NotOpen
        If it isn't open in time, or is over.
    Unavailable
        If the server gives no answer in time.
    InputError
        If this machine's clock is wrong.
    """
    until = now() + patience
    while True:
        try:
            found = account.round(number)
            if abs(account.skew) > MOST_SKEW:
                way = "ahead of" if account.skew > 0 else "behind"
                raise InputError(f"this machine's clock is {abs(account.skew):.0f} s {way} the server's; set it (NTP), then run again")
            _require_open(found, now() - account.skew, number)
            if f"{version}/live.parquet" not in account.list_datasets(found.number):
                raise NoDataYet(f"round {found.number}: {version}/live.parquet isn't there yet")
        except RoundClosed:
            raise
        except (NotOpen, Unavailable) as problem:
            if now() + every > until:
                raise
            print(f"{problem}; looking again in {every:.0f} s", flush=True)
            sleep(every)
        else:
            return found


class RoundClosed(NoneDue):
    """A round that is over and won't open again."""


class NoDataYet(NotOpen):
    """A round that is open, and has no live data yet."""


def _require_open(found: Round, now: float, number: int | None) -> None:
    if now < found.opens.timestamp():
        raise NotOpen(f"round {found.number} opens at {found.opens:%Y-%m-%d %H:%M} UTC")
    if now >= found.closes.timestamp():
        said = f"round {found.number} closed at {found.closes:%Y-%m-%d %H:%M} UTC"
        raise RoundClosed(said) if number is not None else NotOpen(f"{said}, and no other is open")
