"""Pages from caches, in blocks, of odd activations, and what is refused."""

import numpy as np
import pytest

from superposition.activations.cache import Cache, CacheWriter
from superposition.errors import ConfigError
from superposition.interventions import Attached
from superposition.llm import LanguageModel
from superposition.pages import check
from superposition.pages.llm import activations as page_activations
from superposition.pages.llm import feature_pages, statistics
from superposition.pages.llm.spill import Spill
from superposition.pages.llm.statistics import intervals, measure
from superposition.sae import ReLU, TopK
from tests.support.page_data import D_SAE, HOOK, RANDOM, WIDTH, at_hook, panel, params_of


def test_nothing_depends_on_how_the_text_is_cut_into_blocks(world, parts, monkeypatch):
    first, second, _ = parts
    monkeypatch.setattr(statistics, "CELLS", 28 * 5 * WIDTH)
    spill, ids = Spill(), np.arange(D_SAE)
    source = page_activations.Activations(world.lm, HOOK, world.tokens)
    assert statistics.rows_of(source, D_SAE) == 5
    small = measure(source, world.sae, world.params, ids, spill)
    for name in ("fired", "top", "tokens"):
        np.testing.assert_array_equal(getattr(small, name), getattr(first, name))
    for name in ("total", "largest", "active"):
        np.testing.assert_allclose(getattr(small, name), getattr(first, name), rtol=1e-5)
    for a, b in ((small.inputs, first.inputs), (small.latents, first.latents)):
        np.testing.assert_array_equal(a.which, b.which)
        np.testing.assert_allclose(a.pearson, b.pearson, atol=1e-5)
    np.testing.assert_array_equal(small.counts.hits, first.counts.hits)
    again = intervals(spill, ids, first.largest, 28, 3)
    np.testing.assert_array_equal(again.places, second.places)
    np.testing.assert_array_equal(again.histogram, second.histogram)


def test_sparse_and_dense_products_agree(world, parts, monkeypatch):
    from superposition.pages.llm import correlation

    first, _, _ = parts
    for limit in (0.0, 1.0):
        monkeypatch.setattr(correlation, "DENSE", limit)
        source = page_activations.Activations(world.lm, HOOK, world.tokens)
        one = measure(source, world.sae, world.params, np.array([1, 0]), Spill())
        for got, wanted in ((one.inputs, first.inputs), (one.latents, first.latents)):
            np.testing.assert_array_equal(got.which, wanted.which[[1, 0]])
            np.testing.assert_allclose(got.pearson, wanted.pearson[[1, 0]], atol=1e-5)
            np.testing.assert_allclose(got.cosine, wanted.cosine[[1, 0]], atol=1e-5)


def test_a_coordinate_far_from_zero_keeps_its_correlation():
    from superposition.pages.llm.correlation import Pairs

    a = RANDOM.normal(size=(4000, 1)).astype(np.float32).clip(0)
    b = (3e4 + a[:, :1] + RANDOM.normal(size=(4000, 2))).astype(np.float32)
    sums = Pairs(1, 2, centred=True)
    for part in np.split(np.arange(4000), 8):
        sums.add(a[part], b[part])
    got = sums.similar(2)
    whole = np.corrcoef(np.concatenate([a, b], 1).T.astype(np.float64))[0, 1:]
    np.testing.assert_allclose(got.pearson[0], np.sort(whole)[::-1], atol=1e-5)


def test_a_first_batch_unlike_the_others_changes_nothing():
    from superposition.pages.llm.correlation import Pairs

    a = RANDOM.normal(size=(600, 3)).astype(np.float32).clip(0)
    b = (a @ RANDOM.normal(size=(3, 4)) + RANDOM.normal(size=(600, 4)) + 1).astype(np.float32)
    b[:100] += 5
    sums = Pairs(3, 4, centred=True)
    for part in np.split(np.arange(600), 6):
        sums.add(a[part], b[part])
    got = sums.similar(4)
    cosine = a.T @ b / np.outer(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0))
    pearson = np.corrcoef(np.concatenate([a, b], 1).T)[:3, 3:]
    np.testing.assert_allclose(got.cosine, np.take_along_axis(cosine, got.which, 1), atol=1e-5)
    np.testing.assert_allclose(got.pearson, -np.sort(-pearson, 1), atol=1e-5)


