"""Whatever the geometry functions are given that they cannot measure, they refuse as a ConfigError, without warnings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition import geometry
from superposition.errors import ConfigError
from superposition.geometry import dynamics, shapes, thomson
from superposition.geometry.triangles import two_triangles

W = shapes.polygon(5)
LOSS = np.linspace(2, 1, 401)
D = np.full((401, 2), 0.5)
KEY = jax.random.key(0)

NOT_REAL = {
    "string": "W",
    "strings": [["a", "b"]],
    "ragged": [[1.0], [1.0, 2.0]],
    "nothing": None,
    "complex": np.ones((2, 3), complex),
    "empty and complex": np.empty((2, 0), complex),
    "objects": np.array([[1.0, None]], object),
    "integers beyond floats": [[10**400, 1]],
    "dates": np.array([["2020-01-01"]], "M8[D]"),
    "a key": KEY,
    "keys": jax.random.split(KEY, (2, 2)),
    "a generator": (k for k in range(3)),
    "a number": 3.0,
}
NOT_FINITE = {
    "nan": np.array([[1.0, np.nan]]),
    "inf": jnp.array([[1.0, jnp.inf]]),
    "1e400": np.full((2, 3), np.longdouble("1e400")),
    "four axes": np.ones((2, 3, 4, 5)),
}
MEASURES = {f.__name__: f for f in (
    geometry.gram, geometry.norms, geometry.interference, geometry.dimensionality, geometry.cosines,
    geometry.represented, geometry.concentration, thomson.interference_energy, thomson.coulomb_energy,
)}  # fmt: skip
RECOGNISERS = {
    "recognise": geometry.recognise,
    "neurons": geometry.neurons,
    "feature_codes": geometry.feature_codes,
    "antipodal_pairs": geometry.antipodal_pairs,
    "motifs W_in": lambda bad: geometry.motifs(bad, W.T),
    "motifs W_out": lambda bad: geometry.motifs(W, bad),
    "two_triangles": two_triangles,
    "tegum": shapes.tegum,
    "jumps dimensionality": lambda bad: dynamics.jumps(bad, LOSS),
    "jumps loss": lambda bad: dynamics.jumps(D, bad),
    "visits loss": lambda bad: dynamics.visits(bad, [1.0], within=0.1),
    "visits levels": lambda bad: dynamics.visits(LOSS, bad, within=0.1),
    "plateaus step": lambda bad: dynamics.plateaus(bad, LOSS),
    "plateaus loss": lambda bad: dynamics.plateaus(np.arange(1, 402), bad),
}


@pytest.mark.parametrize("bad", NOT_REAL)
@pytest.mark.parametrize("name", MEASURES | RECOGNISERS)
def test_what_holds_no_real_numbers_is_refused(name, bad):
    with pytest.raises(ConfigError):
        (MEASURES | RECOGNISERS)[name](NOT_REAL[bad])


@pytest.mark.parametrize("bad", NOT_FINITE)
@pytest.mark.parametrize("name", RECOGNISERS)
def test_what_is_not_finite_has_no_structure(name, bad):
    with pytest.raises(ConfigError):
        RECOGNISERS[name](NOT_FINITE[bad])


GOOD = {"jumps dimensionality": D, "two_triangles": np.ones((3, 6)), "motifs W_out": W.T} | dict.fromkeys(
    ("jumps loss", "visits loss", "visits levels", "plateaus step", "plateaus loss"), LOSS
)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", RECOGNISERS)
def test_one_number_that_is_not_finite_is_enough(name, bad):
    spoilt = np.array(GOOD.get(name, W))
    spoilt.flat[-1] = bad
    with pytest.raises(ConfigError, match="finite"):
        RECOGNISERS[name](spoilt)


def pairs(**options):
    return thomson.interference_minima([(2, 1)], key=KEY, **({"restarts": 1, "steps": 1} | options))


TRAJECTORIES = [
    (lambda **o: dynamics.jumps(D, LOSS, **o), ("move", "window", "steeper", "around")),
    (lambda **o: dynamics.visits(LOSS, [1.0], **({"within": 0.1} | o)), ("within",)),
    (lambda **o: dynamics.plateaus(np.arange(1, 402), LOSS, **o), ("flat", "stretch")),
]
OPTIONS = [
    (lambda **o: geometry.recognise(W, **o), ("edge", "represented", "tolerance")),
    (lambda **o: geometry.neurons(np.abs(W), **o), ("threshold", "represented", "sign")),
    (lambda **o: geometry.motifs(W, W.T, **o), ("ratio", "effect", "inhibition")),
    (lambda **o: geometry.represented(W, **o), ("threshold",)),
    (lambda **o: geometry.antipodal_pairs(W, **o), ("threshold",)),
    *TRAJECTORIES,
]
COUNTS = [
    (lambda **o: dynamics.visits(LOSS, [1.0], within=0.1, **o), ("least",)),
    (pairs, ("restarts", "steps")),
    (lambda k: shapes.polygon(k), ("k",)),
    (lambda k: shapes.antiprism(k), ("k",)),
    (lambda d: shapes.simplex(d), ("d",)),
]
NO_INTEGER = [[0.5], (1, 2), np.array([0.5]), np.array([1, 2]), [[1], [1, 2]], "0.5", b"1", None, True, 1j,
              np.complex128(1), np.nan, jnp.array(jnp.nan), KEY, 0.5, 0]  # fmt: skip
NO_NUMBER = [*NO_INTEGER[:-2], 10**400]


def each(options):
    return [
        pytest.param(call, name, id=f"{k}-{name}")
        for k, (call, names) in enumerate(options)
        for name in names
    ]


@pytest.mark.parametrize("bad", NO_NUMBER, ids=range(len(NO_NUMBER)))
@pytest.mark.parametrize(("call", "name"), each(OPTIONS))
def test_an_option_is_one_number(call, name, bad):
    with pytest.raises(ConfigError, match=name):
        call(**{name: bad})


@pytest.mark.parametrize("bad", NO_INTEGER, ids=range(len(NO_INTEGER)))
@pytest.mark.parametrize(("call", "name"), each(COUNTS))
def test_a_count_is_an_integer(call, name, bad):
    with pytest.raises(ConfigError, match=name):
        call(**{name: bad})


@pytest.mark.parametrize("bad", [0.0, -1.0])
@pytest.mark.parametrize(("call", "name"), each(TRAJECTORIES))
def test_options_of_trajectories_are_positive(call, name, bad):
    with pytest.raises(ConfigError, match=name):
        call(**{name: bad})
