"""The best simple description of when a latent fires, against every set there is."""

from itertools import chain, combinations

import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.metrics.rules import best_classes, best_sets, judge_sets

RANDOM = np.random.default_rng(0)


def counts(classes=7, latents=40, rate=0.3, unclassed=5):
    totals = RANDOM.integers(0, 30, classes)
    hits = RANDOM.binomial(totals[:, None], RANDOM.uniform(0, rate * 2, (classes, latents)))
    return hits, totals, hits.sum(0) + RANDOM.integers(0, unclassed + 1, latents)


def f1(hits, totals, fired, chosen):
    said, found = totals[chosen].sum(), hits[chosen].sum()
    return 2 * found / (said + fired) if said + fired else 0.0


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5])
def test_the_best_set_is_the_best_of_all_sets(rate):
    hits, totals, fired = counts(rate=rate)
    chosen = best_sets(hits, totals, fired)
    every = list(chain.from_iterable(combinations(range(7), n) for n in range(8)))
    got = judge_sets(hits, totals, fired, chosen).f1
    for j in range(hits.shape[1]):
        scores = [f1(hits[:, j], totals, fired[j], list(some)) for some in every]
        assert got[j] == pytest.approx(max(scores), abs=1e-12)
        assert f1(hits[:, j], totals, fired[j], chosen[:, j]) == pytest.approx(max(scores), abs=1e-12)
    if rate == 0.3:
        assert len(set(chosen.sum(0))) > 3  # neither always one class nor always all


def test_the_best_class_is_the_best_of_all_classes():
    hits, totals, fired = counts()
    chosen = best_classes(hits, totals, fired)
    assert (chosen.sum(0) == 1).all()
    for j in range(hits.shape[1]):
        scores = [f1(hits[:, j], totals, fired[j], [c]) for c in range(7)]
        assert scores[int(chosen[:, j].argmax())] == max(scores)


def test_scores_are_precision_and_recall_of_events():
    labels, fires = RANDOM.integers(0, 5, 3000), RANDOM.random((3000, 6)) < 0.2
    fires |= (labels[:, None] == np.arange(6)) & (RANDOM.random((3000, 6)) < 0.7)
    hits = np.stack([fires[labels == c].sum(0) for c in range(5)])
    totals, fired = np.bincount(labels), fires.sum(0)
    chosen = best_sets(hits, totals, fired)
    verdict = judge_sets(hits, totals, fired, chosen)
    assert chosen[:, :5].T.tolist() == np.eye(5, dtype=bool).tolist()
    for j in range(6):
        said = chosen[labels, j]
        both = (said & fires[:, j]).sum()
        assert verdict.precision[j] == pytest.approx(both / said.sum())
        assert verdict.recall[j] == pytest.approx(both / fires[:, j].sum())
        p, r = verdict.precision[j], verdict.recall[j]
        assert verdict.f1[j] == pytest.approx(2 * p * r / (p + r))


def test_what_never_happens_scores_nothing_and_is_never_nan():
    hits = np.array([[0, 3], [0, 0], [0, 0]])
    totals, fired = np.array([4, 0, 9]), np.array([0, 3])
    for choose in (best_sets, best_classes):
        chosen = choose(hits, totals, fired)
        assert chosen.T.tolist() == [[False] * 3, [True, False, False]]
        verdict = np.stack(judge_sets(hits, totals, fired, chosen))
        assert np.isfinite(verdict).all()
        assert verdict[:, 0].tolist() == [0, 0, 0]
    silent = judge_sets(np.zeros((2, 1)), np.zeros(2), np.zeros(1), np.ones((2, 1)))
    assert np.stack(silent).tolist() == [[0], [0], [0]]


def test_of_equal_sets_the_smallest_is_taken():
    chosen = best_sets(np.array([[4], [0]]), np.array([4, 0]), np.array([4]))
    assert chosen[:, 0].tolist() == [True, False]


@pytest.mark.parametrize(
    ("hits", "totals", "fired"),
    [
        (np.ones((2, 3)), np.ones(3), np.ones(3)),
        (np.ones((2, 3)), np.ones(2), np.ones(2)),
        (np.ones(3), np.ones(3), np.ones(3)),
        (np.zeros((0, 3)), np.zeros(0), np.zeros(3)),
        (np.full((2, 3), 2), np.ones(2), np.full(3, 9)),
        (np.ones((2, 3)), np.ones(2), np.ones(3)),  # fires twice on the classes, once in all
        (-np.ones((2, 3)), np.ones(2), np.ones(3)),
    ],
)
def test_counts_that_contradict_themselves_are_refused(hits, totals, fired):
    for choose in (best_sets, best_classes):
        with pytest.raises(ConfigError, match="hits"):
            choose(hits, totals, fired)


def test_a_choice_of_another_shape_is_refused():
    with pytest.raises(ConfigError, match="chosen"):
        judge_sets(np.ones((2, 3)), np.ones(2), np.full(3, 2), np.ones((3, 2)))
