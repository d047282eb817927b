"""Build the small tables behind the pictures, and draw them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, VALIDATION, horizon
from erawise.charts import charts, explained_tables, tables, tables_data
from erawise.explanation import explained
from erawise.folds import splits
from erawise.panel.panel import Panel
from erawise.running import paths, runner
from erawise.running.progress import Progress


@runner.stage("plot")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    target = p.data.target
    models = files.read_json(paths.MEMBERS)["models"]
    colours = charts.colours(models)
    written: list[Path] = []
    with charts.drawing(p.resources.threads, progress) as draw:
        save = partial(write, draw, written)
        panel = Panel(paths.PANEL)
        validation = tabular.read_parquet(paths.VALIDATION_TARGETS)

        for split, targets in ((CV, panel.index), (VALIDATION, validation)):
            scores = tabular.read_parquet(paths.SCORES / f"{split}.parquet")
            table = tables.corr_box(scores, split)
            save(f"corr_box_{split}", table, charts.corr_box, colours)
            table = tables.corr_time(scores, split)
            save(f"corr_time_{split}", table, charts.corr_time, colours)
            table = tables.comparison(scores, p.plot.model_a, p.plot.model_b, split)
            save(f"comparison_{split}", table, charts.comparison, colours)

            raw = ((model, tabular.read_parquet(paths.MODEL_PREDICTIONS / f"{model}.parquet")) for model in models)
            table = tables.era_means(((model, tables.with_target(frame, split, targets, target)) for model, frame in raw), split)
            save(f"era_means_{split}", table, charts.era_means, colours)
            blends = (("ensemble", tabular.read_parquet(paths.ENSEMBLE)), ("neutralized", tabular.read_parquet(paths.NEUTRALIZED)))
            rows = {name: tables.with_target(frame, split, targets, target) for name, frame in blends}
            table = tables.prediction_by_target(rows["ensemble"], "ensemble", split)
            save(f"prediction_by_target_{split}", table, charts.prediction_by_target, colours, "ensemble")
            table = tables.target_by_prediction(rows, split)
            save(f"target_by_prediction_{split}", table, charts.target_by_prediction, colours)

        shares = {model: tables.read_importance(paths.MODELS / model / "importance.csv") for model in models}
        table = tables.importance(shares, p.plot.top_features)
        save("importance", table, charts.importance, colours)
        found = {model: explained.read(paths.EXPLAINED / model) for model in models}
        save("shap_beeswarm", explained_tables.shap_beeswarm(found), charts.shap_beeswarm)
        save("shap_share", explained_tables.shap_share(found), charts.shap_share, colours)
        save("permutation", explained_tables.permutation(found, horizon(target, p.data.target_horizon)), charts.permutation, colours)
        save("exposure_time", explained_tables.exposure_time(tabular.read_parquet(paths.EXPOSURE)), charts.exposure_time)
        table = tables.weights(files.read_json(paths.WEIGHTS))
        save("weights", table, charts.weights, colours)
        table = tables.feature_values(panel)
        save("feature_values", table, charts.feature_values)
        table = tables.target_values(panel.index, validation, panel.targets, target)
        save("target_values", table, charts.target_values)
        save("feature_stability", tables_data.feature_stability(paths.EXPLORED / "features.csv"), charts.feature_stability)
        save("target_correlation", tables_data.target_correlation(paths.EXPLORED / "targets.csv", target), charts.target_correlation)
        save("drift", tables_data.drift(paths.EXPLORED / "drift.csv"), charts.drift)
        save("missing_by_era", tables_data.missing_by_era(paths.MISSING / "eras.csv"), charts.missing_by_era)
        table = tables.folds(splits.from_json(files.read_json(paths.FOLDS), horizon(target, p.data.target_horizon)))
        save("folds", table, charts.folds)
    return runner.Done(written)


def write(
    draw: Callable[..., None], written: list[Path], name: str, table: tables.Table, chart: Callable[..., Figure], *arguments: object
) -> None:
    """Write a table, and the picture drawn from it, and add both to what was written."""
    files_of_it = [paths.PLOTS / f"{name}.{kind}" for kind in ("csv", "svg")]
    tabular.write_csv(table.frame, files_of_it[0])
    draw(files_of_it[1], chart, table, *arguments)
    written += files_of_it


if __name__ == "__main__":
    main()
