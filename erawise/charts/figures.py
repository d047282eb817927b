"""Figures: begun with a headline, laid out the same each time, and written as SVG, also by several processes."""

import functools
import multiprocessing
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from erawise.base import files
from erawise.charts.style import INK, MUTED, POINTS_AN_INCH, STYLE, WIDTH
from erawise.charts.tables import Table
from erawise.running.progress import SILENT, Progress

TITLE_COLUMNS = 100


def picture(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the project's style; if the table is empty, draw only its headline."""

    @functools.wraps(draw)
    def drawn(table: Table, *arguments: object) -> Figure:
        with matplotlib.rc_context(STYLE):
            return figure_of(table, 0.8) if table.frame.empty else draw(table, *arguments)

    return drawn


def figure_of(table: Table, height: float) -> Figure:
    """Return a figure with the table's headline, `height` inches high below its first line."""
    lines = -(-len(table.headline) // TITLE_COLUMNS)
    # no line of a single word: the lines are about as long as each other
    headline = textwrap.fill(table.headline, TITLE_COLUMNS if lines == 1 else min(TITLE_COLUMNS, len(table.headline) // lines + 12))
    figure = Figure(figsize=(WIDTH, height + 0.2 * headline.count("\n")), dpi=POINTS_AN_INCH, layout="constrained")
    figure.suptitle(headline, x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def single(table: Table, height: float) -> tuple[Figure, Axes]:
    """Return a figure of one panel, and its axes."""
    figure = figure_of(table, height)
    return figure, figure.subplots()


def panels(table: Table, count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels, at most `columns` in a row, and the axes of each."""
    columns = min(columns, max(count, 2))
    rows = -(-count // columns)
    figure = figure_of(table, 0.6 + height * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[count:]:
        axes.remove()
    return figure, grid[:count]


def by(frame: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Return the rows of each value of a column, in the order of the table."""
    return {str(name): rows for name, rows in frame.groupby(column, sort=False)}


def caption(figure: Figure, text: str) -> None:
    """Write below a picture how to read it."""
    figure.supxlabel(text, fontsize=8, color=MUTED, x=0.01, ha="left")


def lay_out(figure: Figure) -> None:
    """Place the axes as the first drawing would, without drawing."""
    engine = figure.get_layout_engine()
    if figure.axes and engine is not None:
        engine.execute(figure)


def write(figure: Figure, path: Path) -> None:
    """Write a picture as SVG: the same bytes for the same table, coordinates to a hundredth of a point."""
    with files.replacing(path) as temporary:
        with matplotlib.rc_context(STYLE):
            _settle(figure)
            # not savefig, which draws everything once more before it writes
            FigureCanvasSVG(figure).print_svg(temporary, metadata={"Date": None, "Creator": None, "Title": figure.get_suptitle()})
        temporary.write_text(rounded(temporary.read_text(encoding="utf-8")), encoding="utf-8")


@contextmanager
def drawing(processes: int, progress: Progress = SILENT) -> Iterator[Callable[..., None]]:
    """Yield `draw(path, chart, table, ...)`, which draws and writes in other processes; in the end all pictures are there.

    Each picture has the bytes that it has when this process draws it, and its error is raised here. `progress` counts the pictures.
    """
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    with progress.counting(0, "pictures") as count, ProcessPoolExecutor(processes, context) as pool:
        pool.submit(int).result()  # forks now, before reading data starts threads
        pictures: list[Future[None]] = []

        def draw(path: Path, chart: Callable[..., Figure], table: Table, *arguments: object) -> None:
            count.expect(1)
            pictures.append(pool.submit(_draw, path, chart, table, *arguments))
            pictures[-1].add_done_callback(lambda _: count.done())

        yield draw
        for drawn in pictures:
            drawn.result()


def _draw(path: Path, chart: Callable[..., Figure], table: Table, *arguments: object) -> None:
    write(chart(table, *arguments), path)


def _settle(figure: Figure) -> None:
    """Lay the picture out once, on a coarse grid: the solver's last digits differ between runs, and SVG ids are hashes of them."""
    lay_out(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(float(edge), 4) for edge in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def rounded(svg: str, decimals: int = 2) -> str:
    """Round the coordinates of paths and places in an SVG: the last digits say nothing and differ between machines."""

    def shorter(number: re.Match[str]) -> str:
        return f"{round(float(number.group()), decimals) + 0.0:.{decimals}f}".rstrip("0").rstrip(".")

    places = r'\b(?:d|x|y|x1|x2|y1|y2|width|height|transform)="[^"]*"'
    return re.sub(places, lambda place: re.sub(r"-?\d+\.\d+", shorter, place.group()), svg)
