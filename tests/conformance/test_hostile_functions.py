"""Every argument of the functions that a user calls under values of every kind: a ConfigError in one line, or a result."""

import warnings

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superposition import ReLUOutput, SparseUniform, ToyRun, expected_loss, geometry, metrics, theory
from superposition.activations import array_stream, mixed_stream, planted_stream, toy_stream
from superposition.errors import ConfigError
from superposition.features import PLANTED, mean_max_cosine, orthogonal, orthogonalized, random_unit
from superposition.theory import adversarial
from superposition.training.record import record
from superposition.training.refine import refine
from superposition.typing import ToyParams
from tests.oracles.hostile import hostile

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
MODEL = ReLUOutput(3, 2)
PARAMS = MODEL.init_params(KEY)
RUN = ToyRun(MODEL, SparseUniform(density=0.5), steps=2, batch_size=8)
W, DICTIONARY, X = RNG.normal(size=(2, 5)), RNG.normal(size=(4, 3)), RNG.normal(size=(8, 3))
LATENTS = np.maximum(RNG.normal(size=(8, 5)), 0)
COEFFICIENTS = np.maximum(RNG.normal(size=(8, 4)), 0)
W_DEC = RNG.normal(size=(5, 3))
RECOVERY = {"W_dec": W_DEC, "dictionary": DICTIONARY}
SCORED = {"latents": LATENTS, "coefficients": COEFFICIENTS, **RECOVERY}
STREAM = array_stream(KEY, X.astype(np.float32))
LOSS = {"params": PARAMS, "importance": 1.0, "features": 0.5, "activation": "relu"}
ATTACK = {"model": MODEL, "params": PARAMS, "x": np.ones((2, 3), np.float32), "importance": 1.0, "norm": 0.1}

