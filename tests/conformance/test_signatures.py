"""What annotations say of arrays, shapes among it, holds in representative calls of every room below training."""

import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

pytest.importorskip("beartype")


@pytest.mark.slow
def test_annotations_hold():
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.typed"],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_fails_for_a_wrong_shape():
    from jaxtyping import jaxtyped

    from superposition.toy import gradient
    from superposition.typing import ToyParams
    from tests.support.typed import check

    wide = jaxtyped(typechecker=check)(gradient.wide)
    W, b = jnp.ones((2, 5)), jnp.zeros(5)
    wide("relu", ToyParams(W, b), jnp.ones(5), jnp.ones((5, 8)))
    with pytest.raises(TypeCheckError):
        wide("relu", ToyParams(W, b), jnp.ones(4), jnp.ones((5, 8)))
