"""Files of predictions, scored: read, matched with the data, counted, scored in every era, and compared."""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from erawise import predictions
from erawise.base.schema import ERA, META_MODEL, ORACLE, PREDICTION, spanned_eras, spanned_weeks
from erawise.base.settings import Objective
from erawise.evaluation import evaluation, objectives, significance, summary
from erawise.history import comparison
from erawise.models.predictions import matching, prediction_files
from erawise.models.predictions.matching import Coverage
from erawise.models.predictions.prediction_files import Columns, Predicted
from erawise.panel.panel import era_slices
from erawise.regimes import regimes
from erawise.regimes.regimes import Multipliers
from erawise.running.errors import InputError, known_names
from erawise.running.progress import SILENT, Progress
from erawise.scores.eras import Known, Sums, exposure_columns, score_eras
from erawise.scores.kernels import NUMERAI, Floats
from erawise.scoring.outcomes import Features, Outcomes, Prepared, Raw, Wishes

MAX_MISSING_SHARE = 0.05
"""Default budget for ids that the data lacks, and for rows without a prediction."""

MOST_THREADS = 8

EACH_OTHER, BENCHMARK, META = "each-other", "benchmark", "meta-model"
"""Words of `--against` that stand for other predictions."""

PAID, STAND_IN, MMC = "payout", "payout_bmc", "mmc"


@dataclass(frozen=True)
class Scored:
    """The scores of files of predictions.

    Attributes
    ----------
    outcomes : the data.
    eras : the long table of `score_eras`, a row for each era and prediction, with the payouts of every regime and the exposures of groups.
    summary : of `summary.summarize`, by prediction.
    coverage : counts by prediction.
    pairs : comparisons, each with `prediction` and `against`.
    yardsticks : the scores of the predictions of others that are compared, as `eras`.
    objective : the score of the comparison.
    regimes : multipliers of the regimes whose payout is among the scores, by id.
    groups : of features that have exposures.
    lines : for the reader: the target, the benchmark, missing scores, counts.
    """

    outcomes: Outcomes
    eras: pd.DataFrame
    summary: dict[str, dict[str, Any]]
    coverage: dict[str, Coverage]
    pairs: list[dict[str, Any]]
    yardsticks: pd.DataFrame
    objective: objectives.Objective
    regimes: dict[str, Multipliers]
    groups: list[str]
    lines: list[str]

    @property
    def predictions(self) -> list[str]:
        """The names of the predictions, in the order of the files."""
        return list(self.coverage)


@dataclass(frozen=True)
class How:
    """The options of a scoring that don't concern the data.

    Attributes
    ----------
    columns : of the files, empty for all predictions.
    against : predictions to compare with: names, or the words `EACH_OTHER`, `BENCHMARK` and `META`; empty for all three.
    score : the objective of the comparison.
    max_missing_share : the budget.
    """

    columns: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    score: Objective = "corr"
    max_missing_share: float = MAX_MISSING_SHARE


def score_files(given: Sequence[Path], data: Path | None, wishes: Wishes, how: How, progress: Progress = SILENT) -> Scored:
    """Score files of predictions.

    Parameters
    ----------
    given : the files.
    data : a directory in Numerai's layout; None for the prepared panel of the checkout that is the current directory.

    Raises
    ------
    InputError
        If a file or an option doesn't fit the data, or more is missing than the budget allows.
    """
    twice = [path for k, path in enumerate(given) if path.resolve() in [other.resolve() for other in given[:k]]]
    if twice:
        raise InputError(f"{twice[0]}: the file is given twice; name it once")
    source = Prepared(wishes) if data is None else Raw(data, wishes)
    opened = [prediction_files.open_predictions(path, how.columns) for path in given]
    names = _names(opened)
    others = _others_to_read(how.against, [name for own in names for name in own.values()], source)
    files = [columns.read() for columns in opened]
    eras = _eras(files)
    outcomes = source.read(eras)
    placed: dict[str, Floats] = {}
    coverage: dict[str, Coverage] = {}
    for file, own in zip(files, names, strict=True):
        values, counts = _placed(file, outcomes)
        for column, name in own.items():
            placed[name], coverage[name] = values[column], counts[column]
    del files
    _require_within(coverage, how.max_missing_share, outcomes)
    lines, digests = _lines(opened, coverage, outcomes), _digests(placed, outcomes)
    found = _scored(placed, coverage, outcomes, others, how, lines, progress)
    return replace(found, lines=[*found.lines, _looked(found, digests, given)]) if digests else found


