"""The weighted blend of the models' predictions."""

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import ERA, ID, SPLIT
from erawise.blend import blending
from erawise.folds import splits
from erawise.panel.panel import days_ahead
from erawise.running import paths, runner
from erawise.running.progress import Progress


@runner.stage("ensemble")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    given, target = p.ensemble.weights, p.data.target
    weights = blending.resolve_weights(given, files.read_json(paths.MEMBERS)["models"])
    used = [name for name, weight in weights.items() if weight > 0]
    rows = predictions.join({name: tabular.read_parquet(paths.MODEL_PREDICTIONS / f"{name}.parquet") for name in used})
    if isinstance(given, str) and given in blending.FITS:
        plan = splits.from_json(files.read_json(paths.FOLDS), days_ahead(paths.PANEL, target))
        outcomes = predictions.along(rows, tabular.read_parquet(paths.PANEL / "index.parquet", [ID, ERA, target]), [target])[:, 0]
        weights, blended, of_folds = blending.blend_fitted(given, rows, used, outcomes, plan, progress)
        for number, own in enumerate([*of_folds, weights], 1):
            name = f"fold {number}" if number <= len(of_folds) else "weights"
            print(f"{name}: " + ", ".join(f"{model} {weight:.2f}" for model, weight in own.items()))
    else:
        blended = blending.blend(rows[used], rows[ERA].to_numpy(), {name: weights[name] for name in used}, progress)
    tabular.write_parquet(predictions.table(rows, blended), paths.ENSEMBLE)
    files.write_json(weights, paths.WEIGHTS)
    files.remove_unused(paths.SCRATCH)
    counts = rows.groupby(SPLIT).size()
    print(f"blended {', '.join(used)}: " + ", ".join(f"{count:,} {split} rows" for split, count in counts.items()))
    return runner.Done([paths.ENSEMBLE, paths.WEIGHTS], len(rows))


if __name__ == "__main__":
    main()
