"""SAEs in every format, saved to be damaged, and what refuses them."""

import pytest

from superposition.errors import SuperpositionError
from superposition.sae import BatchTopK, JumpReLU, TopK
from superposition.storage import formats
from tests.oracles.unsealed import unsealed
from tests.support.formats import params_of

JUMP = JumpReLU(3, 5, apply_b_dec_to_input=False)


SAVED = {
    "saelens": JumpReLU(3, 5),
    "gemma-scope": JUMP,
    "gemma-scope-2": JUMP,
    "dictionary-learning": BatchTopK(3, 5, k=2),
    "sparsify": TopK(3, 5, k=2),
}

CONFIG = {
    "saelens": "cfg.json",
    "gemma-scope-2": "config.json",
    "dictionary-learning": "config.json",
    "sparsify": "cfg.json",
}


def save(tmp_path, format):
    return unsealed(formats.save(tmp_path / format, SAVED[format], params_of(SAVED[format]), format=format))


def refused(path, error=SuperpositionError, match=None, **options):
    """The message of the refusal, which names a file of `path`."""
    with pytest.raises(error, match=match) as caught:
        formats.load(path, **{"allow_pt": True, **options})
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1500
    return str(caught.value)
