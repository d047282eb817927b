"""Which eras each fold trains on and is tested on, for every horizon that a target of the data has."""

import numpy as np

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import DATA_TYPE, ERA, VALIDATION, distance_warning, horizon, named_horizon
from erawise.folds import splits
from erawise.running import errors, paths, runner
from erawise.running.progress import Progress


@runner.stage("split")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    _require_checked()
    index = tabular.read_parquet(paths.PANEL / "index.parquet", [ERA, DATA_TYPE])
    targets = files.read_json(paths.PANEL / "features.json")["targets"]
    is_validation = index[DATA_TYPE] == VALIDATION
    train, validation = (np.unique(index.loc[rows, ERA].to_numpy(np.int64)) for rows in (~is_validation, is_validation))
    main_days = horizon(p.data.target, p.data.target_horizon)
    source = "its name ends so" if named_horizon(p.data.target) else "data.target_horizon, since its name has no _20 or _60 at its end"
    print(f"{p.data.target}: looks {main_days} trading days ahead: {source}")
    others = [name for name in targets if name != p.data.target and not named_horizon(name)]
    if others:
        print(f"{', '.join(others)}: {p.data.target_horizon} trading days, as data.target_horizon says, for the same reason")
    for name, eras in (("train", train), ("validation", validation)):
        for line in distance_warning(f"{name} eras", eras.tolist(), p.preprocess.every, main_days):
            runner.warn(line)
    plans: dict[int, splits.Plan | str] = {}
    for days in splits.horizons(targets, p.data.target_horizon):
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
        print(f"{days} days: {splits.describe(plan)}")
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
