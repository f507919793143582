"""Fixtures of the tests of cli/llm."""

import pytest

from superposition.cli import main
from superposition.llm import LanguageModel
from tests.oracles import tiny_lm


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_lm.write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def lm(model):
    return LanguageModel.from_hf(model)


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    return tiny_lm.write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="session")
def trained(model, texts, tmp_path_factory):
    """Two SAEs on one stream, well trained."""
    out = tmp_path_factory.mktemp("runs") / "grid"
    options = [
        "--steps",
        "400",
        "--batch-size",
        "64",
        "--d-sae",
        "48",
        "--k",
        "2",
        "6",
        "--examples",
        "99999",
    ]
    arguments = ["train-sae", "--model", model, "--text", texts, *options, "--learning-rate", "0.003"]
    assert main.main(["llm", *map(str, arguments), "--out", str(out)]) == 0
    return out, arguments
