"""Fixtures of the tests of expected_loss/exact."""

import jax
import pytest


@pytest.fixture
def single_precision():
    """Asked for by tests that run with JAX's default dtypes; all others run in double precision."""


@pytest.fixture(autouse=True)
def precision(request):
    with jax.enable_x64("single_precision" not in request.fixturenames):
        yield
