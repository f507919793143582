"""The effects on feature pages against forward passes with the latent ablated, texts, and other SAEs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.interventions import At, Attached, splice
from superposition.llm.direct import has_direct_path, to_residual
from superposition.pages import check
from superposition.pages.llm import effects, feature_pages
from superposition.pages.llm.effects import Effects, decoder_rows
from superposition.pages.llm.examples import SIDE
from superposition.pages.pieces import pieces
from superposition.sae import ReLU, TopK
from tests.support.page_data import D_SAE, DEAD, HOOK, at_hook, column, losses, next_loss, panel, params_of


def without(unit, latents):
    return latents.at[..., unit].set(0.0)


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
