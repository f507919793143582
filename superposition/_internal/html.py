"""Small pieces of HTML and SVG for notebooks: tables of text, and pictures of weights."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

SIDE = 132  # pixels of a picture
LARGEST = 40  # features that a picture of W^T W shows


def table(rows: Iterable[Sequence[Any]], title: str = "") -> str:
    """A table, the first column as headings; all of it is text, never markup."""
    caption = f"<caption style='text-align:left;font-weight:bold'>{escape(title)}</caption>" if title else ""
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(str(first))}</th>"
        + "".join(f"<td style='text-align:left'>{escape(str(value))}</td>" for value in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table>{caption}{body}</table>"


def beside(*parts: str) -> str:
    """Pieces next to each other."""
    cells = "".join(f"<div>{part}</div>" for part in parts if part)
    return f"<div style='display:flex;gap:1.5em;align-items:flex-start'>{cells}</div>"


def weights(W: np.ndarray) -> str:
    """A picture of W (n_hidden, n_features): its columns as arrows for two hidden dimensions, else W^T W as a heat map."""
    W = np.nan_to_num(np.asarray(W, float))
    if W.ndim != 2 or not W.size:
        return ""
    return _arrows(W) if W.shape[0] == 2 else _heat(W[:, :LARGEST].T @ W[:, :LARGEST])


def _svg(body: str, says: str) -> str:
    return (
        f"<svg width='{SIDE}' height='{SIDE}' viewBox='0 0 {SIDE} {SIDE}' role='img' aria-label='{escape(says)}'>"
        f"<title>{escape(says)}</title>{body}</svg>"
    )


def _arrows(W: np.ndarray) -> str:
    half = SIDE / 2
    scale = 0.92 * half / max(1.0, float(np.abs(W).max()))
    lines = "".join(
        f"<line x1='{half}' y1='{half}' x2='{half + scale * x:.1f}' y2='{half - scale * y:.1f}' stroke='#2a6fb0'/>"
        f"<circle cx='{half + scale * x:.1f}' cy='{half - scale * y:.1f}' r='2.5' fill='#2a6fb0'/>"
        for x, y in W.T
    )
    return _svg(lines, f"The {W.shape[1]} columns of W in the plane")


def _heat(gram: np.ndarray) -> str:
    n, scale = len(gram), max(1.0, float(np.abs(gram).max()))
    size = SIDE / n
    cells = "".join(
        f"<rect x='{size * j:.2f}' y='{size * i:.2f}' width='{size:.2f}' height='{size:.2f}' "
        f"fill='{'#b2182b' if gram[i, j] > 0 else '#2166ac'}' fill-opacity='{abs(gram[i, j]) / scale:.2f}'/>"
        for i in range(n)
        for j in range(n)
        if abs(gram[i, j]) > 0.02 * scale
    )
    frame = f"<rect width='{SIDE}' height='{SIDE}' fill='none' stroke='#999'/>"
    return _svg(cells + frame, f"W^T W of {n} features: red positive, blue negative")
