"""Fixtures of the tests of experiments/small_lm."""

import json

import pytest

from experiments.scripts.shared.corpus import prepare
from tests.support.small_lm import CTX, prose


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    (folder / "udhr").mkdir()
    (folder / "latin.txt").write_text(prose("latin", 4000))
    (folder / "hebrew.txt").write_text(prose("hebrew", 1600))
    (folder / "rare.txt").write_text(prose("rare", 240))
    (folder / "stories.json").write_text(json.dumps([prose("latin", 40, i) for i in range(40)]))
    (folder / "udhr" / "held.txt").write_text(prose("held", 400) + prose("latin", 80, 9))
    (folder / "udhr" / "udhr_all.txt").write_text("all of them again " * 40)
    return folder


@pytest.fixture(scope="session")
def corpus(folder):
    return prepare([folder], vocab=400, ctx=CTX)
