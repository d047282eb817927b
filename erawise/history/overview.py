"""The metrics of a run as a table that a person reads."""

from typing import Any

from erawise.evaluation import evaluation

COLUMNS = {
    "CORR": ("corr", "mean"),
    "std": ("corr", "std"),
    "Sharpe": ("corr", "sharpe"),
    "max drawdown": ("corr", "max_drawdown"),
    "CORR20, early": ("early", "mean"),
    "FNC": ("fnc", "mean"),
    "FNCv3": ("fncv3", "mean"),
    "MMC": ("mmc", "mean"),
    "BMC": ("bmc", "mean"),
    "payout": ("payout", "mean"),
    "stand-in": ("payout_bmc", "mean"),
    "max exposure": ("exposure", "max"),
    "AUC top": ("auc", "top"),
    "of the ceiling": ("ceiling_share",),
}
"""Heading and place in a prediction's block; a column without any value is left out."""


def markdown(metrics: dict[str, Any]) -> str:
    """A Markdown table, one row per prediction, from the content of `metrics/cv.json` or `metrics/validation.json`.

    The regime of the payout stands in its heading, and in that of its stand-in.
    """
    blocks = evaluation.blocks(metrics)
    if not blocks:
        return "No era has a score."
    columns = {heading: path for heading, path in COLUMNS.items() if any(_value(block, path) is not None for block in blocks.values())}
    regime = "".join(f" ({name})" for name in metrics.get(evaluation.REGIME, {}))
    headings = [heading + regime * (heading in ("payout", "stand-in")) for heading in columns]
    lines = ["| prediction | " + " | ".join(headings) + " | eras |", "|---" + "|---:" * (len(columns) + 1) + "|"]
    for name, block in blocks.items():
        cells = [_cell(heading, _value(block, path)) for heading, path in columns.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {block['eras']} |")
    return "\n".join(lines)


def _value(block: dict[str, Any], path: tuple[str, ...]) -> float | None:
    value: Any = block
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _cell(heading: str, value: float | None) -> str:
    if value is None:
        return "–"
    if heading == "of the ceiling":
        return f"{value:.0%}"
    return f"{value:.2f}" if heading in ("Sharpe", "max exposure") else f"{value:.4f}"
