from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from experiments.toy_models.nonlinear_compression.draw import Curves, compression
from superposition.errors import ConfigError
from superposition.theory import compression as code
from superposition.theory import variance


@given(st.integers(1, 8), st.floats(0, 1), st.floats(0, 1))
def test_with_jumps_the_code_loses_nothing_but_where_x_lies_within_its_step(levels, x, y):
    y = min(y, 0.999)
    t = code.encode(x, y, levels)
    assert 0 <= t <= 1
    x_read, y_read = code.decode(t, levels)
    step = min(int(np.floor(levels * x)), levels - 1)
    # A sum may round up to the next step; then x' is one step up and y' about 0.
    assert (abs(x_read - step / levels) < 1e-9 and abs(y_read - y) < 1e-9) or y > 1 - 1e-9


@settings(deadline=None)
@given(st.integers(2, 8), st.floats(0.01, 1))
def test_sloped_jumps_are_continuous_and_meet_the_floor_function_away_from_them(levels, share):
    width = share / levels
    z = np.linspace(0, levels, 4001)
    step = code.staircase(z, levels, width)
    assert np.abs(np.diff(step)).max() <= (z[1] - z[0]) / (levels * width) + 1e-9
    assert (np.diff(step) >= -1e-12).all()
    nearest = np.clip(np.round(z), 1, levels - 1)
    far = np.abs(z - nearest) > levels * width / 2 + 1e-9
    np.testing.assert_allclose(step[far], code.staircase(z[far], levels), atol=1e-9)
    np.testing.assert_allclose(
        code.staircase(np.arange(1, levels), levels, width), np.arange(1, levels) - 0.5
    )


@pytest.mark.parametrize(
    ("levels", "width", "density", "constant"),
    [(1, 0.0, 1.0, 0.5), (3, 0.1, 1.0, 0.0), (3, 1 / 3, 0.4, 0.5), (5, 0.05, 1.0, 0.0), (4, 0.0, 0.2, 0.3)],
)
def test_exact_errors_are_those_of_the_code(levels, width, density, constant):
    rng = np.random.default_rng(1)
    samples = 400_000
    x, y = (rng.random(samples) * (rng.random(samples) < density) for _ in range(2))
    x_read, y_read = code.decode(code.encode(x, y, levels, width), levels, width, constant)
    exact = code.compression_error(levels, width, density=density, constant=constant)
    for error, truth in (((x - x_read) ** 2, exact.x), ((y - y_read) ** 2, exact.y)):
        assert abs(error.mean() - truth) < 4.5 * error.std() / samples**0.5 + 1e-12


def test_exact_errors_do_not_change_with_more_nodes(monkeypatch):
    coarse = [code.compression_error(z, w, density=0.7) for z, w in ((2, 0.3), (3, 0.1), (6, 0.16))]
    monkeypatch.setattr(code, "_FEW", np.polynomial.legendre.leggauss(12))
    monkeypatch.setattr(code._pieces, "__defaults__", (code._FEW,))
    fine = [code.compression_error(z, w, density=0.7) for z, w in ((2, 0.3), (3, 0.1), (6, 0.16))]
    np.testing.assert_allclose(coarse, fine, rtol=1e-12)


@pytest.mark.parametrize("density", [1.0, 0.3, 0.01])
def test_with_jumps_x_costs_its_variance_over_z_squared_and_y_nothing(density):
    for levels in (1, 2, 3, 10):
        error = code.compression_error(levels, density=density)
        np.testing.assert_allclose(error.x, float(variance(density)) / levels**2, rtol=1e-12)
        assert error.y < 1e-25


def test_the_best_constant_is_the_best():
    best = code.compression_error(3, 0.1, density=0.6).total
    others = [code.compression_error(3, 0.1, density=0.6, constant=c).total for c in np.linspace(0, 1, 201)]
    assert best <= min(others) <= best + 1e-5


@pytest.mark.parametrize(("levels", "noise"), [(1, 0.2), (3, 0.1), (3, 0.01), (6, 0.03)])
def test_noisy_errors_are_those_of_the_code(levels, noise):
    rng = np.random.default_rng(2)
    samples = 400_000
    x, y = rng.random(samples), rng.random(samples)
    t = code.encode(x, y, levels) + noise * rng.normal(size=samples)
    x_read, y_read = code.decode(t, levels, constant=0.5)
    exact = code.noisy_error(levels, noise)
    for error, truth in (((x - x_read) ** 2, exact.x), ((y - np.clip(y_read, 0, 1)) ** 2, exact.y)):
        assert abs(error.mean() - truth) < 4.5 * error.std() / samples**0.5


