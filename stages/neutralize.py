"""The ensemble without its linear part in chosen features, era by era. Only train eras are used for the choice."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import CV, DATA_TYPE, ERA, LIVE_ERA, SPLIT, VALIDATION
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
    panel, live = Panel(paths.PANEL, [target]), Panel(paths.LIVE, [])
    train = np.unique(panel.row_eras[panel.index[DATA_TYPE] != VALIDATION])

    def features(era: int) -> NDArray:
        source = live if era == LIVE_ERA else panel
        return source.block(era, risk.within(columns, settings.features, source.rows(era)))

    with threadpool_limits(p.resources.threads, user_api="blas"):
        names = risk.chosen(panel, train, target, settings.features, settings.count, progress)
        columns = panel.columns(names)
        parts = neutralization.split_eras(rows["ensemble"].to_numpy(), rows[ERA].to_numpy(), features, p.resources.threads, progress)
    if isinstance(settings.proportion, float):
        proportion, neutral, chosen = settings.proportion, parts.without(settings.proportion), None
    else:
        regime = regimes.load(p.payout.regimes).named(p.payout.regime)
        proportion, neutral, chosen = _choose(parts, rows, panel, target, regime, p.evaluate.benchmark)
    tabular.write_parquet(predictions.table(rows, neutral), paths.NEUTRALIZED)
    files.write_json(risk.content(names, settings.features, proportion, chosen), paths.NEUTRALIZED_TO)
    print(f"neutralized to {len(names)} features ({settings.features}), proportion {proportion}")
    for line in risk.report(names, settings.features, settings.count, rows.groupby(ERA).size().to_numpy()):
        print(line)
    for line in proportions.lines(chosen):
        print(line)
    return runner.Done([paths.NEUTRALIZED, paths.NEUTRALIZED_TO], len(rows))


def _choose(
    parts: Parts, rows: pd.DataFrame, panel: Panel, target: str, regime: Regime, benchmark: str | None
) -> tuple[float, NDArray[np.float64], dict[str, Any]]:
    """Return the best proportion on cv, the prediction neutralized by it, and the content of the choice with its reasons.

    `benchmark` is the name in the settings; None to choose one.
    """
    days, references = days_ahead(paths.PANEL, target), tabular.read_parquet(paths.REFERENCES)
    against = evaluation.benchmark_column(evaluation.benchmarks(references), benchmark, panel.equal.get(target, target), days)
    outcomes = proportions.Outcomes(
        predictions.along(rows, panel.index, [target])[:, 0],
        None if against is None else predictions.along(rows, references, [against])[:, 0],
        regime.sums(),
    )
    plan = splits.from_json(files.read_json(paths.FOLDS), days)
    overall, of_folds, neutral = proportions.choose(parts, (rows[SPLIT] == CV).to_numpy(), outcomes, plan)
    formula = f"{regimes.formula(outcomes.sums[proportions.STAND_IN])} ({regime.id}; BMC against {against or 'no benchmark model'})"
    return overall.proportion, neutral, proportions.content(overall, of_folds, formula)


if __name__ == "__main__":
    main()
