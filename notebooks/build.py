"""Makes the course's notebooks from their sources, the `.py` beside this file (py:percent, read by jupytext).

    python notebooks/build.py               # executes every lesson and writes its .ipynb, with outputs
    python notebooks/build.py 03 05         # those two
    python notebooks/build.py --check       # executes with the settings of the tests, and writes nothing
    python notebooks/build.py --student     # lessons with exercises, without their solutions, into notebooks/student/

A written notebook depends on its source and its outputs alone: it has no times, no paths of a machine, and cells have
the same ids every time. Cells of an exercise are tagged `exercise`, `solution` and `check`; in the student's version the
functions of a `solution` keep their signature and docstring, and their bodies are to be written.
"""

import argparse
import ast
import base64
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat

HERE = Path(__file__).parent
CELL_SECONDS = 600  # a cell may take 20 s; a busy machine may take longer than that
LARGE, COLOURS, SEEN = (
    120_000,
    64,
    40,
)  # pictures get a palette where they are large (bytes), or change by little (of 255)
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
FAST = re.compile(r"^(\w+ = ).*?(\s+# in the tests: (.+))$", re.MULTILINE)


def lessons(names: list[str] | None = None) -> list[Path]:
    """Return the sources in lecture order; `names` are beginnings of file names, such as 03."""
    found = sorted(HERE.glob("[0-9][0-9]_*.py"))
    chosen = [path for path in found if not names or any(path.name.startswith(name) for name in names)]
    if not chosen:
        raise SystemExit(
            f"no lesson is called {', '.join(names or [])}; there are {', '.join(p.stem for p in found)}"
        )
    return chosen


def source(path: Path, *, fast: bool = False) -> str:
    """Return a lesson's text; `fast` takes for each setting the value that its line has for the tests."""
    text = path.read_text(encoding="utf-8")
    return FAST.sub(r"\1\3\2", text) if fast else text


def notebook(path: Path, *, fast: bool = False) -> Any:
    """Return a lesson as a notebook without outputs: cells with stable ids and tags, and no metadata but the kernel."""
    import jupytext

    book = jupytext.reads(source(path, fast=fast), fmt="py:percent")
    for number, cell in enumerate(book.cells):
        cell["id"] = f"{path.stem}-{number:02d}"
        tags = cell.metadata.get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
    book["metadata"] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    book["nbformat"], book["nbformat_minor"] = 4, 5
    return book


def execute(book: Any) -> Any:
    """Run every cell in a fresh kernel, in this folder, and keep outputs that are the same every time."""
    from nbclient import NotebookClient

    client = NotebookClient(book, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(HERE)}},
                            record_timing=False)  # fmt: skip
    metadata = dict(book.metadata)
    client.execute()
    book["metadata"] = metadata  # without the version of this Python
    for cell in book.cells:
        if cell.cell_type == "code":
            cell["outputs"] = [_lasting(output) for output in cell.outputs if not _passing(output)]
    return book


def _passing(output: Any) -> bool:
    """A progress bar, which says how long something took."""
    return output.output_type == "display_data" and "image/png" not in output.data


def _lasting(output: Any) -> Any:
    """An output without the object's address; of a picture, the picture."""
    data = output.get("data", {})
    if "image/png" in data:
        output["data"] = {"image/png": _smaller(data["image/png"]), "text/plain": "a picture"}
    output.pop("metadata", None) if output.output_type == "stream" else output.update(metadata={})
    return output


def _smaller(picture: str) -> str:
    """A PNG, in base64, of fewer bytes: with a palette, unless that can be seen and the picture is small."""
    from PIL import Image, ImageChops

    given, buffer = base64.b64decode(picture), BytesIO()
    image = Image.open(BytesIO(given)).convert("RGB")
    indexed = image.quantize(COLOURS, dither=Image.Dither.NONE)
    change = max(high for _, high in ImageChops.difference(image, indexed.convert("RGB")).getextrema())
    (indexed if change <= SEEN or len(given) > LARGE else image).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def student(path: Path) -> str:
    """Return the student's version of a lesson's source: bodies of functions in `solution` cells are `...`."""
    parts = re.split(r"(?m)^(?=# %%)", source(path))
    return "".join(
        _emptied(part) if 'tags=["solution"]' in part.split("\n", 1)[0] else part for part in parts
    )


def _emptied(cell: str) -> str:
    header, body = cell.split("\n", 1)
    lines = body.splitlines()
    for function in reversed([node for node in ast.parse(body).body if isinstance(node, ast.FunctionDef)]):
        said = function.body[0]
        documented = isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant)
        first = said.end_lineno if documented else said.lineno - 1
        lines[first : function.end_lineno] = ["    ...  # your code"]
    return "\n".join([header.replace("solution", "exercise"), *lines]) + "\n\n"


def write(path: Path) -> Path:
    """Execute one lesson and write its notebook beside it."""
    target = path.with_suffix(".ipynb")
    text = nbformat.writes(execute(notebook(path)))
    target.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    return target


def main(arguments: list[str]) -> None:
    """Build what is asked for; several lessons in a process each, as kernels in one process may trip over each other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lessons", nargs="*", help="beginnings of file names, such as 03; all without any")
    parser.add_argument("--student", action="store_true", help="write the versions for students, unexecuted")
    parser.add_argument(
        "--check", action="store_true", help="execute with the settings of the tests, and write nothing"
    )
    given = parser.parse_args(arguments)
    os.environ["HF_HUB_OFFLINE"] = "1"  # what is committed is made with what ships, whatever network there is
    chosen = lessons(given.lessons)
    for path in chosen:
        if given.student:
            hand_out(path)
        elif len(chosen) > 1:
            subprocess.run([sys.executable, __file__, path.stem, *["--check"] * given.check], check=True)
        elif given.check:
            check(path)
        else:
            print(f"{path.stem}: {write(path).stat().st_size / 1000:.0f} kB", flush=True)


def hand_out(path: Path) -> None:
    """Write the student's version of a lesson that has exercises."""
    if student(path) == source(path):
        return
    (HERE / "student").mkdir(exist_ok=True)
    target = HERE / "student" / path.name
    target.write_text(student(path), encoding="utf-8")
    nbformat.write(notebook(target), target.with_suffix(".ipynb"))
    print(target.relative_to(HERE.parent))


def check(path: Path) -> None:
    """Execute one lesson with the settings of the tests; SystemExit where a cell writes to standard error."""
    for cell in execute(notebook(path, fast=True)).cells:
        said = [output.text for output in cell.get("outputs", []) if output.get("name") == "stderr"]
        if said:
            raise SystemExit(f"{path.stem}: a cell writes to standard error: {''.join(said)}")
    print(f"{path.stem}: executed", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
