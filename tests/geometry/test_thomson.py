"""Thomson energies: against quadrature, sampling and the classical solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition import ToyParams, geometry
from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.geometry import shapes, thomson
from superposition.theory import kgons


def relu(x):
    return np.maximum(x, 0)


def quadrature(W, b):
    """One feature active at a time, u by Gauss-Legendre on either side of every kink."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    A = W.T @ W
    total = 0.0
    for i in range(len(A)):
        for j in range(len(A)):
            kink = float(np.clip(-b[i] / A[i, j], 0, 1)) if A[i, j] != 0 else 0.0
            for low, high in ((0.0, kink), (kink, 1.0)):
                u = (high - low) * (nodes + 1) / 2 + low
                error = ((i == j) * u - relu(A[i, j] * u + b[i])) ** 2
                total += (high - low) / 2 * float(weights @ error)
    return total


def test_one_active_loss_is_the_integral():
    rng = np.random.default_rng(0)
    for _ in range(20):
        W, b = rng.normal(size=(3, 6)), -np.abs(rng.normal(size=6))
        with jax.enable_x64(True):
            value = float(thomson.one_active_loss(ToyParams(jnp.asarray(W), jnp.asarray(b))))
        assert value == pytest.approx(quadrature(W, b), rel=1e-12)
    # A feature that is dropped costs E u^2, and one stored alone nothing.
    assert float(thomson.one_active_loss(ToyParams(jnp.zeros((2, 3)), jnp.zeros(3)))) == pytest.approx(1)
    assert float(thomson.one_active_loss(ToyParams(jnp.eye(3), jnp.zeros(3)))) == 0


def test_the_energy_is_the_one_active_loss_of_unit_features_and_the_limit_of_the_expected_loss():
    rng = np.random.default_rng(1)
    for d, k in ((3, 8), (4, 6), (2, 5)):
        W = rng.normal(size=(d, k))
        W /= np.linalg.norm(W, axis=0)
        energy = thomson.interference_energy(3.0 * W)  # of directions: lengths do not count
        assert energy == pytest.approx(quadrature(W, np.zeros(k)), rel=1e-12)
        if k > 5:
            continue
        p = 1e-7
        loss = reference_loss(ToyParams(W, np.zeros(k)), np.ones(k), p, activation="relu") / p
        assert energy == pytest.approx(loss, rel=1e-5)


def test_energies_of_known_shapes():
    assert thomson.interference_energy(shapes.polygon(5)) == pytest.approx(
        10 * np.cos(np.radians(72)) ** 2 / 3
    )
    for d in range(1, 6):
        assert thomson.interference_energy(shapes.simplex(d)) == 0
        assert thomson.coulomb_energy(shapes.simplex(d)) == pytest.approx(
            d * (d + 1) / 2 / np.sqrt(2 + 2 / d)
        )
    assert thomson.interference_energy(shapes.tegum(shapes.polygon(5), shapes.simplex(1))) == pytest.approx(
        thomson.interference_energy(shapes.polygon(5))
    )
    assert thomson.coulomb_energy(np.ones((2, 2))) > 1e6
    stack = np.stack([shapes.polygon(5), np.roll(shapes.polygon(5), 1, 1)])
    assert thomson.interference_energy(stack).shape == thomson.coulomb_energy(stack).shape == (2,)


# Energies of the solutions of Thomson's problem, from the literature (Wikipedia, "Thomson problem").
CLASSICAL = {
    4: 3.674234614,
    5: 6.474691495,
    6: 9.985281374,
    7: 14.452977414,
    8: 19.675287861,
    12: 49.165253058,
}
SHAPES = {4: "tetrahedron", 5: "triangular bipyramid", 6: "octahedron", 7: "pentagonal bipyramid",
          8: "square antiprism", 12: "icosahedron"}  # fmt: skip


def test_the_classical_solutions_are_found():
    cases = [(k, 3) for k in CLASSICAL]
    for (k, _), found in zip(
        cases, thomson.coulomb_minima(cases, key=jax.random.key(0), restarts=12), strict=True
    ):
        assert found.energies[0] == pytest.approx(CLASSICAL[k], abs=1e-6)
        assert thomson.coulomb_energy(found.W[0]) == pytest.approx(found.energies[0], rel=1e-9)
        assert geometry.recognise(found.W[0]).tegum == SHAPES[k]


