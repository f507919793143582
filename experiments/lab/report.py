"""Writes figures/REPORT.md and prints the verdict table, both from what the experiments wrote."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.lab import stored
from experiments.lab.claim import MEANING, Claim, Source, Verdict
from experiments.lab.files import write_text

HEADER = """# What reproduces

Each line is one claim: whose sentence it is, what the published work says, what we measure, and a verdict computed from
the measurement. A claim is undecided where the 95 % interval of the measured number covers the bar. Under "recorded" stands
the verdict when these figures were committed; a run with another verdict says so. `make paper` writes this file; the
numbers behind it, with values, bars and intervals, are in the JSON file of the same name as the picture. A text of over
{longest} characters is cut, and stands in full below its table.
"""

CLAIMS = ("experiment", "figure", "source", "claim", "paper", "measured", "verdict", "recorded")
PAIRS = ("experiment", "figure", "source", "paper", "as first stated", "measured", "verdict", "restated", "measured",
         "verdict", "recorded")  # fmt: skip
LONGEST = 200  # characters of a cell

FIGURES_OF = "Toy Models of Superposition (Elhage et al. 2022)"  # whose figures go by a bare number

Row = tuple[str, Claim]


def work(figure: str) -> str:
    """Return the work that a label belongs to: "F3" is a figure of the toy models paper, anything else names its work."""
    return FIGURES_OF if re.fullmatch(r"F[\d.]+\w?", figure) else figure


def _order(figure: str) -> tuple[bool, int, str]:
    """Order figures by their number, then other works by name."""
    own = work(figure) == FIGURES_OF
    digits = "".join(c for c in figure if c.isdigit())
    return (not own, int(digits or 99) if own else 0, figure)


def write(folder: Path) -> None:
    """Write REPORT.md from the JSON files in `folder`."""
    rows = [(name, claim) for name, claims in stored.collect(folder).items() for claim in claims]
    rows.sort(key=lambda row: _order(row[1].figure))
    text = HEADER.format(longest=LONGEST) + "\n" + summary([claim for _, claim in rows])
    pairs = _pairs(rows)
    twins = {id(claim) for _, first, weaker in pairs for claim in (first, weaker)}
    for title, group in itertools.groupby(rows, key=lambda row: work(row[1].figure)):
        members = list(group)
        alone = [_row(name, claim) for name, claim in members if id(claim) not in twins]
        both = [_pair(*pair) for pair in pairs if any(pair[1] is claim for _, claim in members)]
        text += f"\n## {title}\n" + _table(CLAIMS, alone)
        text += ("\nRestated after failing:\n" + _table(PAIRS, both)) if both else ""
    write_text(folder / "REPORT.md", text)


def summary(claims: Sequence[Claim]) -> str:
    """Return how many claims of each source hold, do not, and are undecided, as a table."""
    counts = Counter((claim.source, claim.verdict) for claim in claims)
    lines = [f"| source | {' | '.join(Verdict)} | what it is |", "|---" * (len(Verdict) + 2) + "|"]
    for source in Source:
        numbers = " | ".join(str(counts[source, verdict]) for verdict in Verdict)
        lines.append(f"| {source} | {numbers} | {MEANING[source]} |")
    return "\n".join(lines) + "\n"


def original(claim: Claim, claims: Iterable[Claim]) -> Claim | None:
    """Return the claim of the same experiment that `claim` restates, None if there is none."""
    found = [c for c in claims if claim.restates and c is not claim and c.claim.startswith(claim.restates)]
    return found[0] if found else None


def _pairs(rows: Sequence[Row]) -> list[tuple[str, Claim, Claim]]:
    """Return experiment, original and restated claim of every pair."""
    pairs = []
    for name, claim in rows:
        first = original(claim, [c for other, c in rows if other == name])
        if first is not None:
            pairs.append((name, first, claim))
    return pairs


def _row(name: str, c: Claim) -> list[str]:
    return [
        _picture(name),
        c.figure,
        c.source,
        c.claim,
        c.paper,
        c.measured,
        c.verdict,
        c.recorded or "not yet",
    ]


def _pair(name: str, a: Claim, b: Claim) -> list[str]:
    recorded = "; ".join(claim.recorded or "not yet" for claim in (a, b))
    stated, weaker = ([claim.claim, claim.measured, claim.verdict] for claim in (a, b))
    return [_picture(name), a.figure, a.source, a.paper, *stated, *weaker, recorded]


def _picture(name: str) -> str:
    return f"[{name}]({name}.png)"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, and below it what its cells have no room for."""
    if not rows:
        return ""
    lines, notes = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"], []
    for row in rows:
        cells = []
        for cell in map(_plain, row):
            if len(cell) > LONGEST:
                notes.append(cell)
                cell = _cut(cell, f" ... ({len(notes)})")
            cells.append(cell)
        lines.append(f"| {' | '.join(cells)} |")
    below = "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1))
    return "\n" + "\n".join(lines) + "\n" + (f"\nIn full:\n\n{below}\n" if notes else "")


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _cut(text: str, end: str) -> str:
    """Return the text cut at the last stop, or else at the last word, that leaves room for `end`."""
    room = text[: LONGEST - len(end)]
    stops = [room.rfind(mark) for mark in ("; ", ", ", ": ")]
    place = max(stops) if max(stops) > LONGEST // 2 else room.rfind(" ")
    return room[:place].rstrip("\\") + end


def show(claims: Iterable[Claim]) -> None:
    """Print a verdict table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=True)
    for name in ("figure", "source", "claim", "paper", "measured", "verdict"):
        table.add_column(name)
    for c in claims:
        mark = f" (changed: on record it {_says(c.recorded)})" if c.changed else ""
        table.add_row(c.figure, c.source, c.claim, c.paper, c.measured, c.verdict + mark)
    Console().print(table)


def _says(verdict: Verdict | None) -> str:
    return "is undecided" if verdict == Verdict.UNDECIDED else str(verdict)


def status(claims: Iterable[Claim]) -> int:
    """Return 1 if a verdict is another than the one on record, else 0; a claim without record changes nothing."""
    return int(any(claim.changed for claim in claims))
