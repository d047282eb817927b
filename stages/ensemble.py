"""The weighted blend of the models' predictions."""

import numpy as np
import pandas as pd

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import CV, ERA, ID, SPLIT
from erawise.base.settings import Objective
from erawise.blend import blending
from erawise.evaluation import evaluation, objectives
from erawise.evaluation.objectives import Goal
from erawise.folds import splits
from erawise.panel.panel import days_ahead, own_score
from erawise.regimes import regimes
from erawise.regimes.regimes import Regime
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.scores.kernels import NUMERAI

OBJECTIVE = "ensemble.objective"


@runner.stage("ensemble")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    given, target = p.ensemble.weights, p.data.target
    members = files.read_json(paths.MEMBERS)
    models, of_files = members["models"], members.get("given", {})
    is_fitted = isinstance(given, str) and given in blending.FITS
    kept_out = [name for name, known in of_files.items() if is_fitted and not (known and (_read(name)[SPLIT] == CV).any())]
    weights = blending.resolve_weights(given, [name for name in models if name not in kept_out])
    used = [name for name, weight in weights.items() if weight > 0]
    rows = predictions.join({name: _read(name) for name in used}, of_files)
    for name in kept_out:
        print(f"{name}: kept out of the weights, which are fitted on cv: it isn't known to be out of fold, or has no row there")
    for name in (name for name in used if name in of_files):
        if absent := predictions.absent_eras(rows, rows[rows[name].notna()]):
            print(f"{name}: it lacks {absent}, in which the others are blended")
    if is_fitted:
        plan = splits.from_json(files.read_json(paths.FOLDS), days_ahead(paths.PANEL, target))
        regime = regimes.load(p.payout.regimes).named(p.payout.regime)
        goal = _goal(p.ensemble.objective, rows, target, p.evaluate.benchmark, regime)
        weights, blended, of_folds = blending.blend_fitted(str(given), rows, used, goal, plan, progress)
        for line in objectives.lines(goal, OBJECTIVE):
            print(line)
        for number, own in enumerate([*of_folds, weights], 1):
            name = f"fold {number}" if number <= len(of_folds) else "weights"
            print(f"{name}: " + ", ".join(f"{model} {weight:.2f}" for model, weight in own.items()))
    else:
        blended = blending.blend_covered(rows[used], rows[ERA].to_numpy(), {name: weights[name] for name in used}, progress)
    tabular.write_parquet(predictions.table(rows, blended), paths.ENSEMBLE)
    files.write_json({name: weights.get(name, 0.0) for name in models}, paths.WEIGHTS)
    files.remove_unused(paths.SCRATCH)
    counts = rows.groupby(SPLIT).size()
    print(f"blended {', '.join(used)}: " + ", ".join(f"{count:,} {split} rows" for split, count in counts.items()))
    return runner.Done([paths.ENSEMBLE, paths.WEIGHTS], len(rows))


def _read(name: str) -> pd.DataFrame:
    return tabular.read_parquet(paths.MODEL_PREDICTIONS / f"{name}.parquet")


def _goal(name: Objective, rows: pd.DataFrame, target: str, benchmark: str | None, regime: Regime) -> Goal:
    """Return the goal of the weights on the rows; only rows of cv have a target."""
    outcome = predictions.along(rows, tabular.read_parquet(paths.PANEL / "index.parquet", [ID, ERA, target]), [target])[:, 0]
    outcome = np.where(rows[SPLIT] == CV, outcome, np.nan)
    others = {}
    if objectives.needs_others(name):
        references = tabular.read_parquet(paths.REFERENCES)
        others = objectives.others(rows, references, evaluation.benchmark_of(paths.PANEL, references, benchmark, target))
    own = own_score(paths.PANEL)
    return objectives.goal(name, OBJECTIVE, rows[ERA].to_numpy(np.int64), outcome, others, dict if own else regime.sums, own or NUMERAI)


if __name__ == "__main__":
    main()