def write_cache(folder, world, tokens=None, keep=slice(None)):
    tokens = world.tokens if tokens is None else tokens
    row, at = (n[keep] for n in np.nonzero(tokens.usable))
    with CacheWriter(folder, {}, {HOOK: WIDTH}, rows=len(row), rows_per_shard=100) as writer:
        writer.save_tokens(tokens.tokens)
        writer.append({HOOK: world.x[row, at]}, row, at)
    return Cache(folder)


def test_a_cache_gives_the_same_pages(world, pages, tmp_path, monkeypatch):
    cache = write_cache(tmp_path / "cache", world)
    assert len(cache.manifest.shards) > 5
    ran = []
    monkeypatch.setattr(LanguageModel, "run_with_cache", lambda *a, **k: ran.append(a))
    made = feature_pages(at_hook(world), world.tokens, cache=cache, seed=3)
    assert not ran
    index, features, texts = pages
    assert made.index == index
    assert list(made.features) == features
    assert list(made.texts) == texts


def test_a_cache_of_something_else_is_refused(world, tmp_path):
    def refused(cache, match, tokens=world.tokens, hook=HOOK):
        with pytest.raises(ConfigError, match=match):
            page_activations.Activations(world.lm, hook, tokens, cache)

    refused(write_cache(tmp_path / "short", world, keep=slice(0, 300)), "holds 300 rows")
    cache = write_cache(tmp_path / "cache", world)
    swapped = world.tokens._replace(tokens=world.tokens.tokens[::-1], usable=world.tokens.usable)
    refused(cache, "of other tokens", swapped)
    moved = world.tokens.usable.copy()
    moved[2, 9], moved[2, 8] = True, False
    refused(cache, "other positions", world.tokens._replace(usable=moved))
    refused(cache, "no hook", hook="blocks.1.mlp.hook_post")


def test_bad_input_is_refused(world):
    def refused(match, sae=world.sae, hook=HOOK, tokens=world.tokens, **more):
        with pytest.raises(ConfigError, match=match):
            feature_pages(Attached(world.lm, hook, sae, world.params), tokens, **more)

    refused("a feature must be an integer in", features=[3, D_SAE])
    refused("a feature must be an integer in", features=[-1])
    refused("at least|name at least one", features=[])
    refused("reads 24 numbers, blocks.0.hook_resid_post has 16", hook="blocks.0.hook_resid_post")
    refused("no hook point named", hook="blocks.0.nothing")
    elsewhere = Attached(world.lm, "blocks.0.hook_resid_post", ReLU(d_in=16, d_sae=4), {})
    refused("the other SAE is at blocks.0.hook_resid_post", other=elsewhere)
    nothing = np.zeros_like(world.tokens.usable)
    refused("no usable position", tokens=world.tokens._replace(usable=nothing))
    refused("a row of texts", texts=[1000])
    refused("transcoder", sae=ReLU(d_in=WIDTH, d_sae=4, d_out=WIDTH))
    refused("seed", seed=-1)
    nameless = LanguageModel.of(world.lm.spec, world.lm.params)
    with pytest.raises(ConfigError, match="no tokenizer"):
        feature_pages(at_hook(world, lm=nameless), world.tokens)


def test_a_hook_point_without_a_direct_path_says_so(world):
    hook = "blocks.1.ln2.hook_normalized"
    sae = TopK(d_in=16, d_sae=8, k=2)
    x = world.lm.run_with_cache(world.tokens.tokens, [hook])[1][hook]
    made = feature_pages(Attached(world.lm, hook, sae, params_of(sae, x)), world.tokens, texts=[3])
    index, features = made.index, list(made.features)
    check.index(index)
    for i, page in enumerate(features):
        check.feature(page, i, set(range(8)))
        assert panel(page, "Logit weights")["type"] == "empty"
        assert "no direct path" in panel(page, "Logit weights")["note"]
        panel(page, "Dimension alignment")
        if not page["dead"]:
            assert "direct" not in panel(page, "Examples")
            assert panel(page, "Examples")["scale_full"] > 0
    (text,) = made.texts
    assert text["scale_direct"] == 0
