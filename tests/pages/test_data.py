"""The numbers of feature pages against brute force on a tiny model: every one of them computed again, the long way."""

import base64
import json
from itertools import pairwise
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.activations.cache import Cache, CacheWriter
from superposition.errors import ConfigError
from superposition.interventions import At, Attached, splice
from superposition.llm import LanguageModel
from superposition.llm.direct import has_direct_path, next_token_loss, to_residual
from superposition.llm.packing import Tokens, pack_text
from superposition.pages import check
from superposition.pages.llm import activations as page_activations
from superposition.pages.llm import effects, feature_pages, statistics
from superposition.pages.llm import map as page_map
from superposition.pages.llm.effects import Effects, decoder_rows
from superposition.pages.llm.examples import SIDE, Best, drawn, peaks
from superposition.pages.llm.rules import Counts, describe
from superposition.pages.llm.spill import Fired, Spill
from superposition.pages.llm.statistics import BINS, INTERVALS, intervals, measure
from superposition.pages.pieces import piece, pieces
from superposition.sae import ReLU, TopK
from tests.oracles import tiny_lm, tiny_models

HOOK, WIDTH, D_SAE, DEAD = "blocks.0.mlp.hook_post", 24, 12, 5
RANDOM = np.random.default_rng(0)


def params_of(sae, x, seed=0):
    """Random parameters; latents fire on 70 % to 3 % of the activations x (..., d_in), and DEAD on none."""
    random = np.random.default_rng(seed)
    params = {
        "W_enc": jnp.asarray(random.normal(0, 0.6, (sae.d_in, sae.d_sae)), jnp.float32),
        "b_enc": jnp.zeros(sae.d_sae),
        "W_dec": jnp.asarray(random.normal(0, 1.0, (sae.d_sae, sae.d_in)), jnp.float32),
        "b_dec": jnp.asarray(random.normal(0, 0.3, sae.d_in), jnp.float32),
    }
    inside, _ = sae.norm_in(jnp.asarray(x, jnp.float32).reshape(-1, sae.d_in))
    pre = np.asarray(sae.pre_acts(params, inside))
    b_enc = np.array(
        [-np.quantile(p, q) for p, q in zip(pre.T, np.linspace(0.3, 0.97, sae.d_sae), strict=True)]
    )
    b_enc[DEAD] = -1e4
    return {**params, "b_enc": jnp.asarray(b_enc, jnp.float32)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model of two layers, text of three sources, an SAE of neurons, and its latents (rows, ctx, d_sae) by hand."""
    lm = LanguageModel.from_hf(tiny_lm.write_model(tmp_path_factory.mktemp("lm"), layers=2))
    texts = {name: [text] for name, text in tiny_lm.TEXTS.items()}
    tokens = pack_text(lm.tokenizer, texts, 28, bos=0, eos=0)
    kept = np.concatenate([np.flatnonzero(tokens.source == s)[:14] for s in range(3)])
    usable = tokens.usable[kept].copy()
    usable[2, 9:12] = False
    tokens = Tokens(tokens.tokens[kept], usable, tokens.source[kept], tokens.sources)
    sae = ReLU(d_in=WIDTH, d_sae=D_SAE)
    x = np.asarray(lm.run_with_cache(tokens.tokens, [HOOK])[1][HOOK])
    params = params_of(sae, x)
    latents = np.maximum(np.asarray(sae.encode(params, jnp.asarray(x))), 0) * usable[..., None]
    return SimpleNamespace(lm=lm, tokens=tokens, sae=sae, params=params, x=x, latents=latents)


def at_hook(world, lm=None, params=None):
    return Attached(lm or world.lm, HOOK, world.sae, params or world.params)


@pytest.fixture(scope="module")
def pages(world):
    made = feature_pages(at_hook(world), world.tokens, seed=3)
    return made.index, list(made.features), list(made.texts)


@pytest.fixture(scope="module")
def parts(world):
    """The two passes themselves, over all latents."""
    spill, ids = Spill(), np.arange(D_SAE)
    source = page_activations.Activations(world.lm, HOOK, world.tokens)
    first = measure(source, world.sae, world.params, ids, spill)
    return first, intervals(spill, ids, first.largest, 28, 3), spill


def panel(page, title):
    (one,) = [p for p in page["panels"] if p["title"] == title]
    return one


def column(data, dtype):
    return np.frombuffer(base64.b64decode(data), dtype)


def test_pages_hold_together_and_are_json(pages):
    index, features, texts = pages
    check.index(index)
    ids = index["columns"]["id"]
    assert ids == list(range(D_SAE))
    for id, page in zip(ids, features, strict=True):
        check.feature(page, id, set(ids))
    for name, text in zip(index["texts"], texts, strict=True):
        check.text(text, name, set(ids))
    json.dumps([index, features, texts], allow_nan=False)
    titles = [
        "Numbers", "Activations", "Logit weights", "Tokens it promotes and suppresses", "Examples", "Neuron alignment",
        "Correlated neurons", "Correlated latents", "Nearest decoder directions",
    ]  # fmt: skip
    assert [[p["title"] for p in page["panels"]] for page in features] == [titles] * D_SAE


def test_density_maximum_and_histogram(world, pages):
    index, features, _ = pages
    columns, f = index["columns"], world.latents[world.tokens.usable]
    np.testing.assert_allclose(columns["density"], (f > 0).mean(0), rtol=1e-3)
    np.testing.assert_allclose(columns["max"], f.max(0), rtol=1e-3)
    mean = f.sum(0) / np.maximum((f > 0).sum(0), 1)
    np.testing.assert_allclose(columns["mean"], mean, rtol=1e-3)
    np.testing.assert_allclose(columns["norm"], np.linalg.norm(world.params["W_dec"], axis=1), rtol=1e-3)
    assert columns["density"][0] > 0.3
    assert columns["density"][DEAD] == 0
    for i, page in enumerate(features):
        if i == DEAD:
            continue
        own = f[:, i][f[:, i] > 0].astype(np.float64)
        edges = own.max() * np.arange(BINS + 1) / BINS
        wanted = [((own > lo) & (own <= hi)).sum() for lo, hi in pairwise(edges)]
        wanted[-1] += (own > edges[-1]).sum()  # the last edge by rounding
        shown = panel(page, "Activations")
        assert shown["counts"] == wanted
        assert (shown["from"], shown["to"]) == (0, pytest.approx(own.max(), rel=1e-3))


def test_intervals_hold_what_they_say_and_their_examples_are_in_them(world, pages, parts):
    _, features, _ = pages
    first, second, _ = parts
    masses = second.mass
    alive = np.arange(D_SAE) != DEAD
    np.testing.assert_allclose(masses.sum(1), alive, atol=1e-12)
    f = world.latents.reshape(-1, D_SAE)
    for i in np.flatnonzero(alive):
        own, top = f[:, i], f[:, i].max()
        where = np.ceil(own.astype(np.float64) / float(top) * INTERVALS).astype(int) - 1
        groups = panel(features[i], "Examples")["groups"][1:]
        for k in range(INTERVALS):
            inside = (where == k) & (own > 0)
            assert masses[i, k] == pytest.approx(inside.sum() / (own > 0).sum())
            places = second.places[i, k]
            places = places[places >= 0]
            assert len(set(places)) == len(places) == min(3, inside.sum())
            assert inside[places].all()
            group = groups[INTERVALS - 1 - k]
            assert group["note"] == f"holds {100 * masses[i, k]:.3g} % of the activations"
            assert len(group["rows"]) == len(places)
    assert (first.fired == (f > 0).sum(0)).all()


def test_an_activation_on_an_edge_is_in_the_interval_below_it_and_counted_once():
    largest = np.full(4, 500.0)
    assert statistics.bins(np.array([10.0, 10.001, 500.0, 1e-9]), largest).tolist() == [0, 1, BINS - 1, 0]
    everywhere = statistics.bins(np.arange(1, 501.0), np.full(500, 500.0))
    assert np.bincount(everywhere).tolist() == [10] * BINS


def test_random_examples_are_uniform_and_follow_the_seed(world, parts):
    first, second, spill = parts
    ids = np.arange(D_SAE)
    again = intervals(spill, ids, first.largest, 28, 3).places
    assert (again == second.places).all()
    f = world.latents.reshape(-1, D_SAE)
    chosen = np.zeros(len(f))
    rounds = 300
    for seed in range(rounds):
        places = intervals(spill, ids, first.largest, 28, seed).places[0, 4]
        assert (places >= 0).all()
        chosen[places] += 1
    inside = np.ceil(f[:, 0].astype(np.float64) / f[:, 0].max() * INTERVALS).astype(int) - 1 == 4
    assert chosen.sum() == 3 * rounds
    assert not chosen[~inside].any()
    expected = 3 * rounds / inside.sum()
    chi2 = ((chosen[inside] - expected) ** 2 / expected).sum()
    assert abs(chi2 / inside.sum() - 1) < 5 * np.sqrt(2 / inside.sum())
    assert np.unique(drawn(1, np.arange(500), np.zeros(500, int))).size == 500


def greedy(world, i):
    """The strongest places, none within 2 SIDE of a stronger one of its row, of equal windows the strongest."""
    ids, found, left = world.tokens.tokens, [], {}
    f = world.latents[..., i]
    for row in range(len(ids)):
        taken = []
        for at in sorted(np.flatnonzero(f[row] > 0), key=lambda p: (-f[row, p], p)):
            if all(abs(at - other) > 2 * SIDE for other in taken):
                taken.append(at)
                text = tuple(ids[row, p] if 0 <= p < 28 else -1 for p in range(at - SIDE, at + SIDE + 1))
                found.append((-f[row, at], row * 28 + at, text))
    for _, place, text in sorted(found):
        left.setdefault(text, place)
    return sorted(left.values(), key=lambda place: (-f.reshape(-1)[place], place))[:20]


def test_top_examples_are_the_strongest_in_different_contexts(world, parts):
    first, _, _ = parts
    some_are_alike = False
    for i in range(D_SAE):
        wanted = greedy(world, i)
        assert first.top[i][first.top[i] >= 0].tolist() == wanted
        plain = np.argsort(-world.latents[..., i].reshape(-1), kind="stable")[: len(wanted)]
        some_are_alike |= plain.tolist() != wanted
    assert some_are_alike


def test_examples_show_the_text_and_the_activations_around_the_peak(world, pages):
    _, features, _ = pages
    ids = world.tokens.tokens
    for i, page in enumerate(features):
        if i == DEAD:
            continue
        shown = panel(page, "Examples")
        refs, act = column(shown["tokens"], "<u2"), column(shown["act"], "u1")
        assert shown["scale_act"] == pytest.approx(world.latents[..., i].max(), rel=1e-5)
        begin = 0
        for (row, at), peak, length, source in zip(
            shown["place"], shown["peak"], shown["length"], shown["source"], strict=True
        ):
            start, end = max(0, at - SIDE), min(28, at + SIDE + 1)
            assert (length, peak) == (end - start, at - start)
            assert source == world.tokens.sources[world.tokens.source[row]]
            words = [page["dictionary"][r] for r in refs[begin : begin + length]]
            assert words == pieces(world.lm.tokenizer, ids[row])[start:end]
            wanted = world.latents[row, start:end, i]
            np.testing.assert_allclose(
                act[begin : begin + length] * shown["scale_act"] / 255, wanted, atol=shown["scale_act"] / 500
            )
            begin += length
        assert begin == len(refs)
        rows = shown["groups"][0]["rows"]
        assert [row * 28 + at for row, at in (shown["place"][r] for r in rows)] == greedy(world, i)


def test_correlations(world, pages, parts):
    _, features, _ = pages
    used = world.tokens.usable
    x, f = world.x[used].astype(np.float64), world.latents[used].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = np.corrcoef(np.concatenate([f, x], 1).T)
    norms = np.linalg.norm(np.concatenate([f, x], 1), axis=0)
    cosine = np.concatenate([f, x], 1).T @ np.concatenate([f, x], 1) / np.outer(norms, norms).clip(1e-30)
    for i in range(D_SAE):
        for title, offset, n in (("Correlated latents", 0, D_SAE), ("Correlated neurons", D_SAE, WIDTH)):
            shown = panel(features[i], title)
            if i == DEAD:
                assert shown["type"] == "empty"
                continue
            r = np.nan_to_num(whole[i, offset : offset + n], nan=-2.0)
            r[i if offset == 0 else []] = -2
            order = np.argsort(-r)[:5]
            which = [row[0] if offset else row[0]["f"] for row in shown["rows"]]
            assert which == order.tolist()
            np.testing.assert_allclose([row[1] for row in shown["rows"]], r[order], atol=2e-3)
            np.testing.assert_allclose(
                [row[2] for row in shown["rows"]], cosine[i, offset + order], atol=2e-3
            )
    first, _, _ = parts
    for i in np.flatnonzero(np.arange(D_SAE) != DEAD):
        np.testing.assert_allclose(
            first.inputs.pearson[i], whole[i, D_SAE + first.inputs.which[i]], atol=1e-5
        )


def test_decoder_tables(world, pages):
    _, features, _ = pages
    W = np.asarray(world.params["W_dec"])
    unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    for i, page in enumerate(features):
        best = np.argsort(-np.abs(W[i]))[:5]
        rows = panel(page, "Neuron alignment")["rows"]
        assert [row[0] for row in rows] == best.tolist()
        np.testing.assert_allclose([row[1] for row in rows], W[i, best], rtol=1e-3)
        np.testing.assert_allclose(
            [row[2] for row in rows], 100 * np.abs(W[i, best]) / np.abs(W[i]).sum(), rtol=6e-3
        )
        c = unit @ unit[i]
        c[i] = -2
        near = np.argsort(-c)[:10]
        rows = panel(page, "Nearest decoder directions")["rows"]
        assert [row[0]["f"] for row in rows] == near.tolist()
        np.testing.assert_allclose([row[1] for row in rows], c[near], atol=1e-3)


def test_logit_panels(world, pages):
    index, features, _ = pages
    p = {k: np.asarray(v, np.float64) for k, v in world.lm.params.items()}
    written = np.asarray(world.params["W_dec"]) @ p["blocks.0.mlp.W_out"]
    logits = ((written - written.mean(1, keepdims=True)) * p["ln_final.w"]) @ p["embed.W"].T
    logits -= logits.mean(1, keepdims=True)
    for i, page in enumerate(features):
        shown = panel(page, "Tokens it promotes and suppresses")
        for side, sign in (("positive", -1), ("negative", 1)):
            order = np.argsort(sign * logits[i])[:10]
            words = [page["dictionary"][ref] for ref, _ in shown[side]]
            assert words == [piece(world.lm.tokenizer, t) for t in order]
            np.testing.assert_allclose([v for _, v in shown[side]], logits[i, order], rtol=2e-3)
        bars = panel(page, "Logit weights")
        assert bars["diverging"]
        counts, _ = np.histogram(logits[i], BINS)
        assert np.abs(np.array(bars["counts"]) - counts).sum() <= 4  # float32 at the edges of a bin
        assert sum(bars["counts"]) == 300
        promoted = [index["dictionary"][r] for r in index["columns"]["promoted"][i]]
        assert promoted == [piece(world.lm.tokenizer, t) for t in np.argsort(-logits[i])[:5]]


def losses(logits, ids):
    """Of every token, 0 for the first: (rows, ctx)."""
    logits = np.asarray(logits[:, :-1], np.float64)
    logp = (
        logits
        - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
        - logits.max(-1, keepdims=True)
    )
    picked = -np.take_along_axis(logp, np.asarray(ids, int)[:, 1:, None], -1)[..., 0]
    return np.pad(picked, ((0, 0), (1, 0)))


def without(unit, latents):
    return latents.at[..., unit].set(0.0)


next_loss = jax.jit(next_token_loss, static_argnums=0)
apply = jax.jit(lambda edit, x: edit(x, None))


def brute_effects(lm, hook, sae, params, tokens, unit):
    """(full, direct), (rows, ctx): by forward passes with an edit, and by hand from the final residual."""
    ids, usable = tokens.tokens, jnp.asarray(tokens.usable)
    last = f"blocks.{lm.spec.n_layers - 1}.hook_resid_post"
    logits, seen = lm.run_with_cache(ids, [last, hook])
    clean = losses(logits, ids)
    less = jax.tree_util.Partial(
        without, jnp.asarray(unit)
    )  # its array is traced: one program for all latents
    edit = At(splice(Attached(lm, hook, sae, params), less, error_term=True)[hook], usable)
    full = (losses(lm(ids, edits={hook: edit}), ids) - clean) * tokens.usable
    if not has_direct_path(hook):
        return full, None
    written = to_residual(
        lm.spec, lm.params, hook, (seen[hook] - apply(edit, seen[hook])).reshape(*ids.shape, -1)
    )
    new = next_loss(lm.spec, lm.params, (seen[last] - written)[:, :-1], jnp.asarray(ids[:, 1:], jnp.int32))
    direct = (np.pad(np.asarray(new), ((0, 0), (1, 0))) - clean) * tokens.usable
    return full, np.where(np.arange(ids.shape[1]) > 0, direct, 0)


def test_effects_are_those_of_forward_passes_with_the_latent_ablated(world, pages):
    _, features, _ = pages
    differ = 0.0
    for i in (0, 1, 7):
        wanted = dict(
            zip(
                ("full", "direct"),
                brute_effects(world.lm, HOOK, world.sae, world.params, world.tokens, i),
                strict=True,
            )
        )
        differ = max(differ, np.abs(wanted["full"] - wanted["direct"]).max())
        shown = panel(features[i], "Examples")
        for name, brute in wanted.items():
            got = column(shown[name], "i1") * shown[f"scale_{name}"] / 127
            rows = [brute[row, max(0, at - SIDE) : at + SIDE + 1] for row, at in shown["place"]]
            np.testing.assert_allclose(got, np.concatenate(rows), atol=shown[f"scale_{name}"] / 253 + 2e-5)
            assert shown[f"scale_{name}"] > 0.05
    assert differ > 0.05


@pytest.mark.parametrize(
    ("hook", "make"),
    [
        ("blocks.1.hook_resid_pre", lambda d: ReLU(d_in=d, d_sae=8, normalize_activations="layer_norm")),
        ("blocks.0.attn.hook_z", lambda d: TopK(d_in=d, d_sae=8, k=3, rescale_acts_by_decoder_norm=True)),
        ("blocks.1.mlp.hook_post", lambda d: ReLU(d_in=d, d_sae=8, normalize_activations="constant_norm_rescale")),
    ],
)  # fmt: skip
def test_effects_at_other_hook_points_and_through_run_time_norms(world, monkeypatch, hook, make):
    lm, tokens = world.lm, world.tokens
    sae = make(lm.width(hook))
    x = lm.run_with_cache(tokens.tokens, [hook])[1][hook]
    params = params_of(sae, x)
    f = np.asarray(sae.encode(params, x.reshape(*x.shape[:2], -1))) * tokens.usable[..., None]
    monkeypatch.setattr(effects, "CELLS", 2**14)  # several programs' worth of rows and of tokens
    own = Effects(lm, hook, sae, decoder_rows(sae, params, np.arange(8)))
    clean = own.clean(tokens, 0, len(f), len(f))
    unit = int((f > 0).sum((0, 1)).argsort()[-2])
    rows, everywhere = np.arange(len(f)), np.broadcast_to(np.arange(28), f.shape[:2])
    values = f[..., unit]
    got = own.full(clean, rows, np.full(len(f), unit), values, everywhere)
    full, direct = brute_effects(lm, hook, sae, params, tokens, unit)
    assert np.abs(full).max() > 0.02
    np.testing.assert_allclose(got, full, atol=5e-5)
    assert own.direct_path
    assert own.only_direct == (hook == "blocks.1.mlp.hook_post")
    row, at = np.nonzero(np.ones((len(f), 27)))
    found = own.direct(clean, row, at, np.full(len(row), unit), values[row, at])
    np.testing.assert_allclose(found, direct[:, 1:].reshape(-1), atol=5e-5)
    if own.only_direct:
        np.testing.assert_allclose(found.reshape(-1, 27), got[:, 1:], atol=2e-5)


def test_a_dead_latent_has_an_honest_page(world, pages):
    index, features, _ = pages
    page = features[DEAD]
    assert page["dead"]
    assert not any(p["dead"] for i, p in enumerate(features) if i != DEAD)
    assert panel(page, "Examples")["type"] == panel(page, "Activations")["type"] == "empty"
    assert "dead" in panel(page, "Examples")["note"]
    assert panel(page, "Logit weights")["type"] == "histogram"
    columns = index["columns"]
    assert (columns["density"][DEAD], columns["quality"][DEAD], columns["label"][DEAD]) == (0, None, "")
    assert columns["top"][DEAD] == []
    assert ["Dead", "1 of these latents fire on none of the tokens"] in index["about"]


def test_texts_show_the_latents_that_are_strongest_for_themselves(world, pages):
    index, _, texts = pages
    assert len(texts) == 25
    assert index["texts"][:2] == ["sea, row 0", "sea, row 1"]
    share = world.latents / np.maximum(world.latents.max((0, 1)), 1e-30)
    direct = {i: brute_effects(world.lm, HOOK, world.sae, world.params, world.tokens, i)[1] for i in (0, 1)}
    seen = 0
    for name, text in zip(index["texts"], texts, strict=True):
        row = int(name.split()[-1])
        words = [text["dictionary"][r] for r in column(text["tokens"], "<u2")]
        assert words == pieces(world.lm.tokenizer, world.tokens.tokens[row])
        features = column(text["features"], "<i4").reshape(28, 8)
        act = column(text["act"], "u1").reshape(28, 8) / 255
        effect = column(text["direct"], "i1").reshape(28, 8) * text["scale_direct"] / 127
        for at in range(28):
            order = np.argsort(-share[row, at], kind="stable")[:8]
            order = order[share[row, at, order] > 0]
            assert features[at].tolist() == order.tolist() + [-1] * (8 - len(order))
            np.testing.assert_allclose(act[at, : len(order)], share[row, at, order], atol=1 / 500)
            assert not act[at, len(order) :].any()
            for k, i in enumerate(order):
                if i in direct:
                    wanted = direct[i][row, at + 1] if at + 1 < 28 else 0.0
                    assert effect[at, k] == pytest.approx(wanted, abs=text["scale_direct"] / 253 + 2e-5)
                    seen += wanted != 0
    assert seen > 200


def test_the_same_latent_is_found_in_another_sae(world):
    order = np.random.default_rng(1).permutation(D_SAE)
    p = world.params
    other = {
        **p,
        "W_enc": p["W_enc"][:, order] / 3,
        "b_enc": p["b_enc"][order] / 3,
        "W_dec": 3 * p["W_dec"][order],
    }
    # The coder subtracts b_dec from its input, so that all of it scales.
    made = feature_pages(
        at_hook(world), world.tokens, other=at_hook(world, params=other), effects=False, texts=()
    )
    where = np.argsort(order)
    for i, page in enumerate(made.features):
        rows = panel(page, "The same latent in the other SAE")["rows"]
        assert [row[0] for row in rows] == ["decoder cosine"] * 3 + ["activation correlation"] * 3 * (
            i != DEAD
        )
        assert rows[0][1:] == [where[i], 1.0]
        if i != DEAD:
            assert rows[3][1:] == [where[i], pytest.approx(1.0)]
            assert "full" not in panel(page, "Examples")


def test_pages_of_some_latents_are_those_of_all(world, pages):
    _, every, _ = pages
    made = feature_pages(at_hook(world), world.tokens, features=[7, DEAD, 1], seed=3)
    assert made.index["columns"]["id"] == [7, DEAD, 1]
    some = list(made.features)
    for page, id in zip(some, [7, DEAD, 1], strict=True):
        check.feature(page, id, {7, DEAD, 1})
        for got, wanted in zip(page["panels"], every[id]["panels"], strict=True):
            if (
                got["title"] in ("Correlated latents", "Nearest decoder directions")
                and got["type"] == "table"
            ):
                named = [
                    [cell.get("f", cell) if isinstance(cell, dict) else cell for cell in row]
                    for row in got["rows"]
                ]
                links = [
                    [
                        cell["f"] if isinstance(cell, dict) and cell["f"] in (7, DEAD, 1) else cell
                        for cell in row
                    ]
                    for row in wanted["rows"]
                ]
                links = [[f"latent {c['f']}" if isinstance(c, dict) else c for c in row] for row in links]
                assert [r[0] for r in named] == [r[0] for r in links]
                np.testing.assert_allclose(
                    [r[1:] for r in named], [r[1:] for r in links], rtol=1e-3, atol=1e-3
                )
            elif got["type"] == "examples":
                assert {
                    k: v for k, v in got.items() if k not in ("full", "direct", "scale_full", "scale_direct")
                } == {
                    k: v
                    for k, v in wanted.items()
                    if k not in ("full", "direct", "scale_full", "scale_direct")
                }
            elif got["title"] == "Numbers" or got["type"] == "tokens":
                assert got == wanted
    for text in made.texts:
        assert set(column(text["features"], "<i4")) <= {-1, 7, DEAD, 1}


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


def test_descriptions_are_found_on_even_rows_and_judged_on_odd_ones():
    """Latents planted on a token, after a token, in a source; one that fires by chance; one too rare to say."""
    random = np.random.default_rng(0)
    ids = random.integers(1, 30, (60, 20)).astype(np.uint16)
    source = np.repeat([0, 1, 2], 20)
    usable = np.ones(ids.shape, bool)
    usable[:, 0] = False
    tokens = Tokens(ids, usable, source, ("arabic", "c", "dna"))
    fires = np.zeros((*ids.shape, 5), bool)
    fires[..., 0] = np.isin(ids, [5, 9])
    fires[:, 1:, 1] = ids[:, :-1] == 7
    fires[..., 2] = (source == 1)[:, None]
    fires[..., 3] = random.random(ids.shape) < 0.2
    fires[0, 3:12, 4] = True
    fires &= usable[..., None]
    for half in (0, 1):  # noise that only one half has
        fires[half::2, 5, 0] |= (half == 1) & (random.random(len(ids[half::2])) < 0.5)
    counts = Counts(tokens, 5, 30)
    for first in range(0, 60, 7):
        part = fires[first : first + 7]
        row, at = np.nonzero(usable[first : first + 7])
        where, slot = np.nonzero(part[row, at])
        counts.add(first, row, at, where, slot)
    got = describe(counts)
    assert got.known.tolist() == [True, True, True, True, False]
    assert got.kind[:3].tolist() == [0, 1, 2]
    assert sorted(got.named[0]) == [5, 9]
    assert got.named[1].tolist() == [7]
    assert got.named[2].tolist() == [1]
    odd = np.zeros(ids.shape, bool)
    odd[1::2] = True
    said, truth = np.isin(ids, [5, 9])[odd & usable], fires[..., 0][odd & usable]
    precision, recall = (said & truth).sum() / said.sum(), (said & truth).sum() / truth.sum()
    assert recall < 0.9
    verdict = [float(s[0]) for s in got.verdict]
    assert verdict == pytest.approx([2 * precision * recall / (precision + recall), precision, recall])
    assert [float(s[1]) for s in got.verdict] == [1, 1, 1]
    assert got.verdict.f1[3] < 0.5
    assert np.isfinite(np.stack(got.verdict)).all()
    favourite = np.bincount(ids[fires[..., 0]], minlength=30)
    assert favourite[got.favourites[0]].tolist() == np.sort(favourite)[:-6:-1].tolist()
    assert got.favourites[4].tolist() == np.unique(ids[0, 3:12]).tolist() or len(got.favourites[4]) == 5
    assert (got.by_source == [fires[source == s].sum((0, 1)) for s in range(3)]).all()


def test_rare_tokens_are_lumped_and_never_named(monkeypatch):
    from superposition.pages.llm import rules

    monkeypatch.setattr(rules, "CLASSES", 3)
    ids = np.array([[0, 4, 4, 4, 2, 2, 3, 3, 1, 1, 5, 5]] * 40)
    tokens = Tokens(ids, np.ones(ids.shape, bool), np.zeros(40, int), ("a",))
    counts = Counts(tokens, 2, 9)
    assert counts.named.tolist() == [4, 1, 2]
    row, at = np.nonzero(tokens.usable)
    events = np.stack([np.isin(ids, [5]), np.isin(ids, [4])], -1)[row, at]
    counts.add(0, row, at, *np.nonzero(events))
    got = describe(counts)
    assert got.named[1].tolist() == [4]
    assert not set(got.named[0]) - {4, 1, 2}
    assert got.verdict.f1[1] == 1
    assert got.verdict.f1[0] < 1


def test_labels_say_what_was_found(world, pages):
    index, features, _ = pages
    for label, quality, page in zip(
        index["columns"]["label"], index["columns"]["quality"], features, strict=True
    ):
        rows = {row[0]: row[1:] for row in panel(page, "Numbers")["rows"]}
        assert (label == "") == (quality is None)
        if quality is not None:
            assert label.endswith(f"(F1 {quality:.2f})".replace(" 0.", " ."))
            assert rows["Best simple description"][0] == label
            assert "precision" in rows["Best simple description"][1]


def test_the_best_of_a_stream_are_the_best_of_all():
    random = np.random.default_rng(2)
    n = 4000
    group, at = random.integers(0, 9, n), np.arange(n)
    value, kind = random.integers(0, 40, n).astype(float), random.integers(0, 60, n).astype(np.uint64)
    for kinds in (None, kind, np.zeros(n, np.uint64)):
        for step in (n, 97, 1000):
            best = Best(10, 8)
            for a in range(0, n, step):
                part = slice(a, a + step)
                best.add(group[part], value[part], at[part], None if kinds is None else kinds[part])
            for g in range(9):
                left = {}
                for _, place, which in sorted(
                    (value[i], at[i], at[i] if kinds is None else kinds[i])
                    for i in np.flatnonzero(group == g)
                ):
                    left.setdefault(which, place)
                wanted = sorted(left.values(), key=lambda p: (value[p], p))[:8]
                held = len(wanted)
                assert best.at[g].tolist() == wanted + [-1] * (8 - held)
                assert best.priority[g].tolist() == value[wanted].tolist() + [np.inf] * (8 - held)
            assert (best.at[9] == -1).all()


@pytest.mark.parametrize("values", [4, 1000])
def test_peaks_are_taken_greedily(values):
    random = np.random.default_rng(3)
    line = np.repeat(np.arange(30), 40)
    position = np.concatenate([np.sort(random.choice(120, 40, replace=False)) for _ in range(30)])
    value = random.integers(1, values, len(line)).astype(float)
    order = random.permutation(len(line))
    got = np.zeros(len(line), bool)
    got[order] = peaks(line[order], position[order], value[order], 20)
    for one in range(30):
        own, taken = np.flatnonzero(line == one), []
        for i in sorted(own, key=lambda i: (-value[i], position[i])):
            if all(abs(position[i] - position[j]) > 20 for j in taken):
                taken.append(i)
        assert np.flatnonzero(got & (line == one)).tolist() == sorted(taken)


def test_what_fired_is_read_back_as_it_was():
    spill = Spill()
    blocks = []
    for first in (0, 3, 6):
        n = int(RANDOM.integers(0, 9)) if first else 0
        blocks.append(
            Fired(first, 3, RANDOM.integers(0, 70000, n), np.arange(n), RANDOM.random(n).astype(np.float32))
        )
        spill.append(blocks[-1])
    for got, wanted in zip(spill.blocks(), blocks, strict=True):
        assert got[:2] == wanted[:2]
        for a, b in zip(got[2:], wanted[2:], strict=True):
            np.testing.assert_array_equal(a, b)
    assert [spill.number_of(row) for row in (0, 2, 3, 8)] == [0, 0, 1, 2]


def clustered(n, d=40, clusters=6):
    random = np.random.default_rng(4)
    centres = random.normal(size=(clusters, d))
    of = np.arange(n) % clusters
    return of, (centres[of] + 0.1 * random.normal(size=(n, d))) * random.uniform(0.1, 9, (n, 1))


def test_the_map_puts_likes_together(monkeypatch):
    of, rows = clustered(90)
    for limit in (8192, 60):  # all by t-SNE, and a third beside their neighbours
        monkeypatch.setattr(page_map, "AT_MOST", limit)
        at = page_map.positions(rows, np.arange(90.0))
        assert at.shape == (90, 2)
        assert np.abs(at).max() <= 1 + 1e-9
        distance = np.linalg.norm(at[:, None] - at[None], axis=-1) + 9 * np.eye(90)
        assert (of[distance.argmin(1)] == of).mean() > 0.95
    assert (page_map.positions(rows, np.arange(90.0)) == at).all()


@pytest.mark.parametrize("n", [1, 2, 3, 9, 10, 11])
def test_a_map_of_few_directions(n):
    rows = np.random.default_rng(5).normal(size=(n, 4))
    rows[n // 2] = 0
    at = page_map.positions(rows, np.ones(n))
    assert at.shape == (n, 2)
    assert np.isfinite(at).all()
    if 2 < n < 10:
        unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
        _, _, v = np.linalg.svd(unit - unit.mean(0))
        wanted = (unit - unit.mean(0)) @ v[:2].T
        got = at - at.mean(0)
        np.testing.assert_allclose(
            np.abs(got / np.abs(got).max()), np.abs(wanted / np.abs(wanted).max()), atol=1e-6
        )


def test_a_post_norm_is_taken_as_it_was_on_the_direct_path(tmp_path):
    tiny_models.write(tmp_path, "gemma2")
    lm = LanguageModel.from_hf(tmp_path)
    i, hook = lm.spec.n_layers - 1, f"blocks.{lm.spec.n_layers - 1}.mlp.hook_post"
    ids = np.random.default_rng(6).integers(3, lm.spec.d_vocab, (3, 12))
    tokens = Tokens(ids, np.arange(12) > np.zeros((3, 1)), np.zeros(3, int), ("a",))
    sae = TopK(d_in=lm.width(hook), d_sae=6, k=3)
    directions = np.random.default_rng(7).normal(size=(6, sae.d_in)).astype(np.float32)
    own = Effects(lm, hook, sae, directions)
    assert own.direct_path
    assert not own.only_direct
    got = own.direct(own.clean(tokens, 0, 3, 3), np.arange(3), np.full(3, 7), np.arange(3), np.ones(3))
    last, scale = f"blocks.{i}.hook_resid_post", f"blocks.{i}.ln2_post.hook_scale"
    logits, seen = lm.run_with_cache(ids, [last, scale])
    w = 1 + np.asarray(lm.params[f"blocks.{i}.ln2_post.w"])
    written = (
        directions[:3] @ np.asarray(lm.params[f"blocks.{i}.mlp.W_out"]) * w / np.asarray(seen[scale])[:, 7]
    )
    residual = np.asarray(seen[last])[:, 7] - written
    new = next_loss(lm.spec, lm.params, residual, jnp.asarray(ids[:, 8]))
    wanted = np.asarray(new) - losses(logits, ids)[:, 8]
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(got, wanted, atol=1e-5)
