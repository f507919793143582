"""Every experiment runs, is found by its name, and has the figures and verdicts that are committed."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from experiments import __main__
from experiments.lab import all as every
from experiments.lab import files, find
from experiments.lab.find import name_of
from experiments.lab.run import execute
from experiments.toy_models.shared import phase_figure, phase_grid
from superposition import theory

EXPERIMENTS = find.load_all()


ALWAYS = ("sharkey",)  # a quick one; `make test-slow` runs the others


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(m, id=name_of(m), marks=() if name_of(m) in ALWAYS else pytest.mark.slow)
        for m in EXPERIMENTS
    ],
)
def test_every_experiment_runs_quick_and_writes_picture_numbers_and_report(module, tmp_path):
    result = execute(module, module.Config.quick(), tmp_path)
    name = name_of(module)
    assert (tmp_path / f"{name}.png").stat().st_size > 5_000
    content = json.loads((tmp_path / f"{name}.json").read_text())
    assert content["config"]
    assert [c["claim"] for c in content["claims"]] == [c.claim for c in result.claims]
    text = (tmp_path / "REPORT.md").read_text()
    for claim in result.claims:
        assert claim.measured.split("|")[0].strip() in text.replace(
            "\\|", "|"
        )  # in its cell, or below the table
    assert isinstance(module.draw(result), Figure)
    assert len(module.alt(result)) > 40
    for section in ("Command:", "Time:", "Expect:"):
        assert section in module.__doc__


def test_committed_figures_were_made_by_these_experiments():
    for module in EXPERIMENTS:
        name = name_of(module)
        content = json.loads((files.FIGURES / f"{name}.json").read_text())
        assert content["config"] == files.plain(asdict(module.Config())), f"run python -m experiments {name}"
        assert (files.FIGURES / f"{name}.png").exists()


def test_phase_classes_and_boundary_distance():
    norm, interference = np.array([0.1, 1.0, 1.0]), np.array([5.0, 0.1, 0.9])
    assert phase_figure.classify(norm, interference).tolist() == [0, 1, 2]
    diagram = phase_grid.DIAGRAM
    grid = phase_grid.Grid(cells=21)
    far = phase_figure.far_from_boundary(diagram, grid, 0.1)
    r, p = grid.axes(21)
    on = np.abs(np.log10(p[:, None] / theory.boundary_2_1(r)[None, :])) < 0.05
    assert not far[on].any()
    assert far[-1].all()
    assert far.mean() > 0.7


def test_experiments_that_share_work_run_in_one_process_the_longest_first(tmp_path, monkeypatch):
    def module(name, seconds, **settings):
        (tmp_path / f"{name}.json").write_text(json.dumps({"seconds": seconds}))
        return SimpleNamespace(__name__=f"experiments.{name}", **settings)

    monkeypatch.setattr(files, "FIGURES", tmp_path)
    modules = [module("a", 3), module("b", 2, SHARED="sweep"), module("c", 9), module("d", 8, SHARED="sweep")]
    new = SimpleNamespace(__name__="experiments.never_run")
    names = [
        [n.removeprefix("experiments.") for n in group] for group in every.grouped([new, *modules], "full")
    ]
    assert names == [["b", "d"], ["c"], ["a"], ["never_run"]]


def test_all_runs_in_other_processes_and_brings_the_claims_back(tmp_path):
    intro = next(m for m in EXPERIMENTS if name_of(m) == "intro")
    claims = every.run([intro], "quick", tmp_path, jobs=1)
    assert [c.figure for c in claims] == ["F1"] * len(claims)
    assert len(claims) == len(json.loads((tmp_path / "intro.json").read_text())["claims"]) > 0
    assert (tmp_path / "intro.png").exists()


def test_a_moving_picture_is_written_beside_the_still_one(tmp_path, monkeypatch):
    from experiments.toy_models import intro

    def animate(result):
        figure = Figure(figsize=(1, 1))
        (line,) = figure.subplots().plot([0, 1])
        return FuncAnimation(figure, lambda k: line.set_ydata([0, k]), frames=3)

    monkeypatch.setattr(intro, "animate", animate, raising=False)
    execute(intro, intro.Config.quick(), tmp_path)
    assert (tmp_path / "intro.gif").read_bytes()[:6] == b"GIF89a"
    assert (tmp_path / "intro.png").exists()


@pytest.mark.parametrize("arguments", [["--jobs", "0"], ["--jobs", "two"], ["--every"]])
def test_bad_arguments_are_refused_with_the_usage(arguments, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["experiments", *arguments])
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert stop.value.code == 2
    assert "usage: python -m experiments" in capsys.readouterr().err


def test_what_stands_in_the_folder_of_a_work_is_an_experiment():
    """A new experiment is one file or folder: no list names it, and no other file has to be edited."""
    folders = [Path(find.HERE) / work for work in find.WORKS]
    there = {p.stem for folder in folders for p in folder.iterdir() if not p.name.startswith("_")} - {
        "shared"
    }
    assert there == set(find.experiments())
    for module in EXPERIMENTS:
        assert all(hasattr(module, needed) for needed in ("Config", "run", "draw", "alt")), module.__name__
    assert set(find.experiments()).isdisjoint(find.scripts())


def test_each_docstring_gives_the_command_that_runs_it():
    for name, path in (find.experiments() | find.scripts()).items():
        assert f"Command:  python -m experiments {name}" in find.source(path).read_text(), path


def test_files_are_short():
    for path in find.HERE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path
    for work in find.WORKS:
        for path in (find.HERE / work).glob("*.py"):
            assert len(path.read_text().splitlines()) <= 150, f"make a package of {path}"


def test_the_list_has_every_title_under_its_work_and_does_not_wait_for_jax():
    code = (
        "import sys; from experiments.__main__ import main; sys.argv = ['experiments']; main(); "
        "assert 'jax' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name, path in find.experiments().items():
        assert f"  {name:24} {find.title(path)}\n" in shown
    assert all(title in shown for title in find.WORKS.values())


def _run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["experiments", *arguments])
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    return stop.value.code


def test_an_experiment_runs_by_its_name_wherever_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, "intro", "--quick", "--steps", "7") == 0
    assert json.loads(Path("figures/quick/intro.json").read_text())["config"]["steps"] == 7


def test_its_help_is_its_docstring_and_its_flags(monkeypatch, capsys):
    assert _run(monkeypatch, "basins", "--help") == 0
    shown = capsys.readouterr().out
    assert "usage: python -m experiments basins" in shown
    assert "--lowest-density" in shown
    assert "Which minimum training finds" in shown


def test_a_package_runs_as_a_module_too():
    for module in ("toy_models.basins", "toy_models.intro", "scripts.train_small_lm"):
        command = [sys.executable, "-m", f"experiments.{module}", "--help"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert f"usage: python -m experiments {module.split('.')[-1]}" in shown


def test_an_unknown_name_is_refused_with_the_nearest_one(monkeypatch, capsys):
    assert _run(monkeypatch, "intor") == 2
    assert capsys.readouterr().err == "error: there is no experiment 'intor'; did you mean intro?\n"
