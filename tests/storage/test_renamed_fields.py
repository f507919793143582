"""Files of the version in which JumpReLU's `sparsity_loss` was called `sparsity` open, and its runs go on."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.sae import JumpReLU
from superposition.storage import formats
from superposition.storage.formats import _recipe
from superposition.storage.provenance import differences, rebuilt, recipe

SAE = JumpReLU(3, 4, sparsity_loss="tanh")


def before(text):
    """The text of a file as the version before wrote it."""
    assert '"sparsity_loss": "tanh"' in text
    return text.replace('"sparsity_loss"', '"sparsity"')


@pytest.mark.parametrize("format", ["saelens", "gemma-scope-2", "dictionary-learning"])
def test_a_directory_of_the_version_before_opens(tmp_path, monkeypatch, format):
    describe = _recipe.describe
    monkeypatch.setattr(_recipe, "describe", lambda sae: json.loads(before(json.dumps(describe(sae)))))
    sae = replace(SAE, apply_b_dec_to_input=False)
    params = {**SAE.init_params(jax.random.key(0)), "b_dec": np.zeros(3, np.float32)}
    path = formats.save(tmp_path / "sae", sae, params, format=format)
    assert '"sparsity": "tanh"' in next(path.glob("*.json")).read_text()
    assert formats.load(path, allow_pt=True).sae == sae


def test_a_run_of_the_version_before_is_the_same_run():
    stored = json.loads(before(json.dumps({"run": {"recipe": "SAERun", "sae": recipe(SAE)}})))
    assert rebuilt(stored["run"]["sae"], {"JumpReLU": JumpReLU}) == SAE
    assert differences(stored, {"run": {"recipe": "SAERun", "sae": recipe(SAE)}}) == []
    other = recipe(JumpReLU(3, 4))
    assert "sae.sparsity_loss is" in differences(stored["run"], {"recipe": "SAERun", "sae": other})[0]


def test_the_old_name_is_no_setting():
    with pytest.raises((ConfigError, TypeError)):
        JumpReLU(3, 4, sparsity="tanh")
