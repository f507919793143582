"""A directory of two checkpoints."""

import pytest

from superposition.storage import checkpoint
from tests.support.checkpoints import tree_of


@pytest.fixture
def saved(tmp_path):
    """A directory with the steps 1 and 2."""
    directory = tmp_path / "run"
    for step in (1, 2):
        checkpoint.save(directory, step, tree_of(step), {"step": step})
    return directory
