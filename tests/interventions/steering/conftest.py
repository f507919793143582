"""Fixtures of the tests of interventions/steering."""

from functools import cache

import pytest

from superposition.llm import LanguageModel
from tests.oracles import decoder, tiny_models
from tests.oracles.sae_cases import params_of
from tests.support.steering import HOOK, IDS, SAES


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A model of a family, an SAE, its parameters, and the residual it reads in float64."""

    @cache
    def of(case):
        folder = tmp_path_factory.mktemp("models") / case
        spec, _ = tiny_models.write(folder, case)
        lm = LanguageModel.from_hf(folder)
        params = params_of(SAES[case])
        return lm, SAES[case], params, decoder.forward(spec, lm.params, IDS)[HOOK]

    return of
