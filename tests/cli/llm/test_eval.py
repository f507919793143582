"""`superposition llm eval-sae`, and which hook an SAE is for."""

import json

import numpy as np
import pytest

from superposition.evaluation.histograms import decoder_norms
from superposition.interventions import Attached, ablations, evaluate
from superposition.storage import formats
from tests.oracles import tiny_lm
from tests.support.llm_commands import POST, run, tokens_of


def test_eval_measures_every_sae_where_it_was_trained(trained, model, texts, lm, tmp_path, capsys):
    out, _ = trained
    file = tmp_path / "numbers.json"
    where = ["--model", model, "--text", texts]
    status, printed, errors = run("eval-sae", out, *where, "--json", file, capsys=capsys)
    assert status == 0, errors
    assert "recovered" in printed
    assert "שלום" in printed
    result = json.loads(file.read_text())
    tokens = tokens_of(lm, text=(texts,))
    floor = ablations(lm, POST, tokens)
    assert [one["name"] for one in result["saes"]] == ["k=2,seed=0", "k=6,seed=0"]
    for one in result["saes"]:
        loaded = formats.load(out / one["name"])
        measured = evaluate(Attached(lm, POST, loaded.sae, loaded.params), tokens, floor)
        norms = np.linalg.norm(np.asarray(loaded.params["W_dec"]), axis=1)
        expected = {k: v if np.isfinite(v) else None for k, v in measured.numbers.items()}
        assert one["metrics"] == pytest.approx(expected | {"decoder_norm": np.median(norms)})
        assert one["hook"] == POST
        assert set(one["by_source"]) == set(tiny_lm.TEXTS)
        assert sum(s["tokens"] for s in one["by_source"].values()) == one["metrics"]["tokens"]
        histogram = one["log10_density"]
        assert sum(histogram["counts"]) + histogram["dead"] == 48
        assert (one["decoder_norms"]["min"], one["decoder_norms"]["max"]) == pytest.approx(
            (norms.min(), norms.max())
        )
        assert sum(one["decoder_norms"]["counts"]) == 48
    few, many = result["saes"]
    assert many["metrics"]["fvu"] < few["metrics"]["fvu"]
    assert many["metrics"]["kl"] < few["metrics"]["kl"]
    status, _, errors = run("eval-sae", out, *where, "--json", file, capsys=capsys)
    assert (status, "--overwrite" in errors) == (2, True)


def test_which_hook_an_sae_is_for(trained, model, texts, tmp_path, capsys):
    out, _ = trained
    where = ["--model", model, "--text", texts, "--max-tokens", "320"]
    status, _, errors = run("eval-sae", out, *where, "--hook", "mlp.hook_pre", capsys=capsys)
    assert (status, f"is for the hook point {POST}; leave --hook mlp.hook_pre out" in errors) == (2, True)
    assert run("eval-sae", out / "k=2,seed=0", *where, "--hook", "mlp.hook_post", capsys=capsys)[0] == 0
    bare = tmp_path / "bare"
    loaded = formats.load(out / "k=2,seed=0")
    formats.save(bare, loaded.sae, loaded.params)
    status, _, errors = run("eval-sae", bare, *where, capsys=capsys)
    assert (status, "give --hook" in errors, str(bare) in errors) == (2, True, True)
    assert run("eval-sae", bare, *where, "--hook", "mlp.hook_pre", capsys=capsys)[0] == 0
    status, _, errors = run("eval-sae", bare, *where, "--hook", "hook_embed", capsys=capsys)
    assert (status, errors.count("\n")) == (2, 0)
    assert "reads 24 numbers, hook_embed has 16; hook points of that width: blocks.0.mlp.hook_pre" in errors
    formats.save(tmp_path / "odd", loaded.sae, loaded.params, {"hook_name": "blocks.7.hook_resid_pre"})
    status, _, errors = run("eval-sae", tmp_path / "odd", *where, capsys=capsys)
    assert (status, "no hook point named 'blocks.7.hook_resid_pre'" in errors) == (2, True)
    status, _, errors = run("eval-sae", *where, capsys=capsys)
    assert (status, "at least one SAE" in errors) == (2, True)


def test_decoder_norms():
    norms = decoder_norms(np.array([[3.0, 4.0], [0.0, 1.0], [0.0, 2.0]], np.float32))
    assert (norms["min"], norms["median"], norms["max"]) == (1, 2, 5)
    counts, edges = np.array(norms["counts"]), np.array(norms["edges"])
    assert counts.sum() == 3
    assert (edges[0], edges[-1]) == (0, 5)
    assert counts[-1] == counts[np.searchsorted(edges, 1.0, "right") - 1] == 1
    assert sum(decoder_norms(np.zeros((4, 2)))["counts"]) == 4
