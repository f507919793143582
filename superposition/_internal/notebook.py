"""What a notebook shows of a value: a small table, a small line chart. Plain HTML and SVG, in the notebook's own colours."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
)  # told apart by the colour-blind (Okabe, Ito)
SIZE, MARGIN = (360, 180), 40


def table(title: str, rows: Sequence[Sequence[Any]], head: Sequence[str] = ()) -> str:
    """An HTML table; nothing in a cell is markup, and floats have four digits."""
    first = f"<tr>{''.join(f'<th>{_cell(cell)}</th>' for cell in head)}</tr>" if head else ""
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    caption = f"<caption style='text-align: left'>{_cell(title)}</caption>"
    return f"<table>{caption}<thead>{first}</thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        value = f"{value:.4g}"
    return html.escape(str(value)).replace("\n", "↵")


def chart(
    x: Any, lines: dict[str, Any], labels: tuple[str, str], errors: dict[str, Any] | None = None
) -> str:
    """An SVG of lines over x (n,), each named, with error bars where given; points that are not finite are left out."""
    x, (width, height) = np.asarray(x, float), SIZE
    values = {name: np.asarray(y, float) for name, y in lines.items()}
    bars = {name: np.nan_to_num(np.asarray(e, float)) for name, e in (errors or {}).items()}
    ends = [y + sign * bars.get(name, 0) for name, y in values.items() for sign in (-1, 1)]
    span_x, span_y = _span(x), _span(np.concatenate(ends))

    def place(a: float, b: float) -> tuple[float, float]:
        across = (a - span_x[0]) / (span_x[1] - span_x[0])
        up = (b - span_y[0]) / (span_y[1] - span_y[0])
        return MARGIN + across * (width - 1.5 * MARGIN), height - MARGIN - up * (height - 1.5 * MARGIN)

    parts = []
    for i, (name, y) in enumerate(values.items()):
        colour, points = COLOURS[i % len(COLOURS)], []
        for a, b, e in zip(x, y, np.broadcast_to(bars.get(name, 0.0), y.shape), strict=True):
            if not np.isfinite([a, b]).all():
                continue
            (u, v), (_, low), (_, high) = place(a, b), place(a, b - e), place(a, b + e)
            points.append(f"{u:.1f},{v:.1f}")
            parts.append(f"<circle cx='{u:.1f}' cy='{v:.1f}' r='2.5' fill='{colour}'/>")
            if e:
                parts.append(f"<path d='M{u:.1f} {low:.1f}V{high:.1f}' stroke='{colour}'/>")
        parts.append(f"<polyline points='{' '.join(points)}' fill='none' stroke='{colour}'/>")
        parts.append(_text(width - 6, 14 + 14 * i, name, f"text-anchor='end' fill='{colour}'"))
    left, bottom = MARGIN, height - MARGIN
    parts.append(f"<path d='M{left} 8V{bottom}H{width - 16}' fill='none' stroke='currentColor'/>")
    for value, (u, v) in ((span_x[0], (left, bottom + 14)), (span_x[1], (width - 20, bottom + 14))):
        parts.append(_text(u, v, f"{value:.3g}", "text-anchor='middle' fill='currentColor'"))
    for value, v in ((span_y[0], bottom), (span_y[1], MARGIN / 2)):
        parts.append(_text(left - 4, v + 4, f"{value:.3g}", "text-anchor='end' fill='currentColor'"))
    parts.append(_text(width / 2, height - 8, labels[0], "text-anchor='middle' fill='currentColor'"))
    said = html.escape(f"{labels[1]} against {labels[0]}: {', '.join(lines)}", quote=True)
    return (
        f"<svg role='img' aria-label='{said}' width='{width}' height='{height}' font-size='11' "
        f"font-family='sans-serif'><title>{said}</title>{''.join(parts)}</svg>"
    )


def _span(values: np.ndarray) -> tuple[float, float]:
    """The least and the greatest of what is finite; never the same."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _text(x: float, y: float, words: str, rest: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {rest}>{_cell(words)}</text>"
