"""Fixtures of the tests of cli/page."""

import pytest

from superposition.cli import main
from tests.oracles import tiny_lm
from tests.support.page_commands import write_sae


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_lm.write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    return tiny_lm.write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="session")
def sae(tmp_path_factory):
    return write_sae(tmp_path_factory.mktemp("saes") / "sae")


@pytest.fixture(scope="session")
def own(sae, model):
    return [sae, "--model", model]


@pytest.fixture(scope="session")
def pages(own, texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages") / "all"
    assert main.main([str(a) for a in ("page", *own, "--text", texts, "--out", out)]) == 0
    return out


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy") / "toy.zarr"
    words = ["sweep", "--n-features", "6", "--n-hidden", "3", "--density", "0.5", "0.05", "--seed", "0", "1"]
    assert (
        main.main(
            [
                *words,
                "--importance-base",
                "0.8",
                "--steps",
                "300",
                "--learning-rate",
                "0.01",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    return out
