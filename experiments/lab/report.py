"""Writes figures/REPORT.md and prints the verdict table, both from what the experiments wrote."""

import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.lab.claim import Claim
from experiments.lab.files import write_text

HEADER = """# What reproduces

Each line is one claim of a published work, what the work says, what we measure, and a verdict computed from
the measurement. This file is written by `make paper`; the numbers behind it are in the JSON file of the
same name as the picture.
"""

TABLE = """
## {work}

| experiment | figure | claim | paper | measured | verdict |
|---|---|---|---|---|---|
"""

FIGURES_OF = "Toy Models of Superposition (Elhage et al. 2022)"  # whose figures go by a bare number


def _work(figure: str) -> str:
    """Return the work that a label belongs to: "F3" is a figure of the toy models paper, anything else names its work."""
    return FIGURES_OF if re.fullmatch(r"F[\d.]+\w?", figure) else figure


def _order(figure: str) -> tuple[bool, int, str]:
    """Order figures by their number, then other works by name."""
    own = _work(figure) == FIGURES_OF
    digits = "".join(c for c in figure if c.isdigit())
    return (not own, int(digits or 99) if own else 0, figure)


def collect(folder: Path) -> list[tuple[str, Claim]]:
    """Return the claims of every experiment in a folder, by figure number, other works after."""
    found = []
    for path in sorted(folder.glob("*.json")):
        content: dict[str, Any] = json.loads(path.read_text())
        for claim in content["claims"]:
            claim.pop("verdict")
            found.append((content["experiment"], Claim(**claim)))
    return sorted(found, key=lambda row: _order(row[1].figure))


def write(folder: Path) -> None:
    """Write REPORT.md from the JSON files in `folder`."""
    text = HEADER
    for work, rows in itertools.groupby(collect(folder), key=lambda row: _work(row[1].figure)):
        text += TABLE.format(work=work) + "".join(_row(name, claim) for name, claim in rows)
    write_text(folder / "REPORT.md", text)


def _row(name: str, c: Claim) -> str:
    return (
        f"| [{name}]({name}.png) | {c.figure} | {_cell(c.claim)} | {_cell(c.paper)} | {_cell(c.measured)} | "
        f"{c.verdict} |\n"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def show(claims: Iterable[Claim]) -> None:
    """Print a verdict table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=True)
    for name in ("figure", "claim", "paper", "measured", "verdict"):
        table.add_column(name)
    for c in claims:
        mark = "" if c.holds == c.expected else " (unexpected)"
        table.add_row(c.figure, c.claim, c.paper, c.measured, c.verdict + mark)
    Console().print(table)


def status(claims: Iterable[Claim]) -> int:
    """Return 0 if every verdict is the expected one, else 1."""
    return int(any(c.holds != c.expected for c in claims))
