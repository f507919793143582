"""`superposition page` of toy models."""

import numpy as np

from superposition.pages.server.served import read_index
from superposition.toy import ReLUOutput
from superposition.training import open_sweep, sweep
from superposition.training.toy import ToyRun
from superposition.training.toy_results import toy_sweep
from tests.support.page_commands import CELL, run, write_sae


def test_pages_of_a_toy_model(store, tmp_path, capsys):
    out = tmp_path / "toy"
    status, said, err = run("page", "--toy", store, *CELL, "--out", out, capsys=capsys)
    assert status == 0, err
    assert "6 pages" in said
    assert "serve" not in said
    index = read_index(out)
    W = open_sweep(store).sel(density=0.05, seed=1)["W"].values
    columns = index["columns"]
    assert index["kind"] == "toy"
    assert "0.05" in index["title"]
    np.testing.assert_allclose(columns["norm"], np.linalg.norm(W, axis=0), rtol=1e-3)
    np.testing.assert_allclose(columns["importance"], 0.8 ** np.arange(6), rtol=1e-3)
    np.testing.assert_allclose(columns["density"], 0.05, rtol=1e-3)
    denser = tmp_path / "denser"
    assert run("page", "--toy", store, *CELL, "--density", 0.2, "--out", denser, capsys=capsys)[0] == 0
    np.testing.assert_allclose(read_index(denser)["columns"]["density"], 0.2, rtol=1e-3)


def test_pages_of_a_toy_model_beside_an_sae(store, tmp_path, capsys):
    folder = write_sae(tmp_path / "sae", d_in=3, hook=None)
    status, _, err = run("page", folder, "--toy", store, *CELL, "--out", tmp_path / "p", capsys=capsys)
    assert status == 0, err
    names = read_index(tmp_path / "p")["columns"]["name"]
    assert names[:6] == [f"feature {i}" for i in range(6)]
    assert any(name.startswith("latent") for name in names[6:])
    wide = write_sae(tmp_path / "wide", d_in=4, hook=None)
    status, _, err = run("page", wide, "--toy", store, *CELL, "--out", tmp_path / "x", capsys=capsys)
    assert status == 2
    assert "4" in err
    assert "3 hidden" in err
    status, _, err = run("page", "--toy", store, "--cell", "seed=9", "--out", tmp_path / "x", capsys=capsys)
    assert status == 2
    assert "seed=9" in err


def test_importance_is_that_of_the_cell():
    small = ToyRun(model=ReLUOutput(n_features=3, n_hidden=2), steps=2, batch_size=8, importance=2.0)
    axes = {"importance": [(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)], "importance_base": [1.0, 0.5]}
    one = toy_sweep(sweep(small, axes)).at(importance=(4.0, 5.0, 6.0), importance_base=0.5)
    np.testing.assert_allclose(one.recipe.importance_vector(), [4, 2.5, 1.5])
