"""The course: the committed notebooks with their outputs, copied to where Sphinx reads them, and the page before them."""

import json
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"


def lessons() -> list[Path]:
    """The executed notebooks in lecture order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def title(lesson: Path) -> str:
    """The first heading of a lesson."""
    for cell in json.loads(lesson.read_text(encoding="utf-8"))["cells"]:
        found = re.search(r"^# +(.+)$", "".join(cell["source"]), re.MULTILINE)
        if cell["cell_type"] == "markdown" and found:
            return found[1]
    return lesson.stem


def index() -> str:
    """The course's README as a page, with a table of contents."""
    text = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\((?!http|[0-9]{2}_)([^)]+)\)", r"](../../../notebooks/\1)", text)
    toc = ["```{toctree}", ":maxdepth: 1", "", *(lesson.stem for lesson in lessons()), "```", ""]
    return "\n".join([text, "## Lessons", "", *toc])


def copy(folder: Path) -> None:
    """Copy the lessons, as they are, into a folder of the documentation."""
    for lesson in lessons():
        shutil.copyfile(lesson, folder / lesson.name)
