"""The verdicts of `figures/REPORT.md` as a page: whose sentence a claim is, what we measure, and whether it holds."""

import re
from pathlib import Path

REPORT = Path(__file__).parents[2] / "figures" / "REPORT.md"


def page(figures: str = "../../figures") -> str:
    """The report, its links to pictures pointing to `figures`."""
    text = REPORT.read_text(encoding="utf-8").replace("# What reproduces", "# Paper says, we measure", 1)
    return _plain(re.sub(r"\]\((?!http)([^)]+)\)", rf"]({figures}/\1)", text))


def _plain(text: str) -> str:
    """Dollar signs and angle brackets of claims are no markup."""
    return re.sub(r"(?<!\\)([$<>])", r"\\\1", text)
