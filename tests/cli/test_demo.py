"""`superposition demo`: a picture, three lines that are true of it, commands that are read; opened where that is possible."""

import shlex

import numpy as np
import pytest
from PIL import Image

from superposition import Linear, ReLUOutput, geometry, theory
from superposition._internal import opening
from superposition.cli import main
from superposition.cli.toy import demo
from superposition.cli.toy.config import DemoConfig


def models():
    """Linear and ReLU: five features apart, and at the last density ten in antipodal pairs at a quarter of the loss."""
    eye = np.zeros((3, 5, 20))
    eye[:, :, :5] = np.eye(5)
    pairs = eye.copy()
    pairs[2, np.arange(5), np.arange(5, 10)] = -1.0
    optimum = theory.linear_optimum(0.7 ** np.arange(20), 0.01, 5)
    b, loss = np.zeros((3, 20)), np.array([1.0, 1.0, 0.25 * optimum])
    return {"W": eye, "b": b, "loss": loss}, {"W": pairs, "b": b, "loss": loss}


def test_it_writes_a_slide_and_says_what_comes_next(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "_best", lambda model, _: models()[model is ReLUOutput])
    opened = []
    monkeypatch.setattr(demo, "show_file", lambda path: opened.append(path) or True)
    assert main.main(["demo"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"wrote and opened {demo.DEFAULT}")
    assert opened == [demo.DEFAULT]
    with Image.open(demo.DEFAULT) as picture:
        assert picture.size == (1920, 1080)
        assert "ReLU model keeps" in picture.text["Description"]
    assert [line[0] for line in said.splitlines()[2:5]] == ["1", "2", "3"]
    assert main.main(["demo", "--no-open"]) == 0  # its own picture is replaced
    assert len(opened) == 1
    assert main.main(["demo", "--no-open", "--out", "mine.png"]) == 0
    assert main.main(["demo", "--no-open", "--out", "mine.png"]) == 2  # a picture that was named is not
    assert "mine.png exists; give another --out" in capsys.readouterr().err


def test_the_lines_are_made_of_the_models_numbers():
    lines = demo.explained(*models())
    assert "keeps 5 of 20 features" in lines[0]
    assert "5 at 1-S = 1 (5 dedicated), 5 at 1-S = 0.1 (5 dedicated), 10 at 1-S = 0.01 (5 digons)" in lines[1]
    assert "25% of what any linear model can reach" in lines[2]


def test_what_it_trains_is_what_the_lecture_says():
    linear, relu = (demo._best(model, rate) for model, rate in ((Linear, 1e-2), (ReLUOutput, 3e-3)))
    assert geometry.represented(linear["W"]).tolist() == [5, 5, 5]
    dense, sparser, sparsest = geometry.represented(relu["W"])
    assert 5 == dense < sparser < sparsest
    assert relu["loss"][-1] < 0.5 * theory.linear_optimum(0.7 ** np.arange(20), 0.01, 5)


def test_the_next_commands_are_read_by_the_command_line():
    lines = [line for line in demo.NEXT if not line.startswith("#")]
    assert len(lines) == 4
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "superposition"
        main.read(words[1:])


def test_bare_help_begins_with_it(capsys):
    assert main.main([]) == 0
    assert "superposition demo" in capsys.readouterr().out.split("Commands:")[0]


def test_a_name_that_is_no_picture_is_refused_before_anything_trains(capsys):
    assert main.main(["demo", "--out", "picture.pdf"]) == 2
    assert "does not end in .png" in capsys.readouterr().err
    assert DemoConfig().open


@pytest.mark.parametrize(
    ("where", "opens"),
    [
        ({}, False),
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "w"}, True),
        ({"DISPLAY": ":0", "CI": "1"}, False),
    ],
)
def test_nothing_is_opened_without_a_display_or_in_continuous_integration(
    where, opens, monkeypatch, tmp_path
):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in where.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(opening.sys, "platform", "linux")
    monkeypatch.setattr(opening.shutil, "which", lambda name: f"/usr/bin/{name}")
    started = []
    monkeypatch.setattr(opening.subprocess, "Popen", lambda command, **_: started.append(command))
    assert opening.show_file(tmp_path / "a.png") is opens
    assert started == ([["/usr/bin/xdg-open", str(tmp_path / "a.png")]] if opens else [])


def test_a_program_that_cannot_be_started_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(opening, "opener", lambda: str(tmp_path / "none"))
    assert opening.show_file(tmp_path / "a.png") is False
