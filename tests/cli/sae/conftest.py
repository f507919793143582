"""Fixtures of the tests of cli/sae."""

import pytest

from superposition.cli import main
from tests.support.sae_commands import ORTHOGONAL


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A grid of four SAEs on a world that is easily recovered."""
    out = tmp_path_factory.mktemp("runs") / "grid"
    options = [
        "--k",
        "1",
        "2",
        "--seed",
        "0",
        "1",
        "--d-sae",
        "8",
        "--learning-rate",
        "0.01",
        "--steps",
        "300",
    ]
    arguments = ["sae", "train", *ORTHOGONAL, *options, "--batch-size", "64", "--examples", "3000"]
    assert main.main([*arguments, "--out", str(out)]) == 0
    return out, arguments[1:]
