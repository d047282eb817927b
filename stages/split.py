"""Which eras each fold trains on and is tested on, for every horizon that a target of the data has."""

import numpy as np

from erawise import errors, files, params, splits, tabular
from erawise.progress import Progress
from erawise.schema import DATA_TYPE, ERA, VALIDATION, horizon
from stages import paths, running


@running.stage("split")
def main(progress: Progress) -> running.Done:
    p = params.load(paths.PARAMS)
    index = tabular.read_parquet(paths.PREPARED / "index.parquet", [ERA, DATA_TYPE])
    targets = files.read_json(paths.PREPARED / "features.json")["targets"]
    is_validation = index[DATA_TYPE] == VALIDATION
    train, validation = (np.unique(index.loc[rows, ERA].to_numpy(np.int64)) for rows in (~is_validation, is_validation))
    main_days = horizon(p.data.target, p.data.target_horizon)
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
    return running.Done([paths.FOLDS], len(index))


if __name__ == "__main__":
    main()
