"""Choose the eras that each fold trains on and is tested on, for every horizon that a target of the data has."""

import numpy as np

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import DATA_TYPE, ERA, VALIDATION, distance_warning, horizon_line, named_horizon
from erawise.folds import splits
from erawise.panel.panel import days_ahead
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
            plans[days] = splits.plan(
                train, validation, days, method=p.split.method, folds=p.split.folds, chunk=p.split.chunk, window=p.split.window
            )
        except errors.InputError as error:
            if days == main_days:
                raise
            plans[days] = str(error)
    files.write_json(splits.to_json(plans), paths.FOLDS)
    for days, plan in plans.items():
        print("\n".join(f"{days} days: {line}" for line in splits.describe(plan, days)))
    return runner.Done([paths.FOLDS], len(index))


def _require_checked() -> None:
    """Raise `InputError` if the data didn't pass the checks of explore."""
    if not paths.CHECKED.exists():
        raise errors.InputError(f"{paths.CHECKED}: the file is missing; run explore, which checks the data before anything is split")
    content = files.read_json(paths.CHECKED)
    if not isinstance(content, dict) or content.get("passed") is not True:
        raise errors.InputError(f"{paths.CHECKED}: it doesn't say that the data has passed its checks; run explore again")


if __name__ == "__main__":
    main()
