"""Money and live data: what a year of stakes may bring, and what goes out."""

import numpy as np

from erawise.report import drawing, markup, views
from erawise.report.content import BENCHMARK, META
from erawise.report.drawing import Figure
from erawise.report.frame import Page
from erawise.report.markup import Cell, escape, number

TOY = (
    "The embedded market is a toy: its scores are several times as high as on real data, so these figures are no forecast. "
    "They show how to read the ones of your own run."
)


def staked(page: Page) -> str:
    """Write the share of burns, the longest losing run, and a year with its band."""
    found, chosen = page.content.stake, page.content.chosen
    toy = f'<p class="stale">{TOY}</p>' if page.content.toy else ""
    if found.bands.empty:
        return f'{toy}<p class="missing">There is no year to show: {escape(found.reason or "no scores that are paid for")}.</p>'
    values = found.figures
    source = f"scores of {found.split}, {found.regime}" + (
        f", BMC against the {BENCHMARK} for MMC against the {META}" if found.stand_in else ""
    )
    lines = [
        ("rounds that burn", f"{values['burn']:.0%}", f"{values['burn_low']:.0%} … {values['burn_high']:.0%}"),
        ("longest losing run", f"{_longest(found.rates)} eras", f"of {len(found.rates)}"),
        ("median of a year", f"×{values['median']:.2f}", f"{values['median_low']:.2f} … {values['median_high']:.2f}"),
        ("nine years of ten", f"×{values['p05_all']:.2f} … {values['p95_all']:.2f}", "unknown mean and spread included"),
        ("years that end lower", f"{values['loss_all']:.0%}", f"{values['loss_low']:.0%} … {values['loss_high']:.0%}"),
    ]
    cards = "".join(markup.card(label, [("", value, "", below)]) for label, value, below in lines)
    figure = Figure(
        "year",
        f"A stake of 1 on {chosen}: {values['median']:.2f} after a year in the median",
        f"Band of what a stake of 1 on {chosen} becomes within a year, with the median.",
        drawing.same(views.year(found.bands, page.defaults)),
        "Line: median. Dark: nine years of ten, with the mean and the spread that were seen; pale: with both as unknown as they are.",
    )
    return (
        f"{toy}<p>If you staked on {escape(chosen)}, by its {escape(source)}. A model that was chosen on these eras, and a market that "
        f'changes, are in no interval. <code>erawise payout</code> has every prediction and regime.</p><dl class="cards">{cards}</dl>'
        f"{page.figure(figure)}"
    )


def _longest(rates: np.ndarray) -> int:
    """Return the largest number of eras in a row that burn."""
    gains = np.flatnonzero(np.concatenate([[True], rates >= 0, [True]]))
    return int(np.diff(gains).max()) - 1


def outgoing(page: Page) -> str:
    """Write the checks of the live predictions that go out, and the features that the chosen one leans on."""
    found = page.content.live
    if found.checks.empty:
        return '<p class="missing">No live predictions are there; <code>dvc repro</code> makes them.</p>'
    failed = found.checks[~found.checks["passed"].astype(bool)]
    told = "All checks pass." if failed.empty else f"{len(failed)} of {len(found.checks)} checks fail: nothing would be handed in."
    rows = [
        [row.prediction, row.check, Cell(str(row.found)), Cell(str(row.expected)), "passes" if row.passed else "fails"]
        for row in found.checks.itertuples()
    ]
    checks = markup.table("Live predictions that go out", ["prediction", "check", "found", "expected", "verdict"], rows, texts=2)
    exposed = [[row.feature, row.group, number(row.cv, ".2f"), number(row.live, ".2f")] for row in found.exposures.itertuples()]
    title = f"Ten features that {page.content.chosen} leans on most, |correlation|, by {found.eras} cv eras"
    table = markup.table(title, ["feature", "group", "cv", "live"], exposed, texts=2)
    note = "The scored models predict these rows; <code>erawise submit --dry-run</code> checks the rows of the open round."
    return f"<p>{told} {note}</p>{checks}{table}"
