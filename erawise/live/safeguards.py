"""The safeguards of a submission: checks of the live data and the predictions before anything is handed in."""

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
from erawise.live import journal, served, submission
from erawise.live.account import Account, Round
from erawise.panel.panel import Panel
from erawise.preparation import preparation, references
from erawise.preparation.matrix import Counts
from erawise.running import paths
from erawise.running.errors import InputError, NotOpen
from erawise.sources import layout
from erawise.sources.numerai import fetching
from erawise.sources.numerai.attempts import Absent
from erawise.sources.numerai.store import Store

LIVE, BENCHMARKS = "live.parquet", "live_benchmark_models.parquet"

LEAST_ROWS = 0.5
"""The least share of the last `dvc repro`'s live rows that a round must have."""

NOTHING = "; nothing is handed in"

SHOWN, LEAST_SHIFT = 3, 0.01
"""Most features whose drift is shown, and the least drift that is shown, in standard deviations."""


@dataclass(frozen=True)
class Own:
    """The pipeline that this checkout hands in predictions of, read once before the wait for the round.

    Attributes
    ----------
    p : the settings.
    served : the pipeline that makes the predictions.
    explored : the table of `explore` on each feature.
    """

    p: params.Params
    served: served.Served
    explored: pd.DataFrame

    def predict(self, panel: Panel) -> pd.DataFrame:
        """Predict live rows: `id`, and a column for each prediction that is handed in."""
        names = sorted(set(self.p.submit.models.values()))
        self.served.pipeline.require(panel.index[ID].tolist(), names)
        return self.served.pipeline.predict(panel, names, self.p.resources.threads)


@dataclass(frozen=True)
class Handover:
    """A submission to a round.

    Attributes
    ----------
    account, round, store : the server, the open round, and its files.
    own : the pipeline of the predictions.
    """

    account: Account
    round: Round
    store: Store
    own: Own

    @property
    def names(self) -> dict[str, str]:
        """Return the prediction of each model."""
        return self.own.p.submit.models


def predicted(handover: Handover) -> dict[str, pd.DataFrame]:
    """Predict the live rows, check the predictions, and return the tables to hand in, by prediction.

    Raises
    ------
    NotOpen
        If the round's data isn't there yet.
    InputError
        If a check fails; the message names the setting that bounds it.
    """
    p = handover.own.p
    path = _fetched(handover, p.data.version, LIVE)
    _require_other(path, handover.round.number)
    with _prepared(path, handover.own) as (panel, counts):
        _require_whole(panel, counts, handover.own)
        _show_drift(submission.drift(panel, handover.own.explored, p.explore.max_constant_share))
        rows = handover.own.predict(panel)
    handed = {name: submission.table(rows, name) for name in rows.columns.drop(ID)}
    benchmark = _benchmark(handover, p.data.version, p.evaluate.benchmark)
    for name, table in handed.items():
        if benchmark is not None:
            _check_benchmark(handover.round, name, table, benchmark, p.submit.min_benchmark_corr, p.submit.max_benchmark_corr)
    _check_earlier(handover, p.submit.min_earlier_corr)
    return handed


def _require_other(path: Path, number: int) -> None:
    """Raise `NotOpen` if the round has the live data of an earlier one: each round has other ids."""
    digest = fetching.digest(path)
    for earlier in rounds():
        other = paths.ROUNDS / str(earlier) / LIVE
        if earlier < number and other.exists() and fetching.digest(other) == digest:
            raise NotOpen(f"round {number}: its live data is still the data of round {earlier}")


def _require_whole(panel: Panel, counts: Counts, own: Own) -> None:
    """Raise `InputError` if too little of the live data is there."""
    p, share = own.p, counts.missing.sum() / max(counts.values, 1)
    print(f"live data: {panel.n_rows:,} rows, {panel.n_matrix:,} features, {share:.2%} of their values missing")
    usual = own.served.live.n_rows
    if panel.n_rows < LEAST_ROWS * usual:
        raise InputError(f"live data: it has {panel.n_rows:,} rows, and the last dvc repro had {usual:,}; nothing is handed in")
    most = p.preprocess.max_missing_share
    if share > most:
        raise InputError(f"preprocess.max_missing_share: {share:.1%} of the live data is missing, more than {most:.1%}")


def _fetched(handover: Handover, version: str, name: str) -> Path:
    what = f"{version}/{name}"
    try:
        return handover.store.get(
            name, what, partial(handover.account.locate, what, handover.round.number), partial(layout.check, name=name)
        )
    except Absent:
        raise NotOpen(f"round {handover.round.number}: {what} isn't there yet") from None


