"""A bar chart of the throughput figures as SVG: readable on light and dark pages, made of rectangles and text."""

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rounds import FLOOR, PEER, PERDURE, Measured

COLOURS = {FLOOR: "#b8bec6", PERDURE: "#2f6fb0", PEER: "#d98a3d"}
LEFT, WIDTH, BAR, GAP = 330, 560, 15, 14
DECADES = (10, 1_000_000)


def write_svg(path: Path, results: Sequence[Measured]) -> None:
    """Draw each workload whose first figure is a rate; the axis is logarithmic."""
    charted = [result for result in results if result.workload.figures[0].key == "per_second"]
    parts: list[str] = []
    top = 58
    for result in charted:
        parts.append(_text(LEFT - 10, top + 1.5 * BAR + 4, result.workload.title, anchor="end"))
        for side, colour in COLOURS.items():
            value = result.median(side, "per_second")
            if value is not None:
                width = _x(value)
                unit = result.workload.figures[0].unit
                parts.append(
                    f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR - 2}" fill="{colour}"/>'
                )
                parts.append(_text(LEFT + width + 6, top + BAR - 4, f"{value:,.0f} {unit}", size=11))
            top += BAR
        top += GAP
    axis = [_grid(10**power, top) for power in range(1, 6)]
    legend = [
        f'<rect x="{LEFT + 150 * place}" y="14" width="12" height="12" fill="{colour}"/>'
        + _text(LEFT + 150 * place + 18, 24, "raw sqlite3 floor" if side == FLOOR else side)
        for place, (side, colour) in enumerate(COLOURS.items())
    ]
    width = LEFT + WIDTH + 110
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + 6}" font-family="sans-serif">\n'
        f'<rect width="{width}" height="{top + 6}" fill="white"/>\n'
        + "\n".join([*legend, *axis, *parts])
        + "\n</svg>\n",
        encoding="utf-8",
    )


def _x(value: float) -> float:
    low, high = (math.log10(edge) for edge in DECADES)
    return max(1.0, (math.log10(value) - low) / (high - low) * WIDTH)


def _grid(value: int, bottom: int) -> str:
    x = LEFT + _x(value)
    line = f'<line x1="{x:.1f}" y1="50" x2="{x:.1f}" y2="{bottom - 6}" stroke="#e4e7eb"/>'
    return line + _text(x, 46, f"{value:,}", size=11, anchor="middle")


def _text(x: float, y: float, content: str, *, size: int = 13, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="#24292f">{content}</text>'
