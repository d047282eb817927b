"""Build the small tables behind the report and the plots, and draw the pictures that people compare."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pandas as pd

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, VALIDATION
from erawise.charts import (
    explained_tables,
    figures,
    prediction_charts,
    score_charts,
    style,
    tables,
)
from erawise.charts.settings import Plot
from erawise.charts.style import Colours
from erawise.evaluation import doubt
from erawise.explanation import explained
from erawise.folds import splits
from erawise.panel.panel import Panel, days_ahead
from erawise.running import paths, runner
from erawise.running.progress import Progress

Save = Callable[..., None]
"""Writes a table and the picture that a chart draws of it: `save(name, table, chart, *arguments)`."""


@runner.stage("plot")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    target, days = p.data.target, days_ahead(paths.PANEL, p.data.target)
    models = files.read_json(paths.MEMBERS)["models"]
    colours = style.colours(models)
    with figures.drawing(p.resources.threads, progress) as draw:
        save = partial(write, draw)
        panel = Panel(paths.PANEL)
        validation = tabular.read_parquet(paths.VALIDATION_TARGETS)
        for split, targets in ((CV, panel.index), (VALIDATION, validation)):
            scores(save, split, p.plot, colours)
            scored = partial(tables.with_target, split=split, targets=targets, target=target)
            predictions(save, split, models, scored, colours)
        drivers(models, p.plot.top_features, days)
        plan = splits.from_json(files.read_json(paths.FOLDS), days)
        save("folds", tables.folds(plan), prediction_charts.folds)
    return runner.Done([paths.TABLES, paths.PICTURES])


def write(draw: Callable[..., None], name: str, table: tables.Table, chart: Callable[..., object], *arguments: object) -> None:
    """Write a table, and draw its picture."""
    write_table(name, table.frame)
    draw(paths.PICTURES / f"{name}.svg", chart, table, *arguments)


def write_table(name: str, frame: pd.DataFrame) -> None:
    """Write a table."""
    tabular.write_csv(frame, paths.TABLES / f"{name}.csv")


def scores(save: Save, split: str, plot: Plot, colours: Colours) -> None:
    """Save the spread and the course of the scores of a split, and two predictions against each other."""
    found = tabular.read_parquet(paths.SCORES / f"{split}.parquet")
    in_doubt = doubt.doubtful(files.read_json(paths.SCORES / f"{split}.json"))
    told = f"; not known to be out of fold: {', '.join(in_doubt)}" if in_doubt else ""
    for name, table, chart in (
        ("corr_box", tables.corr_box(found, split), score_charts.corr_box),
        ("corr_time", tables.corr_time(found, split), score_charts.corr_time),
        ("comparison", tables.comparison(found, plot.model_a, plot.model_b, split), score_charts.comparison),
    ):
        save(f"{name}_{split}", replace(table, headline=table.headline + told), chart, colours)


def predictions(save: Save, split: str, models: list[str], scored: Callable[[pd.DataFrame], pd.DataFrame], colours: Colours) -> None:
    """Save the predictions of a split against the target; `scored` returns the rows of a prediction that have a target."""
    raw = ((model, scored(tabular.read_parquet(paths.prediction(model)))) for model in models)
    write_table(f"era_means_{split}", tables.era_means(raw))
    rows = {name: scored(tabular.read_parquet(paths.prediction(name))) for name in ("ensemble", "neutralized")}
    save(f"target_by_prediction_{split}", tables.target_by_prediction(rows, split), prediction_charts.target_by_prediction, colours)


def drivers(models: list[str], top_features: int, days: int) -> None:
    """Write tables of the importance of features, of exposures, and of the weight of each model."""
    shares = {model: tables.read(paths.MODELS / model / "importance.csv", "train", ("importance",), ("feature",)) for model in models}
    write_table("importance", tables.importance(shares, top_features))
    found = {model: explained.read(paths.EXPLAINED / model) for model in models}
    write_table("shap_beeswarm", explained_tables.shap_beeswarm(found))
    write_table("permutation", explained_tables.permutation(found, days))
    write_table("exposure_time", explained_tables.exposure_time(tabular.read_parquet(paths.EXPOSURE)))
    write_table("weights", tables.weights(files.read_json(paths.WEIGHTS)))


if __name__ == "__main__":
    main()
