"""The parts of the four_questions experiment whose answers are known by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.language_model.four_questions.found_again import Units, again
from experiments.language_model.four_questions.meaning import meant, rank
from experiments.language_model.four_questions.pushed import (
    PROMOTED,
    SCALE,
    Text,
    chosen,
    directions,
    pushes,
    token_sets,
    typical_tokens,
)
from experiments.language_model.four_questions.tree import largest, shown
from experiments.language_model.four_questions.tree_drawing import Tree, placed
from experiments.language_model.shared.detectors import rules
from experiments.language_model.shared.small_lm import HOOK
from superposition.errors import ConfigError
from superposition.llm import LanguageModel
from superposition.llm.direct import logit_weights
from superposition.llm.packing import Tokens
from superposition.sae import TopK


class Letters:
    """A tokenizer of 30 tokens."""

    def decode(self, ids):
        return chr(ord("a") + ids[0])


def text(rows=6, ctx=20, seed=0):
    ids = np.random.default_rng(seed).integers(0, 30, (rows, ctx))
    return Tokens(ids, np.ones((rows, ctx), bool), np.arange(rows) % 2, ("even", "odd"))


def test_a_rule_is_the_token_or_kind_that_a_unit_fires_on_and_its_kind():
    tokens = text()
    ids, odd = tokens.tokens.ravel(), np.repeat(tokens.source, 20) == 1
    half_of_odd = odd & (np.arange(len(odd)) % 2 == 0)
    x = np.stack([2.0 * (ids == 7), 1.0 * odd, 0.5 * half_of_odd, np.zeros(len(ids)), -1.0 * odd], 1)
    got = rules(lambda b: b, x, np.stack([~odd, odd], 1), tokens, Letters())
    assert [(r.name, r.is_token) for r in got[:3]] == [("h", True), ("odd", False), ("odd", False)]
    assert got[0].f1 == got[1].f1 == 1
    assert got[2].f1 == pytest.approx(2 * 30 / (30 + 60))
    assert got[0].kind == (((ids == 7) & odd).sum() > ((ids == 7) & ~odd).sum())
    assert got[1].kind == 1
    assert got[3].f1 == got[4].f1 == 0  # silent, and negative everywhere
    assert shown(got[0], tokens.sources) == "‘h’"
    assert got[0].strongest == ("h",)
    assert shown(got[0]._replace(name="שלום", kind=0), ("hebrew", "x")) == "hebrew token"
    assert (
        shown(got[0]._replace(name="b", is_token=False, strongest=("ש", " a", "c")), ("b", "x"))
        == "b ‘␣a’ ‘c’"
    )


def test_units_are_found_again_in_another_order_and_not_on_shuffled_tokens():
    r = np.random.default_rng(0)
    x = r.random((20_000, 6)) * (r.random((20_000, 6)) < 0.05)
    other = np.concatenate([x[:, [4, 2, 0]], r.random((20_000, 2)) * (r.random((20_000, 2)) < 0.05)], 1)
    a, b = Units(lambda v: v, x), Units(lambda v: v, other)
    got = again([(a, b), (b, a)], draws=2)
    np.testing.assert_allclose(got.shares, [[3 / 6] * 3, [3 / 5] * 3])
    np.testing.assert_array_equal(got.chance, [0, 0, 0])
    assert got.cosine is None


def test_units_to_act_on_are_spaced_evenly_in_order_of_how_often_they_fire():
    x = np.zeros((1000, 7))
    for unit, often in enumerate((900, 5, 500, 20, 0, 300, 100)):
        x[:often, unit] = unit + 1
    got = chosen(lambda b: b, x, 3)
    assert got.units.tolist() == [0, 3, 5]  # most often, in the middle (300), least often of those that live
    assert got.maximum.tolist() == [1, 4, 6]


def test_rank_counts_the_other_kinds_that_gain_less():
    mass = np.array([[0.1, 0.5, -0.2], [0.1, 0.5, -0.2], [0.1, 0.5, -0.2]])
    assert rank(mass, np.array([0, 1, 2])).tolist() == [0.5, 1.0, 0.0]


def test_typical_tokens_are_mostly_of_one_kind():
    tokens = Tokens(np.array([[1, 2, 2, 5], [1, 1, 3, 5]]), np.array([[1, 1, 1, 1], [1, 1, 1, 0]], bool),
                    np.array([0, 1]), ("a", "b"))  # fmt: skip
    got = typical_tokens(tokens, 6)
    assert got[:, 0].tolist() == [False, False, True, False, False, True]  # the 5 of b is not usable
    assert got[:, 1].tolist() == [False, True, False, True, False, False]


def test_controls_are_not_among_the_promoted():
    weights = np.random.default_rng(0).normal(size=(3, 500))
    for row, (promoted, others) in zip(weights, token_sets(jax.random.key(0), weights), strict=True):
        assert set(promoted) == set(np.argsort(row)[-PROMOTED:])
        assert len(set(others) - set(promoted)) == 100


def test_pushes_agree_with_the_logits_computed_one_token_at_a_time():
    lm = LanguageModel.from_hf()
    ids = np.random.default_rng(0).integers(5, 3000, (2, 8))
    usable = np.ones(ids.shape, bool)
    usable[:, 0] = False
    tokens = Tokens(ids, usable, np.array([0, 1]), ("a", "b"))
    vectors = np.random.default_rng(1).normal(size=(2, 512)) * np.array([[0.3], [1.0]])
    kinds = np.arange(3072)[:, None] % 2 == np.arange(2)
    got = pushes(lm, TopK(d_in=512, d_sae=4, k=1), vectors, Text(tokens, tokens, kinds))
    weights = np.asarray(logit_weights(lm, HOOK, vectors))
    clean, seen = lm.run_with_cache(ids, [SCALE])
    for i, vector in enumerate(vectors):
        new = lm(ids, edits={HOOK: lambda x, c, v=vector: x + jnp.asarray(v, x.dtype)})
        p, q = (np.asarray(jax.nn.softmax(a), np.float64)[usable].mean(0) for a in (clean, new))
        np.testing.assert_allclose(
            got.mass[i], np.log(np.array([q[k].sum() / p[k].sum() for k in kinds.T])), rtol=1e-3
        )
        pairs = [
            (np.asarray(new - clean)[r, t], weights[i] / float(seen[SCALE][r, t, 0]))
            for r, t in np.argwhere(usable)
        ]
        correlations = [np.corrcoef(change, said)[0, 1] for change, said in pairs]
        slopes = [np.polyfit(said, change, 1)[0] for change, said in pairs]
        np.testing.assert_allclose(got.correlation[i], np.mean(correlations), rtol=1e-4)
        np.testing.assert_allclose(got.slope[i], np.mean(slopes), rtol=1e-4)
    assert got.correlation[0] > 0.9  # a small push: all that is between is the final norm


def test_neurons_are_shared_out_and_random_directions_are_as_long():
    x = np.random.default_rng(0).random((50, 30)).astype(np.float32)
    sae = TopK(d_in=30, d_sae=8, k=8)
    one = SimpleNamespace(sae=sae, params=dict(sae.init_params(jax.random.key(0))))
    shares = [directions(one, x, 5, k, 3) for k in range(3)]
    assert len(np.unique(np.concatenate([s.neurons.units for s in shares]))) == 15
    for ways in shares:
        np.testing.assert_array_equal(ways.spikes.argmax(1), ways.neurons.units)
        np.testing.assert_array_equal(ways.spikes.sum(1), x.max(0)[ways.neurons.units])
        along, noise = (np.linalg.norm(v, axis=1) for v in (ways.along, ways.noise))
        np.testing.assert_allclose(noise, along, rtol=1e-6)
        assert (np.abs((ways.noise * ways.along).sum(1)) < 0.9 * along**2).all()


def test_latents_mean_what_they_do_where_they_raise_the_kind_they_fire_on():
    lm = LanguageModel.from_hf()
    ids = np.random.default_rng(0).integers(5, 3000, (4, 8))
    tokens = Tokens(ids, np.ones(ids.shape, bool), np.arange(4) % 2, ("even", "odd"))
    kinds = np.arange(3072)[:, None] % 2 == np.arange(2)
    raises_even = np.asarray(logit_weights(lm, HOOK, np.eye(512))) @ (kinds[:, 0] - 0.5)
    raises_even *= 3 / np.linalg.norm(raises_even)
    sae = TopK(d_in=512, d_sae=4, k=2)
    params = jax.tree.map(np.zeros_like, dict(sae.init_params(jax.random.key(0))))
    params["W_enc"][0, :2] = params["W_enc"][1, 2:] = 1  # two fire on even text, two on odd
    params["W_dec"][:] = np.outer([1, -1, 1, -1], raises_even)
    odd = np.arange(40) % 2
    one = SimpleNamespace(sae=sae, params=params)
    x = np.eye(512, dtype=np.float32)[odd]
    got = meant(SimpleNamespace(meanings=4), lm, [one], x, np.eye(2)[odd] == 1, Text(tokens, tokens, kinds))
    assert got["meant_latent"].tolist() == [1, 0, 0, 1]


def family():
    """Two roots; the first with three children, of which one has two and one is nobody's parent."""
    parents = [[0, 1, 0, 0, -1], [2, 0, 2, 4]]
    labels = [["r", "s"], list("abcde"), list("wxyz")]
    rates = [[0.5, 0.4], [0.1, 0.2, 0.3, 0.05, 0.1], [0.01, 0.02, 0.03, 0.04]]
    return Tree((2, 5, 4), labels, [[0] * len(own) for own in labels], parents, rates, (0, 1))


