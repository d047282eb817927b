"""The metrics of a run as a table that a person reads."""

from dataclasses import replace
from typing import Any

from erawise.base.schema import PREDICTION
from erawise.base.settings import Score
from erawise.evaluation import doubt, evaluation, summary
from erawise.running.terminal import Column, Sheet

COLUMNS = (
    (Column("CORR", ".4f", "most"), ("corr", "mean")),
    (Column("std", ".4f", "least", spare=7), ("corr", "std")),
    (Column("Sharpe", ".2f", "most"), ("corr", "sharpe")),
    (Column("max drawdown", ".4f", "least", short="drawdown"), ("corr", "max_drawdown")),
    (Column("CORR20, early", ".4f", "most", spare=6), ("early", "mean")),
    (Column("FNC", ".4f", "most", spare=2), ("fnc", "mean")),
    (Column("FNCv3", ".4f", "most", spare=4), ("fncv3", "mean")),
    (Column("MMC", ".4f", "most"), ("mmc", "mean")),
    (Column("BMC", ".4f", "most", spare=1), ("bmc", "mean")),
    (Column("payout", ".4f", "most"), ("payout", "mean")),
    (Column("stand-in", ".4f", "most", spare=1), ("payout_bmc", "mean")),
    (Column("max exposure", ".2f", "least", spare=5), ("exposure", "max")),
    (Column("AUC top", ".4f", "most", spare=8), ("auc", "top")),
    (Column("of the ceiling", ".0%", "most", spare=3), ("ceiling_share",)),
)
"""Each column, and its place in a prediction's block; a column without any value is left out."""


def sheet(metrics: dict[str, Any], title: str = "", name: str = "") -> Sheet:
    """Return a table with a row for each prediction, from the content of `data/scores/cv.json` or `data/scores/validation.json`.

    The headings of the payout and of its stand-in have the regime, except on a terminal.
    """
    regime = "".join(f" ({name})" for name in metrics.get(evaluation.REGIME, {}))
    in_doubt = doubt.doubtful(metrics)
    columns = [
        replace(column, heading=column.heading + regime, short=column.heading) if column.heading in ("payout", "stand-in") else column
        for column, _ in COLUMNS
    ]
    known = dict.fromkeys(in_doubt, "not known")
    rows = [
        [one, *(_value(block, path) for _, path in COLUMNS), block["eras"], known.get(one, "yes") if in_doubt else None]
        for one, block in evaluation.blocks(metrics).items()
    ]
    return Sheet([Column(PREDICTION), *columns, Column("eras", "d"), Column("out of fold")], rows, title, name).without_empty()


PARTS = {
    summary.WHOLE: "all eras",
    summary.FIRST_HALF: "first half",
    summary.SECOND_HALF: "second half",
    summary.WITH_META_MODEL: "with a meta model",
}
"""Parts of the validation eras, as a person reads them."""

FIGURES = (
    (Column("CORR", ".4f", "most"), "corr", tuple(PARTS)),
    (Column("Sharpe", ".2f", "most", spare=1), "sharpe", (summary.FIRST_HALF, summary.SECOND_HALF)),
    (Column("BMC", ".4f", "most", spare=2), "bmc", (summary.FIRST_HALF, summary.SECOND_HALF)),
    (Column("MMC", ".4f", "most", spare=3), "mmc", (summary.WITH_META_MODEL,)),
)
"""Figures of a part, and the parts of which each is shown: the other ones stand in the table of all predictions."""


def parts(metrics: dict[str, Any], title: str = "", name: str = "") -> Sheet:
    """Return a table of the figures of parts of the eras, from the content of `data/scores/validation.json`.

    It has a row for each prediction, and a column for each figure of a part that any prediction has.
    """
    blocks = {name: block[summary.PARTS] for name, block in evaluation.blocks(metrics).items() if summary.PARTS in block}
    shown = [(column, figure, part) for column, figure, parts in FIGURES for part in parts]
    columns = [replace(column, heading=f"{column.heading}, {PARTS[part]}") for column, _, part in shown]
    rows = [[one, *(block.get(part, {}).get(figure) for _, figure, part in shown)] for one, block in blocks.items()]
    return Sheet([Column(PREDICTION), *columns], rows, title, name).without_empty()


SEEDS = {"corr": "CORR", "mmc": "MMC", "bmc": "BMC", "fnc": "FNC", "payout": "payout", "payout_bmc": "stand-in"}
"""Scores whose standard deviation between seeds is shown, and their headings."""


def seeds(metrics: dict[str, Any], title: str = "", name: str = "") -> Sheet:
    """Return a table of the standard deviation between the seeds of each model that has several; it has no row without such a model."""
    columns = [Column("model"), Column("seeds", "d"), *(Column(heading, ".4f") for heading in SEEDS.values())]
    rows = [
        [one, block[summary.SEEDS], *(block.get(score, {}).get(summary.SEED_STD) for score in SEEDS)]
        for one, block in evaluation.blocks(metrics).items()
        if summary.SEEDS in block
    ]
    return Sheet(columns, rows, title, name).without_empty()


def halves(metrics: dict[str, Any]) -> str:
    """State which half of the eras was easier, by the mean CORR of all predictions; nothing without halves."""
    blocks = [block[summary.PARTS] for block in evaluation.blocks(metrics).values() if summary.PARTS in block]
    if not blocks:
        return ""
    first, second = (sum(block[part]["corr"] for block in blocks) / len(blocks) for part in (summary.FIRST_HALF, summary.SECOND_HALF))
    eras = {part: figures["eras"] for part, figures in blocks[0].items()}
    met = f", and {eras[summary.WITH_META_MODEL]} have a meta model" if summary.WITH_META_MODEL in eras else ""
    easier = "first" if first > second else "second"
    return (
        f"The {easier} half was easier: the mean CORR of all predictions is {first:.4f} in the first half and {second:.4f} in the second. "
        f"So compare predictions within a column, never across. All have the same {eras[summary.WHOLE]} eras: "
        f"{eras[summary.FIRST_HALF]} and {eras[summary.SECOND_HALF]} are the halves{met}."
    )


def named(part: str | Sheet, score: Score | None) -> str | Sheet:
    """Return a sentence or a table in which the score that stands for CORR has its own name."""
    if isinstance(part, str):
        return evaluation.named(part, score)
    return replace(part, columns=[replace(column, heading=evaluation.named(column.heading, score)) for column in part.columns])


def _value(block: dict[str, Any], path: tuple[str, ...]) -> float | None:
    value: Any = block
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
