"""One trained toy model and one trained SAE for the tests of a file."""

import pytest

import superposition as sp
from tests.support.trained import SAE, TOY


@pytest.fixture(scope="module")
def toy():
    return sp.fit(TOY, seed=3)


@pytest.fixture(scope="module")
def sae():
    return sp.fit(SAE, seed=1)
