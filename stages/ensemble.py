"""The weighted blend of the models' predictions."""

from erawise import ensemble, errors, files, params, predictions
from erawise.schema import ERA, SPLIT
from stages import paths


@errors.reported
def main() -> None:
    p = params.load(paths.PARAMS)
    weights = ensemble.resolve_weights(p.ensemble.weights, files.read_json(paths.MEMBERS)["models"])
    used = [name for name, weight in weights.items() if weight > 0]
    rows = predictions.join({name: files.read_parquet(paths.MODEL_PREDICTIONS / f"{name}.parquet") for name in used})
    blended = ensemble.blend(rows[used], rows[ERA].to_numpy(), {name: weights[name] for name in used})
    files.write_parquet(predictions.table(rows, blended), paths.ENSEMBLE)
    files.write_json(weights, paths.WEIGHTS)
    files.remove(paths.SCRATCH)
    counts = rows.groupby(SPLIT).size()
    print(f"blended {', '.join(used)}: " + ", ".join(f"{count:,} {split} rows" for split, count in counts.items()))


if __name__ == "__main__":
    main()
