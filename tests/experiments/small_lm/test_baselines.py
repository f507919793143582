"""The baselines of the small language model are good ones."""

import numpy as np
import pytest

from experiments.scripts.shared import ngram
from experiments.scripts.shared.baselines import baselines
from tests.support.small_lm import CTX


def chain(n, vocab=8, seed=0):
    """Tokens of a random Markov chain, its transition matrix, and its stationary law."""
    random = np.random.default_rng(seed)
    P = random.dirichlet(np.full(vocab, 0.3), vocab)
    cumulative, tokens = P.cumsum(1), np.zeros(n, int)
    for i, u in enumerate(random.random(n - 1)):
        tokens[i + 1] = min(np.searchsorted(cumulative[tokens[i]], u), vocab - 1)
    pi = np.linalg.matrix_power(P, 200)[0]
    return tokens, P, pi


def pairs_of(tokens, weight=1.0):
    return ngram.pairs(tokens[None], np.ones((1, len(tokens)), bool), weight)


def test_the_baselines_reach_the_entropies_of_a_markov_chain():
    tokens, P, pi = chain(60_000)
    fit, check, test = (pairs_of(part) for part in np.split(tokens, [40_000, 50_000]))
    smoothing = ngram.tune([fit], [check], 8)
    counts = ngram.count([fit, check], 8)
    order_one = -(pi[:, None] * P * np.log(np.maximum(P, 1e-300))).sum()
    two = ngram.nats(ngram.bigram(counts, test.context, test.token, smoothing))
    one = ngram.nats(ngram.unigram(counts)[test.token])
    assert two == pytest.approx(order_one, abs=0.02)
    assert one == pytest.approx(-(pi * np.log(pi)).sum(), abs=0.02)


@pytest.mark.parametrize("continuation", [True, False])
def test_probabilities_sum_to_one_after_any_token(continuation):
    tokens, _, _ = chain(60, vocab=8)
    counts = ngram.count([pairs_of(tokens, 0.7), pairs_of(tokens[:20], 3.1)], 10)  # 8 and 9 are never seen
    smoothing = ngram.Smoothing((0.2, 0.5, 0.9), 0.1, continuation)
    for context in range(10):
        p = ngram.bigram(counts, np.full(10, context), np.arange(10), smoothing)
        assert p.sum() == pytest.approx(1)
        assert p.min() > 0
    assert ngram.unigram(counts).sum() == pytest.approx(1)


def test_the_bigram_is_the_formula():
    seen = ngram.Pairs(np.array([0, 0, 0, 1]), np.array([1, 1, 2, 2]), np.ones(4))
    counts = ngram.count([seen], 3)
    smoothing = ngram.Smoothing((0.4, 0.6, 0.8), 1.0, True)
    below = np.array([0 + 1, 1 + 1, 2 + 1]) / 6  # contexts of each token, plus the prior
    got = ngram.bigram(counts, np.array([0, 0, 0, 2]), np.array([0, 1, 2, 2]), smoothing)
    freed = (0.6 + 0.4) / 3
    want = [freed * below[0], (2 - 0.6) / 3 + freed * below[1], (1 - 0.4) / 3 + freed * below[2], below[2]]
    np.testing.assert_allclose(got, want)
    np.testing.assert_allclose(ngram.unigram(counts), np.array([1, 3, 3]) / 7)
    often = ngram.count([seen, ngram.Pairs(np.array([1] * 2), np.array([2] * 2), np.ones(2))], 3)
    thrice = ngram.bigram(often, np.array([1]), np.array([2]), smoothing)
    np.testing.assert_allclose(thrice, (3 - 0.8) / 3 + 0.8 / 3 * below[2])
    by_mass = ngram.bigram(counts, np.array([2]), np.array([1]), smoothing._replace(continuation=False))
    np.testing.assert_allclose(by_mass, 3 / 7)


def test_weights_are_as_good_as_copies_but_not_taken_for_evidence():
    tokens, _, _ = chain(300)
    other, _, _ = chain(300, seed=1)
    low = ngram.Smoothing((0.5, 0.5, 0.5), 1e-9, True)
    context, token = np.repeat(np.arange(8), 8), np.tile(np.arange(8), 8)

    def law(*parts):
        return ngram.bigram(ngram.count(list(parts), 8), context, token, low)

    one = law(pairs_of(tokens))
    np.testing.assert_allclose(law(pairs_of(tokens, 5.0)), one)
    assert np.abs(law(pairs_of(tokens), pairs_of(tokens)) - one).max() > 1e-3  # seen twice is discounted less
    heavy = law(pairs_of(tokens, 1000.0), pairs_of(other))
    assert np.abs(heavy - one)[context != 0].mean() < 0.05 < np.abs(law(pairs_of(other)) - one).mean()


def test_tuning_beats_add_one_and_every_untuned_discount():
    random = np.random.default_rng(5)
    P = random.dirichlet(np.full(300, 0.02), 300)
    tokens = np.zeros(12_000, int)
    for i in range(len(tokens) - 1):
        tokens[i + 1] = random.choice(300, p=P[tokens[i]])
    fit, check, test = (pairs_of(part) for part in np.split(tokens, [8000, 10_000]))
    counts = ngram.count([fit], 300)
    smoothing = ngram.tune([fit], [check], 300)

    def cost(part, chosen):
        return ngram.nats(ngram.bigram(counts, part.context, part.token, chosen))

    plain = [
        ngram.Smoothing((d, d, d), p, c) for d in ngram.DISCOUNTS for p in (1.0, 0.1) for c in (True, False)
    ]
    assert cost(check, smoothing) <= min(cost(check, one) for one in plain)
    assert cost(test, smoothing) <= min(cost(test, one) for one in plain) + 0.01
    table = np.ones((300, 300))
    np.add.at(table, (fit.context, fit.token), 1)
    add_one = -np.log(table[test.context, test.token] / table.sum(1)[test.context]).mean()
    assert cost(test, smoothing) < add_one - 0.3


def test_the_own_bigram_knows_its_source_alone(corpus):
    i, j = (corpus.sources.index(name) for name in ("latin", "rare"))
    stream = corpus.stream.copy()
    latin, rare = (stream[corpus.starts[k] : corpus.starts[k + 1]] for k in (i, j))
    latin[: len(rare)] = rare[::-1]
    before, after = baselines(corpus), baselines(corpus._replace(stream=stream))
    assert after.own_bigram["rare"] == before.own_bigram["rare"]
    assert after.own_bigram["latin"] != before.own_bigram["latin"]
    assert after.bigram["rare"] != before.bigram["rare"]


def test_baselines_of_a_corpus(corpus):
    found = baselines(corpus)
    assert set(found.unigram) == set(found.bigram) == set(corpus.held.sources)
    assert set(found.own_bigram) == set(corpus.sources)
    for source in corpus.sources:
        assert found.own_bigram[source] < found.bigram[source] + 0.05 < found.unigram[source]
    assert found.unigram["udhr/held"] > found.unigram["latin"]
    pieces = corpus.held.of("rare")
    scored = pieces.tokens[:, 1:][pieces.usable[:, 1:]]
    mass = np.ones(400)
    for i, weight in enumerate(corpus.weights):
        length, body = corpus.lengths[i], CTX - 1
        part = corpus.stream[corpus.starts[i] :][: length // body * body]
        np.add.at(mass, part[part != 0], weight * len(corpus.stream) / length)
    assert found.unigram["rare"] == pytest.approx(-np.log(mass / mass.sum())[scored].mean(), rel=1e-6)
