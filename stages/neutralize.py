"""The ensemble without its linear part in chosen features, era by era; the choice looks at the train eras alone."""

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import DATA_TYPE, ERA, LIVE_ERA, VALIDATION
from erawise.blend import neutralization, risk
from erawise.panel.panel import Panel
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
        neutral = neutralization.neutralize_eras(
            rows["ensemble"].to_numpy(), rows[ERA].to_numpy(), features, settings.proportion, p.resources.threads, progress
        )
    tabular.write_parquet(predictions.table(rows, neutral), paths.NEUTRALIZED)
    files.write_json(risk.content(names, settings.features, settings.proportion), paths.NEUTRALIZED_TO)
    print(f"neutralized to {len(names)} features ({settings.features}), proportion {settings.proportion}")
    for line in risk.report(names, settings.features, settings.count, rows.groupby(ERA).size().to_numpy()):
        print(line)
    return runner.Done([paths.NEUTRALIZED, paths.NEUTRALIZED_TO], len(rows))


if __name__ == "__main__":
    main()