FUNCTIONS = {
    "boundary_2_1": (theory.boundary_2_1, {"r": 0.5}),
    "boundary_3_2": (theory.boundary_3_2, {"r": 0.5}),
    "linear_optimum": (theory.linear_optimum, {"importance": [1.0, 0.5], "density": 0.5, "n_hidden": 1, "signed": False}),
    "variance": (theory.variance, {"density": 0.5, "signed": False}),
    "exact_minimum": (
        theory.exact_minimum,
        {
            "activation": "relu", "importance": [[1.0, 0.5]], "density": [0.5], "n_hidden": 1, "key": KEY, "restarts": 1,
            "steps": 1, "polish": 1, "newton_steps": 1, "starts": None, "law": SparseUniform(),
        },
    ),
    "antipodal_pairs": (geometry.antipodal_pairs, {"W": W, "threshold": -0.9}),
    "census": (geometry.census, {"arrangements": [geometry.recognise(W)]}),
    **{
        name: (getattr(geometry, name), {"W": W})
        for name in ("concentration", "cosines", "dimensionality", "gram", "interference", "norms")
    },
    "feature_codes": (geometry.feature_codes, {"W": W, "threshold": 0.5, "represented": 0.5, "sign": "positive"}),
    "neurons": (geometry.neurons, {"W": W, "threshold": 0.5, "represented": 0.5, "sign": "positive"}),
    "motifs": (geometry.motifs, {"W_in": W, "W_out": W.T, "ratio": 2.0, "effect": 0.25, "inhibition": 0.5}),
    "recognise": (geometry.recognise, {"W": W, "edge": 0.1, "represented": 0.5, "tolerance": 10.0}),
    "represented": (geometry.represented, {"W": W, "threshold": 0.5}),
    **{
        name: (getattr(metrics, name), {"x": X, "x_hat": X + 0.1})
        for name in ("cosine", "explained_variance", "fvu", "relative_norm")
    },
    **{name: (getattr(metrics, name), {"latents": LATENTS}) for name in ("dead_fraction", "densities", "l0")},
    "dense_fraction": (metrics.dense_fraction, {"latents": LATENTS, "threshold": 0.1}),
    "density_histogram": (metrics.density_histogram, {"densities": [0.1, 0.2], "bins": 28, "low": -7.0}),
    **{
        name: (getattr(metrics, name), RECOVERY)
        for name in ("cosines", "match", "mcc", "nearest", "recovery_scores", "uniqueness")
    },
    "mmcs": (metrics.mmcs, {"a": W_DEC, "b": DICTIONARY}),
    "found": (metrics.found, {**RECOVERY, "threshold": 0.95}),
    "hedging": (metrics.hedging, {**RECOVERY, "related": RNG.random((4, 4)) < 0.5}),
    "hedging_degree": (metrics.hedging_degree, {"W_before": W_DEC, "W_after": np.vstack([W_DEC, W_DEC])}),
    "classify": (metrics.classify, {**SCORED, "one_to_one": False}),
    "activation_correlation": (metrics.activation_correlation, {**SCORED, "one_to_one": True}),
    "magnitude_slope": (metrics.magnitude_slope, {**SCORED, "one_to_one": True}),
    "f1_by_frequency": (metrics.f1_by_frequency, {**SCORED, "edges": (0.0, 0.1, 1.0), "one_to_one": False}),
    "absorption_rate": (metrics.absorption_rate, {**SCORED, "pairs": [(0, 1)]}),
    "accumulate": (
        metrics.accumulate,
        {"x": X, "x_hat": X, "latents": LATENTS, "coefficients": COEFFICIENTS, "match": [0, 1, 2, 3, 0]},
    ),
    "detections": (
        metrics.detections,
        {"activations": LATENTS, "labels": COEFFICIENTS > 0, "thresholds": np.full((1, 5), 0.1)},
    ),
    "thresholds_of": (metrics.thresholds_of, {"maximum": [1.0, 2.0], "fractions": [0.0, 0.5]}),
    "shared": (metrics.shared, {"W_a": W_DEC, "W_b": W_DEC, "thresholds": (0.9,)}),
    "consensus": (metrics.consensus, {"decoders": [W_DEC, W_DEC], "threshold": 0.9}),
    "cofiring": (metrics.cofiring, {"latents_narrow": LATENTS, "latents_wide": LATENTS}),
    "correlation_sums": (metrics.correlation_sums, {"latents_a": LATENTS, "latents_b": LATENTS}),
    "lineage": (metrics.lineage, {"parents": [[0, 1], [1, 0]]}),
    "rotated": (metrics.rotated, {"key": KEY, "W_dec": W_DEC}),
    "shuffled": (metrics.shuffled, {"key": KEY, "latents": LATENTS}),
    "expected_loss": (expected_loss.expected_loss, {**LOSS, "method": "auto", "nodes": None, "signed": False}),
    "reference_loss": (expected_loss.reference_loss, {**LOSS, "method": "auto", "nodes": 64, "signed": False}),
    "along_rows": (adversarial.along_rows, ATTACK),
    "by_ascent": (adversarial.by_ascent, {**ATTACK, "key": KEY, "starts": 1, "steps": 1}),
    "mean_input_norm": (adversarial.mean_input_norm, {"density": 0.5, "n_features": 3}),
    "refine": (refine, {"run": RUN, "params": ToyParams(PARAMS.W[None], PARAMS.b[None]), "density": None, "seed": 0}),
    "record": (record, {"run": RUN, "seeds": [0], "steps": [1], "memory_gb": 1.0}),
    "array_stream": (array_stream, {"key": KEY, "x": X, "y": X}),
    "mixed_stream": (mixed_stream, {"key": KEY, "stream": STREAM, "batches": 2}),
    "planted_stream": (planted_stream, {"key": KEY, "world": PLANTED["orthogonal"].scaled(4, 4)}),
    "toy_stream": (
        toy_stream,
        {"key": KEY, "model": MODEL, "params": PARAMS, "features": SparseUniform(density=0.5), "target": "hidden"},
    ),
    "mean_max_cosine": (mean_max_cosine, {"dictionary": DICTIONARY, "block": 2}),
    "orthogonal": (orthogonal, {"key": KEY, "n": 2, "d": 3}),
    "orthogonalized": (orthogonalized, {"key": KEY, "n": 2, "d": 3, "steps": 1, "learning_rate": 1e-3}),
    "random_unit": (random_unit, {"key": KEY, "n": 2, "d": 3}),
}  # fmt: skip
HOSTILE = st.one_of(hostile(), st.lists(hostile(), max_size=3))
COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


def refused_or_done(name, argument, value):
    function, arguments = FUNCTIONS[name]
    said = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            jax.block_until_ready(function(**{**arguments, argument: value}))
    except ConfigError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 600


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_arguments_are_good_before_one_of_them_is_not(name):
    function, arguments = FUNCTIONS[name]
    function(**arguments)


def one_call(data):
    name = data.draw(st.sampled_from(sorted(FUNCTIONS)))
    argument = data.draw(st.sampled_from(sorted(FUNCTIONS[name][1])))
    refused_or_done(name, argument, data.draw(HOSTILE))


@settings(max_examples=250, **COMMON)
@given(data=st.data())
def test_no_argument_ends_in_a_traceback(data):
    one_call(data)
