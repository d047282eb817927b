"""Print the metrics of the last run as tables; a command for people, no stage of the DAG."""

import numpy as np

from erawise import errors, files, ledger, overview, params, significance, tabular
from erawise.evaluation import DIAGNOSED
from erawise.schema import CV, ERA, PREDICTION, VALIDATION, horizon, spanned_weeks
from stages import paths, record


@errors.reported
def main() -> None:
    for split, meaning in ((CV, "out of fold on the train eras"), (VALIDATION, "the final check, used for no choice")):
        print(f"**{split}** ({meaning})\n")
        print(overview.markdown(files.read_json(paths.METRICS / f"{split}.json")) + "\n")
    print(_looks(params.load(paths.PARAMS)))


def _looks(p: params.Params) -> str:
    """How often the validation eras were looked at, and what luck would have shown by now."""
    entries, scores = record.looked_at(p.data.target), paths.SCORES / f"{VALIDATION}.parquet"
    if not entries or not scores.exists():
        return "No evaluation on this data is on record in this checkout."
    table = tabular.read_parquet(scores, [ERA, PREDICTION, "corr"])
    series = table.loc[table[PREDICTION] == DIAGNOSED, "corr"].to_numpy()
    overlap = significance.spanned_eras(table[ERA].to_numpy(), spanned_weeks(horizon(p.data.target, p.data.target_horizon)))
    deflated = ledger.deflated(entries, DIAGNOSED, series, overlap)
    counted = f"Looks at these validation eras so far: {len(entries)}."
    if np.isnan(deflated):
        return f"{counted} They are too few to tell whether the {DIAGNOSED} ensemble's Sharpe is luck."
    return f"{counted} The {DIAGNOSED} ensemble's Sharpe is above what the best of so many shows by luck with probability {deflated:.2f}."


if __name__ == "__main__":
    main()
