"""A folder of weights."""

import pytest

from tests.oracles import tiny_models


@pytest.fixture
def folder(tmp_path):
    tiny_models.write(tmp_path / "model", "gpt2")
    return tmp_path / "model"
