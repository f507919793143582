"""A committed notebook is its source, executed: the same cells, no error, nothing of the machine it was made on."""

import base64
import json
import re
import subprocess
import sys

import nbformat
import pytest

from notebooks import build

LESSONS = build.lessons()
ids = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
LARGEST = 400_000  # bytes
FOREIGN = re.compile(r"/(home|tmp|work|root|Users|var)/|0x[0-9a-f]{6,}|\d\d:\d\d:\d\d|\b20\d\d-\d\d-\d\d\b")


def committed(path):
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def described(book):
    return [(cell.cell_type, cell.source, cell.id, cell.metadata.get("tags", [])) for cell in book.cells]


@ids
def test_a_notebook_has_the_cells_of_its_source(path):
    assert described(committed(path)) == described(build.notebook(path)), (
        f"python notebooks/build.py {path.stem[:2]}"
    )


@ids
def test_a_notebook_is_valid_executed_in_order_and_without_errors(path):
    book = committed(path)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for output in (output for cell in code for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"


@ids
def test_a_notebook_is_small_and_has_pictures(path):
    assert path.with_suffix(".ipynb").stat().st_size <= LARGEST
    pictures = [output.data["image/png"] for cell in committed(path).cells if cell.cell_type == "code"
                for output in cell.outputs if "image/png" in output.get("data", {})]  # fmt: skip
    assert pictures
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)


@ids
def test_a_notebook_says_nothing_of_the_machine_or_the_day(path):
    book = committed(path)
    assert book.metadata == {"kernelspec": build.KERNEL, "language_info": {"name": "python"}}
    for cell in book.cells:
        assert set(cell.metadata) <= {"tags"}
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)
            assert not FOREIGN.search(json.dumps(output)), output


@ids
def test_a_lesson_opens_with_its_title_the_install_cell_and_the_import(path):
    title, install, first = build.notebook(path).cells[:3]
    assert title.source.startswith(f"# {path.stem[:2]} · ")
    assert install.metadata["tags"] == ["install"]
    assert first.source.startswith("import superposition as sp")


@ids
def test_the_readme_maps_every_lesson(path):
    assert f"({path.stem}.ipynb)" in (build.HERE / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@ids
def test_a_lesson_executes_in_a_kernel(path):
    """With the small settings of the tests: the full ones are what is committed."""
    command = [sys.executable, str(build.HERE / "build.py"), path.stem, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1000)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path.stem}: executed\n"
