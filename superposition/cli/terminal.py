"""What commands print: tables, and text of others in which nothing acts on the terminal."""

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from superposition.evaluation.metrics import METRICS

MAX_ROWS = 60
WIDE = 200
COLUMNS = {name: metric.column for name, metric in METRICS.items() if metric.column is not None}


def console() -> Console:
    """Standard output; where that is no terminal, wide enough that no number is cut."""
    usual = Console()
    return usual if usual.is_terminal else Console(width=WIDE)


def visible(text: str) -> str:
    """Text that a terminal only shows: control characters, and what its encoding lacks, as escapes."""
    shown = "".join(c.encode("unicode_escape").decode() if _controls(c) else c for c in text)
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _controls(character: str) -> bool:
    """Line ends are text, and so are the joiners of scripts; other invisible characters may act on a terminal."""
    kind = unicodedata.category(character)
    return character not in "\n\u200c\u200d" and (kind[0] == "C" or kind in ("Zl", "Zp"))


def number(value: Any, digits: int = 4) -> str:
    """A cell of a table: a float in so many digits, `-` for None, anything else as it is."""
    return "-" if value is None else f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def draw(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    digits: int = 4,
    exact: int = 0,
    fold: bool = True,
) -> None:
    """Print a table of numbers and text; nothing in a cell is markup.

    digits: of a float; in the first `exact` columns six. fold: break long cells, instead of leaving their columns wide.
    """
    print(f"\n{visible(title)}")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        left = any(isinstance(row[i], str) for row in rows)
        table.add_column(
            Text(visible(column)), justify="left" if left else "right", overflow="fold", no_wrap=not fold
        )
    for row in rows[:MAX_ROWS]:
        cells = (number(cell, 6 if i < exact else digits) for i, cell in enumerate(row))
        table.add_row(*(Text(visible(cell)) for cell in cells))
    console().print(table)
    if len(rows) > MAX_ROWS:
        print(f"... and {len(rows) - MAX_ROWS} more")


def draw_records(records: Sequence[Mapping[str, Any]], title: str, of: str = "SAE") -> None:
    """Print one row an SAE (or whatever `of` says): its settings or name, and its metrics; then its warnings."""
    settings = list(dict.fromkeys(k for r in records for k in r.get("settings", {})))
    shown = {k: v for k, v in COLUMNS.items() if any(k in r["metrics"] for r in records)}
    faulty = any(r.get("fault") for r in records)
    rows = []
    for record in records:
        first = [record.get("settings", {}).get(k) for k in settings] if settings else [record["name"]]
        fault = [record.get("fault") or ""] if faulty else []
        rows.append([*first, *(record["metrics"].get(k) for k in shown), *fault])
    heads = [*(settings or [of]), *shown.values(), *(["fault"] if faulty else [])]
    draw(title, heads, rows, digits=3, exact=len(settings), fold=not settings)
    for record in records[:MAX_ROWS]:
        for warning in record.get("warnings") or ():
            print(f"warning: {visible(record['name'])}: {warning}")
