"""figures/REPORT.md and the verdict table in the terminal, both made from what the experiments wrote."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments._base import Claim

HEADER = """# What reproduces

Each line is one claim of *Toy Models of Superposition* (Elhage et al. 2022), what the paper says, what we
measure, and a verdict computed from the measurement. This file is written by `make reproduce`; the numbers
behind it are in the JSON file of the same name as the picture.

| experiment | figure | claim | paper | measured | verdict |
|---|---|---|---|---|---|
"""


def _figure_number(text: str) -> tuple[int, str]:
    digits = "".join(c for c in text if c.isdigit())
    return (int(digits) if digits else 99, text)


def collect(folder: Path) -> list[tuple[str, Claim]]:
    """Claims of every experiment in a folder, by figure number."""
    found = []
    for path in sorted(folder.glob("*.json")):
        content: dict[str, Any] = json.loads(path.read_text())
        for claim in content["claims"]:
            claim.pop("verdict")
            found.append((content["experiment"], Claim(**claim)))
    return sorted(found, key=lambda row: _figure_number(row[1].figure))


def write(folder: Path) -> None:
    """Write REPORT.md from the JSON files in `folder`."""
    rows = [
        f"| [{name}]({name}.png) | {c.figure} | {_cell(c.claim)} | {_cell(c.paper)} | {_cell(c.measured)} | "
        f"{c.verdict} |"
        for name, c in collect(folder)
    ]
    (folder / "REPORT.md").write_text(HEADER + "\n".join(rows) + "\n")


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
    """0 if every verdict is the expected one, else 1."""
    return int(any(c.holds != c.expected for c in claims))
