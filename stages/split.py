"""Choose the eras that each fold trains on and is tested on, for every horizon that a target of the data has."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import DATA_TYPE, ERA, ID, VALIDATION, distance_warning, horizon_line, named_horizon
from erawise.folds import splits
from erawise.panel.panel import Panel, days_ahead
from erawise.preparation import earlier
from erawise.preparation.settings import Preprocess
from erawise.running import errors, paths, runner
from erawise.running.progress import Progress


@runner.stage("split")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    _require_checked()
    index = tabular.read_parquet(paths.PANEL / "index.parquet", [ERA, DATA_TYPE])
    described = files.read_json(paths.PANEL / "features.json")
    known = described["horizons"]
    is_validation = index[DATA_TYPE] == VALIDATION
    train, validation = (np.unique(index.loc[rows, ERA].to_numpy(np.int64)) for rows in (~is_validation, is_validation))
    main_days = days_ahead(paths.PANEL, p.data.target)
    for name, days in known.items():
        if name == p.data.target or not named_horizon(name):
            print(horizon_line(name, days, described["equal"].get(name)) if isinstance(days, int) else f"no folds: {days}")
    for name, eras in (("train", train), ("validation", validation)):
        for line in distance_warning(f"{name} eras", eras.tolist(), p.preprocess.every, main_days):
            runner.warn(line)
    plans: dict[int, splits.Plan | str] = {}
    for days in sorted({days for days in known.values() if isinstance(days, int)}):
        try:
            plans[days] = splits.plan(train, validation, days, p.split, p.final.retrain_every)
        except errors.InputError as error:
            if days == main_days:
                raise
            plans[days] = str(error)
    retrained = p.final.retrain_every is not None
    if retrained:
        _require_earlier(p.data, p.preprocess)
    files.write_json(splits.to_json(plans), paths.FOLDS)
    with tabular.open_parquet(paths.VALIDATION_TARGETS) as aside, files.replacing(paths.RELEASED) as temporary:
        if retrained:
            shutil.copyfile(paths.VALIDATION_TARGETS, temporary)
        else:
            pq.write_table(aside.read_row_groups([], [ID]), temporary)
    for days, plan in plans.items():
        print("\n".join(f"{days} days: {line}" for line in splits.describe(plan, days)))
    return runner.Done([paths.FOLDS, paths.RELEASED], len(index))


def _require_earlier(data: params.Data, made: Preprocess) -> None:
    """Raise `InputError` if an era of the last run is missing or has changed."""
    target = data.target
    panel = Panel(paths.PANEL, [target])
    aside = tabular.read_parquet(paths.VALIDATION_TARGETS, [ID, ERA, target])
    panel.index[target] = predictions.known_targets(panel, aside, target)
    eras = dict(zip(map(str, panel.eras.tolist()), panel.era_digests(panel.eras, target), strict=True))
    drawn_from = [
        data.model_dump(mode="json", exclude={"round", "holdout", "market"}),
        data.market.model_dump(mode="json", exclude={"validation_eras"}),
        made.model_dump(mode="json", include={"every", "demean", "derived"}),
    ]
    earlier.require_kept(eras, drawn_from, paths.main_checkout(Path.cwd()) / paths.SEEN)


def _require_checked() -> None:
    """Raise `InputError` if the data didn't pass the checks of explore."""
    if not paths.CHECKED.exists():
        raise errors.InputError(f"{paths.CHECKED}: the file is missing; run explore, which checks the data before anything is split")
    content = files.read_json(paths.CHECKED)
    if not isinstance(content, dict) or content.get("passed") is not True:
        raise errors.InputError(f"{paths.CHECKED}: it doesn't say that the data has passed its checks; run explore again")


if __name__ == "__main__":
    main()