def _digests(placed: Mapping[str, Floats], outcomes: Outcomes) -> dict[str, str]:
    """Return `predictions.digest` of each prediction that has rows of the final check."""
    era, having = outcomes.index.era, dict[bytes, list[str]]()
    checked = np.isin(era, outcomes.checked)
    for name, values in placed.items() if checked.any() else ():
        having.setdefault(np.packbits(checked & ~np.isnan(values)).tobytes(), []).append(name)
    found = dict[str, str]()
    for packed, names in having.items():
        rows = np.unpackbits(np.frombuffer(packed, np.uint8), count=len(era)).astype(bool)
        if rows.any():
            ids = outcomes.index.ids.filter(pa.array(rows)).to_pandas()
            found |= predictions.digests(ids, era[rows], {name: placed[name][rows] for name in names})
    return found


def _looked(found: Scored, digests: dict[str, str], given: Sequence[Path]) -> str:
    """Record that the final check was looked at, and return a line that says so."""
    from erawise.history import recording  # here, since files of one's own don't need it

    known = found.outcomes
    standing = {"target": known.name, "days": known.days, "equal": known.equal, "early": known.early_name}
    own = found.eras[found.eras[ERA].isin(known.checked) & found.eras[PREDICTION].isin(digests)]
    count = recording.scored(standing, digests, summary.summarize(own, known.days), [path.name for path in given])
    return (
        f"{own[ERA].nunique()} eras of the final check are among them, look {count} at these eras: choosing by the scores uses the check up"
    )


def _eras(files: Sequence[Predicted]) -> NDArray[np.int64] | None:
    """Return the eras of files; None if one of them doesn't say."""
    found = [np.array([file.era[rows.start] for rows in era_slices(file.era)]) for file in files if file.era is not None]
    return np.unique(np.concatenate(found)) if len(found) == len(files) else None


def _names(opened: Sequence[Columns]) -> list[dict[str, str]]:
    """Return for each file the name of each prediction by its column.

    A single column `prediction` has the name of its file; a name that several files have gets the file's name before it.
    """
    stems = [columns.path.name.split(".")[0] for columns in opened]
    stems = [stem if stems.count(stem) == 1 else columns.path.name for stem, columns in zip(stems, opened, strict=True)]
    found = []
    for columns, stem in zip(opened, stems, strict=True):
        found.append({name: stem if columns.names == [PREDICTION] and len(opened) > 1 else name for name in columns.names})
    counts = pd.Series([name for own in found for name in own.values()]).value_counts()
    for stem, own in zip(stems, found, strict=True):
        for column, name in own.items():
            if counts[name] > 1:
                own[column] = f"{stem}/{column}"
    named = [(name, columns.path) for columns, own in zip(opened, found, strict=True) for name in own.values()]
    by_name: dict[str, Path] = {}
    for name, path in named:
        if name in by_name:
            raise InputError(f"{path}: its prediction {name!r} has the same name as one of {by_name[name]}; rename one of the files")
        by_name[name] = path
    return found


def _others_to_read(against: Sequence[str], own: Sequence[str], source: Raw | Prepared) -> list[str]:
    """Return the benchmark models that `--against` names.

    Raises
    ------
    InputError
        If a word of it is no prediction.
    """
    words = (EACH_OTHER, BENCHMARK, META)
    unknown = [name for name in against if name not in (*words, *own, *source.benchmarks)]
    if unknown:
        known = known_names([*words, *source.benchmarks, *own], unknown[0])
        raise InputError(f"--against: there is no prediction {unknown[0]!r}; there are {known}")
    return [name for name in against if name in source.benchmarks]


def _placed(file: Predicted, outcomes: Outcomes) -> tuple[dict[str, Floats], dict[str, Coverage]]:
    try:
        return matching.place(file, outcomes.index, outcomes.target)
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(file.path)) else f"{file.path}: {error}") from None


def _require_within(coverage: Mapping[str, Coverage], budget: float, outcomes: Outcomes) -> None:
    """Raise `InputError` if a prediction misses more than the budget, or no era that it has is resolved."""
    for name, own in coverage.items():
        if not own.expected:
            raise InputError(f"{name}: no row of its eras has {outcomes.name} in {outcomes.source}; give predictions of resolved eras")
        own.require_within(budget, name, outcomes.source, "--max-missing-share")