def test_a_tree_is_placed_with_parents_amid_their_children_and_says_what_it_leaves_out():
    nodes = placed(family(), most=2)
    seen = {(n.column, n.latent): n for n in nodes}
    # Of root 0's children 0, 2, 3 the two that fire most are shown, most first: 2 and 0.
    assert [k for k in seen if k[0] == 1] == [(1, 2), (1, 0), (1, -1), (1, 1)]
    rest = seen[1, -1]
    assert (rest.hidden, rest.height, nodes[rest.parent].latent) == (1, 3, 0)
    assert seen[2, 2].height == 0
    assert seen[2, 0].height == 1
    assert seen[1, 2].height == 0.5
    assert seen[0, 0].height == (0.5 + 3) / 2
    assert seen[1, 0].height == 2
    assert seen[0, 1].height == 4.6  # a line on, and the gap between trees
    for node in nodes:
        if node.parent >= 0 and node.latent >= 0:
            above = nodes[node.parent]
            assert above.column == node.column - 1
            assert family().parents[node.column - 1][node.latent] == above.latent
    with pytest.raises(ConfigError, match="3 lists"):
        placed(family()._replace(parents=[]))


def test_the_largest_tree_of_every_group_is_the_one_with_most_descendants():
    parents = [np.array([1, 1, 0, -1]), np.array([2, 2, 2, 0, 3])]
    assert largest(parents, [0, 0, 1]).tolist() == [0, 2]  # 1 + 3 against 2 + 1
    assert largest(parents, [1, 0, 0]).tolist() == [1, 0]
