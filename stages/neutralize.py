"""The ensemble without its linear part in chosen features, era by era; each fold's choices look at its training eras only."""

import functools

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import CV, ERA, LIVE_ERA, SPLIT
from erawise.blend import neutralization, proportions, risk
from erawise.blend.neutralization import Parts
from erawise.evaluation import evaluation
from erawise.folds import splits
from erawise.panel.panel import Panel, days_ahead
from erawise.regimes import regimes
from erawise.regimes.regimes import Regime
from erawise.running import paths, runner
from erawise.running.progress import Progress


@runner.stage("neutralize")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    settings, target = p.neutralize, p.data.target
    rows = predictions.join({"ensemble": tabular.read_parquet(paths.ENSEMBLE)})
    era, ensemble, cv = rows[ERA].to_numpy(), rows["ensemble"].to_numpy(), (rows[SPLIT] == CV).to_numpy()
    panel, live = Panel(paths.PANEL, [target]), Panel(paths.LIVE, [])
    plan = splits.from_json(files.read_json(paths.FOLDS), days_ahead(paths.PANEL, target))
    of_test = {int(one): number for number, fold in enumerate(plan.folds, 1) for one in fold.test}

    def features(era: int, number: int) -> NDArray:
        source = live if era == LIVE_ERA else panel
        return source.block(era, risk.within(columns[number], settings.features, source.rows(era)))

    def learned(fold: int, rows: NDArray[np.bool_]) -> Parts:
        own = functools.partial(features, number=fold + 1)
        return neutralization.split_eras(ensemble[rows], era[rows], own, p.resources.threads, progress)

    with threadpool_limits(p.resources.threads, user_api="blas"):
        learn = [plan.train, *(fold.train for fold in plan.folds)]
        sets = risk.chosen(panel, learn, target, settings.features, settings.count, progress)
        columns = [panel.columns(names) for names in sets]
        as_tested = neutralization.split_eras(ensemble, era, lambda one: features(one, of_test.get(one, 0)), p.resources.threads, progress)
        if isinstance(settings.proportion, float):
            proportion, neutral, chosen = settings.proportion, as_tested.without(settings.proportion), None
        else:
            regime = regimes.load(p.payout.regimes).named(p.payout.regime)
            outcomes, formula = _outcomes(regime, p.evaluate.benchmark, target, rows, panel)
            differ = any(names != sets[0] for names in sets)
            overall, of_folds, neutral = proportions.choose(as_tested, cv, outcomes, plan, learned if differ else None)
            proportion, chosen = overall.proportion, proportions.content(overall, of_folds, formula)
    tabular.write_parquet(predictions.table(rows, neutral), paths.NEUTRALIZED)
    files.write_json(risk.content(sets[0], settings.features, proportion, chosen), paths.NEUTRALIZED_TO)
    print(f"neutralized to {len(sets[0])} features ({settings.features}), proportion {proportion}")
    for line in risk.report(sets, settings.features, settings.count, rows.groupby(ERA).size().to_numpy()):
        print(line)
    for line in proportions.lines(chosen):
        print(evaluation.named(line, panel.own_score))
    return runner.Done([paths.NEUTRALIZED, paths.NEUTRALIZED_TO], len(rows))


def _outcomes(regime: Regime, benchmark: str | None, target: str, rows: pd.DataFrame, panel: Panel) -> tuple[proportions.Outcomes, str]:
    """Return the values by which a proportion is chosen, on the rows, and the formula of the payout in words; empty if nothing is paid.

    `benchmark` is the name in the settings; None to choose one.
    """
    references = tabular.read_parquet(paths.REFERENCES)
    against = evaluation.benchmark_of(paths.PANEL, references, benchmark, target)
    sums = {} if panel.own_score else regime.sums()
    paid = f"{regimes.formula(sums[proportions.STAND_IN])} ({regime.id}; BMC against {against or 'no benchmark model'})" if sums else ""
    outcome = predictions.along(rows, panel.index, [target])[:, 0]
    model = None if against is None else predictions.along(rows, references, [against])[:, 0]
    return proportions.Outcomes(outcome, model, sums, panel.score), paid


if __name__ == "__main__":
    main()
