"""What `evaluate` says of trained models."""

import jax
import numpy as np
import pytest

import superposition as sp
from superposition.activations import array_stream, planted_stream
from superposition.features import PLANTED
from tests.support.trained import SAE, TOY, X


def test_evaluation_is_the_metrics_of_the_held_out_data(sae):
    numbers = sp.evaluate(sae, X)
    latents, x_hat = sae.reconstruct(X)
    assert numbers["fvu"] == pytest.approx(sp.metrics.fvu(X, np.asarray(x_hat)), rel=1e-5)
    assert numbers["mse"] == pytest.approx(float(((X - np.asarray(x_hat)) ** 2).sum(1).mean()), rel=1e-5)
    assert numbers["l0"] == pytest.approx(float((np.asarray(latents) > 0).sum(1).mean()))
    assert numbers.firing_rates.shape == (8,)
    assert "mmcs" not in numbers
    assert [line.split()[0] for line in repr(numbers).splitlines()] == list(numbers)
    assert "fvu" in numbers._repr_html_()
    np.testing.assert_allclose(
        sp.evaluate(sae, array_stream(jax.random.key(0), X))["fvu"], numbers["fvu"], rtol=0.5
    )


def test_where_the_truth_is_known_recovery_is_measured_against_it():
    stream = planted_stream(jax.random.key(0), PLANTED["orthogonal"].scaled(8, 8))
    one = sp.fit(sp.SAERun(sp.TopK(d_sae=16, k=2), stream, steps=20, batch_size=64))
    numbers = sp.evaluate(one, stream, examples=2000)
    assert numbers["examples"] == 2000
    assert numbers["mmcs"] == pytest.approx(float(sp.metrics.mmcs(one.params["W_dec"], stream.dictionary)))
    assert set(sp.evaluation.METRICS) >= set(numbers)


def test_a_toy_is_judged_by_its_loss_and_what_it_represents(toy):
    numbers = sp.evaluate(toy)
    assert numbers["loss"] == toy.loss
    assert numbers["represented"] == (np.linalg.norm(toy.W, axis=0) > 0.5).sum()


def test_progress_is_told_to_a_function_and_else_silent(capsys):
    told = []
    sp.fit(TOY, progress=told.append)
    sp.fit(SAE, progress=told.append)
    assert sum(told) == TOY.steps + SAE.steps
    sp.fit(TOY)
    assert capsys.readouterr().err == ""
