"""The answer and the scores of the last run, with the looks at validation so far."""

import math
from typing import Any

import pandas as pd

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, ERA, VALIDATION
from erawise.evaluation import doubt, evaluation, objectives
from erawise.evaluation.objectives import LABELS, SHARPE, Objective
from erawise.history import comparison, overview, validation_looks
from erawise.running import paths, terminal
from erawise.running.terminal import Form, Sheet
from erawise.sources import layout

TITLES = {CV: "Out of fold on the train eras (cv): choose here", VALIDATION: "Validation, the final check: for no choice"}

SEEDS = "Standard deviation of a mean score between a model's seeds"


def show(form: Form) -> None:
    """Print what to send and why, then the scores of all predictions."""
    p = params.load(paths.PARAMS)
    metrics = {split: files.read_json(paths.SCORES / f"{split}.json") for split in (CV, VALIDATION)}
    found = evaluation.evaluated(paths.SCORES)
    chosen = next(iter(p.submit.models.values()), p.upload.prediction)
    toy = [evaluation.TOY] if p.data.source == "market" else []
    sheets = [overview.sheet(content, TITLES[split], split) for split, content in metrics.items()]
    sheets += [overview.seeds(content, f"{SEEDS} ({split})", f"seeds, {split}") for split, content in metrics.items()]
    final = metrics[VALIDATION]
    parts: list[str | Sheet] = [overview.parts(final, "Parts of the validation eras", "parts"), overview.halves(final)]
    table, checked = (tabular.read_parquet(paths.SCORES / f"{split}.parquet") for split in (CV, VALIDATION))
    by = objectives.of_tables(p.evaluate.objective, "evaluate.objective", [(table, table)])
    whole = [*_answer(chosen, metrics, table, found.days, by), *toy, *sheets, *parts, *evaluation.headed(found)]
    whole += [*layout.named_eras(paths.RAW, [*table[ERA], *checked[ERA]]), _looked(p, chosen)]
    terminal.write([overview.named(part, found.own_score) for part in whole], form)


def _answer(chosen: str, metrics: dict[str, Any], table: pd.DataFrame, days: int, by: Objective) -> list[str]:
    """State whether the prediction to send finds a signal, and whether another one is better by the objective."""
    out_of_fold, final = (metrics[split].get(chosen, {}).get(by.column, {}) for split in (CV, VALIDATION))
    in_doubt = doubt.doubtful(metrics[CV])
    if not out_of_fold or chosen in in_doubt:
        told = "it isn't known to be, see models.*.out_of_fold" if out_of_fold else "`dvc repro evaluate` says why"
        return [f"{chosen} has no score out of fold: {told}."]
    finds = out_of_fold.get("low", 0) > 0
    advice = f"Send {chosen}: it finds a signal" if finds else f"Don't count on {chosen}: its signal may be luck"
    first = f"{advice}, {LABELS[by.column]} {_figure(out_of_fold)} out of fold, {_figure(final)} in validation."
    key = "sharpe" if by.name == SHARPE else "mean"
    blocks = {name: block.get(by.column, {}) for name, block in evaluation.blocks(metrics[CV]).items() if name not in in_doubt}
    scored = {name: block[key] for name, block in blocks.items() if key in block}
    best = max(scored, key=lambda name: scored[name])
    if best == chosen:
        return [first, f"It has the highest {by.label} of {len(scored)} predictions out of fold."]
    others = [name for name in scored if name != chosen]
    rows = comparison.adjusted([comparison.pair(table, chosen, table, name, days, by=by) for name in others])
    told = comparison.verdict(rows[others.index(best)])
    return [first, f"{best} has the highest {by.label} out of fold, {scored[best]:.4f}; against {chosen}: {told}."]


def _figure(corr: dict[str, float]) -> str:
    """Return a mean with its interval."""
    if not corr:
        return "–"
    bounds = comparison.interval(corr.get("low", math.nan), corr.get("high", math.nan), ".4f")
    return f"{corr['mean']:.4f} {bounds or '(too few eras for an interval)'}"


def _looked(p: params.Params, chosen: str) -> str:
    """State how often the validation eras were looked at, and how likely the Sharpe is more than luck by now."""
    count, deflated = validation_looks.count(p, chosen)
    if not count:
        return "No evaluation on this data is on record in this checkout."
    counted = f"Looks at these validation eras so far: {count}."
    if math.isnan(deflated):
        return f"{counted} They are too few to tell whether the Sharpe of {chosen} is luck."
    likely = comparison.probability(deflated)
    return f"{counted} The Sharpe of {chosen} is above the best that luck shows in so many with a probability of {likely}."