def _lines(opened: Sequence[Columns], coverage: Mapping[str, Coverage], outcomes: Outcomes) -> list[str]:
    """Return lines on the target, and on all that doesn't fit."""
    lines = [evaluation.standing(outcomes.name, outcomes.days, outcomes.equal, outcomes.early_name, outcomes.own_score)]
    if outcomes.benchmark:
        lines.append(f"BMC is against {outcomes.benchmark}, of {', '.join(outcomes.benchmarks)}")
    lines += outcomes.notes
    lines += [f"{columns.path.name}: left out {', '.join(map(repr, columns.left_out))}" for columns in opened if columns.left_out]
    return lines + [f"{name}: {'; '.join(own.told)}" for name, own in coverage.items() if own.told]


def _scored(
    placed: dict[str, Floats],
    coverage: dict[str, Coverage],
    outcomes: Outcomes,
    others: Sequence[str],
    how: How,
    lines: list[str],
    progress: Progress,
) -> Scored:
    """Score all predictions in the resolved eras that any has, and compare them."""
    starts = outcomes.index.starts
    covered = np.zeros(len(starts) - 1, bool)
    for column in placed.values():
        covered |= np.add.reduceat(~np.isnan(column), starts[:-1]) > 0
    resolved = np.add.reduceat(~np.isnan(outcomes.target), starts[:-1]) > 0
    if open_eras := int((covered & ~resolved).sum()):
        lines = [*lines, f"{open_eras} eras aren't scored: {outcomes.name} isn't known there yet"]
    covered &= resolved
    rows = np.repeat(covered, np.diff(starts))
    era, target = outcomes.index.era[rows], outcomes.target[rows]
    values = np.empty((len(placed), len(era)))
    for k, name in enumerate(placed):
        values[k] = placed[name] if rows.all() else placed[name][rows]
    frame = pd.DataFrame(values.T, columns=list(placed), copy=False)
    placed.clear()
    meta, benchmark, oracle = (outcomes.others.get(name or "") for name in (META_MODEL, outcomes.benchmark, ORACLE))
    answers = [None if other is None else other[rows] for other in (meta, benchmark, oracle, outcomes.early)]
    threads, paying = _threads(), _paying(outcomes)
    with outcomes.open_features(rows, progress) if outcomes.open_features else nullcontext() as features:
        known = replace(_known(answers, features), score=outcomes.own_score or NUMERAI)
        with progress.counting(int(covered.sum()), "eras", "scored") as count:
            table = score_eras(frame, target, era, known, sums=_sums(outcomes, paying), threads=threads, count=count)
    own_yardsticks = _yardsticks(how.against, others, outcomes)
    yardsticks = pd.DataFrame({name: outcomes.others[name][rows] for name in own_yardsticks}, index=frame.index)
    scored_others = table.iloc[:0]
    if own_yardsticks:
        own = Known(answers[0], answers[1], score=known.score)
        scored_others = score_eras(yardsticks, target, era, own, sums=_sums(outcomes, {}), threads=threads)
    both = pd.concat([table, scored_others], ignore_index=True)
    by = objectives.of_tables(how.score, "--score", [(both, both)], outcomes.corr)
    return Scored(
        outcomes=outcomes,
        eras=table,
        summary=summary.summarize(table, outcomes.days),
        coverage=coverage,
        pairs=_pairs(both, list(coverage), own_yardsticks, how, outcomes.days, by),
        yardsticks=scored_others,
        objective=by,
        regimes=paying,
        groups=list(known.groups),
        lines=[*lines, *_absent(table, outcomes)],
    )


def _known(answers: Sequence[Floats | None], features: Features | None) -> Known:
    meta, benchmark, oracle, early = answers
    if features is None:
        return Known(meta, benchmark, oracle, early=early)
    fnc_v3 = evaluation.fnc_v3(features.names, features.sets, features.sizes)
    return Known(meta, benchmark, oracle, features.block, features.groups, fnc_v3, early)


def _threads() -> int:
    """Return the number of eras that are scored side by side."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MOST_THREADS)


def _paying(outcomes: Outcomes) -> dict[str, Multipliers]:
    """Return the multipliers of the regimes that can be computed and pay for the target's horizon, the newest last."""
    found = {}
    for regime in outcomes.all_regimes if outcomes.own_score is None else ():
        if regime.horizon == outcomes.days:
            try:
                found[regime.id] = regime.multipliers()
            except InputError:
                continue
    return found


def regime_columns(regime: str) -> tuple[str, str]:
    """Name the columns of a regime's payout and of its stand-in with BMC in place of MMC."""
    return f"{PAID} {regime}", f"{STAND_IN} {regime}"


