"""The verdicts of `figures/REPORT.md` as a page: what a paper says, what we measure, and whether it holds."""

import re
from pathlib import Path

REPORT = Path(__file__).parents[2] / "figures" / "REPORT.md"


def verdicts(text: str) -> dict[str, dict[str, int]]:
    """Work -> verdict -> how many claims."""
    result: dict[str, dict[str, int]] = {}
    work = ""
    for line in text.splitlines():
        if line.startswith("## "):
            work = line[3:]
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 6 and cells[0] not in ("experiment", "---"):
            counts = result.setdefault(work, {})
            counts[cells[5]] = counts.get(cells[5], 0) + 1
    return result


def page(figures: str = "../../figures") -> str:
    """The report with a summary in front, its links to pictures pointing to `figures`."""
    text = REPORT.read_text(encoding="utf-8")
    counts = verdicts(text)
    kinds = list(dict.fromkeys(kind for held in counts.values() for kind in held))
    head, *works = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    lines = [
        "# Paper says, we measure", "",
        "Each line is one claim of a published work, what the work says, what we measure, and a verdict computed from the",
        "measurement. `make reproduce` writes the report anew; the numbers behind it are in `figures/`, in the JSON file of the",
        "same name as the picture.", "",
        "| work | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|",
    ]  # fmt: skip
    for work, held in counts.items():
        lines.append(f"| {work} | " + " | ".join(str(held.get(kind, 0)) for kind in kinds) + " |")
    del head
    body = re.sub(r"\]\((?!http)([^)]+)\)", rf"]({figures}/\1)", "".join(works))
    return "\n".join([*lines, "", _plain(body)])


def _plain(text: str) -> str:
    """Dollar signs and angle brackets of claims are no markup."""
    return re.sub(r"(?<!\\)([$<>])", r"\\\1", text)
