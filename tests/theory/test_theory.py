import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superposition import theory
from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.theory.computation import dedicated_loss
from superposition.typing import ToyParams

R = np.array([0.1, 0.5, 1.0, 3.0, 10.0])
P = np.array([1.0, 0.6, 0.2, 0.05, 0.01])


@pytest.mark.parametrize(
    "phase", [*theory.PHASES_2_1, *theory.PHASES_3_2, theory.TRIANGLE], ids=lambda p: p.name
)
def test_candidate_losses_are_exact(phase):
    n = phase.W.shape[1]
    for r, p in zip(R, P, strict=True):
        # A dropped feature is predicted by its mean, which is what its bias learns.
        dropped = np.linalg.norm(phase.W, axis=0) == 0
        params = ToyParams(phase.W, np.where(dropped, p / 2, 0.0))
        importance = np.r_[np.ones(n - 1), r]
        exact = reference_loss(params, importance, p, activation="relu")
        np.testing.assert_allclose(phase.loss(r, p), exact, rtol=1e-9)


def test_boundaries_are_where_the_best_candidate_changes():
    for phases, boundary in (
        (theory.PHASES_2_1, theory.boundary_2_1),
        (theory.PHASES_3_2, theory.boundary_3_2),
    ):
        for r in np.r_[0.1, 0.3, 0.9, 1.1, 3, 10]:
            at = float(boundary(r))
            above, below = (theory.phase_losses(phases, r, at * f).argmin() for f in (1.001, 0.999))
            assert above in (0, 1)
            assert below in (2, 3)
    assert float(theory.boundary_2_1(1.0)) == pytest.approx(4 / 7)
    assert float(theory.boundary_2_1(0.1)) == pytest.approx(0.16)


def test_the_triangle_never_wins_without_a_bias():
    r, p = np.meshgrid(np.geomspace(0.1, 10, 60), np.geomspace(1, 0.01, 60))
    four = theory.phase_losses(theory.PHASES_3_2, r, p).min(0)
    assert (theory.TRIANGLE.loss(r, p) > four).all()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
def test_no_linear_model_beats_the_optimum_and_the_projector_attains_it(n, m, seed):
    rng = np.random.default_rng(seed)
    importance, density = rng.uniform(0, 2, n), rng.uniform(0.01, 1, n)
    optimum = theory.linear_optimum(importance, density, m)

    def loss(W, b):
        return reference_loss(ToyParams(W, b), importance, density, activation="linear")

    for _ in range(5):
        W = rng.normal(size=(m, n)) * rng.uniform(0, 1.5)
        M = W.T @ W
        best_b = (np.eye(n) - M) @ (density / 2)
        assert loss(W, best_b) >= optimum - 1e-12
        assert loss(W, rng.normal(size=n)) >= optimum - 1e-12
    kept = np.argsort(-importance * theory.variance(density))[:m]
    projector = np.eye(n)[kept]
    b = np.where(np.isin(np.arange(n), kept), 0, density / 2)
    np.testing.assert_allclose(loss(projector, b), optimum, atol=1e-12)


TABLE = [  # toy-models reference 5.6: n=2, m=1, r=1, quadrature accuracy about 1e-4 relative
    (0.65, 0.10533, 0.803, 0.281),
    (0.60, 0.09889, 0.869, 0.215),
    (0.55, 0.08866, 0.931, 0.148),
    (0.50, 0.07628, 0.969, 0.098),
    (0.30, 0.02931, 1.010, 0.018),
    (0.10, 0.003319, 1.006, 0.001),
]


def test_exact_minimum_matches_the_independent_table_and_beats_the_three_candidates():
    density = np.array([row[0] for row in TABLE])
    found = theory.exact_minimum("relu", np.ones((len(TABLE), 2)), density, n_hidden=1, key=jax.random.key(0))
    for k, (p, loss, w, b) in enumerate(TABLE):
        assert found.loss[k] == pytest.approx(loss, rel=3e-4)
        np.testing.assert_allclose(np.abs(found.W[k, 0]), w, atol=2e-3)
        np.testing.assert_allclose(found.b[k], b, atol=2e-3)
        assert found.loss[k] < theory.phase_losses(theory.PHASES_2_1, 1.0, p).min()


def test_exact_minimum_of_the_linear_model_is_the_closed_form():
    importance = 0.7 ** np.arange(3)
    density = np.array([1.0, 0.1])
    found = theory.exact_minimum(
        "linear", np.stack([importance] * 2), density, n_hidden=2, key=jax.random.key(1)
    )
    for k, p in enumerate(density):
        assert found.loss[k] == pytest.approx(theory.linear_optimum(importance, p, 2), rel=1e-6)


def test_from_a_saddle_the_descent_goes_on_to_the_least_loss():
    # W = 0 with the best bias is stationary, and its loss falls with any W.
    starts = ToyParams(np.array([[[[1e-4, -1e-4]]]]), np.array([[[0.15, 0.15]]]))
    given = {"importance": np.ones((1, 2)), "density": [0.3], "n_hidden": 1, "key": jax.random.key(0)}
    found = theory.exact_minimum("relu", **given, restarts=0, starts=starts, newton_steps=60)
    assert found.loss[0] == pytest.approx(0.02931, rel=3e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"importance": np.ones(2)}, "importance must be"),
        ({"importance": -np.ones((1, 2))}, "importance"),
        ({"importance": np.zeros((1, 2))}, "all 0"),
        ({"density": [2.0]}, "density must lie in"),
        ({"density": [0.1, 0.2, 0.3]}, "density must be"),
        ({"density": 0.3}, "density must be"),
        ({"n_hidden": 0}, "n_hidden"),
        ({"restarts": 0}, "restarts=0 needs starts"),
        ({"polish": 0}, "polish"),
        ({"starts": ToyParams(np.ones((1, 1, 2)), np.ones((1, 2)))}, "starts must be"),
        ({"starts": ToyParams(np.ones((1, 3, 2, 2)), np.ones((1, 3, 2)))}, "starts must be"),
    ],
)
def test_exact_minimum_refuses_what_does_not_fit(change, said):
    given = {
        "importance": np.ones((1, 2)),
        "density": [0.3],
        "n_hidden": 1,
        "key": jax.random.key(0),
    } | change
    with pytest.raises(ConfigError, match=said):
        theory.exact_minimum("relu", **given)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: theory.linear_optimum([1.0, 1], [0.1, 0.2, 0.3], 1), "density"),
        (lambda: theory.linear_optimum(1.0, 0.1, 1), "importance must be"),
        (lambda: theory.linear_optimum([1.0, -1], 0.1, 1), "importance"),
        (lambda: theory.linear_optimum([1.0, 1], 0.1, 1.5), "n_hidden"),
        (lambda: theory.linear_optimum([1.0, 1], 0.1, -1), "n_hidden"),
        (lambda: theory.variance(2.0), "density"),
        (lambda: theory.boundary_2_1(-1.0), "r must lie in"),
        (lambda: dedicated_loss([1.0, 1], 2.0, 1), "density"),
        (lambda: dedicated_loss([1.0, 1], 0.1, -1), "n_hidden"),
        (lambda: dedicated_loss(1.0, 0.1, 2), "importance must be"),
    ],
)
def test_closed_forms_refuse_what_does_not_fit(call, said):
    with pytest.raises(ConfigError, match=said):
        call()
