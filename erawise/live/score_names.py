"""The names of Numerai's scores: which are CORR or MMC, and how far each looks ahead. Rounds say so; the answers are kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from erawise.base import files
from erawise.live.account import Account
from erawise.live.terms import metric, round_scores
from erawise.outlook.monitoring import METRIC
from erawise.running import paths
from erawise.running.errors import InputError, NotOpen

KEPT = paths.LIVE_SCORES / "names.json"

Key = tuple[str, str]
"""A score's name on the site, and its version."""


@dataclass(frozen=True)
class ScoreName:
    """The answers of rounds on a score.

    Attributes
    ----------
    shown, version : its name on the site, and its version; together they identify it.
    metric : `corr` or `mmc`; None if it is neither.
    pays : whether the latest of these rounds pays for it.
    round : the latest of these rounds; 0 if none has answered.
    answers : the latest round that said so, by the trading days that it looks ahead.
    """

    shown: str
    version: str
    metric: str | None
    pays: bool
    round: int
    answers: Mapping[int, int]

    @property
    def days(self) -> int | None:
        """Return the trading days that it looks ahead; None if no round says so, or two rounds differ."""
        return next(iter(self.answers)) if len(self.answers) == 1 else None

    @property
    def reason(self) -> str:
        """Return the reason why the horizon isn't known."""
        said = " and ".join(f"{days} days in its answer on round {number}" for days, number in sorted(self.answers.items()))
        return f"Numerai says {said}" if said else "no round that has it says so"


Names = Mapping[Key, ScoreName]


def kept() -> dict[Key, ScoreName]:
    """Return the kept names; empty if there are none.

    Raises
    ------
    InputError
        If the file is broken.
    """
    if not KEPT.exists():
        return {}
    try:
        found = [ScoreName(**one | {"answers": {int(days): number for days, number in one["answers"]}}) for one in files.read_json(KEPT)]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{KEPT}: not a list of names of scores; remove it, and run `erawise monitor`") from None
    return {(one.shown, one.version): one for one in found}


def keep(names: Names) -> None:
    """Keep names."""
    content = [vars(names[key]) | {"answers": sorted(names[key].answers.items())} for key in sorted(names)]
    files.write_json(content, KEPT)


def ask(account: Account, book: pd.DataFrame, known: Names) -> dict[Key, ScoreName]:
    """Ask rounds for the scores of a book, and add the answers to the known names.

    The newest round is asked each time. The first and the last round of a score are asked only if that score isn't known yet.

    Parameters
    ----------
    book : as from `Scorebook.read`.

    Raises
    ------
    InputError
        If there is no usable answer.
    """
    found = dict(known)
    if book.empty:
        return found
    spans = book.groupby(["score", "version"])["round"].agg(["min", "max"])
    unknown = spans[[key not in known for key in spans.index]]
    for number in sorted({int(book["round"].max()), *unknown["max"], *unknown["min"]}):
        try:
            scores = round_scores(account.round(int(number)))
        except NotOpen:
            continue
        for one in scores:
            key = one.shown, one.version
            answers = dict(found[key].answers) if key in found else {}
            answers |= {one.days: int(number)} if one.days else {}
            found[key] = ScoreName(*key, metric(key[0]), one.pays, int(number), answers)
    nothing = {(shown, version): ScoreName(shown, version, metric(shown), False, 0, {}) for shown, version in spans.index}
    return nothing | found


def paid_days(names: Names) -> int | None:
    """Return the horizon in trading days of the scores that the latest round pays for; None if unknown."""
    latest = max((one.round for one in names.values()), default=0)
    return next((one.days for one in names.values() if one.pays and one.metric and one.round == latest), None)


def labelled(book: pd.DataFrame, names: Names, days: int) -> pd.DataFrame:
    """Return the CORR and MMC scores of a book that look so many days ahead, with a column `metric`."""
    metrics = {key: one.metric for key, one in names.items() if one.days == days}
    found = pd.Series([metrics.get(key) for key in zip(book["score"], book["version"], strict=True)], book.index, dtype=object)
    return book.assign(**{METRIC: found})[found.notna()]


def notes(book: pd.DataFrame, names: Names, horizons: Iterable[int]) -> tuple[list[str], list[str]]:
    """Return messages on scores that aren't drawn: warnings, and other lines."""
    horizons = list(horizons)
    own = [names[key] for key in sorted(set(zip(book["score"], book["version"], strict=True))) if key in names]
    latest = max((one.round for one in names.values()), default=0)
    lost = [one for one in own if one.metric and one.days is None]
    warnings = [f"{_label(one)} isn't drawn, since its horizon isn't known: {one.reason}" for one in lost]
    drawn = [one for one in names.values() if one.metric and one.days in horizons]
    paid = [one for one in names.values() if one.pays and one.round == latest and one not in drawn and one not in lost]
    warnings += [f"round {latest} pays for {_label(one)}, which erawise doesn't know; it is kept, and not drawn" for one in paid]
    lines = [
        f"{days} days: round {latest} names no CORR or MMC that looks so far ahead; none is drawn"
        for days in horizons
        if latest and days not in {one.days for one in drawn}
    ]
    rest = sorted({one.shown for one in own if one not in (*lost, *paid, *drawn)})
    return warnings, lines + ([f"also kept: {', '.join(rest)}"] if rest else [])


def _label(one: ScoreName) -> str:
    return one.shown + (f" (version {one.version})" if one.version else "")


def shown(names: Names, days: int) -> list[str]:
    """Return the site's names of CORR and MMC of a horizon, the names of the latest round first, CORR before MMC."""
    own = sorted((one for one in names.values() if one.days == days and one.metric), key=lambda one: (-one.round, one.metric, one.shown))
    return list(dict.fromkeys(one.shown for one in own))