@pytest.mark.slow
def test_interference_minima_are_as_low_as_the_shapes_and_sizes_do_not_disturb_each_other():
    cases = [(3, 2), (5, 2), (8, 3), (10, 4)]
    together = thomson.interference_minima(cases, key=jax.random.key(0), restarts=8)
    known = [0.0, *(thomson.interference_energy(W) for W in (shapes.polygon(5), shapes.antiprism(4)))]
    known.append(thomson.interference_energy(shapes.OTHERS["rectified 4-simplex"]()))
    for (k, d), found, energy in zip(cases, together, known, strict=True):
        assert found.W.shape == (8, d, k)
        assert (np.diff(found.energies) >= 0).all()
        np.testing.assert_allclose(np.linalg.norm(found.W, axis=1), 1, rtol=1e-9)
        np.testing.assert_allclose(thomson.interference_energy(found.W), found.energies, atol=1e-12)
        assert -1e-12 < found.energies[0] <= energy + 1e-6
        assert not found.b.any()
    assert together[1].states()[0] == thomson.State("pentagon", pytest.approx(known[1], abs=1e-5), 8)
    assert together[3].states()[0].name == "rectified 4-simplex"
    # No arrangement of three in the plane without an acute angle costs anything: most are not a triangle.
    assert max(s.energy for s in together[0].states()) < 1e-9
    assert {s.name for s in together[0].states(tolerance=1.0)} != {"triangle"}


@pytest.mark.slow
def test_one_active_minima_reach_the_exact_pentagon_and_free_lengths_lower_the_loss():
    cases = [(5, 2), (12, 3)]
    pentagon, icosahedron = thomson.one_active_minima(cases, key=jax.random.key(0), restarts=8)
    exact = kgons.kgon_one_active(5)
    assert pentagon.energies[0] == pytest.approx(5 * exact.loss, rel=1e-4)
    np.testing.assert_allclose(np.linalg.norm(pentagon.W[0], axis=0), exact.radius, rtol=1e-3)
    np.testing.assert_allclose(pentagon.b[0], exact.bias, rtol=5e-3)
    assert (pentagon.b <= 0).all()
    assert geometry.recognise(icosahedron.W[0]).name == "icosahedron"
    for found in (pentagon, icosahedron):
        with jax.enable_x64(True):
            params = ToyParams(jnp.asarray(found.W[0]), jnp.asarray(found.b[0]))
            assert float(thomson.one_active_loss(params)) == pytest.approx(found.energies[0], rel=1e-9)


def test_one_dimension_and_one_vector():
    one, pair = thomson.interference_minima([(1, 1), (2, 1)], key=jax.random.key(0), restarts=4)
    assert one.energies.tolist() == [0] * 4
    assert pair.states()[0].name in ("digon", "2 collapsed")  # on a line a start cannot turn round


def test_end_states_are_told_apart_by_energy_and_by_name():
    pentagon, b = shapes.polygon(5), np.zeros((2, 5))
    two = thomson.Minima(np.array([0.1, 0.2]), np.stack([pentagon] * 2), b).states()
    assert two == [("pentagon", 0.1, 1), ("pentagon", 0.2, 1)]
    uneven = np.radians([0, 80, 120, 200, 280])
    other = np.stack([np.cos(uneven), np.sin(uneven)])
    two = thomson.Minima(np.array([0.1, 0.1]), np.stack([pentagon, other]), b).states()
    assert two == [("pentagon", 0.1, 1), ("5 in 2", 0.1, 1)]


def test_sizes_may_come_as_an_array():
    (found,) = thomson.interference_minima(np.array([[2, 1]]), key=jax.random.key(0), restarts=1, steps=1)
    assert found.W.shape == (1, 1, 2)


@pytest.mark.parametrize(
    ("cases", "options", "words"),
    [([], {}, "empty"), ([(0, 2)], {}, "k must"), ([(3, 0)], {}, "d must"), ([(3, 2)], {"restarts": 0}, "restarts"),
     ([(3, 2)], {"steps": 0}, "steps"), (5, {}, "pairs"), ([5], {}, "pairs"), ([(1, 2, 3)], {}, "pairs"),
     (None, {}, "pairs"), (["ab"], {}, "k must"), ([(3.0, 2)], {}, "k must")],
)  # fmt: skip
def test_bad_sizes_are_refused(cases, options, words):
    with pytest.raises(ConfigError, match=words):
        thomson.interference_minima(cases, key=jax.random.key(0), **options)
