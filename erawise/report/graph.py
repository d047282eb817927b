"""The DAG as a picture: stages in layers, an arrow where one takes what another has made."""

import itertools
from collections.abc import Mapping, Sequence

from erawise.report.markup import escape

BOX_WIDTH, BOX_HEIGHT = 190, 40
LANE = 26
"""Width of the way of an arrow past the layers between its ends."""
GAP_X, GAP_Y = 30, 30
MARGIN = 8
SWEEPS = 4

Edge = tuple[str, str]
Step = tuple[str, int, str]
"""A stage, 0 and nothing; or of an arrow that passes a layer its start, the layer and its end."""


def drawn(edges: Sequence[Edge], below: Mapping[str, str]) -> str:
    """The graph as SVG; `below` has the line under each stage's name."""
    kept = direct(edges)
    rows, ways = layers(kept)
    whole = max(_breadth(row) for row in rows)
    places: dict[Step, tuple[float, float]] = {}
    for depth, row in enumerate(rows):
        left = MARGIN + (whole - _breadth(row)) / 2
        for step in row:
            places[step] = (left + _width(step) / 2, MARGIN + depth * (BOX_HEIGHT + GAP_Y))
            left += _width(step) + GAP_X
    height = 2 * MARGIN + len(rows) * BOX_HEIGHT + (len(rows) - 1) * GAP_Y
    arrows = "".join(_arrow([places[step] for step in way]) for way in ways)
    boxes = "".join(_box(step[0], place, below.get(step[0], "")) for step, place in places.items() if not step[2])
    tip = '<marker id="dag-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    frame = f'viewBox="0 0 {whole + 2 * MARGIN:g} {height}" style="max-width:{whole + 2 * MARGIN:g}px"'
    return f'<svg class="dag" {frame} aria-hidden="true"><defs>{tip}<path d="M0,0L8,4L0,8z"/></marker></defs>{arrows}{boxes}</svg>'


def direct(edges: Sequence[Edge]) -> list[Edge]:
    """The edges that no longer way makes superfluous."""
    after = {name: {other for one, other in edges if one == name} for edge in edges for name in edge}
    reach: dict[str, set[str]] = {}

    def reached(name: str) -> set[str]:
        if name not in reach:
            reach[name] = set().union(after[name], *(reached(other) for other in after[name]))
        return reach[name]

    return [(one, other) for one, other in dict.fromkeys(edges) if not any(other in reached(step) for step in after[one] - {other})]


def layers(edges: Sequence[Edge]) -> tuple[list[list[Step]], list[list[Step]]]:
    """Each stage in the layer after the last of those that it takes from, and the way of each arrow through the layers.

    Within a layer stages and passing arrows are near those that they are joined with.
    """
    names = list(dict.fromkeys(name for edge in edges for name in edge))
    depth: dict[str, int] = {}

    def deep(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((deep(one) for one, other in edges if other == name), default=-1)
        return depth[name]

    rows: list[list[Step]] = [[] for _ in range(1 + max(map(deep, names)))]
    for name in names:
        rows[depth[name]].append((name, 0, ""))
    ways = []
    for one, other in edges:
        passed = [(one, layer, other) for layer in range(depth[one] + 1, depth[other])]
        for step in passed:
            rows[step[1]].append(step)
        ways.append([(one, 0, ""), *passed, (other, 0, "")])
    _sort(rows, [pair for way in ways for pair in itertools.pairwise(way)])
    return rows, ways


def _sort(rows: list[list[Step]], joined: list[tuple[Step, Step]]) -> None:
    """Order each layer by the middle of what its members are joined with, from above and from below in turn."""
    place = {step: k - (len(row) - 1) / 2 for row in rows for k, step in enumerate(row)}
    for sweep in range(SWEEPS):
        ends = [(other, one) for one, other in joined] if sweep % 2 == 0 else joined
        near: dict[Step, list[Step]] = {}
        for one, other in ends:
            near.setdefault(one, []).append(other)
        for row in rows if sweep % 2 == 0 else reversed(rows):
            row.sort(key=lambda step: sum(place[one] for one in near[step]) / len(near[step]) if step in near else place[step])
            place |= {step: k - (len(row) - 1) / 2 for k, step in enumerate(row)}


def _width(step: Step) -> int:
    return LANE if step[2] else BOX_WIDTH


def _breadth(row: Sequence[Step]) -> int:
    return sum(map(_width, row)) + (len(row) - 1) * GAP_X


def _arrow(points: Sequence[tuple[float, float]]) -> str:
    """Down from the lower edge of a box, straight through each layer that it passes, to the upper edge of another."""
    x, y = points[0][0], points[0][1] + BOX_HEIGHT
    way = f"M{x:g},{y:g}"
    for k, (to_x, to_y) in enumerate(points[1:], start=2):
        way += f"C{x:g},{y + GAP_Y / 2:g} {to_x:g},{to_y - GAP_Y / 2:g} {to_x:g},{to_y:g}"
        x, y = to_x, to_y
        if k < len(points):
            y += BOX_HEIGHT
            way += f"V{y:g}"
    return f'<path d="{way}" marker-end="url(#dag-tip)"/>'


def _box(name: str, place: tuple[float, float], below: str) -> str:
    x, y = place
    return (
        f'<rect x="{x - BOX_WIDTH / 2:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5"/>'
        f'<text x="{x:g}" y="{y + (17 if below else 25):g}" text-anchor="middle">{escape(name)}</text>'
        f'<text class="below" x="{x:g}" y="{y + 32:g}" text-anchor="middle">{escape(below)}</text>'
    )
