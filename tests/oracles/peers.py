"""The libraries that our numbers are held against, imported one way everywhere."""

import os
import warnings
from importlib import import_module
from importlib.util import find_spec

import pytest

REQUIRED = "SUPERPOSITION_REQUIRE_PEERS"


def peer(module):
    """The module of a peer; where the peer is not installed the test is skipped, unless `make test-peers` requires it.

    A peer that is installed and cannot be imported is an error: skipping would hide that nothing was compared.
    """
    root = module.split(".")[0]
    if find_spec(root) is None and os.environ.get(REQUIRED) != "1":
        pytest.skip(f"{root} is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(module)
