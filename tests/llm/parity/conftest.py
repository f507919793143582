"""Models of transformers, saved, and ours read from there."""

import functools

import pytest

from tests.oracles import tiny_models
from tests.support.parity import INITS


@pytest.fixture(scope="module", autouse=True)
def quiet():
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """The torch model of a case and its folder, made once."""

    @functools.cache
    def save(case, init="moved"):
        model = tiny_models.make(case, **INITS[init])
        folder = tmp_path_factory.mktemp(case)
        model.save_pretrained(folder)
        return model, folder

    return save
