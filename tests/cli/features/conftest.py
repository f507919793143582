"""Fixtures of the tests of cli/features."""

import pytest

from superposition.llm import LanguageModel
from superposition.storage import formats
from tests.oracles import tiny_lm
from tests.oracles.sae_cases import params_of
from tests.support.feature_commands import DEAD, HOOK, SAE


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_lm.write_model(tmp_path_factory.mktemp("models") / "tiny", layers=2)


@pytest.fixture(scope="session")
def lm(model):
    return LanguageModel.from_hf(model)


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    return tiny_lm.write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="session")
def params():
    own = params_of(SAE)
    return {**own, "b_enc": own["b_enc"].at[DEAD].set(-1e6)}


@pytest.fixture(scope="session")
def sae(tmp_path_factory, params):
    folder = tmp_path_factory.mktemp("saes") / "one"
    return formats.save(folder, SAE, params, {"hook_name": HOOK})


@pytest.fixture
def where(model, sae, texts):
    return [str(sae), "--model", str(model), "--text", str(texts), "--max-tokens", "400"]