@contextmanager
def _prepared(path: Path, own: Own) -> Iterator[tuple[Panel, Counts]]:
    """Yield the prepared rows of a live file; in the end, remove them."""
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


def _benchmark(handover: Handover, version: str, column: str | None) -> pd.DataFrame | None:
    """Return `id` and `prediction` of the benchmark model; None if the round has none."""
    if f"{version}/{BENCHMARKS}" not in handover.account.list_datasets(handover.round.number):
        print("benchmark: the round has no benchmark models to compare with")
        return None
    path = _fetched(handover, version, BENCHMARKS)
    targets = files.read_json(paths.PANEL / "features.json")["targets"]
    with tabular.open_parquet(path) as file, tabular.open_parquet(_fetched(handover, version, LIVE)) as live:
        columns, ignored = references.prediction_columns(file.schema_arrow, [*live.schema_arrow.names, *targets])
    if ignored:
        print(f"benchmark: left out {', '.join(map(repr, ignored))}, which is no prediction")
    scored = evaluation.evaluated(paths.SCORES)
    named = column or (scored.benchmark if scored.benchmark in columns else None)
    chosen = named or evaluation.benchmark_column(columns, None, scored.equal or scored.target, scored.days)
    if not chosen and columns:
        print(f"benchmark: no model of {scored.days} trading days, only {', '.join(columns)}; evaluate.benchmark may name one")
        return None
    if chosen not in columns:
        raise InputError(f"evaluate.benchmark: the live data has no benchmark model {chosen!r}; it has {', '.join(columns) or 'none'}")
    return tabular.read_parquet(path, [ID, chosen]).rename(columns={chosen: PREDICTION}).astype({PREDICTION: float})


def _check_benchmark(taken_by: Round, name: str, table: pd.DataFrame, benchmark: pd.DataFrame, least: float, most: float) -> None:
    corr, rows = submission.rank_correlation(table, benchmark)
    if not rows:
        raise NotOpen(f"round {taken_by.number}: the benchmark models are still from another round")
    print(f"{name}: rank correlation {corr:.3f} with the benchmark model, on {rows:,} rows")
    if not least <= corr <= most:
        bound = "submit.min_benchmark_corr" if not corr >= least else "submit.max_benchmark_corr"
        raise InputError(
            f"{bound}: {name} has a rank correlation of {corr:.3f} with the benchmark model, outside of {least} to {most}; "
            "nothing is handed in; see what changed, or set other bounds"
        )


def _check_earlier(handover: Handover, least: float) -> None:
    """Compare today's predictions with the last submission, on the live data of its round, since each round has other ids."""
    earlier = _earlier(handover)
    for model in (model for model in handover.names if model not in earlier):
        print(f"{model}: there is no earlier round here to compare with")
    for number in sorted(set(earlier.values())):
        directory = paths.ROUNDS / str(number)
        try:
            with _prepared(directory / LIVE, handover.own) as (panel, _):
                rows = handover.own.predict(panel)
            now = {model: submission.table(rows, handover.names[model]) for model, found in earlier.items() if found == number}
            sent = {model: submission.parsed((directory / f"{model}.csv").read_bytes(), str(directory / f"{model}.csv")) for model in now}
        except InputError as error:
            print(f"round {number} can't be compared with: {str(error).removesuffix(NOTHING)}")
            continue
        for model, table in sent.items():
            name = handover.names[model]
            corr, _ = submission.rank_correlation(now[model], table)
            print(f"{model}: rank correlation {corr:.3f} of {name} now with what was sent in round {number}, on the data of that round")
            if not corr >= least:
                raise InputError(
                    f"submit.min_earlier_corr: on the data of round {number} the models of now have a rank correlation of {corr:.3f} with "
                    f"what was sent for {model}, less than {least}; nothing is handed in; see what changed, or set another bound"
                )


def _earlier(handover: Handover) -> dict[str, int]:
    """Return, by model, the last earlier round with a submission from here, if its data is still there."""
    found: dict[str, int] = {}
    for entry in journal.read():
        model, number = entry.get("model"), entry.get("round")
        if (
            model in handover.names
            and entry.get("outcome") in submission.HELD
            and isinstance(number, int)
            and number < handover.round.number
        ):
            directory = paths.ROUNDS / str(number)
            if (directory / LIVE).exists() and (directory / f"{model}.csv").exists():
                found[model] = max(number, found.get(model, 0))
    return found


def rounds() -> list[int]:
    """Return the numbers of the rounds whose files are here, in order."""
    return sorted(int(path.name) for path in paths.ROUNDS.iterdir() if path.name.isdecimal())
