"""What the builder of the course does to a source: settings for the tests, the install cell, the student's version."""

import subprocess
import sys
from types import ModuleType

import pytest

from notebooks import build

LESSON = '''# %% [markdown]
# # 99 · An exercise

# %% tags=["exercise"]
steps = 5_000  # in the tests: 10

# %% tags=["solution"]
def double(x):
    """Twice x."""
    return 2 * x


def half(x):
    y = x / 2
    return y


# %% tags=["check"]
assert double(2) == 4
'''


@pytest.fixture
def lesson(tmp_path):
    path = tmp_path / "99_exercise.py"
    path.write_text(LESSON, encoding="utf-8")
    return path


def test_settings_take_their_value_for_the_tests(lesson):
    assert "steps = 10  # in the tests: 10" in build.source(lesson, fast=True)
    assert "steps = 5_000  # in the tests: 10" in build.source(lesson)


def test_the_students_version_keeps_signatures_and_docstrings_and_loses_the_bodies(lesson):
    text = build.student(lesson)
    assert 'def double(x):\n    """Twice x."""\n    ...  # your code' in text
    assert "def half(x):\n    ...  # your code" in text
    assert "2 * x" not in text
    assert "y = x / 2" not in text
    assert text.endswith('# %% tags=["check"]\nassert double(2) == 4\n')
    with pytest.raises(AssertionError):
        exec(text, {})


def test_a_notebook_has_the_same_ids_every_time_and_keeps_tags(lesson):
    book = build.notebook(lesson)
    assert [cell.id for cell in book.cells] == [f"99_exercise-{i:02d}" for i in range(4)]
    assert [cell.metadata.get("tags") for cell in book.cells] == [None, ["exercise"], ["solution"], ["check"]]
    assert book == build.notebook(lesson)


def test_a_lesson_that_there_is_not_is_refused_by_name():
    with pytest.raises(SystemExit, match=r"no lesson is called 98; there are 00_tour, 01_features"):
        build.lessons(["98"])


def test_the_install_cell_does_nothing_but_in_colab_and_there_keeps_jax_and_numpy(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda command, **options: ran.append(command))
    monkeypatch.chdir(tmp_path)
    for path in build.lessons():
        cell = build.notebook(path).cells[1].source
        exec(cell, {})
        assert ran == []
        with monkeypatch.context() as colab:
            colab.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
            exec(cell, {})
        assert ran.pop()[1:4] == ["-m", "pip", "install"]
        kept = (tmp_path / "kept.txt").read_text()
        assert [line.split("==")[0] for line in kept.splitlines()] == ["jax", "jaxlib", "numpy"]
