"""Which model of a sweep `--toy` takes: the one that is named, never silently the easiest."""

import json

import numpy as np
import pytest

from superposition.cli import main
from superposition.training import open_sweep

TINY = ["--architecture", "topk", "--k", "1", "--steps", "5", "--batch-size", "16", "--examples", "64"]


def sweep(path, *axes):
    sizes = ["--n-features", "4", "--n-hidden", "2", "--steps", "30", "--batch-size", "16"]
    assert main.main(["sweep", *sizes, *axes, "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Two densities by two seeds; one density is not short when written."""
    return sweep(tmp_path_factory.mktemp("a") / "a.zarr", "--density", "1", "0.012345678", "--seed", "0", "1")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp("b") / "b.zarr", "--seed", "0..2")


def run(*arguments, capsys):
    capsys.readouterr()
    status = main.main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


COMMANDS = {
    "train": lambda toy, out, *cell: ("sae", "train", "--toy", toy, *cell, *TINY, "--out", out),
    "page": lambda toy, out, *cell: ("page", "--toy", toy, *cell, "--out", out),
    "eval": lambda toy, out, *cell: ("sae", "eval", out.parent / "sae" / "seed=0", "--toy", toy, *cell),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("cell", [(), ("--cell", "seed=1")])
def test_a_sweep_of_several_models_has_to_be_told_which(several, tmp_path, capsys, command, cell):
    good = ("--cell", "density=1", "seed=0")
    assert run(*COMMANDS["train"](several, tmp_path / "sae", *good), capsys=capsys)[0] == 0
    status, printed, err = run(*COMMANDS[command](several, tmp_path / "o", *cell), capsys=capsys)
    assert (status, printed, err.count("\n")) == (2, "", 1), err
    assert "holds 4 models; choose one with --cell" in err
    assert "density: 1, 0.012345678" in err
    assert ("seed: 0, 1" in err) == (not cell)
    assert not (tmp_path / "o").exists()
    # What the message says can be pasted.
    example = err.split("for example --cell ")[1].split(" (")[0].split()
    assert run(*COMMANDS["page"](several, tmp_path / "p", "--cell", *example), capsys=capsys)[0] == 0


def test_the_values_that_are_listed_find_their_models(several, tmp_path, capsys):
    out = tmp_path / "o"
    words = ("--cell", "density=0.012345678", "seed=1")
    assert run(*COMMANDS["train"](several, out, *words), capsys=capsys)[0] == 0
    cell = json.loads((out / "results.json").read_text())["data"]["cell"]
    assert cell == {"density": 0.012345678, "seed": 1}


def test_of_seeds_left_open_the_lowest_loss_is_taken_and_named(several, tmp_path, capsys):
    loss = open_sweep(several)["loss"].sel(density=1)
    best = int(np.argmin(loss.values))
    status, _, err = run(*COMMANDS["train"](several, tmp_path / "o", "--cell", "density=1"), capsys=capsys)
    assert status == 0
    assert f"density=1 seed={best}, the lowest loss of 2 seeds" in err
    assert json.loads((tmp_path / "o" / "results.json").read_text())["data"]["cell"]["seed"] == best


def test_a_sweep_of_seeds_alone_asks_too(seeds, tmp_path, capsys):
    status, _, err = run(*COMMANDS["train"](seeds, tmp_path / "o"), capsys=capsys)
    assert status == 2
    assert "holds 3 models" in err
    assert "seed: 0, 1, 2" in err


def test_a_sweep_of_one_model_needs_no_cell_and_the_table_says_what_is_trained(tmp_path, capsys):
    one = sweep(tmp_path / "c.zarr")
    status, printed, _ = run(*COMMANDS["train"](one, tmp_path / "o"), capsys=capsys)
    assert status == 0
    W = open_sweep(one)["W"].values[0, 0]
    represented = int((np.linalg.norm(W, axis=0) > 0.5).sum())
    assert f"topk, d_in=2 d_sae={represented} k=1, 5 steps" in printed
