"""`superposition page`: what it writes, replaces, and refuses."""

import json
import os
import re
import shutil
import signal

import numpy as np
import pytest

from superposition.activations.cache import Cache
from superposition.cli.features import page
from superposition.cli.features.config import PageConfig
from superposition.cli.llm.config import TextConfig
from superposition.cli.llm.data import read_tokens
from superposition.cli.settings import SMALL_LM_SAE
from superposition.interventions import Attached, firing
from superposition.llm import LanguageModel
from superposition.pages import llm as page_llm
from superposition.pages.server.served import read_index
from superposition.storage import formats
from tests.oracles import tiny_lm
from tests.support.page_commands import POST, run, write_sae
from tests.support.processes import python


@pytest.mark.parametrize("command", ["page", "serve"])
def test_help_does_not_import_jax(command):
    code = (
        "import sys\nfrom superposition.cli import main as cli\n"
        f"try:\n    cli.main(['{command}', '--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'jax', 'flax', 'transformers', 'xarray', 'matplotlib', 'optax', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert SMALL_LM_SAE in done.stdout


def test_the_default_sae_is_the_one_that_ships_and_an_unknown_name_lists_it():
    assert formats.SHIPPED.keys() == {SMALL_LM_SAE}
    loaded = formats.load(PageConfig().sae)
    assert loaded.metadata["hook_name"] == POST
    assert loaded.sae.d_in == LanguageModel.from_hf().width(POST)
    with pytest.raises(formats.StoreError, match=SMALL_LM_SAE):
        formats.load("superposition/small-lm-sea")
    with pytest.raises(formats.StoreError) as said:
        formats.load("elsewhere/small-lm-sea")
    assert SMALL_LM_SAE not in str(said.value)


def test_pages_of_every_latent_with_the_numbers_of_the_text(pages, model, texts, sae):
    index = read_index(pages)
    lm, loaded = LanguageModel.from_hf(model), formats.load(sae)
    tokens = read_tokens(TextConfig(text=(texts,)), lm)
    seen = firing(Attached(lm, POST, loaded.sae, loaded.params), tokens)
    assert index["columns"]["id"] == list(range(12))
    np.testing.assert_allclose(index["columns"]["max"], seen.largest, rtol=1e-3)
    np.testing.assert_allclose(index["columns"]["density"], seen.density, rtol=1e-3)
    assert index["of"]["hook"] == POST


def titles(folder, latent):
    html = (folder / "index.html").read_text()
    feature = json.loads(re.search(rf'id="features/{latent}">(.*?)</script>', html)[1])
    return [panel["title"] for panel in feature["panels"]]


def test_it_says_where_pages_are_and_looks_for_latents_in_another_sae(
    own, pages, model, texts, tmp_path, capsys
):
    other = write_sae(tmp_path / "other", seed=5, hook=None)
    out = tmp_path / "some pages"
    words = ["page", *own, "--text", texts, "--latents", 7, 2, "--other"]
    status, said, err = run(*words, other, "--out", out, capsys=capsys)
    assert status == 0, err
    assert f"2 pages in {out}" in said
    assert str(out / "index.html") in said
    assert f"superposition serve {own[0]} --model {model} --pages '{out}'" in said
    assert "writing" in err
    assert read_index(out)["columns"]["id"] == [7, 2]
    assert sorted(os.listdir(tmp_path)) == ["other", "some pages"]
    extra = set(titles(out, 7)) - set(titles(pages, 7))
    assert any("other" in title.lower() for title in extra), extra
    elsewhere = write_sae(tmp_path / "elsewhere", d_in=16, hook="blocks.0.hook_resid_post")
    status, _, err = run(*words, elsewhere, "--out", tmp_path / "x", capsys=capsys)
    assert status == 2
    assert "blocks.0.hook_resid_post" in err
    assert not (tmp_path / "x").exists()


def test_a_cache_gives_the_pages_of_its_text(pages, own, model, texts, tmp_path, capsys):
    cache, out = tmp_path / "cache", tmp_path / "pages"
    assert run("llm", "activations", "--model", model, "--text", texts, "--out", cache, capsys=capsys)[0] == 0
    status, _, err = run("page", *own, "--cache", cache, "--out", out, capsys=capsys)
    assert status == 0, err
    columns, expected = read_index(out)["columns"], read_index(pages)["columns"]
    for name in ("id", "density", "max", "label", "quality"):
        assert columns[name] == expected[name], name
    lm = LanguageModel.from_hf(model)
    tokens = read_tokens(TextConfig(text=(texts,)), lm)
    held = page.cached_tokens(Cache(cache), lm)
    np.testing.assert_array_equal(held.tokens, tokens.tokens)
    np.testing.assert_array_equal(held.usable, tokens.usable)
    another = tiny_lm.write_model(tmp_path / "another", seed=1)
    status, _, err = run(
        "page", own[0], "--model", another, "--cache", cache, "--out", tmp_path / "x", capsys=capsys
    )
    assert status == 2
    assert f"was written with {model}" in err


def test_pages_are_replaced_only_if_asked_and_only_pages(pages, own, texts, tmp_path, capsys, monkeypatch):
    out = tmp_path / "pages"
    shutil.copytree(pages, out)
    common = ["page", *own, "--text", texts, "--out", out, "--latents"]
    assert run(*common, 2, "--overwrite", capsys=capsys)[0] == 0
    assert read_index(out)["columns"]["id"] == [2]
    assert os.listdir(tmp_path) == ["pages"]
    monkeypatch.setattr(page, "open_sae", lambda config: pytest.fail("read a model first"))
    status, _, err = run(*common, 3, capsys=capsys)
    assert status == 2
    assert "--overwrite" in err
    (out / "mine.txt").write_text("a diary")
    status, _, err = run(*common, 3, "--overwrite", capsys=capsys)
    assert status == 1
    assert "mine.txt" in err
    assert (out / "mine.txt").read_text() == "a diary"


def test_settings_that_contradict_each_other_are_refused_before_a_model_is_read(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(page, "open_sae", lambda config: pytest.fail("read a model first"))
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    out = ["--out", tmp_path / "p"]
    for words, said in (
        ([], "--out"),
        (["--out", tmp_path / "file"], "exists"),
        (["--out", tmp_path / "link"], "exists"),
        (["--out", tmp_path / "link", "--overwrite"], "something else"),
        (["--out", tmp_path / "file" / "pages"], "cannot write"),
        ([*out, "--cell", "seed=1"], "--cell"),
        ([*out, "--density", 0.1], "--density"),
        ([*out, "--cache", tmp_path, "--text", tmp_path], "--text"),
        ([*out, "--cache", tmp_path, "--ctx", 16], "--ctx"),
        ([*out, "--text", tmp_path, "--tokens", tmp_path / "file"], "one of"),
        ([*out, "--latents", 1, 2, 1], "twice"),
        ([*out, "--toy", tmp_path, "--text", tmp_path], "--text"),
        ([*out, "--toy", tmp_path, "--model", "gpt2"], "--model"),
        ([*out, "--toy", tmp_path, "--latents", 1], "--latents"),
        ([*out, "--toy", tmp_path, "--other", "x"], "--other"),
        ([*out, "--toy", tmp_path, "--cache", tmp_path], "--cache"),
    ):
        status, printed, err = run("page", *words, capsys=capsys)
        assert status in (1, 2), words
        assert said in err, (words, err)
        assert not printed
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_what_does_not_fit_is_refused(own, sae, model, texts, tmp_path, capsys):
    wide = write_sae(tmp_path / "wide", d_in=16)
    for words, said in (
        ([*own, "--latents", 12], "0 to 11"),
        ([*own, "--latents", -1], "0 to 11"),
        ([wide, "--model", model], "16"),
        ([tmp_path / "nothing", "--model", model], "nothing"),
        ([*own, "--text", tmp_path / "nothing.txt"], "nothing.txt"),
    ):
        status, _, err = run(
            "page",
            *words,
            *([] if "--text" in words else ["--text", texts]),
            "--out",
            tmp_path / "p",
            capsys=capsys,
        )
        assert status in (1, 2), words
        assert said in err, err
        assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_half_written(own, texts, tmp_path, monkeypatch, capsys, signum, code):
    made = page_llm.feature_pages

    def interrupted(*arguments, **options):
        pages = made(*arguments, **options)

        def features():
            yield next(pages.features)
            signal.raise_signal(signum)  # seen before the next line, as os.kill's is not
            yield next(pages.features)

        return pages._replace(features=features())

    monkeypatch.setattr(page_llm, "feature_pages", interrupted)
    old = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    status, printed, err = run("page", *own, "--text", texts, "--out", tmp_path / "pages", capsys=capsys)
    assert status == code
    assert f"stopped by {signum.name}; nothing was written" in err
    assert not printed
    assert os.listdir(tmp_path) == []
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == old