def test_a_little_noise_is_integrated_as_by_adaptive_quadrature():
    levels, noise = 3, 1e-4

    def read(y, sent):
        """E over the noise of both squared errors, from the chances of each level that can be read."""
        edges = np.array([-np.inf, *range(1, levels), np.inf])
        chance = np.diff(stats.norm.cdf((edges - sent - y) / (levels * noise)))
        x = chance @ (((np.arange(levels) - sent) ** 2 + 1 / 12) / levels**2)

        def error(e):
            z = sent + y + levels * noise * e
            step = np.clip(np.floor(z), 0, levels - 1)
            return (y - np.clip(z - step, 0, 1)) ** 2 * stats.norm.pdf(e)

        jumps = [float((j - sent - y) / (levels * noise)) for j in range(levels + 1)]
        cuts = [-12.0, *sorted(j for j in jumps if abs(j) < 12), 12.0]
        parts = (integrate.quad(error, a, b, epsabs=1e-14, epsrel=1e-11)[0] for a, b in pairwise(cuts))
        return np.array([x, sum(parts)])

    # Beyond 12 standard deviations from a jump nothing is misread.
    near = 12 * levels * noise
    truth = np.zeros(2)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    for a, b in ((0, near), (near, 1 - near), (1 - near, 1)):
        y, w = a + (b - a) * (nodes + 1) / 2, (b - a) * weights / 2
        truth += (
            sum(wi * read(yi, sent) for yi, wi in zip(y, w, strict=True) for sent in range(levels)) / levels
        )
    np.testing.assert_allclose(code.noisy_error(levels, noise), truth, rtol=1e-9)


def test_noise_vanishing_leaves_the_code_with_jumps():
    for levels in (1, 3, 7):
        error = code.noisy_error(levels, 1e-5)
        assert 0 <= error.total - code.compression_error(levels).total < 1e-4


def test_linear_error_is_that_of_least_squares():
    rng = np.random.default_rng(3)
    x = rng.random((400_000, 2)) * (rng.random((400_000, 2)) < 0.4)
    noise = 0.1 * rng.normal(size=len(x))
    found = []
    for share in (1.0, 0.7, 0.5):
        design = np.stack([x @ [share, 1 - share] + noise, np.ones(len(x))], 1)
        found.append(((x - design @ np.linalg.lstsq(design, x, rcond=None)[0]) ** 2).sum(1).mean())
    assert abs(found[0] / float(code.linear_error(0.4, 0.1)) - 1) < 0.01
    assert min(found) == found[0]
    np.testing.assert_allclose(code.linear_error(), 1 / 12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: code.compression_error(0), "levels must be an integer >= 1"),
        (lambda: code.compression_error(3, 0.4), r"width must lie in \[0, 1 / levels\]"),
        (lambda: code.compression_error(3, float("nan")), "width must be finite"),
        (lambda: code.compression_error(3, density=0.0), r"density must lie in \(0, 1\]"),
        (lambda: code.noisy_error(3, 0.0), "noise must lie in"),
        (lambda: code.noisy_error(3, [0.1, 0.2]), "noise must be a number"),
        (lambda: code.compression_error(3, density=[0.1, 0.2]), "density must be a number"),
        (lambda: code.compression_error(3, constant=float("nan")), "constant must be finite"),
        (lambda: code.linear_error(2.0), r"density must lie in \(0, 1\]; got 2"),
        (lambda: code.linear_error(0.0), "density must lie in"),
        (lambda: code.linear_error(0.5, -0.1), "noise must lie in"),
        (lambda: compression([]), "at least one panel"),
    ],
)
def test_bad_settings_are_refused_with_the_remedy(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


def test_the_drawing_shows_every_line_and_keeps_keys_clear_of_panels():
    x = np.linspace(0.01, 1, 20)
    panel = Curves("Loss", "epsilon", "loss", x, {"a": x, "b": x**2}, {"linear": x * 0 + 0.5}, log_x=True)
    figure = compression([panel, panel._replace(log_y=True), panel])
    assert len(figure.axes) == 3
    figure.canvas.draw()
    for axes in figure.axes:
        assert len(axes.lines) == 3
        assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a", "b", "linear"]
        key = axes.get_legend().get_window_extent()
        assert not any(key.overlaps(other.get_window_extent()) for other in figure.axes)
    with pytest.raises(ConfigError, match="b has shape"):
        compression([panel._replace(lines={"b": x[:3]})])
