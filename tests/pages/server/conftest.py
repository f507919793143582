"""A folder of pages, and a server of such a folder."""

import pytest

from tests.support.server import serving, write


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(write(tmp_path_factory.mktemp("module"))) as one:
        yield one
