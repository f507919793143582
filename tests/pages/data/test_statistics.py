"""The numbers of feature pages against brute force: densities, examples, correlations, and tables."""

import json
from itertools import pairwise

import numpy as np
import pytest

from superposition.pages import check
from superposition.pages.llm import statistics
from superposition.pages.llm.examples import SIDE, drawn
from superposition.pages.llm.statistics import BINS, INTERVALS, intervals
from superposition.pages.pieces import piece, pieces
from tests.support.page_data import D_SAE, DEAD, WIDTH, column, panel


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
