"""`superposition llm activations`: caches, interrupted and continued."""

import signal

import numpy as np
import pytest

from superposition.activations.cache import Cache
from superposition.cli import main
from superposition.llm import LanguageModel
from superposition.llm import cache as caching
from superposition.storage import formats
from tests.support.llm_commands import POST, TINY, one_line, run, tokens_of

BOTH = ["--hook", "mlp.hook_post", "attn.hook_z"]


@pytest.fixture(scope="module")
def cached(model, texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("caches") / "both"
    assert (
        main.main(["llm", *map(str, ["activations", "--model", model, "--text", texts, *BOTH, "--out", out])])
        == 0
    )
    return out


def files_of(directory):
    return {p.name: p.read_bytes() for p in directory.iterdir() if p.name != "lock"}


def test_a_cache_holds_what_the_model_gives_at_every_usable_token(cached, model, texts, lm, capsys):
    cache, tokens = Cache(cached), tokens_of(lm, text=(texts,))
    assert cache.hooks == {POST: 24, "blocks.0.attn.hook_z": 16}
    seen = lm.run_with_cache(tokens.tokens, list(cache.hooks))[1]
    for hook in cache.hooks:
        rows = cache.rows(hook)
        expected = np.asarray(seen[hook]).reshape(*tokens.tokens.shape, -1)[tokens.usable]
        np.testing.assert_allclose(rows.read(np.arange(len(rows))), expected, atol=1e-5)
    np.testing.assert_array_equal(cache.places(), np.nonzero(tokens.usable))
    np.testing.assert_array_equal(cache.tokens(), tokens.tokens)
    before = files_of(cached)
    arguments = ["activations", "--model", model, "--text", texts, *BOTH, "--out", cached]
    status, _, errors = run(*arguments, capsys=capsys)
    assert (status, "--resume" in errors) == (2, True)
    status, printed, errors = run(*arguments, "--resume", capsys=capsys)
    assert status == 0, errors
    assert "3317 tokens" in printed
    status, _, errors = run(*arguments, "--resume", "--ctx", "16", capsys=capsys)
    assert (status, "about.ctx is 32 there and 16 here" in errors) == (2, True)
    assert files_of(cached) == before


def test_an_interrupted_cache_goes_on_to_the_byte(model, texts, tmp_path, capsys, monkeypatch, interrupt):
    monkeypatch.setattr(caching, "SHARD_BYTES", 1)  # 1024 rows, of 3317
    monkeypatch.setattr(caching, "LARGEST", 32 * 64 * 10)  # ten rows at a time, of 107
    arguments = ["activations", "--model", model, "--text", texts, *BOTH]
    assert run(*arguments, "--out", tmp_path / "whole", capsys=capsys)[0] == 0
    begun, real = [], LanguageModel.run_with_cache

    def stop_in_fifth(*args, **kwargs):
        begun.append(1)
        if len(begun) == 5:
            interrupt(signal.SIGINT)
        return real(*args, **kwargs)

    monkeypatch.setattr(LanguageModel, "run_with_cache", stop_in_fifth)
    status, _, errors = run(*arguments, "--out", tmp_path / "a", capsys=capsys)
    assert (status, "--resume" in errors, errors.count("\n")) == (130, True, 0)
    assert len(Cache(tmp_path / "a").rows(POST)) == 1024
    whole = len(begun)
    status, _, errors = run(*arguments, "--out", tmp_path / "a", "--resume", capsys=capsys)
    assert status == 0, errors
    assert 0 < len(begun) - whole < 10  # not from the beginning: 11 or so in all
    assert files_of(tmp_path / "a") == files_of(tmp_path / "whole")


def test_text_that_runs_dry_leaves_a_finished_cache(model, texts, tmp_path, capsys):
    arguments = [
        "activations",
        "--model",
        model,
        "--text",
        texts,
        "--max-tokens",
        "9999",
        "--out",
        tmp_path / "a",
    ]
    status, printed, errors = run(*arguments, capsys=capsys)
    assert (status, printed, errors.count("\n")) == (2, "", 0)
    assert "runs dry after 3,424 tokens, --max-tokens asks for 9,999; give --max-tokens 3424" in errors
    assert "a holds the activations of what there is" in errors
    assert len(Cache(tmp_path / "a").rows(POST)) == 3317


def test_train_on_a_cache(cached, model, tmp_path, capsys):
    arguments = ["train-sae", "--cache", cached, *TINY]
    status, _, errors = run(*arguments, "--hook", "mlp.hook_post", "--out", tmp_path / "a", capsys=capsys)
    assert status == 0, errors
    loaded = formats.load(tmp_path / "a" / "seed=0")
    assert (loaded.sae.d_in, loaded.metadata["hook_name"], loaded.metadata["context_size"]) == (24, POST, 32)
    assert loaded.metadata["model_name"] == str(model)
    assert loaded.metadata["superposition"]["metrics"]["fvu"] < 1
    for options, said in (
        ([], "choose one with --hook"),
        (["--hook", "hook_embed"], "no hook 'hook_embed'; it holds"),
        (["--hook", POST, "--model", "x"], "leave --model out"),
        (["--hook", POST, "--ctx", "8"], "leave --ctx out"),
        (["--hook", POST, "--mixing", "1000000", "--memory-gb", "3"], "give a smaller --mixing"),
        (["--cache", tmp_path], "no cache of activations here"),
    ):
        one_line(*run(*arguments, *options, "--out", tmp_path / "b", capsys=capsys), said)
    assert not list(tmp_path.glob("b*"))