def _sums(outcomes: Outcomes, paying: Mapping[str, Multipliers]) -> Sums:
    sums: dict[str, Mapping[str, float]] = dict(outcomes.regime.sums() if outcomes.own_score is None else {})
    for name, multipliers in paying.items():
        paid, standing_in = regime_columns(name)
        sums[paid] = multipliers
        if MMC in multipliers:
            sums[standing_in] = regimes.stand_in(multipliers)
    return sums


def _yardsticks(against: Sequence[str], others: Sequence[str], outcomes: Outcomes) -> list[str]:
    """Return the predictions of others to compare with."""
    wanted = list(others)
    if outcomes.benchmark and (not against or BENCHMARK in against):
        wanted.append(outcomes.benchmark)
    if not against or META in against:
        wanted.append(META_MODEL)
    return [name for name in dict.fromkeys(wanted) if name in outcomes.others]


def _pairs(
    both: pd.DataFrame, own: Sequence[str], others: Sequence[str], how: How, days: int, by: objectives.Objective
) -> list[dict[str, Any]]:
    """Compare each prediction with the predictions before it, with named ones, and with others' predictions."""
    found = []
    each_other = not how.against or EACH_OTHER in how.against
    for k, name in enumerate(own):
        rivals = [*others, *(rival for rival in own if rival in how.against and rival != name)]
        rivals += own[:k] if each_other else []
        for rival in dict.fromkeys(rivals):
            pair = _pair(both, name, rival, days, by)
            if pair["eras"]:
                found.append({PREDICTION: name, "against": rival, **pair})
    return comparison.adjusted(found)


def _pair(both: pd.DataFrame, name: str, rival: str, days: int, by: objectives.Objective) -> dict[str, Any]:
    """Compare two predictions as `comparison.pair` does, without the slow intervals of Sharpe and drawdown."""
    one, other = (comparison.series(both, each, by.column) for each in (name, rival))
    common = one.index.intersection(other.index)
    a, b = (series[common].round(comparison.DECIMALS).to_numpy() for series in (one, other))
    overlap = spanned_eras(common.to_numpy(), spanned_weeks(days))
    mean = significance.mean(significance.differences(a, b, by.statistic), overlap=overlap)
    return {
        "eras": mean.eras,
        "mean": by.figure(a),
        "mean_against": by.figure(b),
        "difference": mean.mean,
        "low": mean.low,
        "high": mean.high,
        "probability_better": mean.probability_positive,
        "effective_eras": mean.effective_eras,
        "eras_to_tell": significance.eras_to_tell(mean),
        "p_value": mean.p_value,
        "verdict": mean.verdict,
        "reason": mean.reason,
    }


def _absent(table: pd.DataFrame, outcomes: Outcomes) -> list[str]:
    """Return lines on the scores that no era has, and on the payout."""
    starts, columns = outcomes.index.starts[:-1], [name for name in outcomes.others if name != ORACLE]
    known = {name: np.add.reduceat(~np.isnan(outcomes.others[name]), starts) > 0 for name in columns}
    scored = np.isin(outcomes.index.era[starts], table[ERA].unique())
    reasons = {
        "mmc": "" if META_MODEL in known and (known[META_MODEL] & scored).any() else "the data has no meta model of these eras",
        "bmc": "" if outcomes.benchmark in known else f"the data has no benchmark model for a target of {outcomes.days} trading days",
        "fnc": "" if outcomes.open_features else "there are no features",
    }
    lines = [f"no {name}: {reason}" for name, reason in reasons.items() if reason and table[name].isna().all()]
    pays, days = outcomes.regime, outcomes.days
    if outcomes.own_score is not None:
        lines.append(evaluation.UNPAID)
    else:
        formula, standing_in = map(regimes.formula, pays.sums().values())
        lines.append(f"payout: of {pays.id}, {formula} before its factor and clip; stand-in (payout_bmc): {standing_in}")
        if pays.horizon != days:
            lines.append(f"{pays.id} pays for scores of {pays.horizon} trading days, and these are of {days}: no round pays so")
    few = evaluation.partial(table)
    return lines + [f"{name} in only {count}: the other eras lack the predictions of others" for name, count in few.items()]


def exposures(table: pd.DataFrame, groups: Sequence[str]) -> list[tuple[str, str, float, float]]:
    """Return each prediction and group of features with the means over eras of its largest and its root mean square exposure."""
    found = []
    for name, rows in table.groupby(PREDICTION, sort=False):
        for group in groups:
            largest, typical = (rows[column] for column in exposure_columns(group))
            if largest.notna().any():
                found.append((str(name), group, float(largest.mean()), float(typical.mean())))
    return found
